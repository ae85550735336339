//! An MCP server of either era and over either transport, which also misbehaves on request.
//!
//! What it is asked is kept, and how often each tool was really called. Rule: nothing here knows the rest of the program, so the
//! suites use it as well. A tool that takes its time waits until it is let on.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader, Read, Write},
    net::SocketAddr,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::{Value, json};

mod over_http; // over HTTP

/// How long anything waits before it gives up.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two notices of progress.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(20);

/// Which generation of the protocol it speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Era {
    Legacy,
    Modern,
}

/// A listening server. What waits ends when it is dropped.
pub struct FakeMcp {
    address: SocketAddr,
    pub server: Arc<Fake>,
}

/// What it knows, for both transports.
pub struct Fake {
    era: Era,
    told: Mutex<Told>,
    changed: Condvar,
}

/// What it was asked, and how it behaves.
#[derive(Default)]
pub struct Told {
    pub requests: Vec<Request>,
    /// How often each tool was called.
    pub calls: BTreeMap<String, usize>,
    /// Calls that nobody waits for any more.
    pub cancelled: usize,
    pub tools: Vec<Value>,
    pub mood: Mood,
    sessions: usize,
    passes: usize,
    over: bool,
    notices: usize,
}

/// How it behaves.
#[derive(Debug, Clone, Default)]
pub struct Mood {
    /// The next request with a session gets this status: the session is lost.
    pub loses: Option<u16>,
    /// Every request gets this status.
    pub refuses: Option<u16>,
    /// The stream of notices gets this status.
    pub notices: Option<u16>,
    /// It answers nothing at all.
    pub is_silent: bool,
    /// Its answers are JSON and no events.
    pub as_json: bool,
    /// What its list says besides the tools.
    pub of_list: Value,
}

/// A request as it came over HTTP.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    pub message: Value,
}

/// A piece of what it says to one request.
enum Say {
    Message(Value),
    Raw(String),
    Progress,
    /// Waits to be let on.
    Wait,
    /// Says nothing more and keeps the connection.
    Silence,
    /// Says when its list changes, to this subscription; over HTTP alone.
    Notices(Value),
    /// Ends the connection, or the process.
    Cut,
}

/// A tool of that name that takes anything.
pub fn tool(name: &str) -> Value {
    json!({"name": name, "description": format!("Does {name}."), "inputSchema": {"type": "object"}})
}

impl Fake {
    pub fn new(era: Era) -> Arc<Self> {
        let names = [
            "echo", "image", "fails", "error", "slow", "silent", "progress", "dies", "half", "large", "twice",
            "wrong_id", "asks", "region",
        ];
        let mut tools: Vec<_> = names.map(tool).into();
        tools[0]["annotations"] = json!({"readOnlyHint": true});
        tools[13]["inputSchema"]["properties"] = json!({"region": {"type": "string", "x-mcp-header": "Region"}});
        let told = Told { tools, ..Told::default() };
        Arc::new(Fake { era, told: Mutex::new(told), changed: Condvar::new() })
    }

    pub fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often a tool was called.
    pub fn calls(&self, tool: &str) -> usize {
        self.told().calls.get(tool).copied().unwrap_or_default()
    }

    /// Lets one waiting answer on.
    pub fn go(&self) {
        self.told().passes += 1;
        self.changed.notify_all();
    }

    /// Changes the list and says so.
    pub fn relist(&self, tools: Vec<Value>) {
        let mut told = self.told();
        (told.tools, told.notices) = (tools, told.notices + 1);
        self.changed.notify_all();
    }

    /// Waits until that is so; whether it was in time.
    pub fn wait(&self, is_so: impl Fn(&Told) -> bool) -> bool {
        let (told, _) =
            self.changed.wait_timeout_while(self.told(), PATIENCE, |told| !told.over && !is_so(told)).unwrap();
        is_so(&told)
    }

    fn result(message: &Value, result: Value) -> Say {
        Say::Message(json!({"jsonrpc": "2.0", "id": message["id"], "result": result}))
    }

    fn refusal(message: &Value, code: i64, text: &str) -> Say {
        Say::Message(json!({"jsonrpc": "2.0", "id": message["id"], "error": {"code": code, "message": text}}))
    }

    /// What it says to a message.
    fn answer(&self, message: &Value) -> Vec<Say> {
        if self.told().mood.is_silent {
            return vec![Say::Silence];
        }
        let version = message.pointer("/params/_meta/io.modelcontextprotocol~1protocolVersion");
        match (message["method"].as_str().unwrap_or_default(), self.era) {
            ("server/discover", Era::Modern) => vec![Self::result(
                message,
                json!({
                    "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {"listChanged": true}}, "resultType": "complete",
                    "ttlMs": 0, "cacheScope": "private", "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "fake", "version": "2"}},
                }),
            )],
            ("initialize", Era::Legacy) => vec![Self::result(
                message,
                json!({
                    "protocolVersion": message["params"]["protocolVersion"], "capabilities": {"tools": {"listChanged": true}},
                    "serverInfo": {"name": "fake", "version": "1"}, "instructions": "Be kind.",
                }),
            )],
            ("initialize", Era::Modern) => vec![Self::refusal(message, -32_022, "Unsupported protocol version")],
            ("tools/list" | "tools/call", Era::Modern) if version.is_none() => {
                vec![Self::refusal(message, -32_602, "_meta is missing")]
            }
            ("tools/list", _) => vec![Self::result(message, self.list(message))],
            ("tools/call", _) => self.call(message),
            ("subscriptions/listen", Era::Modern) => {
                let of = json!({"io.modelcontextprotocol/subscriptionId": message["id"]});
                let params = json!({"_meta": of, "notifications": message["params"]["notifications"]});
                let method = "notifications/subscriptions/acknowledged";
                let acknowledged = json!({"jsonrpc": "2.0", "method": method, "params": params});
                vec![Say::Message(acknowledged), Say::Notices(of)]
            }
            ("notifications/cancelled", _) => {
                self.cancel();
                Vec::new()
            }
            (method, _) if method.starts_with("notifications/") => Vec::new(),
            _ => vec![Self::refusal(message, -32_601, "Method not found")],
        }
    }

    fn cancel(&self) {
        self.told().cancelled += 1;
        self.changed.notify_all();
    }

    /// A hundred tools a page.
    fn list(&self, message: &Value) -> Value {
        let told = self.told();
        let from = message["params"]["cursor"].as_str().map_or(0, |cursor| cursor.parse().unwrap());
        let mut result = json!({"tools": told.tools.iter().skip(from).take(100).collect::<Vec<_>>()});
        if told.tools.len() > from + 100 {
            result["nextCursor"] = (from + 100).to_string().into();
        }
        for (key, value) in told.mood.of_list.as_object().into_iter().flatten() {
            result[key] = value.clone();
        }
        result
    }

    fn call(&self, message: &Value) -> Vec<Say> {
        let name = message["params"]["name"].as_str().unwrap_or_default();
        *self.told().calls.entry(name.to_owned()).or_default() += 1;
        self.changed.notify_all();
        let arguments = &message["params"]["arguments"];
        let text = |text: &str| json!({"content": [{"type": "text", "text": text}]});
        let done = || Self::result(message, text("done"));
        match name {
            "image" => vec![Self::result(
                message,
                json!({"content": [
                {"type": "text", "text": "a dot"}, {"type": "image", "mimeType": "image/png", "data": "iVBORw0KGgo="}]}),
            )],
            "fails" => {
                let mut failed = text("no such file");
                failed["isError"] = true.into();
                vec![Self::result(message, failed)]
            }
            "error" => vec![Self::refusal(message, -32_603, "it broke inside")],
            "slow" => vec![Say::Wait, done()],
            "silent" => vec![Say::Silence],
            "progress" => {
                let notice = json!({"jsonrpc": "2.0", "method": "notifications/progress",
                    "params": {"progressToken": message["params"]["_meta"]["progressToken"], "progress": 1}});
                let count = arguments["times"].as_u64().unwrap_or(3) as usize;
                let mut said: Vec<_> = (0..count).flat_map(|_| [Say::Message(notice.clone()), Say::Progress]).collect();
                said.push(done());
                said
            }
            "dies" => vec![Say::Cut],
            "half" => vec![Say::Raw("{\"jsonrpc\":\"2.0\",\"id\":".into()), Say::Cut],
            "large" => vec![Self::result(message, text(&"x".repeat(arguments["bytes"].as_u64().unwrap() as usize)))],
            "twice" => vec![done(), Self::result(message, text("again"))],
            "wrong_id" => {
                let wrong = json!({"jsonrpc": "2.0", "id": 9_999, "result": text("not yours")});
                vec![Say::Message(wrong), done()]
            }
            "asks" => vec![Self::result(message, json!({"resultType": "input_required", "inputRequests": {}}))],
            _ => vec![Self::result(message, text(&arguments.to_string()))],
        }
    }

    /// Speaks over pipes until they end. Lines that are no messages come in between.
    pub fn speak(&self, input: impl Read, mut output: impl Write) -> io::Result<()> {
        writeln!(output, "starting up: this line is no message")?;
        for line in BufReader::new(input).lines() {
            let Ok(message) = serde_json::from_str(&line?) else { continue };
            for say in self.answer(&message) {
                match say {
                    Say::Message(message) => writeln!(output, "DEBUG handled a request\n{message}")?,
                    Say::Raw(text) => write!(output, "{text}")?,
                    Say::Progress => self.breathe(),
                    Say::Wait => _ = self.pass(),
                    Say::Silence | Say::Notices(_) => {}
                    Say::Cut => return output.flush(),
                }
                output.flush()?;
            }
        }
        Ok(())
    }

    /// Lets a moment pass.
    fn breathe(&self) {
        let _ = self.changed.wait_timeout(self.told(), PROGRESS_INTERVAL);
    }

    /// Waits to be let on; false if it never was.
    fn pass(&self) -> bool {
        let passed = self.wait(|told| told.passes > 0);
        let mut told = self.told();
        told.passes = told.passes.saturating_sub(1);
        passed && !told.over
    }
}
