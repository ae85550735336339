// A chat as a person writes it with useChat: it shows approvals, and runs a tool of its own.

import { useChat } from "@ai-sdk/react";
import {
  DefaultChatTransport,
  lastAssistantMessageIsCompleteWithApprovalResponses,
  lastAssistantMessageIsCompleteWithToolCalls,
} from "ai";
import { createElement as h } from "react";
import { createRoot } from "react-dom/client";

const { id, messages: initial, tools } = window.CHAT;

function Part({ part, answer }) {
  if (part.type === "text") return h("p", null, part.text);
  if (!part.toolCallId) return null;
  const name = part.toolName ?? part.type.slice("tool-".length);
  const said = `${name} ${JSON.stringify(part.input)} ${part.state}`;
  if (part.state !== "approval-requested") return h("p", { className: "tool" }, said);
  const decide = (approved) => () => answer({ id: part.approval.id, approved });
  return h(
    "p",
    { className: "tool" },
    said,
    h("button", { onClick: decide(true) }, `Allow ${part.input.title}`),
    h("button", { onClick: decide(false) }, `Deny ${part.input.title}`),
  );
}

function App() {
  const { messages, sendMessage, addToolApprovalResponse, addToolOutput, status, error } = useChat({
    id,
    messages: initial,
    transport: new DefaultChatTransport({ api: "/api/chat", body: { ...window.CHAT.body, tools } }),
    sendAutomaticallyWhen: (state) =>
      lastAssistantMessageIsCompleteWithApprovalResponses(state) || lastAssistantMessageIsCompleteWithToolCalls(state),
    onToolCall: ({ toolCall: { dynamic, toolName, toolCallId } }) => {
      if (!dynamic && toolName === "getTitle") addToolOutput({ tool: toolName, toolCallId, output: document.title });
    },
  });
  return h(
    "main",
    null,
    messages.map((message) =>
      h(
        "article",
        { key: message.id, className: message.role },
        message.parts.map((part, at) => h(Part, { key: at, part, answer: addToolApprovalResponse })),
      ),
    ),
    h("p", { id: "status" }, error ? `error: ${error.message}` : status),
    h("button", { onClick: () => sendMessage({ text: "Go." }) }, "Ask"),
  );
}

createRoot(document.getElementById("root")).render(h(App));
