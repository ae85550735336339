//! What `alm` adds to a model in one file: the same llama-server asked through `alm serve --gguf` and over its own socket.
//!
//! `cargo bench --bench gguf` prints medians of one run, in which both ways take turns, so differences count.
//! `cargo bench --bench gguf -- FILE…` prints what each model takes of this machine instead: memory, and tokens a second.
//! Rule: the program is the one that `tests/run local` makes, or the one that LLAMA_SERVER names.

#[allow(dead_code)] // the suite `local` uses the rest
#[path = "../tests/local/events.rs"]
mod events;
#[allow(dead_code)] // the suite `local` uses the rest
#[path = "../tests/local/program.rs"]
mod program;
#[allow(dead_code)] // the suites use the rest
#[path = "../tests/support/mod.rs"]
mod support;

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use program::Model;
use support::{
    client::Client,
    harness::{App, user},
};

/// Questions of each kind that are measured, after some that warm up.
const FIRST_TOKENS: usize = 60;
const ANSWERS: usize = 12;
const WARM_UP: usize = 5;
/// Tokens of an answer whose speed is measured.
const ANSWER_TOKENS: u32 = 128;
/// Tokens of the prompt from which a file's reading speed is taken, about, and of the context that it is measured with.
const PROMPT_WORDS: usize = 700;
const CONTEXT: u32 = 4_096;
/// How long a model may take to load.
const LOAD_PATIENCE: Duration = Duration::from_secs(600);
/// Between two looks at whether it has.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// `alm serve --gguf` with its child.
struct Served {
    app: App,
    owner: Client,
    name: String,
}

/// When the tokens of an answer came, since it was asked for, and what the server says of it.
struct Answer {
    tokens: Vec<Duration>,
    end: Value,
}

impl Served {
    fn start(file: &Path, flags: &[&str]) -> Self {
        let program = env::var_os("LLAMA_SERVER").map_or_else(program::program, PathBuf::from);
        let variables = [("ALM_GGUF", file.to_str().unwrap()), ("ALM_LLAMA_SERVER", program.to_str().unwrap())];
        let app = App::start_with(&[&["--chat-rate", "1000000", "--v1-rate", "1000000"], flags].concat(), &variables);
        let deadline = Instant::now() + LOAD_PATIENCE;
        let name = loop {
            let model = app.anonymous().get("/readyz").ok(200)["localModels"][0].take();
            if model["state"] == "ready" {
                break model["name"].as_str().unwrap().to_owned();
            }
            assert!(model["state"] != "failed" && Instant::now() < deadline, "{model}");
            std::thread::sleep(LOOK_INTERVAL);
        };
        Served { owner: app.org("acme"), app, name }
    }

    /// An agent whose answers have so many tokens.
    fn agent(&self, tokens: u32) -> String {
        let settings = json!({ "temperature": 0, "maxOutputTokens": tokens });
        let model = format!("local/{}", self.name);
        let name = format!("Bea {tokens}");
        let agent = json!({ "name": name, "model": model, "systemPrompt": "Answer.", "allowedTools": [], "settings": settings });
        self.owner.post("/agents", agent).ok(201)["id"].as_str().unwrap().to_owned()
    }

    /// An answer through `alm`, in a session of its own.
    fn through(&self, agent: &str) -> Answer {
        let from = Instant::now();
        let mut heard = self.owner.listen(json!({ "agentId": agent, "messages": [user("Count to a thousand.")] }));
        let mut tokens = Vec::new();
        while let Some(chunk) = heard.next() {
            if chunk["type"] == "text-delta" {
                tokens.push(from.elapsed());
            }
        }
        Answer { tokens, end: Value::Null }
    }

    /// An answer of the same child, over its socket.
    fn directly(&self, text: &str, tokens: u32) -> Answer {
        let body = json!({
            "messages": [{ "role": "system", "content": "Answer." }, user(text)], "max_tokens": tokens, "stream": true,
            "stream_options": { "include_usage": true }, "temperature": 0,
        });
        let (body, from) = (body.to_string(), Instant::now());
        let socket = self.app.folder().join("run").join(&self.name).with_extension("sock");
        let mut stream = UnixStream::connect(socket).unwrap();
        let head =
            "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close";
        write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        let mut answer = Answer { tokens: Vec::new(), end: Value::Null };
        for line in BufReader::new(stream).lines() {
            let line = line.unwrap();
            let Some(data) = line.strip_prefix("data: ").filter(|data| *data != "[DONE]") else { continue };
            let chunk: Value = serde_json::from_str(data).unwrap();
            if chunk["choices"][0]["delta"]["content"].is_string() {
                answer.tokens.push(from.elapsed());
            }
            answer.end = chunk;
        }
        answer
    }

    /// What its child holds in memory, in bytes: all of it, and what no file gives back.
    fn resident_bytes(&self) -> (u64, u64) {
        let pid = fs::read_to_string(self.app.folder().join("run").join(&self.name).with_extension("pid")).unwrap();
        let status = fs::read_to_string(format!("/proc/{}/status", pid.split(' ').next().unwrap())).unwrap();
        let of = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1_024
        };
        (of("VmRSS:"), of("RssAnon:"))
    }
}

impl Answer {
    fn first_ms(&self) -> f64 {
        self.tokens[0].as_secs_f64() * 1_000.0
    }

    fn tokens_a_second(&self) -> f64 {
        let (first, last) = (self.tokens[0], self.tokens[self.tokens.len() - 1]);
        (self.tokens.len() - 1) as f64 / (last - first).as_secs_f64()
    }
}

fn main() {
    let files: Vec<_> = env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    if files.is_empty() { compare() } else { measure(&files) }
}

/// Both ways beside each other.
fn compare() {
    // Each way has a slot of its own, so that neither throws the other's prompt out.
    let served = Served::start(&Model::Smollm2.path(), &["--gguf-slots", "2", "--gguf-args", "--ignore-eos"]);
    let (one, many) = (served.agent(1), served.agent(ANSWER_TOKENS));
    let text = "Count to a thousand.";
    let beside = |count: usize, alm: &dyn Fn() -> f64, directly: &dyn Fn() -> f64| {
        let pairs: Vec<_> = (0..WARM_UP + count).map(|_| (alm(), directly())).skip(WARM_UP).collect();
        let (alm, directly): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        (median(alm), median(directly))
    };
    let first = beside(FIRST_TOKENS, &|| served.through(&one).first_ms(), &|| served.directly(text, 1).first_ms());
    let speed = beside(ANSWERS, &|| served.through(&many).tokens_a_second(), &|| {
        served.directly(text, ANSWER_TOKENS).tokens_a_second()
    });
    println!("medians of {FIRST_TOKENS} and {ANSWERS}, in turn      alm   directly");
    println!("first token of a cached prompt, ms   {:7.1}   {:8.1}   {:+.1} ms", first.0, first.1, first.0 - first.1);
    println!(
        "tokens a second                      {:7.1}   {:8.1}   {:+.1} %",
        speed.0,
        speed.1,
        (speed.0 / speed.1 - 1.0) * 100.0
    );
}

/// What these models take of this machine.
fn measure(files: &[String]) {
    println!("| file | size | memory with {CONTEXT} tokens, loaded | in use | of it not the file's | reads | writes |");
    println!("|---|---|---|---|---|---|---|");
    for file in files {
        let served = Served::start(Path::new(file), &["--gguf-context", &CONTEXT.to_string()]);
        let loaded = served.resident_bytes().0;
        let words: Vec<_> = (0..PROMPT_WORDS).map(|n| ["house", "river", "green", "seven"][n * n / 7 % 4]).collect();
        let answer = served.directly(&words.join(" "), ANSWER_TOKENS);
        let (timings, (used, own)) = (&answer.end["timings"], served.resident_bytes());
        let speed = |count: &str, ms: &str| timings[count].as_f64().unwrap() / timings[ms].as_f64().unwrap() * 1_000.0;
        let mb = |bytes: u64| bytes as f64 / 1e6;
        println!(
            "| {} | {:.0} MB | {:.0} MB | {:.0} MB | {:.0} MB | {:.0} tokens/s | {:.1} tokens/s |",
            Path::new(file).file_name().unwrap().display(),
            mb(fs::metadata(file).unwrap().len()),
            mb(loaded),
            mb(used),
            mb(own),
            speed("prompt_n", "prompt_ms"),
            speed("predicted_n", "predicted_ms"),
        );
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
