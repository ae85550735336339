//! The chat's own HTTP client, and the stream of a reply.
//!
//! Rule: it knows the API from outside only: statuses, envelopes, server-sent events.

use std::{
    fmt,
    io::{BufRead, BufReader, Read},
    path::Path,
    time::Duration,
};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::{
    error::{Error, Result as Fallible},
    outbound::agent_trusting,
};

/// How long a call that answers at once may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one reply may take: as long as a turn.
const REPLY_TIMEOUT: Duration = Duration::from_secs(30 * 60);
/// The longest answer that is no stream, in bytes.
const ANSWER_BYTES_MAX: u64 = 16 * 1_024 * 1_024;
/// The longest line of a stream, in bytes: a reply's own bound.
const LINE_BYTES_MAX: u64 = 16 * 1_024 * 1_024;

/// Why a call came to nothing.
#[derive(Debug)]
pub enum Fault {
    /// The server said no, and why.
    Refused(String),
    /// There was no answer, or half of one.
    Lost(String),
}

/// A server, and who asks it.
pub struct Api {
    agent: ureq::Agent,
    url: String,
    key: String,
    org: Option<String>,
}

/// The chunks of a reply.
pub struct Events {
    lines: Box<dyn BufRead + Send>,
    /// How many there were: the number of the last one.
    pub count: usize,
}

impl Api {
    /// The server at `url`, whose certificate one of `ca_file` has signed, if that is named; through the environment's proxy, unless it is
    /// on this machine.
    pub fn new(url: &str, key: String, org: Option<String>, ca_file: Option<&Path>) -> Fallible<Self> {
        let scheme = if url.contains("://") { "" } else { "http://" };
        let url = format!("{scheme}{}", url.trim_end_matches('/'));
        let place = url.split("://").nth(1).unwrap_or_default();
        let is_here = ["localhost", "127.", "[::1]"].iter().any(|here| place.starts_with(here));
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_connect(Some(CONNECT_TIMEOUT));
        let config = if is_here { config.proxy(None) } else { config };
        let agent = match ca_file {
            Some(file) => agent_trusting(config.build(), file)?,
            None => config.build().into(),
        };
        Ok(Api { agent, url, key, org })
    }

    /// Where the server is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The `data` of what a path answers.
    pub fn get(&self, path: &str) -> Result<Value, Fault> {
        data(self.send(path, None, None, CALL_TIMEOUT)?)
    }

    /// The same of a POST.
    pub fn post(&self, path: &str, body: &Value) -> Result<Value, Fault> {
        data(self.send(path, Some(body), None, CALL_TIMEOUT)?)
    }

    /// Asks for a reply.
    pub fn ask(&self, path: &str, body: &Value) -> Result<Events, Fault> {
        let response = self.send(path, Some(body), None, REPLY_TIMEOUT)?;
        Ok(Events::of(refused_unless_stream(response)?, 0))
    }

    /// The reply that runs in a session, after its first `count` chunks; nothing if none runs.
    pub fn running(&self, session: &str, count: usize) -> Result<Option<Events>, Fault> {
        let path = format!("/api/v1/chat/{}/stream", segment(session));
        let response = self.send(&path, None, Some(count), REPLY_TIMEOUT)?;
        if response.status() == 204 {
            return Ok(None);
        }
        Ok(Some(Events::of(refused_unless_stream(response)?, count)))
    }

    fn send(
        &self,
        path: &str,
        body: Option<&Value>,
        last: Option<usize>,
        patience: Duration,
    ) -> Result<ureq::http::Response<ureq::Body>, Fault> {
        let url = format!("{}{path}", self.url);
        let mut headers = vec![("Authorization", format!("Bearer {}", self.key))];
        headers.extend(self.org.iter().map(|org| ("X-Alumia-Org", org.clone())));
        headers.extend(last.map(|last| ("Last-Event-ID", last.to_string())));
        let sent = match body {
            None => {
                let request = headers.into_iter().fold(self.agent.get(&url), |r, (name, value)| r.header(name, value));
                request.config().timeout_global(Some(patience)).build().call()
            }
            Some(body) => {
                let request = headers.into_iter().fold(self.agent.post(&url), |r, (name, value)| r.header(name, value));
                let request = request.header("Content-Type", "application/json");
                request.config().timeout_global(Some(patience)).build().send(body.to_string())
            }
        };
        sent.map_err(|error| Fault::Lost(format!("{} does not answer: {error}", self.url)))
    }
}

/// An id as a part of a path.
pub fn segment(id: &str) -> String {
    utf8_percent_encode(id, NON_ALPHANUMERIC).to_string()
}

fn data(response: ureq::http::Response<ureq::Body>) -> Result<Value, Fault> {
    let status = response.status();
    let mut body = text_of(response)?;
    match body.get_mut("data").map(Value::take) {
        Some(data) if status.is_success() => Ok(data),
        _ => Err(refusal(status.as_u16(), &body)),
    }
}

fn refused_unless_stream(
    response: ureq::http::Response<ureq::Body>,
) -> Result<ureq::http::Response<ureq::Body>, Fault> {
    let kind = response.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if response.status().is_success() && kind.starts_with("text/event-stream") {
        return Ok(response);
    }
    let status = response.status().as_u16();
    Err(refusal(status, &text_of(response)?))
}

fn text_of(response: ureq::http::Response<ureq::Body>) -> Result<Value, Fault> {
    let mut text = String::new();
    let read = response.into_body().into_reader().take(ANSWER_BYTES_MAX).read_to_string(&mut text);
    read.map_err(|error| Fault::Lost(format!("the answer broke off: {error}")))?;
    Ok(serde_json::from_str(&text).unwrap_or_default())
}

fn refusal(status: u16, body: &Value) -> Fault {
    Fault::Refused(match body["error"]["message"].as_str() {
        Some(message) => message.to_owned(),
        None => format!("status {status}, and not from an alm server: look at --url"),
    })
}

impl Events {
    fn of(response: ureq::http::Response<ureq::Body>, count: usize) -> Self {
        Events { lines: Box::new(BufReader::new(response.into_body().into_reader())), count }
    }

    /// The next chunk; nothing after the last one.
    pub fn next(&mut self) -> Result<Option<Value>, Fault> {
        loop {
            let line = line_of(&mut self.lines, LINE_BYTES_MAX)?;
            let Some(data) = line.strip_prefix("data: ") else { continue };
            let data = data.trim_end();
            if data == "[DONE]" {
                return Ok(None);
            }
            self.count += 1;
            return match serde_json::from_str(data) {
                Ok(chunk) => Ok(Some(chunk)),
                Err(_) => Err(Fault::Lost("an event is no JSON".into())),
            };
        }
    }
}

/// A line of a stream, which has an end.
fn line_of(lines: &mut dyn BufRead, bytes_max: u64) -> Result<String, Fault> {
    let mut line = Vec::new();
    let read = lines.take(bytes_max).read_until(b'\n', &mut line);
    match read {
        Err(error) => Err(Fault::Lost(format!("the reply broke off: {error}"))),
        Ok(_) if line.last() != Some(&b'\n') && line.len() as u64 == bytes_max => {
            Err(Fault::Lost("a line of the reply has no end".into()))
        }
        Ok(_) if line.last() != Some(&b'\n') => Err(Fault::Lost("the reply broke off".into())),
        Ok(_) => Ok(String::from_utf8_lossy(&line).into_owned()),
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Fault::Refused(text) | Fault::Lost(text)) = self;
        f.write_str(text)
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Error::failed(fault.to_string())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::scripted::{Server, self_signed};

    fn events(text: &str) -> Events {
        Events { lines: Box::new(std::io::Cursor::new(text.to_owned())), count: 0 }
    }

    #[test]
    fn a_server_whose_certificate_a_file_has_is_asked_and_no_other() {
        let (pem, tls) = self_signed(rustls::ALL_VERSIONS);
        let server = Server::start_with(Some(tls), |_, peer| {
            while peer.request()?.is_some() {
                peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n{\"data\":\"x\"}")?;
            }
            Ok(())
        });
        let folder = tempfile::tempdir().unwrap();
        let (named, other) = (folder.path().join("ca.pem"), folder.path().join("other.pem"));
        std::fs::write(&named, pem).unwrap();
        std::fs::write(&other, self_signed(rustls::ALL_VERSIONS).0).unwrap();
        let url = format!("https://{}", server.address);
        let ask = |file: Option<&Path>| Api::new(&url, "k".into(), None, file).unwrap().get("/x");
        assert_eq!(ask(Some(&named)).unwrap(), json!("x"));
        for file in [None, Some(other.as_path())] {
            assert!(matches!(ask(file), Err(Fault::Lost(_))), "{file:?}");
        }
        assert!(Api::new(&url, "k".into(), None, Some(&folder.path().join("none"))).is_err());
    }

    #[test]
    fn chunks_are_read_and_counted_and_comments_are_none() {
        let mut events = events(
            ": stream-open\n\nid: 1\ndata: {\"type\":\"start\"}\n\n: keep-alive\n\ndata: {}\n\ndata: [DONE]\n\n",
        );
        assert_eq!(events.next().unwrap(), Some(json!({ "type": "start" })));
        assert_eq!(events.next().unwrap(), Some(json!({})));
        assert_eq!((events.next().unwrap(), events.count), (None, 2));
    }

    #[test]
    fn a_stream_without_its_end_is_lost() {
        for text in ["", "data: {\"type\":\"start\"}", ": x\n", "data: {\n"] {
            assert!(matches!(events(text).next(), Err(Fault::Lost(_))), "{text}");
        }
    }

    #[test]
    fn a_line_is_read_up_to_its_bound() {
        const { assert!(LINE_BYTES_MAX == ANSWER_BYTES_MAX) };
        for (bytes, fits) in [(7, true), (8, true), (9, false)] {
            let text = "x".repeat(bytes - 1) + "\n";
            assert_eq!(line_of(&mut std::io::Cursor::new(text), 8).is_ok(), fits, "{bytes}");
        }
    }

    #[test]
    fn a_refusal_says_what_the_server_said() {
        for (body, said) in [
            (json!({ "error": { "message": "no" } }), "no"),
            (json!({}), "status 502, and not from an alm server: look at --url"),
        ] {
            assert_eq!(refusal(502, &body).to_string(), said);
        }
        assert_eq!(segment("a/b c"), "a%2Fb%20c");
    }
}
