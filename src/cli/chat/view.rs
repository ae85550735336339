//! What is shown of a reply: its text alone, each chunk as JSON, or all of it for a person.
//!
//! Rule: no control character that a model, a tool or a server wrote reaches the terminal: none but line end and tab.

use std::io::{self, Write};

use serde_json::Value;

use crate::{
    cli::{
        quickstart::Style,
        text::{clean, is_control, shortened},
    },
    money::format_usd,
};

/// How much of a tool's input a line has room for, in characters.
const INPUT_CHARS: usize = 100;

/// How a reply is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// The text of the answer alone.
    Text,
    /// One chunk a line.
    Json,
    /// For a person.
    Person(Style),
}

/// What shows it.
pub struct View<W> {
    out: W,
    how: How,
    /// The kind of the last thing that was written on the line that is open.
    open: Option<Kind>,
    /// The same words are not said twice.
    waits: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Thought,
}

impl<W: Write> View<W> {
    pub fn new(out: W, how: How) -> Self {
        View { out, how, open: None, waits: String::new() }
    }

    /// Shows a chunk.
    pub fn chunk(&mut self, chunk: &Value) -> io::Result<()> {
        let style = match self.how {
            How::Json => return writeln!(self.out, "{}", escaped(&chunk.to_string())),
            How::Text if chunk["type"] == "text-delta" => return self.write(Kind::Text, text(chunk, "delta"), None),
            How::Text => return Ok(()),
            How::Person(style) => style,
        };
        match text(chunk, "type") {
            "text-delta" => self.write(Kind::Text, text(chunk, "delta"), None),
            "reasoning-delta" => self.write(Kind::Thought, text(chunk, "delta"), Some(style)),
            "tool-input-available" | "tool-input-error" => {
                let input = shortened(&chunk["input"].to_string(), INPUT_CHARS);
                self.line(&style.dim(&clean(&format!("→ {} {input}", text(chunk, "toolName")))))
            }
            "tool-output-error" => self.line(&style.dim(&clean(&format!("  failed: {}", text(chunk, "errorText"))))),
            "tool-output-denied" => self.line(&style.dim("  denied")),
            "source-url" => self.line(&style.dim(&clean(&format!("  {}", text(chunk, "url"))))),
            "data-model" => self.waiting(style, &chunk["data"]),
            "abort" => self.line(&style.dim("stopped")),
            "finish" => self.line(&style.dim(&clean(&summary(chunk)))),
            _ => Ok(()),
        }
    }

    /// What it waits for.
    fn waiting(&mut self, style: Style, state: &Value) -> io::Result<()> {
        let words = match text(state, "state") {
            "loading" => "the model is being loaded …".to_owned(),
            "queued" => format!("waiting, at place {} …", state["position"]),
            _ => return Ok(()),
        };
        if self.waits != words {
            self.line(&style.dim(&words))?;
            self.waits = words;
        }
        Ok(())
    }

    /// The reply has ended, or goes on after a question: what follows begins a line.
    pub fn end(&mut self) -> io::Result<()> {
        self.waits.clear();
        if self.open.take().is_some() {
            writeln!(self.out)?;
        }
        self.out.flush()
    }

    fn write(&mut self, kind: Kind, words: &str, style: Option<Style>) -> io::Result<()> {
        if self.open.is_some_and(|open| open != kind) {
            write!(self.out, "\n\n")?;
        }
        let words = clean(words);
        if words.is_empty() {
            return Ok(());
        }
        let is_open = !(words.ends_with('\n') && self.how == How::Text);
        self.open = is_open.then_some(kind);
        write!(self.out, "{}", style.map_or(words.clone(), |style| style.dim(&words)))?;
        self.out.flush()
    }

    /// A line of its own.
    pub fn line(&mut self, words: &str) -> io::Result<()> {
        if self.open.take().is_some() {
            writeln!(self.out)?;
        }
        writeln!(self.out, "{words}")?;
        self.out.flush()
    }
}

fn text<'a>(chunk: &'a Value, field: &str) -> &'a str {
    chunk[field].as_str().unwrap_or_default()
}

/// What a reply took, on one line.
fn summary(chunk: &Value) -> String {
    let metadata = &chunk["messageMetadata"];
    let mut words = vec![text(metadata, "model").to_owned()];
    if let (Some(input), Some(output)) =
        (metadata["usage"]["inputTokens"].as_u64(), metadata["usage"]["outputTokens"].as_u64())
    {
        words.push(format!("{input} tokens in, {output} out"));
    }
    words.extend(metadata["durationMs"].as_u64().map(|ms| format!("{:.1} s", ms as f64 / 1e3)));
    words.extend(metadata["costMicrocents"].as_i64().map(|cost| format!("${}", format_usd(cost))));
    words.extend((chunk["finishReason"] == "length").then(|| "cut off at the limit of its output".to_owned()));
    words.retain(|word| !word.is_empty());
    words.join(" · ")
}

/// JSON in which controls are written as escapes: the same value.
fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            c if is_control(c) => text += &format!("\\u{:04x}", c as u32),
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(how: How, chunks: &[Value]) -> String {
        let mut out = Vec::new();
        let mut view = View::new(&mut out, how);
        chunks.iter().for_each(|chunk| view.chunk(chunk).unwrap());
        view.end().unwrap();
        String::from_utf8(out).unwrap()
    }

    fn reply() -> Vec<Value> {
        vec![
            json!({ "type": "data-model", "data": { "state": "loading", "sinceMs": 1 } }),
            json!({ "type": "data-model", "data": { "state": "loading", "sinceMs": 2001 } }),
            json!({ "type": "reasoning-delta", "delta": "hm" }),
            json!({ "type": "tool-input-available", "toolName": "weather", "input": { "city": "Bern\u{1b}[2J" } }),
            json!({ "type": "text-delta", "delta": "Red \u{1b}[31m\u{9b}2J\u{7f}\u{202e}\r" }),
            json!({ "type": "text-delta", "delta": "a\tb\nc" }),
            json!({ "type": "finish", "finishReason": "length", "messageMetadata": {
                "model": "up/m", "costMicrocents": 1200, "durationMs": 420, "usage": { "inputTokens": 3, "outputTokens": 4 },
            } }),
        ]
    }

    #[test]
    fn a_program_gets_the_text_alone_and_a_person_all_of_it() {
        assert_eq!(shown(How::Text, &reply()), "Red ·[31m·2J···a\tb\nc\n");
        assert_eq!(
            shown(How::Person(Style::plain()), &reply()),
            "the model is being loaded …\nhm\n→ weather {\"city\":\"Bern\\u001b[2J\"}\nRed ·[31m·2J···a\tb\nc\n\
             up/m · 3 tokens in, 4 out · 0.4 s · $0.0012 · cut off at the limit of its output\n"
        );
        assert_eq!(shown(How::Text, &[json!({ "type": "text-delta", "delta": "whole\n" })]), "whole\n");
        assert_eq!(shown(How::Text, &[]), "");
    }

    #[test]
    fn thoughts_and_words_are_kept_apart() {
        let chunks =
            [json!({ "type": "reasoning-delta", "delta": "hm" }), json!({ "type": "text-delta", "delta": "Yes." })];
        assert_eq!(shown(How::Person(Style::plain()), &chunks), "hm\n\nYes.\n");
    }

    #[test]
    fn json_is_the_same_value_and_holds_no_control() {
        let chunk = json!({ "type": "text-delta", "delta": "\u{1b}[2J\u{9b}\u{7f}\u{202e}ä\n" });
        let line = shown(How::Json, std::slice::from_ref(&chunk));
        assert!(!line.trim_end_matches('\n').chars().any(is_control), "{line:?}");
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), chunk);
    }

    #[test]
    fn what_became_of_a_call_is_said_in_words() {
        let chunks = [
            json!({ "type": "tool-output-error", "errorText": "no\nroom" }),
            json!({ "type": "tool-output-denied" }),
            json!({ "type": "data-model", "data": { "state": "queued", "position": 2 } }),
            json!({ "type": "source-url", "url": "https://example.com" }),
            json!({ "type": "abort" }),
        ];
        let text = "  failed: no\nroom\n  denied\nwaiting, at place 2 …\n  https://example.com\nstopped\n";
        assert_eq!(shown(How::Person(Style::plain()), &chunks), text);
    }
}
