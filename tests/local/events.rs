//! A stream of llama.cpp's server, event by event, its comments too.

use std::io::{BufRead, BufReader};

use serde_json::Value;
use ureq::{Body, BodyReader, http::Response};

/// A stream that may go on. Dropping it hangs up.
pub struct Events {
    pub status: u16,
    body: BufReader<BodyReader<'static>>,
}

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A line that says nothing, so that nobody thinks it is gone.
    Comment,
    Chunk(Value),
    Done,
}

impl Events {
    /// Of a response whose head has just come.
    pub fn of(response: Response<Body>) -> Self {
        let (head, body) = response.into_parts();
        Events { status: head.status.as_u16(), body: BufReader::new(body.into_reader()) }
    }

    /// The next event, until the stream ends.
    pub fn next(&mut self) -> Option<Event> {
        loop {
            let mut line = String::new();
            if self.body.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            match line.trim_end() {
                "" => {}
                comment if comment.starts_with(':') => return Some(Event::Comment),
                "data: [DONE]" => return Some(Event::Done),
                data => {
                    let json = data.strip_prefix("data: ").unwrap_or_else(|| panic!("no event: {data}"));
                    return Some(Event::Chunk(serde_json::from_str(json).unwrap()));
                }
            }
        }
    }

    /// The next event that is a chunk.
    #[track_caller]
    pub fn chunk(&mut self) -> Value {
        loop {
            match self.next() {
                Some(Event::Chunk(chunk)) => return chunk,
                Some(Event::Comment) => {}
                end => panic!("no chunk, but {end:?}"),
            }
        }
    }

    /// The first chunk from here that says something.
    #[track_caller]
    pub fn word(&mut self) -> Value {
        loop {
            let chunk = self.chunk();
            if chunk["choices"][0]["delta"]["content"].as_str().is_some_and(|text| !text.is_empty()) {
                return chunk;
            }
        }
    }

    /// All chunks to the end.
    pub fn rest(mut self) -> Vec<Value> {
        let mut chunks = Vec::new();
        while let Some(event) = self.next() {
            if let Event::Chunk(chunk) = event {
                chunks.push(chunk);
            }
        }
        chunks
    }
}
