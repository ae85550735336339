//! Someone who talks to the server, and what they hear: replies in their envelope, and streams.

use std::io::{BufRead, BufReader};

use serde_json::{Value, json};
use ureq::{
    Agent, Body, BodyReader,
    http::{HeaderMap, HeaderValue, Request, Response},
};

use super::harness::{PATIENCE, user};

/// The longest reply that a test asks for.
const REPLY_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Someone who talks to the server.
#[derive(Clone)]
pub struct Client {
    agent: Agent,
    /// Where the server is.
    pub url: String,
    /// The key, if there is one.
    pub key: Option<String>,
    headers: Vec<(String, String)>,
    /// Whether paths are asked for as they are written.
    bare: bool,
}

/// What they heard.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Client {
    pub fn new(url: &str, key: Option<String>) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .max_redirects(0)
            .proxy(None)
            .timeout_global(Some(PATIENCE));
        Client { agent: config.build().new_agent(), url: url.to_owned(), key, headers: Vec::new(), bare: false }
    }

    /// The same person at another server.
    pub fn at(&self, url: &str) -> Self {
        Client { url: url.to_owned(), ..self.clone() }
    }

    /// The key itself.
    pub fn key(&self) -> &str {
        self.key.as_deref().unwrap()
    }

    /// Asks before it sends a body: one that is refused by its length alone is never sent.
    pub fn asking_first(&self) -> Self {
        self.header("expect", "100-continue")
    }

    /// Asks for paths as they are written, and not below `/api/v1`.
    pub fn bare(&self) -> Self {
        Client { bare: true, ..self.clone() }
    }

    /// With one more header.
    pub fn header(&self, name: &str, value: &str) -> Self {
        let mut client = self.clone();
        client.headers.push((name.into(), value.into()));
        client
    }

    pub fn get(&self, path: &str) -> Reply {
        self.send("GET", path, None)
    }

    pub fn post(&self, path: &str, body: Value) -> Reply {
        self.send("POST", path, Some(&body.to_string()))
    }

    pub fn patch(&self, path: &str, body: Value) -> Reply {
        self.send("PATCH", path, Some(&body.to_string()))
    }

    pub fn delete(&self, path: &str) -> Reply {
        self.send("DELETE", path, None)
    }

    /// Any request; a body is sent as JSON.
    pub fn send(&self, method: &str, path: &str, body: Option<&str>) -> Reply {
        let response = self.request(method, path, body);
        let (head, mut body) = response.into_parts();
        let text = body.with_config().limit(REPLY_BYTES_MAX).read_to_string().unwrap();
        Reply { status: head.status.as_u16(), headers: head.headers, text }
    }

    /// An answer, heard to its end.
    #[track_caller]
    pub fn chat(&self, body: Value) -> Stream {
        self.listen(body).rest()
    }

    /// An answer to a few words in a session of their own.
    #[track_caller]
    pub fn ask(&self, model: &str, text: &str) -> Stream {
        self.chat(json!({ "model": model, "messages": [user(text)] }))
    }

    /// An answer, to be heard bit by bit. Dropping it hangs up.
    #[track_caller]
    pub fn listen(&self, body: Value) -> Listening {
        Listening::new(self.request("POST", "/chat", Some(&body.to_string())))
    }

    /// The running answer of a session, from its start or from where another reader was.
    #[track_caller]
    pub fn listen_in(&self, session: &str) -> Listening {
        Listening::new(self.request("GET", &format!("/chat/{session}/stream"), None))
    }

    /// An interrupted answer that goes on, heard to its end.
    #[track_caller]
    pub fn resume(&self, session: &str) -> Stream {
        self.listen_to_resumed(session).rest()
    }

    /// The same, to be heard bit by bit.
    #[track_caller]
    pub fn listen_to_resumed(&self, session: &str) -> Listening {
        Listening::new(self.request("POST", &format!("/chat/{session}/resume"), Some("{}")))
    }

    /// The history of a session: what everyone said.
    #[track_caller]
    pub fn history(&self, session: &str) -> Vec<(String, String)> {
        let page = self.get(&format!("/sessions/{session}/messages")).ok(200);
        let text = |message: &Value, key: &str| message[key].as_str().unwrap().to_owned();
        page["items"].as_array().unwrap().iter().map(|m| (text(m, "role"), text(m, "content"))).collect()
    }

    /// The messages of a session, whole.
    #[track_caller]
    pub fn messages(&self, session: &str) -> Vec<Value> {
        self.get(&format!("/sessions/{session}/messages")).ok(200)["items"].as_array().unwrap().clone()
    }

    fn request(&self, method: &str, path: &str, body: Option<&str>) -> Response<Body> {
        self.attempt(method, path, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// Any request to a server that may go away meanwhile.
    pub fn attempt(&self, method: &str, path: &str, body: Option<&str>) -> Result<Response<Body>, ureq::Error> {
        let around =
            ["/api/", "/health", "/readyz", "/openapi.json", "/docs", "/metrics", "/mcp", "/.well-known/", "/v1/"]
                .iter()
                .any(|own| path.starts_with(own) && !path.starts_with("/mcp/servers"));
        let prefix = if around || self.bare { "" } else { "/api/v1" };
        let mut request = Request::builder().method(method).uri(format!("{}{prefix}{path}", self.url));
        let headers = request.headers_mut().unwrap();
        let mut set = |name: &str, value: &str| {
            let name: ureq::http::HeaderName = name.parse().unwrap();
            headers.insert(name, HeaderValue::from_str(value).unwrap());
        };
        self.key.iter().for_each(|key| set("authorization", &format!("Bearer {key}")));
        body.iter().for_each(|_| set("content-type", "application/json"));
        self.headers.iter().for_each(|(name, value)| set(name, value));
        match body {
            Some(body) => self.agent.run(request.body(body).unwrap()),
            None => self.agent.run(request.body(()).unwrap()),
        }
    }
}

impl Reply {
    /// The JSON of the body.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// A header's text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The data of a success of that status; checks the whole envelope.
    #[track_caller]
    pub fn ok(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        assert!(self.text.starts_with(r#"{"success":true,"data":"#), "{}", self.text);
        assert_eq!(self.header("content-type"), Some("application/json"));
        assert!(self.header("x-request-id").is_some_and(|id| !id.is_empty()));
        let json = self.json();
        assert_eq!(json.as_object().unwrap().len(), 2, "{}", self.text);
        json["data"].clone()
    }

    /// The error of a failure; checks the whole envelope, and what the contract adds to this code.
    #[track_caller]
    pub fn fails(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        assert!(self.text.starts_with(r#"{"success":false,"error":{"code":"#), "{}", self.text);
        assert_eq!(self.header("content-type"), Some("application/json"));
        let mut json = self.json();
        assert_eq!(json.as_object().unwrap().len(), 2, "{}", self.text);
        let error = json["error"].take();
        assert_eq!(error["code"], code, "{}", self.text);
        assert!(!error["message"].as_str().unwrap().is_empty());
        assert_eq!(error["requestId"].as_str(), self.header("x-request-id"));
        let known = ["code", "message", "requestId", "details"];
        assert!(error.as_object().unwrap().keys().all(|key| known.contains(&key.as_str())), "{error}");
        self.check_details(code, &error["details"]);
        error
    }

    #[track_caller]
    fn check_details(&self, code: &str, details: &Value) {
        let retry_after = self.header("retry-after").map(|seconds| seconds.parse::<u64>().unwrap());
        match code {
            "UNAUTHORIZED" => assert_eq!(self.header("www-authenticate"), Some("Bearer")),
            "METHOD_NOT_ALLOWED" => assert!(!self.header("allow").unwrap().is_empty()),
            "PAYMENT_REQUIRED" if details["keyLimitMicrocents"].is_i64() => assert!(details["resetsAt"].is_string()),
            "PAYMENT_REQUIRED" => assert!(details["balanceMicrocents"].is_i64() && details["model"].is_string()),
            "SERVICE_UNAVAILABLE" => assert!(retry_after.unwrap() >= 1),
            "TOO_MANY_REQUESTS" => {
                let wait_ms = details["retryAfterMs"].as_u64().unwrap();
                assert_eq!(retry_after, Some(wait_ms.div_ceil(1000).max(1)), "whoever waits that long is not early");
            }
            "VALIDATION_ERROR" => {
                let fields = details["fields"].as_array().unwrap();
                assert!(!fields.is_empty());
                assert!(fields.iter().all(|field| field["field"].is_string() && field["message"].is_string()));
            }
            _ => assert!(details.is_null() || details.is_object()),
        }
    }

    /// The fields that a 422 names.
    #[track_caller]
    pub fn invalid(&self) -> Vec<String> {
        let error = self.fails(422, "VALIDATION_ERROR");
        let fields = error["details"]["fields"].as_array().unwrap();
        fields.iter().map(|field| field["field"].as_str().unwrap().to_owned()).collect()
    }
}

/// A whole stream.
#[derive(Debug)]
pub struct Stream {
    pub headers: HeaderMap,
    pub raw: String,
    pub chunks: Vec<Value>,
    /// The `id:` of each event that has one.
    pub ids: Vec<String>,
}

/// A stream that may go on.
pub struct Listening {
    body: BufReader<BodyReader<'static>>,
    stream: Stream,
    done: bool,
}

impl Listening {
    #[track_caller]
    fn new(response: Response<Body>) -> Self {
        let (head, mut body) = response.into_parts();
        if head.status != 200 {
            panic!("{}: {}", head.status, body.read_to_string().unwrap());
        }
        Listening {
            body: BufReader::new(body.into_reader()),
            stream: Stream { headers: head.headers, raw: String::new(), chunks: Vec::new(), ids: Vec::new() },
            done: false,
        }
    }

    /// The next chunk; `None` after `[DONE]`. Checks that every event is one line of JSON and a blank line.
    pub fn next(&mut self) -> Option<Value> {
        while !self.done {
            let event = self.event();
            if event.starts_with(':') {
                continue;
            }
            let (id, data) = match event.strip_prefix("id: ").and_then(|rest| rest.split_once('\n')) {
                Some((id, data)) => (Some(id.to_owned()), data),
                None => (None, &*event),
            };
            self.stream.ids.extend(id);
            let data = data.strip_prefix("data: ").unwrap_or_else(|| panic!("no event: {data:?}"));
            if data == "[DONE]" {
                self.done = true;
                break;
            }
            let chunk: Value = serde_json::from_str(data).unwrap_or_else(|error| panic!("{error}: {data}"));
            assert!(chunk.as_object().unwrap().values().all(|value| !value.is_null()), "null in {chunk}");
            self.stream.chunks.push(chunk.clone());
            return Some(chunk);
        }
        None
    }

    /// What was heard so far.
    pub fn chunks(&self) -> &[Value] {
        &self.stream.chunks
    }

    /// The numbers of the events so far.
    pub fn ids(&self) -> &[String] {
        &self.stream.ids
    }

    /// Hangs up; what was heard so far.
    pub fn heard(self) -> Stream {
        self.stream
    }

    /// Listens until a chunk of that type has come.
    pub fn until(&mut self, kind: &str) -> Value {
        while let Some(chunk) = self.next() {
            if chunk["type"] == kind {
                return chunk;
            }
        }
        panic!("no {kind} in {}", self.stream.raw);
    }

    /// Listens to the end: nothing follows `[DONE]`.
    pub fn rest(mut self) -> Stream {
        while self.next().is_some() {}
        let mut rest = String::new();
        self.body.read_line(&mut rest).unwrap();
        assert_eq!(rest, "", "something follows [DONE]");
        self.stream
    }

    fn event(&mut self) -> String {
        let from = self.stream.raw.len();
        while !self.stream.raw[from..].ends_with("\n\n") {
            let read = self.body.read_line(&mut self.stream.raw).unwrap();
            assert!(read > 0, "the stream ended without [DONE]: {}", self.stream.raw);
        }
        let event = &self.stream.raw[from..];
        event.trim_end_matches('\n').to_owned()
    }
}

impl Stream {
    /// The types of the chunks, in order.
    pub fn types(&self) -> Vec<&str> {
        self.chunks.iter().map(|chunk| chunk["type"].as_str().unwrap()).collect()
    }

    /// The chunks of one type.
    pub fn all(&self, kind: &str) -> Vec<&Value> {
        self.chunks.iter().filter(|chunk| chunk["type"] == kind).collect()
    }

    /// The only chunk of one type.
    #[track_caller]
    pub fn one(&self, kind: &str) -> &Value {
        let all = self.all(kind);
        assert_eq!(all.len(), 1, "{kind} in {}", self.raw);
        all[0]
    }

    /// What was said, joined.
    pub fn text(&self) -> String {
        self.all("text-delta").iter().map(|chunk| chunk["delta"].as_str().unwrap()).collect()
    }

    /// The session that the answer is in.
    #[track_caller]
    pub fn session(&self) -> String {
        self.one("start")["messageMetadata"]["sessionId"].as_str().unwrap().to_owned()
    }

    /// The id of the answer.
    #[track_caller]
    pub fn message_id(&self) -> String {
        self.one("start")["messageId"].as_str().unwrap().to_owned()
    }

    /// What is told at the end of a whole answer.
    #[track_caller]
    pub fn facts(&self) -> &Value {
        &self.one("finish")["messageMetadata"]
    }

    /// The reason of a whole answer's end.
    #[track_caller]
    pub fn finish_reason(&self) -> &str {
        self.one("finish")["finishReason"].as_str().unwrap()
    }
}
