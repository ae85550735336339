// A driver in JavaScript, in this process.

/** `driver` has `chat`, `tool`, perhaps `models`, and `stream`, a generator that takes a signal. */
export const js = (driver) => ({
  ...driver,
  async stream(at, prompt) {
    const pieces = [];
    for await (const piece of driver.stream(at, prompt)) if (piece) pieces.push(piece);
    return { pieces };
  },
  async stop(at, prompt) {
    const stopped = new AbortController();
    try {
      for await (const piece of driver.stream(at, prompt, stopped.signal)) {
        if (!piece) continue;
        // Both ways to stop: old ones look at the signal no more once the stream has begun.
        stopped.abort();
        break;
      }
    } catch (error) {
      if (!stopped.signal.aborted) throw error;
    }
  },
});
