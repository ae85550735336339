// Asks an agent and prints its reply as it arrives. Node 20 or newer, nothing to install.
//
//     ALM_KEY=alm_live_… node ask.mjs "What can you show me?"

const { ALM_URL = "http://127.0.0.1:2560", ALM_KEY } = process.env;

const response = await fetch(`${ALM_URL}/api/v1/chat`, {
  method: "POST",
  headers: { "Content-Type": "application/json", Authorization: `Bearer ${ALM_KEY}` },
  body: JSON.stringify({ messages: [{ role: "user", content: process.argv[2] ?? "Hello" }] }),
});
if (!response.ok) throw new Error((await response.json()).error.message);

let rest = "";
for await (const text of response.body.pipeThrough(new TextDecoderStream())) {
  const lines = (rest + text).split("\n");
  rest = lines.pop();
  for (const line of lines) {
    if (!line.startsWith("data: {")) continue;
    const chunk = JSON.parse(line.slice("data: ".length));
    if (chunk.type === "text-delta") process.stdout.write(chunk.delta);
    if (chunk.type === "error") throw new Error(chunk.errorText);
  }
}
console.log();
