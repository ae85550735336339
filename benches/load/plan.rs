//! What is measured, by name, and how much of it.

/// Chunks a second of a paced stream.
pub const PACE_PER_S: u32 = 20;
/// The chunks of a short turn.
pub const SHORT_CHUNKS: u32 = 5;

/// The chunks of the running reply that is read again.
pub const HELD_CHUNKS: u32 = 10_000;

/// How much to measure.
#[derive(Clone, Copy)]
pub struct Size {
    /// Seconds a load is kept up.
    pub seconds: u32,
    /// Turns one after the other.
    pub turns: u32,
    /// Chunks of a stream at full speed.
    pub full_chunks: u32,
}

impl Size {
    /// The models these measurements ask for.
    pub fn models(self) -> Vec<String> {
        vec![self.paced_model(), self.full_model(), short_model(), held_model()]
    }

    /// The model of a paced stream.
    pub fn paced_model(self) -> String {
        format!("paced-{PACE_PER_S}-{}", PACE_PER_S * self.seconds)
    }

    /// The model of a stream at full speed.
    pub fn full_model(self) -> String {
        format!("full-{}", self.full_chunks)
    }
}

/// The model of a short turn.
pub fn short_model() -> String {
    format!("short-{SHORT_CHUNKS}")
}

/// The model of a reply that says all it has and then does not end.
pub fn held_model() -> String {
    format!("held-{HELD_CHUNKS}")
}

/// One measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Turns one after the other: what is added to the time to the first token.
    FirstToken,
    /// Short turns, many at once: what a turn costs.
    Short,
    /// Streams as fast as they go.
    Full,
    /// A long running reply, read again from its start.
    Replay,
    /// So many streams at reading speed.
    Paced(u32),
    /// The same asked for at `/v1/chat/completions`, of which nothing is stored.
    PacedV1(u32),
    /// `GET /agents`.
    Agents,
    /// `GET /v1/models`.
    ModelsV1,
    /// `GET /sessions/{id}/messages`.
    Messages,
    /// `POST /sessions`.
    Sessions,
    /// Start-up on an empty folder, and what an idle server holds.
    Start,
}

/// All measurements with their names on the command line.
pub const ALL: [(&str, Measure); 13] = [
    ("first-token", Measure::FirstToken),
    ("short", Measure::Short),
    ("full", Measure::Full),
    ("replay", Measure::Replay),
    ("paced-500", Measure::Paced(500)),
    ("paced-1000", Measure::Paced(1000)),
    ("paced-2000", Measure::Paced(2000)),
    ("v1-paced-500", Measure::PacedV1(500)),
    ("agents", Measure::Agents),
    ("v1-models", Measure::ModelsV1),
    ("messages", Measure::Messages),
    ("sessions", Measure::Sessions),
    ("start", Measure::Start),
];
