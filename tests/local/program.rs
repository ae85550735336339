//! llama.cpp's server as a process on a port of its own.
//!
//! Rule: it ends with the test that started it. Nothing of the environment reaches it that would change its mind.

use std::{
    io::Read,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
    time::Duration,
};

use serde_json::{Value, json};
use ureq::Agent;

use super::{events::Events, support::harness::until};

/// How long one answer of it may take: the machine may be busy with other things.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(300);
/// Cores it uses. On one that other work has too its threads would wait for each other.
const THREADS: &str = "1";

/// A model of the cache.
#[derive(Debug, Clone, Copy)]
pub enum Model {
    /// Talks, in windows of up to 8,192 tokens; its template knows no tools.
    Smollm2,
    /// A base model: it has no template.
    Gemma3,
}

/// A running server.
pub struct Llama {
    child: Child,
    port: u16,
    agent: Agent,
}

impl Model {
    /// Its file.
    pub fn path(self) -> PathBuf {
        cache().join(match self {
            Model::Smollm2 => "smollm2-135m-instruct-q4_1.gguf",
            Model::Gemma3 => "gemma-3-270m-base-q4_k_m.gguf",
        })
    }
}

/// The folder that `tests/local/make` has filled.
pub fn cache() -> &'static Path {
    static CACHE: OnceLock<PathBuf> = OnceLock::new();
    CACHE.get_or_init(|| {
        let make = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/local/make");
        let output = Command::new(make).arg("--path").output().unwrap();
        assert!(output.status.success(), "tests/run local makes what this test needs; it is not there");
        PathBuf::from(String::from_utf8(output.stdout).unwrap().trim_end())
    })
}

/// The program's folder.
fn folder() -> PathBuf {
    let found = cache().read_dir().unwrap().map(|entry| entry.unwrap().path());
    let is_program = |path: &PathBuf| path.join("llama-server").is_file();
    found.into_iter().find(is_program).expect("no llama-server in the cache")
}

/// A chat template of a model that is too big to fetch.
pub fn template(name: &str) -> String {
    let path = folder().join("templates").join(format!("{name}.jinja"));
    assert!(path.is_file(), "this build has no template {name}");
    path.to_str().unwrap().to_owned()
}

/// The program itself.
pub fn program() -> PathBuf {
    folder().join("llama-server")
}

/// The program with these arguments, and nothing of the environment but its path.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.env_clear().args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// A port of loopback that is free now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Llama {
    /// A ready one with one slot, this window and these flags besides.
    pub fn start(model: Model, window: u32, flags: &[&str]) -> Self {
        Self::begin(free_port(), model, window, flags).ready()
    }

    /// The same on that port, which may not be ready yet.
    pub fn begin(port: u16, model: Model, window: u32, flags: &[&str]) -> Self {
        let (path, port_text, window) = (model.path(), port.to_string(), window.to_string());
        let mut arguments =
            vec!["--host", "127.0.0.1", "--port", &port_text, "-m", path.to_str().unwrap(), "-c", &window];
        arguments.extend(["-t", THREADS, "-tb", THREADS, "-b", "256", "-ub", "256", "--jinja", "--offline", "--no-ui"]);
        if !flags.contains(&"-np") {
            arguments.extend(["-np", "1"]);
        }
        arguments.extend(flags);
        Self::of(command(&arguments).spawn().unwrap(), port)
    }

    /// A process that listens on that port, or will.
    pub fn of(child: Child, port: u16) -> Self {
        let config =
            Agent::config_builder().http_status_as_error(false).proxy(None).timeout_global(Some(ANSWER_TIMEOUT));
        Llama { child, port, agent: config.build().new_agent() }
    }

    /// Waits until it has loaded its model.
    pub fn ready(mut self) -> Self {
        until("llama-server to be ready", || {
            assert!(self.child.try_wait().unwrap().is_none(), "llama-server has ended");
            self.listens().then_some(())?;
            (self.get("/health").0 == 200).then_some(())
        });
        self
    }

    /// Whether somebody takes connections there.
    pub fn listens(&self) -> bool {
        TcpStream::connect(("127.0.0.1", self.port)).is_ok()
    }

    /// Whether it reads a prompt or writes an answer.
    pub fn works(&self) -> bool {
        let slots = self.get("/slots").1;
        slots.as_array().unwrap().iter().any(|slot| slot["is_processing"] == json!(true))
    }

    /// The base URL of its API.
    pub fn base_url(&self) -> String {
        format!("http://127.0.0.1:{}/v1", self.port)
    }

    /// How many tokens of prompts it has read since its start; what its cache had does not count. Needs `--metrics`.
    pub fn tokens_read(&self) -> u64 {
        self.counted("prompt_tokens_total")
    }

    /// How many requests wait for a slot. Needs `--metrics`.
    pub fn waiting(&self) -> u64 {
        self.counted("requests_deferred")
    }

    fn counted(&self, name: &str) -> u64 {
        let metrics = self.get("/metrics").1.as_str().unwrap().to_owned();
        let total = metrics.lines().find_map(|line| line.strip_prefix(&format!("llamacpp:{name} ")));
        total.unwrap_or_else(|| panic!("no {name} in {metrics}")).parse().unwrap()
    }

    /// What it says to a GET.
    pub fn get(&self, path: &str) -> (u16, Value) {
        let response = self.agent.get(format!("http://127.0.0.1:{}{path}", self.port)).call();
        read(response.unwrap_or_else(|error| panic!("GET {path}: {error}")))
    }

    /// What it says to a POST.
    pub fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let response = self.agent.post(format!("http://127.0.0.1:{}{path}", self.port)).send(body.to_string());
        read(response.unwrap_or_else(|error| panic!("POST {path}: {error}")))
    }

    /// A whole answer, at temperature 0: its status and its body.
    pub fn chat(&self, mut body: Value) -> (u16, Value) {
        body["temperature"] = json!(0);
        self.post("/v1/chat/completions", &body)
    }

    /// The same as a stream, to be heard bit by bit.
    pub fn stream(&self, mut body: Value) -> Events {
        body["temperature"] = json!(0);
        body["stream"] = json!(true);
        body["stream_options"] = json!({ "include_usage": true });
        let url = format!("http://127.0.0.1:{}/v1/chat/completions", self.port);
        Events::of(self.agent.post(url).send(body.to_string()).unwrap())
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) {
        assert!(Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap().success());
    }

    /// Whether it has ended, and how: its exit code, or none if a signal ended it.
    pub fn ended(&mut self) -> Option<Option<i32>> {
        self.child.try_wait().unwrap().map(|status| status.code())
    }

    /// Waits for its end.
    pub fn end(&mut self) -> Option<i32> {
        until("llama-server to end", || self.ended())
    }

    /// Kills it; its port is free afterwards.
    pub fn kill(mut self) -> u16 {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.port
    }
}

impl Drop for Llama {
    fn drop(&mut self) {
        // It may be gone already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn read(mut response: ureq::http::Response<ureq::Body>) -> (u16, Value) {
    let mut text = String::new();
    response.body_mut().as_reader().read_to_string(&mut text).unwrap();
    (response.status().as_u16(), serde_json::from_str(&text).unwrap_or(json!(text)))
}
