//! A llama-server without a model, as a program of its own that the real server starts: what it is told, given and asked.
//!
//! The program is `llama_server.py`; `tests/local` holds the real one to the same behaviour. Rule: nothing here sleeps; a
//! child that has to wait waits for [`LlamaServer::open`].

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    contract,
    sample::{Sample, Value as Kept},
    support::harness::until,
};

/// The program, below its first line.
const PROGRAM: &str = include_str!("llama_server.py");
/// What the model is called: it is `local/tiny`.
pub const MODEL: &str = "local/tiny";

/// The program, the file of a model, and what they are told, in a folder of their own.
pub struct LlamaServer {
    folder: TempDir,
}

/// A start of the program.
#[derive(Debug)]
pub struct Start {
    pub pid: String,
    pub arguments: Vec<String>,
    /// The variables that it was given.
    pub environment: Vec<(String, String)>,
}

impl LlamaServer {
    /// One that is ready at once and says a few words.
    pub fn new() -> Self {
        Self::planned(json!({}))
    }

    /// One that lives like this; a list has a plan for each start. `PLAN` of the program is what may be said.
    pub fn planned(plan: Value) -> Self {
        let llama = LlamaServer { folder: tempfile::tempdir().unwrap() };
        let (_, program) = PROGRAM.split_once('\n').unwrap();
        fs::write(llama.program(), format!("#!{} -SE\n{program}", python().display())).unwrap();
        fs::set_permissions(llama.program(), fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(llama.file(), talker().bytes()).unwrap();
        llama.plan(plan);
        llama
    }

    /// From its next start on it lives like that.
    pub fn plan(&self, plan: Value) {
        // A start finds the old plan or this one.
        fs::write(self.path("plan.new"), plan.to_string()).unwrap();
        fs::rename(self.path("plan.new"), self.path("plan.json")).unwrap();
    }

    /// A file of its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The program.
    pub fn program(&self) -> PathBuf {
        self.path("llama-server")
    }

    /// The file of its model.
    pub fn file(&self) -> PathBuf {
        self.path("tiny.gguf")
    }

    /// What tells a server of both.
    pub fn variables(&self) -> [(&'static str, String); 2] {
        let text = |path: PathBuf| path.to_str().unwrap().to_owned();
        [("ALM_GGUF", text(self.file())), ("ALM_LLAMA_SERVER", text(self.program()))]
    }

    /// Opens a gate, for whoever waits there or will.
    pub fn open(&self, gate: &str) {
        fs::write(self.path(&format!("gate.{gate}")), "").unwrap();
    }

    /// Its starts, in order.
    pub fn starts(&self) -> Vec<Start> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let of = |line: Value| Start {
            pid: line["pid"].to_string(),
            arguments: line["args"].as_array().unwrap().iter().map(text).collect(),
            environment: line["env"]
                .as_object()
                .unwrap()
                .iter()
                .map(|(key, value)| (key.clone(), text(value)))
                .collect(),
        };
        self.lines("starts.jsonl").into_iter().map(of).collect()
    }

    /// The process of the last start.
    pub fn pid(&self) -> String {
        until("the program to be started", || self.starts().pop()).pid
    }

    /// What models were asked, in order.
    pub fn asked(&self) -> Vec<Value> {
        self.lines("requests.jsonl")
    }

    /// Processes that it has started besides.
    pub fn forked(&self) -> Vec<String> {
        self.lines("forked.jsonl").iter().map(Value::to_string).collect()
    }

    /// How often something happened in it.
    pub fn count(&self, event: &str) -> usize {
        self.lines("events.jsonl").iter().filter(|line| line["event"] == event).count()
    }

    /// Waits until something has happened so many times.
    #[track_caller]
    pub fn until(&self, event: &str, times: usize) {
        until(event, || (self.count(event) >= times).then_some(()));
    }

    fn lines(&self, name: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.path(name)).unwrap_or_default();
        // The last one may be half written.
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

/// The file of a model that talks, takes tools, and has a window of 8,192 tokens.
pub fn talker() -> Sample {
    let tools = "{% for tool in tools %}{{ tool }}{% endfor %}{{ messages }}";
    Sample::model().with("llama.context_length", Kept::Number(8_192)).with_text("tokenizer.chat_template", tools)
}

/// Sends a process a signal; it may have gone.
pub fn signal(pid: &str, name: &str) {
    drop(Command::new("kill").args(["-s", name, pid]).output());
}

/// The interpreter itself: what is in PATH may be a script that looks for it.
fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let asked = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output().unwrap();
        PathBuf::from(String::from_utf8(asked.stdout).unwrap().trim_end())
    })
}

#[test]
fn it_plays_what_the_real_one_is() {
    let llama = LlamaServer::new();
    let (program, file) = (llama.program(), llama.file());
    contract::version(&program);
    contract::facts(&program, &file);
    contract::streams(&program, &file);
    contract::idle_end(&program, &file);
    contract::busy_end(&program, &file);
}
