// @ts-check

// Server-sent events: pieces of text in, the data of each event out.

/**
 * Splits an event stream into the data of its events, and the last id that was said; `feed` takes any piece of it.
 * @param {(data: string, id: string) => void} onData
 */
export function eventSplitter(onData) {
  let rest = "";
  let id = "";
  /** @type {string[]} */
  let data = [];
  /** @param {string} text */
  const line = (text) => {
    if (text === "") {
      if (data.length > 0) onData(data.join("\n"), id);
      data = [];
    } else if (text.startsWith("data:")) {
      data.push(text.slice(text.startsWith("data: ") ? 6 : 5));
    } else if (text.startsWith("id:")) {
      id = text.slice(3).trim();
    }
  };
  return {
    /** @param {string} text */
    feed(text) {
      const lines = (rest + text).split(/\r\n|\n|\r(?!$)/);
      rest = lines.pop() ?? "";
      lines.forEach(line);
    },
  };
}

/** How long a server that is there is silent at most: it says something every 15 s. */
const SILENCE_MS = 40_000;

/**
 * The data of each event of a response, as it arrives.
 * @param {Response} response
 */
export async function* events(response) {
  for await (const [data] of numberedEvents(response)) yield data;
}

/**
 * The same with the last id that was said. It ends where nothing is heard any more.
 * @param {Response} response
 */
export async function* numberedEvents(response) {
  /** @type {[data: string, id: string][]} */
  const arrived = [];
  const splitter = eventSplitter((...event) => arrived.push(event));
  if (!response.body) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  const end = () => reader.cancel().catch(() => {});
  const read = () => {
    const silence = setTimeout(end, SILENCE_MS);
    return reader.read().finally(() => clearTimeout(silence));
  };
  try {
    for (let piece = await read(); !piece.done; piece = await read()) {
      splitter.feed(piece.value);
      yield* arrived.splice(0);
    }
  } finally {
    end();
  }
}
