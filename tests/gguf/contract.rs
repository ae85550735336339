//! What `alm` relies on of a llama-server that is its child: the same for the real one and for the one that only plays it.
//!
//! `tests/gguf` holds its own program to this, `tests/local` the real one. Rule: it is spoken to as a child is: with the
//! child's arguments, over its socket.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::harness::{until, user};

/// Tokens of its only slot.
const WINDOW: u32 = 512;
/// How long one piece of an answer may take: the machine may be busy.
const PIECE_TIMEOUT: Duration = Duration::from_secs(60);

/// One that runs.
struct Running {
    child: Child,
    folder: TempDir,
}

impl Running {
    /// A ready one.
    fn start(program: &Path, file: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let running = Running { child: spawn(program, file, &folder.path().join("x.sock")), folder };
        until("it to be ready", || match running.get("/health") {
            Some((200, body)) => {
                assert_eq!(body, json!({ "status": "ok" }));
                Some(())
            }
            Some((status, body)) => {
                let error = json!({ "code": 503, "message": "Loading model", "type": "unavailable_error" });
                assert_eq!((status, &body["error"]), (503, &error));
                None
            }
            None => None,
        });
        running
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("x.sock")
    }

    /// What it says, once it listens.
    fn get(&self, path: &str) -> Option<(u16, Value)> {
        let mut stream = UnixStream::connect(self.socket()).ok()?;
        stream.set_read_timeout(Some(PIECE_TIMEOUT)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let said = rest(&mut stream);
        let (head, body) = said.split_once("\r\n\r\n")?;
        let body = body.get(..length(head)?)?;
        Some((head.split(' ').nth(1)?.parse().ok()?, serde_json::from_str(body).unwrap()))
    }

    /// A connection on which an answer to this text is asked for, as a stream.
    fn ask(&self, text: &str, tokens: u32) -> UnixStream {
        let body = json!({
            "messages": [user(text)], "max_tokens": tokens, "stream": true, "stream_options": { "include_usage": true },
            "temperature": 0, "ignore_eos": true,
        });
        let (mut stream, body) = (UnixStream::connect(self.socket()).unwrap(), body.to_string());
        stream.set_read_timeout(Some(PIECE_TIMEOUT)).unwrap();
        let head =
            "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close";
        write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        stream
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    fn end(&mut self) -> Option<i32> {
        until("it to end", || self.child.try_wait().unwrap()).code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may be gone already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The program, with the arguments of a child.
fn spawn(program: &Path, file: &Path, socket: &Path) -> Child {
    let mut command = Command::new(program);
    command.args(["--host".as_ref(), socket.as_os_str(), "-m".as_ref(), file.as_os_str()]);
    command.args(["--alias", "tiny", "--jinja", "--offline", "--no-ui", "--no-slots", "-np", "1"]);
    command.args(["-c", &WINDOW.to_string(), "-t", "1", "-tb", "1", "-b", "256", "-ub", "256", "--cache-reuse", "64"]);
    command.args(["--cache-ram", "512", "--sse-ping-interval", "10", "--reasoning-format", "auto"]);
    command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path))).env("GGML_NO_BACKTRACE", "1");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

fn rest(stream: &mut UnixStream) -> String {
    let mut said = Vec::new();
    // It may end while it speaks.
    drop(stream.read_to_end(&mut said));
    String::from_utf8_lossy(&said).into_owned()
}

/// Reads until these words have come.
fn hear(stream: &mut UnixStream, words: &str) {
    let (mut said, mut piece) = (Vec::new(), [0; 1_024]);
    while !String::from_utf8_lossy(&said).contains(words) {
        let read = stream.read(&mut piece).unwrap();
        assert!(read > 0, "it ended without {words}: {}", String::from_utf8_lossy(&said));
        said.extend(&piece[..read]);
    }
}

fn length(head: &str) -> Option<usize> {
    head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok())
}

/// Its version, on standard error: a build, or 0 where it was built from a source that does not tell.
pub fn version(program: &Path) {
    let output = Command::new(program).arg("--version").env_remove("LLAMA_ARG_MODEL").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && output.stdout.is_empty() && said.starts_with("version: "), "{said}");
    assert!(said.lines().nth(1).is_some_and(|line| line.starts_with("built with ")), "{said}");
}

/// What it tells of itself.
pub fn facts(program: &Path, file: &Path) {
    let running = Running::start(program, file);
    let (_, props) = running.get("/props").unwrap();
    assert_eq!((&props["default_generation_settings"]["n_ctx"], &props["total_slots"]), (&json!(WINDOW), &json!(1)));
    assert!(props["chat_template_caps"]["supports_tools"].is_boolean(), "{props}");
    let (_, models) = running.get("/v1/models").unwrap();
    let model = &models["data"][0];
    assert_eq!((&model["id"], &model["owned_by"]), (&json!("tiny"), &json!("llamacpp")));
    assert!(model["meta"]["n_ctx"] == json!(WINDOW) && model["meta"]["n_ctx_train"].is_u64(), "{model}");
}

/// What a stream is made of, what the cache had, and what too long a prompt is told.
pub fn streams(program: &Path, file: &Path) {
    let running = Running::start(program, file);
    for is_again in [false, true] {
        let said = rest(&mut running.ask("Say a few words.", 4));
        let data: Vec<_> = said.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
        assert_eq!(data.last(), Some(&"[DONE]"), "{said}");
        let chunks: Vec<Value> =
            data[..data.len() - 1].iter().map(|data| serde_json::from_str(data).unwrap()).collect();
        assert_eq!(chunks[0]["choices"][0]["delta"], json!({ "role": "assistant", "content": null }));
        assert!(chunks[1]["choices"][0]["delta"]["content"].is_string(), "{said}");
        let end = chunks.last().unwrap();
        let tokens = end["usage"]["prompt_tokens"].as_u64().unwrap();
        let cached = end["usage"]["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap();
        assert!(cached < tokens && (cached > 0) == is_again, "{end}");
        assert_eq!((&end["timings"]["cache_n"], &end["timings"]["predicted_n"]), (&json!(cached), &json!(4)), "{end}");
        assert!(end["timings"]["prompt_ms"].is_number() && end["timings"]["predicted_ms"].is_number(), "{end}");
    }
    let refused = rest(&mut running.ask(&"words ".repeat(4_000), 4));
    let (head, body) = refused.split_once("\r\n\r\n").unwrap();
    let error: Value = serde_json::from_str::<Value>(&body[..length(head).unwrap()]).unwrap()["error"].take();
    assert!(head.starts_with("HTTP/1.1 400 ") && error["type"] == json!("exceed_context_size_error"), "{refused}");
    assert!(error["n_prompt_tokens"].as_u64() > error["n_ctx"].as_u64() && error["n_ctx"] == json!(WINDOW), "{error}");
}

/// It goes when it is told to, and its socket stays and blocks the next start.
pub fn idle_end(program: &Path, file: &Path) {
    let mut running = Running::start(program, file);
    running.signal("TERM");
    assert_eq!(running.end(), Some(0));
    assert!(running.socket().exists());
    let mut second = spawn(program, file, &running.socket());
    let mut said = String::new();
    second.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(second.wait().unwrap().code(), Some(1), "{said}");
    assert!(said.contains("couldn't bind HTTP server socket"), "{said}");
}

/// Told to go in an answer it waits for its client, and goes with it; told twice it ends at once.
pub fn busy_end(program: &Path, file: &Path) {
    for (is_told_twice, code) in [(false, 0), (true, 1)] {
        let mut running = Running::start(program, file);
        let mut stream = running.ask("Say many words. words=4000", WINDOW);
        hear(&mut stream, "\"content\":");
        running.signal("TERM");
        if is_told_twice {
            // Two at once would be one.
            until("it to end", || {
                running.signal("TERM");
                running.child.try_wait().unwrap()
            });
        } else {
            drop(stream);
        }
        assert_eq!(running.end(), Some(code));
    }
}
