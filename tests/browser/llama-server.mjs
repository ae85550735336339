// A model's file and a llama-server without a model, for a real server to run; `tests/gguf/llama_server.py` is the program.

import { chmod, copyFile, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const PROGRAM = fileURLToPath(new URL("../gguf/llama_server.py", import.meta.url));

/**
 * Puts both into a folder. `flags` are what a server is started with, `open(gate)` lets the program go on where its `plan` or what
 * it was asked made it wait.
 */
export async function makeLlamaServer(plan) {
  const folder = await mkdtemp(join(tmpdir(), "alm-llama-"));
  const [program, file] = [join(folder, "llama-server"), join(folder, "tiny.gguf")];
  await copyFile(PROGRAM, program);
  await chmod(program, 0o700);
  await writeFile(join(folder, "plan.json"), JSON.stringify(plan));
  await writeFile(file, model());
  return {
    flags: ["--gguf", file, "--llama-server", program],
    open: (gate) => writeFile(join(folder, `gate.${gate}`), ""),
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}

/** The smallest file of a model that can answer. */
function model() {
  const keys = {
    "general.architecture": "llama",
    "llama.context_length": 8192,
    "llama.block_count": 2,
    "llama.embedding_length": 64,
    "llama.attention.head_count": 4,
    "tokenizer.chat_template": "{{ messages }}",
  };
  const entries = Object.entries(keys);
  const value = (value) => (typeof value === "string" ? [u32(8), text(value)] : [u32(4), u32(value)]);
  const tensor = [text("t"), u32(1), u64(4), u32(0), u64(0)];
  const counts = [u32(3), u64(1), u64(entries.length)];
  const head = [Buffer.from("GGUF"), counts, entries.map(([key, of]) => [text(key), value(of)]), tensor];
  const header = Buffer.concat(head.flat(Infinity));
  // The data of its one tensor begins at a multiple of 32.
  return Buffer.concat([header, Buffer.alloc((32 - (header.length % 32)) % 32), Buffer.alloc(16)]);
}

function u32(number) {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(number);
  return bytes;
}

function u64(number) {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(number));
  return bytes;
}

function text(words) {
  const bytes = Buffer.from(words);
  return Buffer.concat([u64(bytes.length), bytes]);
}
