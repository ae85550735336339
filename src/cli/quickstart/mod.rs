//! The quickstart, executed from its first call to its last against a running server, and printed.
//!
//! Rule: every `curl` it prints is a call it makes, and every answer it prints came over HTTP. It believes nothing: a step
//! that fails ends it.

pub(super) mod client;
#[cfg(test)]
mod tests;

use std::io::{self, IsTerminal, Write};

use serde_json::{Value, json};

use client::{Answer, Call, Client, Streamed};

/// The quickstart's own prompt.
const PROMPT: &str = "Summarise the periodic table in 3 sentences.";
const SECOND_PROMPT: &str = "What did I just ask?";
/// The model whose replies are prepared.
const BUILT_IN: &str = "demo/ala";
/// What an answer to the second prompt has to speak of.
const REMEMBERED: &str = "periodic table";
/// Has the demo's own tool called.
const TOOL_PROMPT: &str = "Call book_room with {\"people\": 4}";
/// A key of the right form that nobody has.
const WRONG_KEY: &str = "alm_live_000000000000000000000000000000000000000000000000";
/// More than the limit of 60 a minute lets through at once, with room for what trickles back meanwhile.
const RATE_CALLS_MAX: usize = 90;

/// Whether to print in colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    has_colours: bool,
}

/// Whose replies are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replies {
    /// The built-in model's: it is known what they say.
    Prepared,
    /// A real model's. It writes what it likes, and need not call a tool.
    Real,
}

/// A step that failed.
#[derive(Debug, thiserror::Error)]
pub enum QuickstartFailed {
    /// The server did not do what the quickstart says.
    #[error("“{step}”: {what}")]
    Step { step: &'static str, what: String },
    /// Nobody reads what is printed.
    #[error("cannot print: {0}")]
    Print(#[from] io::Error),
}

impl Style {
    /// Colours, if standard output is a terminal and `NO_COLOR` does not forbid them.
    pub fn of_stdout() -> Self {
        let is_forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { has_colours: io::stdout().is_terminal() && !is_forbidden }
    }

    /// No colours.
    #[cfg(test)]
    pub fn plain() -> Self {
        Self { has_colours: false }
    }

    /// Text that should be seen first.
    pub fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// Text that may be passed over.
    pub fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    /// Text that one types.
    pub fn typed(self, text: &str) -> String {
        self.paint("36", text)
    }

    /// Text that says all is well.
    pub fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.has_colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Runs the quickstart at `base_url` (no slash at its end) and prints it. `paid_model` is one that the organization's
/// empty balance cannot pay for.
pub fn run(
    base_url: &str,
    key: &str,
    org: &str,
    (replies, paid_model): (Replies, &str),
    out: &mut impl Write,
    style: Style,
) -> Result<(), QuickstartFailed> {
    let mut quickstart = Quickstart { client: Client::new(base_url, key, org), replies, out, style, step: "" };
    let agent_id = quickstart.list_agents()?;
    let session_id = quickstart.create_session(&agent_id)?;
    let first = quickstart.stream_reply(&session_id, &agent_id)?;
    quickstart.read_history(&session_id, &first)?;
    quickstart.count_history(&session_id)?;
    quickstart.continue_conversation(&session_id)?;
    let approval_id = quickstart.ask_before_a_call(&session_id)?;
    quickstart.allow_the_call(&session_id, &approval_id)?;
    quickstart.meet_unauthorized()?;
    quickstart.meet_payment_required(&session_id, paid_model)?;
    quickstart.meet_too_many_requests(&session_id)
}

/// A chat to copy: it needs no session, since one is made for it.
pub fn curl_to_copy(base_url: &str, key: &str, org: &str, prompt: &str) -> String {
    let body = json!({"messages": [{"role": "user", "content": prompt}]});
    Client::new(base_url, key, org).curl(&Call { path: "/api/v1/chat", body: Some(body), is_stream: true })
}

struct Quickstart<'a, W> {
    client: Client<'a>,
    replies: Replies,
    out: &'a mut W,
    style: Style,
    step: &'static str,
}

impl<W: Write> Quickstart<'_, W> {
    fn list_agents(&mut self) -> Result<String, QuickstartFailed> {
        self.begin("List the agents")?;
        let answer = self.get("/api/v1/agents", 200)?;
        let agents = answer.body["data"]["items"].as_array().cloned().unwrap_or_default();
        let ala = agents.iter().find(|agent| agent["slug"] == "ala");
        let id = ala.and_then(|ala| ala["id"].as_str()).ok_or_else(|| self.failed("Ala is not in the list"))?;
        self.end(&format!("The key works, and the list has Ala: {id}"))?;
        Ok(id.to_owned())
    }

    fn create_session(&mut self, agent_id: &str) -> Result<String, QuickstartFailed> {
        self.begin("Create a chat session")?;
        let body = json!({"label": "API quickstart", "agentId": agent_id});
        let answer = self.post("/api/v1/sessions", body, 201)?;
        let id = answer.body["data"]["id"].as_str().ok_or_else(|| self.failed("the session has no id"))?;
        self.end(&format!("The session is {id}"))?;
        Ok(id.to_owned())
    }

    fn stream_reply(&mut self, session_id: &str, agent_id: &str) -> Result<Streamed, QuickstartFailed> {
        self.begin("Stream an agent's reply")?;
        self.print_dim("curl itself would show the raw events. Shown here is their text, as it arrives.")?;
        let messages = json!([{"role": "user", "content": PROMPT}]);
        let streamed = self.chat(json!({"sessionId": session_id, "agentId": agent_id, "messages": messages}))?;
        self.end(&format!("{} chunks, and the reply is stored as {}", streamed.chunks, streamed.message_id))?;
        Ok(streamed)
    }

    fn read_history(&mut self, session_id: &str, first: &Streamed) -> Result<(), QuickstartFailed> {
        self.begin("Read the stored history")?;
        let answer = self.get(&format!("/api/v1/sessions/{session_id}/messages"), 200)?;
        let [user, assistant] = answer.body["data"]["items"].as_array().map(Vec::as_slice).unwrap_or_default() else {
            return Err(self.failed("expected two messages, the question and the reply"));
        };
        let is_question = user["role"] == "user" && user["content"] == PROMPT;
        let is_reply = assistant["role"] == "assistant" && assistant["content"] == first.text.as_str();
        if !is_question || !is_reply || assistant["id"] != first.message_id.as_str() {
            return Err(self.failed("the history differs from what was sent and streamed"));
        }
        self.end("Both messages are stored, word for word")
    }

    fn count_history(&mut self, session_id: &str) -> Result<(), QuickstartFailed> {
        self.begin("Count the messages, without their bodies")?;
        let answer = self.get(&format!("/api/v1/sessions/{session_id}/messages?countOnly=true"), 200)?;
        if answer.body["data"]["count"] != 2 {
            return Err(self.failed("expected a count of 2"));
        }
        self.end("Two messages")
    }

    fn continue_conversation(&mut self, session_id: &str) -> Result<(), QuickstartFailed> {
        self.begin("Continue the conversation: send only the new message")?;
        let messages = json!([{"role": "user", "content": SECOND_PROMPT}]);
        let streamed = self.chat(json!({"sessionId": session_id, "messages": messages}))?;
        if self.replies == Replies::Real {
            return self.end("The server sent the model the stored history: what it makes of it is its own");
        }
        if !streamed.text.to_lowercase().contains(REMEMBERED) {
            return Err(self.failed("the second reply does not remember the first question"));
        }
        self.end("It remembers, because the server sent the model the stored history")
    }

    fn ask_before_a_call(&mut self, session_id: &str) -> Result<String, QuickstartFailed> {
        self.begin("A tool of your own, and a person who is asked first")?;
        self.print_dim(
            "This demo has an HTTP API of its own that books rooms, and a tool for it, as `alm tools add` adds one. Its policy is `ask`.",
        )?;
        let messages = json!([{"role": "user", "content": TOOL_PROMPT}]);
        let mut body = json!({"sessionId": session_id, "messages": messages});
        if self.replies == Replies::Real {
            self.print_dim(
                "Not every model calls a tool when it is told to. This step asks the built-in one, which does.",
            )?;
            body["model"] = json!(BUILT_IN);
        }
        let streamed = self.stream("/api/v1/chat", body, &["tool-calls"])?;
        if streamed.of_tool("tool-output-available").is_some() {
            return Err(self.failed("the tool ran before anybody allowed it"));
        }
        let asked = streamed.of_tool("tool-approval-request").and_then(|chunk| chunk["approvalId"].as_str());
        let approval_id = asked.ok_or_else(|| self.failed("nobody was asked"))?.to_owned();
        self.end("Nothing is booked: the call waits for an answer, and would outlast the server")?;
        Ok(approval_id)
    }

    fn allow_the_call(&mut self, session_id: &str, approval_id: &str) -> Result<(), QuickstartFailed> {
        self.begin("Allow the call: the reply goes on where it stopped")?;
        let body = json!({"approvals": [{"approvalId": approval_id, "approved": true}]});
        let streamed = self.stream(&format!("/api/v1/chat/{session_id}/resume"), body, &["stop"])?;
        let output = streamed.of_tool("tool-output-available").map(|chunk| &chunk["output"]);
        // The tool counts what it has booked.
        if output.is_none_or(|output| output["booking"] != 1) {
            return Err(self.failed("expected the output of a tool that was called once"));
        }
        self.end("The room is booked, once, and the reply is whole")
    }

    fn meet_unauthorized(&mut self) -> Result<(), QuickstartFailed> {
        self.begin("Error 401: a wrong key")?;
        let client = self.client.with_key(WRONG_KEY);
        let call = Call { path: "/api/v1/agents", body: None, is_stream: false };
        self.print_typed(&client.curl(&call))?;
        let answer = client.send(&call).map_err(|what| self.failed(what))?;
        self.print_answer(&answer)?;
        self.expect_error(&answer, 401, "UNAUTHORIZED")?;
        self.end("401 UNAUTHORIZED")
    }

    fn meet_payment_required(&mut self, session_id: &str, paid_model: &str) -> Result<(), QuickstartFailed> {
        self.begin("Error 402: a paid model and an empty balance")?;
        let messages = json!([{"role": "user", "content": "Hello"}]);
        let body = json!({"sessionId": session_id, "model": paid_model, "messages": messages});
        let answer = self.post("/api/v1/chat", body, 402)?;
        self.expect_error(&answer, 402, "PAYMENT_REQUIRED")?;
        self.end("402 PAYMENT_REQUIRED, before anything was sent to the model")
    }

    fn meet_too_many_requests(&mut self, session_id: &str) -> Result<(), QuickstartFailed> {
        self.begin("Error 429: more than 60 chats a minute")?;
        self.print_dim(
            "This asks for a model that does not exist, so that no reply is written, until the rate limit refuses.",
        )?;
        let messages = json!([{"role": "user", "content": "Hello"}]);
        let body = json!({"sessionId": session_id, "model": "no-such/model", "messages": messages});
        let call = Call { path: "/api/v1/chat", body: Some(body), is_stream: false };
        let curl = self.client.curl(&call).replacen("curl", "curl -s", 1);
        self.print_typed(&format!("for i in $(seq {RATE_CALLS_MAX}); do\n{curl}; echo\ndone"))?;
        for refused in 0..RATE_CALLS_MAX {
            let answer = self.client.send(&call).map_err(|what| self.failed(what))?;
            if answer.status != 429 {
                self.expect_error(&answer, 422, "VALIDATION_ERROR")?;
                continue;
            }
            self.print_dim(&format!("422 (no such model) {refused} times, then:"))?;
            self.print_answer(&answer)?;
            self.expect_error(&answer, 429, "TOO_MANY_REQUESTS")?;
            let seconds = answer.retry_after.ok_or_else(|| self.failed("429 without Retry-After"))?;
            return self.end(&format!("429 TOO_MANY_REQUESTS, Retry-After: {seconds}"));
        }
        Err(self.failed(format!("no limit after {RATE_CALLS_MAX} calls")))
    }

    fn get(&mut self, path: &str, status: u16) -> Result<Answer, QuickstartFailed> {
        self.call(&Call { path, body: None, is_stream: false }, status)
    }

    fn post(&mut self, path: &str, body: Value, status: u16) -> Result<Answer, QuickstartFailed> {
        self.call(&Call { path, body: Some(body), is_stream: false }, status)
    }

    fn call(&mut self, call: &Call, status: u16) -> Result<Answer, QuickstartFailed> {
        self.print_typed(&self.client.curl(call))?;
        let answer = self.client.send(call).map_err(|what| self.failed(what))?;
        self.print_answer(&answer)?;
        if answer.status != status || answer.body["success"] != (status < 400) {
            return Err(self.failed(format!("expected {status}, got {}", answer.status)));
        }
        Ok(answer)
    }

    fn chat(&mut self, body: Value) -> Result<Streamed, QuickstartFailed> {
        // A real one may write up to its cap.
        let finishes: &[_] = if self.replies == Replies::Real { &["stop", "length"] } else { &["stop"] };
        self.stream("/api/v1/chat", body, finishes)
    }

    /// A reply that ends for one of these reasons.
    fn stream(&mut self, path: &str, body: Value, finishes: &[&str]) -> Result<Streamed, QuickstartFailed> {
        let call = Call { path, body: Some(body), is_stream: true };
        self.print_typed(&self.client.curl(&call))?;
        let out = &mut *self.out;
        let streamed = self.client.stream(&call, |text| {
            out.write_all(text.as_bytes())?;
            out.flush()
        });
        writeln!(self.out, "\n")?;
        let streamed = streamed.map_err(|what| self.failed(what))?;
        for chunk in &streamed.of_tools {
            self.print_dim(&chunk.to_string())?;
        }
        if !finishes.contains(&&*streamed.finish_reason) || !streamed.is_done || streamed.message_id.is_empty() {
            return Err(self.failed("the stream lacks its start, its finish or its [DONE]"));
        }
        Ok(streamed)
    }

    fn expect_error(&self, answer: &Answer, status: u16, code: &str) -> Result<(), QuickstartFailed> {
        let error = &answer.body["error"];
        let has_envelope =
            answer.body["success"] == false && error["message"].is_string() && error["requestId"].is_string();
        if answer.status != status || error["code"] != code || !has_envelope {
            return Err(self.failed(format!("expected {status} {code}, got {}: {}", answer.status, answer.body)));
        }
        Ok(())
    }

    fn failed(&self, what: impl Into<String>) -> QuickstartFailed {
        QuickstartFailed::Step { step: self.step, what: what.into() }
    }

    fn begin(&mut self, step: &'static str) -> Result<(), QuickstartFailed> {
        self.step = step;
        writeln!(self.out, "{}\n", self.style.bold(step))?;
        Ok(())
    }

    fn end(&mut self, held: &str) -> Result<(), QuickstartFailed> {
        writeln!(self.out, "{} {held}\n\n", self.style.good("✓"))?;
        Ok(())
    }

    fn print_typed(&mut self, command: &str) -> Result<(), QuickstartFailed> {
        writeln!(self.out, "{} {}\n", self.style.dim("$"), self.style.typed(command))?;
        Ok(())
    }

    fn print_answer(&mut self, answer: &Answer) -> Result<(), QuickstartFailed> {
        writeln!(self.out, "{:#}\n", answer.body)?;
        Ok(())
    }

    fn print_dim(&mut self, text: &str) -> Result<(), QuickstartFailed> {
        writeln!(self.out, "{}\n", self.style.dim(text))?;
        Ok(())
    }
}
