//! `alm serve --gguf`: the real program as a child of the server, and a real model in it.

use std::{
    fs,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    people::{FEW_TOKENS, question, words},
    program::{Model, program, template},
    proof,
    support::{
        client::{Client, Stream},
        harness::{App, Ran, alm, until, user},
    },
    talk::whole,
    tools::{banned, calls},
};

/// Tokens of an answer that is cut long before its end.
const MANY_TOKENS: u32 = 2_000;
/// Words of a prompt that takes a while to be read: four batches at least.
const LONG_PROMPT_WORDS: usize = 800;
/// When whoever waits hears a word, once a prompt that was being read in its place is stopped.
const FREE_WITHIN: Duration = Duration::from_secs(3);
/// How long a child may outlive its server.
const GONE_WITHIN: Duration = Duration::from_secs(1);
/// What a server may take to go in an answer, after its drain.
const GOING_WITHIN: Duration = Duration::from_secs(6);
/// Turns of a conversation that outgrows its window.
const TURNS: usize = 10;

/// A server with the real program as its child, and the owner of an organization there.
struct Served {
    app: App,
    owner: Client,
    /// Of the model, in the server's words.
    model: String,
}

fn variables() -> [(&'static str, String); 2] {
    let text = |path: PathBuf| path.to_str().unwrap().to_owned();
    [("ALM_GGUF", text(Model::Smollm2.path())), ("ALM_LLAMA_SERVER", text(program()))]
}

impl Served {
    /// One that has just been started on an empty folder: its model may not be ready.
    fn start(flags: &[&str]) -> Self {
        let variables = variables();
        let variables = variables.each_ref().map(|(name, value)| (*name, &**value));
        Self::of(App::start_with(flags, &variables))
    }

    fn of(app: App) -> Self {
        let models = app.anonymous().get("/readyz").ok(200)["localModels"].clone();
        let model = format!("local/{}", models[0]["name"].as_str().unwrap());
        Served { owner: app.org("acme"), app, model }
    }

    /// What comes after `kill -9`: another on the same folder.
    fn crash(&self) -> Self {
        let variables = variables();
        Self::of(self.app.crash_into(&variables.each_ref().map(|(name, value)| (*name, &**value))))
    }

    /// An agent with these tools whose answers have at most so many tokens; its id.
    fn agent(&self, output_tokens: u32, tools: Value) -> String {
        let body = json!({
            "name": format!("Bea {output_tokens}"), "model": self.model, "systemPrompt": "Answer shortly.", "allowedTools": tools,
            "settings": { "temperature": 0, "maxOutputTokens": output_tokens },
        });
        self.owner.post("/agents", body).ok(201)["id"].as_str().unwrap().to_owned()
    }

    /// The process of its child, once it has one; who else is a child of the server does not run that program.
    fn child(&self) -> String {
        let server = self.app.process().to_string();
        until("the child to run", || {
            let children = fs::read_to_string(format!("/proc/{server}/task/{server}/children")).ok();
            let all: Vec<_> = fs::read_dir(format!("/proc/{server}/task"))
                .unwrap()
                .flatten()
                .filter_map(|task| fs::read_to_string(task.path().join("children")).ok())
                .chain(children)
                .flat_map(|pids| pids.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
                .collect();
            all.into_iter().find(|pid| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == program()))
        })
    }

    fn is_ready(&self) {
        let state = || self.app.anonymous().get("/readyz").ok(200)["localModels"][0]["state"].clone();
        until("the model to be ready", || (state() == json!("ready")).then_some(()));
    }
}

fn runs(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

fn kill(pid: &str) {
    assert!(std::process::Command::new("kill").args(["-s", "KILL", pid]).status().unwrap().success());
}

/// What of a reply's prompt was there already.
fn cached(stream: &Stream) -> f64 {
    let usage = &whole(stream)["usage"];
    let tokens = |value: &Value| value.as_f64().unwrap();
    tokens(&usage["inputTokenDetails"]["cacheReadTokens"]) / tokens(&usage["inputTokens"])
}

#[test]
fn from_the_first_start_on_an_empty_folder_to_the_first_word_is_one_command() {
    let from = Instant::now();
    let served = Served::start(&[]);
    let mut heard = served.owner.listen(json!({ "messages": [user("Say a few words.")] }));
    heard.until("text-delta");
    proof("first_start_to_first_word_ms", from.elapsed().as_millis());
    drop(heard);
    served.is_ready();
    let agent = served.agent(FEW_TOKENS, json!([]));
    whole(&served.owner.chat(question("c", &agent, "Say a few words.")));
    let models = served.owner.get("/models").ok(200);
    let model = models["items"].as_array().unwrap().iter().find(|model| model["id"] == json!(served.model)).unwrap();
    assert_eq!(model["contextWindow"], json!(8_192), "{model}");
}

#[test]
fn a_tool_that_the_model_calls_is_run() {
    let banned = banned();
    let (qwen, arguments) = (template("Qwen-Qwen2.5-7B-Instruct"), format!("--temp 0 {}", banned.join(" ")));
    let served = Served::start(&["--gguf-template", &qwen, "--gguf-args", &arguments]);
    served.is_ready();
    calls(&served.app, &served.owner, |tokens| served.agent(tokens, json!(["current_time"])));
}

#[test]
fn a_full_window_ends_no_conversation() {
    let served = Served::start(&["--gguf-context", "768", "--gguf-args", "--ignore-eos"]);
    let agent = served.agent(32, json!([]));
    for n in 0..TURNS {
        whole(&served.owner.chat(question("c", &agent, &format!("{n}: {}", words(80)))));
    }
    let messages = served.owner.messages("c");
    assert_eq!(messages.len(), 2 * TURNS);
    assert!(messages.last().unwrap()["metadata"]["droppedMessages"].as_u64() > Some(0), "{messages:?}");
}

#[test]
fn three_sessions_on_one_slot_find_their_caches_again() {
    let served = Served::start(&[]);
    let agent = served.agent(FEW_TOKENS, json!([]));
    for session in ["a", "b", "c"] {
        whole(&served.owner.chat(question(session, &agent, &format!("{session} {}", words(120)))));
    }
    let shares = ["a", "b", "c"].map(|session| cached(&served.owner.chat(question(session, &agent, "And?"))));
    assert!(shares.iter().all(|share| *share > 0.5), "{shares:?}");
    proof("prompt_found_again_percent", (shares.iter().copied().fold(1.0, f64::min) * 100.0).round());
}

#[test]
fn who_waits_for_the_slot_is_told_its_position_and_is_answered() {
    let served = Served::start(&["--gguf-args", "--ignore-eos"]);
    served.is_ready();
    let (long, short) = (served.agent(MANY_TOKENS, json!([])), served.agent(FEW_TOKENS, json!([])));
    let mut first = served.owner.listen(question("first", &long, "Count."));
    first.until("text-delta");
    let mut others = ["one", "two"].map(|session| {
        let mut heard = served.owner.listen(question(session, &short, "Say a few words."));
        let position = heard.until("data-model")["data"]["position"].as_u64().unwrap();
        (heard, position)
    });
    assert_eq!([others[0].1, others[1].1], [1, 2]);
    served.owner.post("/chat/first/stop", json!({})).ok(200);
    assert_eq!(others[1].0.until("data-model")["data"]["position"], json!(1));
    others.into_iter().for_each(|(heard, _)| drop(whole(&heard.rest()).clone()));
}

#[test]
fn a_stop_while_a_prompt_is_read_frees_the_slot_beside_a_running_answer() {
    let served = Served::start(&["--gguf-slots", "2", "--gguf-context", "4096", "--gguf-args", "--ignore-eos"]);
    served.is_ready();
    let (long, short) = (served.agent(MANY_TOKENS, json!([])), served.agent(FEW_TOKENS, json!([])));
    let mut running = served.owner.listen(question("running", &long, "Count."));
    running.until("text-delta");
    let asked = Instant::now();
    served.owner.listen(question("read", &short, &format!("1 {}", words(LONG_PROMPT_WORDS)))).until("text-delta");
    let reads = asked.elapsed();
    served.owner.post("/chat/read/stop", json!({})).ok(200);
    served.owner.listen(question("c", &short, &format!("2 {}", words(LONG_PROMPT_WORDS)))).until("start");
    let next = thread::scope(|scope| {
        let next = scope.spawn(|| {
            served.owner.listen(question("next", &short, "Say a few words.")).until("text-delta");
            Instant::now()
        });
        until("the next to wait", || (served.owner.get("/sessions/next").status == 200).then_some(()));
        let stopped = Instant::now();
        served.owner.post("/chat/c/stop", json!({})).ok(200);
        next.join().unwrap() - stopped
    });
    proof("stop_in_a_prompt_to_next_word_ms", next.as_millis());
    assert!(next < FREE_WITHIN, "the next word came after {next:?}");
    assert!(next < reads * 3 / 4, "the next word came after {next:?}, and a prompt takes {reads:?}");
    served.owner.post("/chat/running/stop", json!({})).ok(200);
    let stream = running.rest();
    assert!(stream.all("text-delta").len() > 1, "{}", stream.raw);
}

#[test]
fn a_prompt_that_is_read_lets_another_answer_go_on_between_its_batches() {
    let served = Served::start(&["--gguf-slots", "2", "--gguf-context", "4096", "--gguf-args", "--ignore-eos"]);
    served.is_ready();
    let (long, short) = (served.agent(MANY_TOKENS, json!([])), served.agent(FEW_TOKENS, json!([])));
    let mut running = served.owner.listen(question("running", &long, "Count."));
    running.until("text-delta");
    let (asked, spoke, words) = thread::scope(|scope| {
        let reads = scope.spawn(|| {
            let asked = Instant::now();
            let mut heard = served.owner.listen(question("c", &short, &words(LONG_PROMPT_WORDS)));
            heard.until("text-delta");
            let spoke = Instant::now();
            served.owner.post("/chat/running/stop", json!({})).ok(200);
            (asked, spoke)
        });
        let mut words = Vec::new();
        while let Some(chunk) = running.next() {
            words.extend((chunk["type"] == json!("text-delta")).then(Instant::now));
        }
        let (asked, spoke) = reads.join().unwrap();
        (asked, spoke, words)
    });
    // It has four batches at least, and after two of them another word has come.
    let meanwhile = words.iter().filter(|word| (asked..spoke).contains(word)).count();
    proof("words_beside_a_long_prompt", meanwhile);
    assert!(meanwhile >= 2, "{meanwhile}");
}

#[test]
fn idle_its_process_is_ended_and_another_answers() {
    let served = Served::start(&["--gguf-idle", "1s"]);
    served.is_ready();
    let child = served.child();
    until("the child to be ended", || (!runs(&child)).then_some(()));
    let agent = served.agent(FEW_TOKENS, json!([]));
    whole(&served.owner.chat(question("c", &agent, "Say a few words.")));
}

#[test]
fn a_killed_child_is_told_and_the_next_question_is_answered_by_another() {
    let served = Served::start(&["--gguf-args", "--ignore-eos"]);
    let (long, short) = (served.agent(MANY_TOKENS, json!([])), served.agent(FEW_TOKENS, json!([])));
    let mut heard = served.owner.listen(question("c", &long, "Count."));
    heard.until("text-delta");
    let child = served.child();
    kill(&child);
    let stream = heard.rest();
    assert_eq!(stream.all("error").len(), 1, "{}", stream.raw);
    let kept = served.owner.messages("c").pop().unwrap();
    assert_eq!(kept["content"].as_str(), Some(&*stream.text()));
    whole(&served.owner.chat(question("d", &short, "Say a few words.")));
    assert_ne!(served.child(), child);
}

#[test]
fn a_killed_server_leaves_no_child_and_its_answer_is_resumed() {
    let served = Served::start(&["--gguf-args", "--ignore-eos"]);
    let agent = served.agent(MANY_TOKENS, json!([]));
    served.owner.listen(question("c", &agent, "Count.")).until("text-delta");
    let child = served.child();
    served.app.signal("KILL");
    let killed = Instant::now();
    until("the child to go with its server", || (!runs(&child)).then_some(()));
    assert!(killed.elapsed() < GONE_WITHIN, "{:?}", killed.elapsed());
    let served = served.crash();
    served.owner.patch(&format!("/agents/{agent}"), json!({ "settings": { "maxOutputTokens": FEW_TOKENS } })).ok(200);
    assert!(!served.owner.resume("c").text().is_empty());
}

#[test]
fn a_server_that_is_told_to_go_in_an_answer_goes_with_its_child() {
    let served = Served::start(&["--drain", "1s", "--gguf-args", "--ignore-eos"]);
    let agent = served.agent(MANY_TOKENS, json!([]));
    let mut heard = served.owner.listen(question("c", &agent, "Count."));
    heard.until("text-delta");
    let child = served.child();
    served.app.terminate();
    let told = Instant::now();
    assert!(!heard.rest().text().is_empty());
    assert_eq!(served.app.exit_code(), Some(0));
    assert!(told.elapsed() < Duration::from_secs(1) + GOING_WITHIN && !runs(&child), "{:?}", told.elapsed());
}

#[test]
fn two_models_are_two_children_that_answer_beside_each_other() {
    let gemma = Model::Gemma3.path();
    let (smollm, gemma) = (Model::Smollm2.path(), gemma.to_str().unwrap());
    let two = ["--gguf", smollm.to_str().unwrap(), "--gguf", gemma];
    // One of them has none of its own.
    let template = template("google-gemma-2-2b-it");
    let served = Served::start(&[&two[..], &["--gguf-template", &template, "--gguf-context", "2048"]].concat());
    let models = served.app.anonymous().get("/readyz").ok(200)["localModels"].clone();
    thread::scope(|scope| {
        for model in models.as_array().unwrap() {
            let (owner, model) = (&served.owner, format!("local/{}", model["name"].as_str().unwrap()));
            scope.spawn(move || {
                let body = json!({ "model": model, "messages": [user("Say a few words.")] });
                owner.listen(body).until("text-delta");
            });
        }
    });
}

#[test]
fn what_a_base_model_and_a_cut_copy_are_told_is_why_they_are_refused() {
    let folder: TempDir = tempfile::tempdir().unwrap();
    let cut = folder.path().join("cut.gguf");
    let whole = fs::read(Model::Smollm2.path()).unwrap();
    fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    for (file, sentence) in [(Model::Gemma3.path(), "has no chat template"), (cut, "is cut short: it has ")] {
        let mut command = alm(&["serve", "--listen", "127.0.0.1:0"]);
        command.env("ALM_GGUF", &file).env("ALM_LLAMA_SERVER", program());
        let ran = Ran::of(command.env("ALM_DATA_DIR", folder.path().join("data")));
        assert!(ran.code != 0 && ran.stderr.contains(sentence), "{ran:?}");
    }
}
