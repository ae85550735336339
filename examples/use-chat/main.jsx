// A chat that survives a reload: its history is read back, and a reply that is still being written goes on.

import { useChat } from "@ai-sdk/react";
import { DefaultChatTransport } from "ai";
import { useState } from "react";
import { createRoot } from "react-dom/client";

const api = "/api/chat";
const transport = new DefaultChatTransport({ api });

/** The session of this page; the address keeps it over a reload. */
function sessionId() {
  if (!location.hash) location.replace(`#${crypto.randomUUID()}`);
  return location.hash.slice(1);
}

/** What is stored of a session: nothing, before its first message. */
async function history(id) {
  const response = await fetch(`${api}/${id}/messages`);
  if (response.status === 404) return [];
  if (!response.ok) throw new Error(`history: ${response.status}`);
  return (await response.json()).data.items;
}

function Chat({ id, stored }) {
  const { messages, sendMessage, status, error } = useChat({ id, messages: stored, transport, resume: true });
  const [text, setText] = useState("");
  const running = status === "submitted" || status === "streaming";
  const send = (event) => {
    event.preventDefault();
    sendMessage({ text });
    setText("");
  };
  // The hook's own `stop` closes this page's connection; the reply would go on at the server.
  const stop = () => fetch(`${api}/${id}/stop`, { method: "POST" });
  return (
    <main>
      {messages.map((message) => (
        <p key={message.id}>
          <b>{message.role}</b>: {message.parts.map((part) => (part.type === "text" ? part.text : ""))}
        </p>
      ))}
      {error && <p role="alert">{error.message}</p>}
      <form onSubmit={send}>
        <input aria-label="Message" value={text} onChange={(event) => setText(event.target.value)} />
        <button disabled={running || !text.trim()}>Send</button>
        {running && (
          <button type="button" onClick={stop}>
            Stop
          </button>
        )}
      </form>
    </main>
  );
}

const id = sessionId();
createRoot(document.getElementById("root")).render(<Chat id={id} stored={await history(id)} />);
