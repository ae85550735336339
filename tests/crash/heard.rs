//! What a client heard of a streamed reply, however it ended.

use std::io::{BufRead, BufReader};

use serde_json::Value;
use ureq::{Body, http::Response};

/// The server went away in the middle; what it was asked may have been done.
#[derive(Debug)]
pub struct Gone;

/// What was heard so far.
#[derive(Debug, Default, Clone)]
pub struct Heard {
    /// The response had begun: the question is on the disk.
    pub begun: bool,
    /// The answer's id.
    pub message_id: Option<String>,
    /// Its text, as far as it came.
    pub text: String,
    /// Something was heard that says that the answer is on the disk.
    pub committed: bool,
    /// All of the answer was heard.
    pub whole: bool,
    /// A call was asked about.
    pub asks: bool,
    /// `[DONE]` was.
    pub done: bool,
    /// What the answer cost, if that was told. Microcents.
    pub cost: Option<i64>,
}

/// A reply that is being listened to.
pub struct Ear {
    lines: BufReader<ureq::BodyReader<'static>>,
}

impl Ear {
    pub fn new(response: Response<Body>) -> Self {
        Ear { lines: BufReader::new(response.into_body().into_reader()) }
    }

    /// The next chunk; `None` after `[DONE]`.
    pub fn next(&mut self, heard: &mut Heard) -> Result<Option<Value>, Gone> {
        loop {
            let mut line = String::new();
            // A line without its end is what a kill tore off.
            if !matches!(self.lines.read_line(&mut line), Ok(read) if read > 0 && line.ends_with('\n')) {
                return Err(Gone);
            }
            let Some(data) = line.trim_end().strip_prefix("data: ") else { continue };
            if data == "[DONE]" {
                heard.done = true;
                return Ok(None);
            }
            let chunk: Value = serde_json::from_str(data).unwrap_or_else(|error| panic!("{error}: {data}"));
            heard.take(&chunk);
            return Ok(Some(chunk));
        }
    }
}

impl Heard {
    fn take(&mut self, chunk: &Value) {
        match chunk["type"].as_str().unwrap() {
            "start" => self.message_id = chunk["messageId"].as_str().map(str::to_owned),
            "tool-approval-request" => self.asks = true,
            "text-delta" => self.text += chunk["delta"].as_str().unwrap(),
            // They are written after the commit.
            "finish" | "abort" | "error" => {
                self.committed = true;
                self.whole = true;
                self.cost = self.cost.or(chunk["messageMetadata"]["costMicrocents"].as_i64());
            }
            _ => {}
        }
    }
}
