// Reads stored messages, one JSON object a line, and has every AI SDK say whether it takes them back.
// node validate-messages.mjs FILE
import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import { sdks } from "./sdks.mjs";

/** Refused messages that are shown. */
const SHOWN_MAX = 10;

let valid = 0;
const refused = [];
for await (const line of createInterface({ input: createReadStream(process.argv[2]) })) {
  const message = JSON.parse(line);
  const complaints = [];
  for (const { name, sdk } of sdks)
    await sdk
      .validateUIMessages({ messages: [message] })
      .catch((error) => complaints.push(`${name}: ${error.message}`));
  if (complaints.length === 0) valid += 1;
  else refused.push(`${line}\n${complaints.join("\n")}`);
}

for (const what of refused.slice(0, SHOWN_MAX)) console.log(what);
console.log(`proof: crash.messages_valid ${valid}`);
console.log(`proof: crash.messages_refused ${refused.length}`);
const passed = valid > 0 && refused.length === 0;
console.log(`validate: ${passed ? "1 passed, 0 failed" : "0 passed, 1 failed"}`);
process.exitCode = passed ? 0 : 1;
