//! Cassettes: what was recorded of a client's turns is what a client hears again, and nobody else is asked.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::support::{
    client::{Client, Stream},
    counting::{Counting, Says},
    fake_model::{Answer, FakeModel, call, delta, finish, usage},
    harness::{App, ModelSpec, Ran, alm, until, user},
    tools::{OPERATOR, declare},
};

/// The cassette that the repository holds.
const TOUR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/tour.jsonl");

/// What stands in a chunk for what differs from run to run.
const DIFFERS: [&str; 8] =
    ["messageId", "sessionId", "createdAt", "durationMs", "timeToFirstTokenMs", "model", "replayed", "requestId"];

/// A chunk without ids and times; `calls` are those that were heard of.
fn plain(chunk: &Value, calls: &mut Vec<String>) -> Value {
    let Value::Object(fields) = chunk else { return chunk.clone() };
    let known = fields.iter().filter(|(key, _)| !DIFFERS.contains(&key.as_str()));
    let fields = known.map(|(key, value)| {
        let value = match (key.as_str(), value) {
            ("toolCallId", Value::String(id)) => {
                if !calls.contains(id) {
                    calls.push(id.clone());
                }
                json!(calls.iter().position(|known| known == id))
            }
            ("approvalId", _) => json!("an approval"),
            // The provider's name is another.
            ("errorText" | "message", Value::String(text)) => json!(text.replace("provider replay", "provider up")),
            _ => plain(value, calls),
        };
        (key.clone(), value)
    });
    Value::Object(fields.collect())
}

/// What calls that run beside each other answer comes in any order.
fn plain_of(stream: &Stream) -> Vec<Value> {
    let mut calls = Vec::new();
    let mut chunks: Vec<_> = stream.chunks.iter().map(|chunk| plain(chunk, &mut calls)).collect();
    for outputs in chunks.chunk_by_mut(|one, next| [one, next].iter().all(|it| it["type"] == "tool-output-available")) {
        outputs.sort_by_key(|output| output["toolCallId"].as_u64());
    }
    chunks
}

fn word(text: &str) -> Value {
    delta(json!({ "content": text }))
}

/// The questions of a talk, with the answers that they get.
fn talk() -> Vec<(&'static str, Vec<Answer>)> {
    let calls =
        [0, 1].map(|n| call(Some(n), Some(&format!("c{n}")), Some("create_ticket"), &json!({ "n": n }).to_string()));
    let source = json!({ "type": "url_citation", "url_citation": { "url": "https://example.com/a", "title": "A" } });
    let cited = delta(json!({ "content": "See A.", "annotations": [source] }));
    vec![
        (
            "Two tickets, please.",
            vec![
                Answer::chunks(calls.into_iter().chain([finish("tool_calls"), usage(10, 5)])),
                Answer::text("There are two tickets now."),
            ],
        ),
        (
            "Think.",
            vec![Answer::chunks([
                delta(json!({ "reasoning_content": "Hm, " })),
                delta(json!({ "reasoning_content": "well." })),
                word("Yes."),
                finish("stop"),
                usage(7, 3),
            ])],
        ),
        ("Who says so?", vec![Answer::chunks([cited, finish("stop"), usage(7, 3)])]),
        ("Break off", vec![Answer::empty().chunk(word("half ")).cut()]),
        ("My key is sk-proj-0123456789abcdef.", vec![Answer::text("Keep it.")]),
        ("Say it twice", vec![Answer::text("once")]),
        ("Say it twice", vec![Answer::text("twice")]),
    ]
}

fn asks(client: &Client, session: &str, model: &str) -> Vec<Vec<Value>> {
    let ask = |question: &str| client.chat(json!({ "id": session, "model": model, "messages": [user(question)] }));
    talk().iter().map(|(question, _)| plain_of(&ask(question))).collect()
}

/// Connects a cassette as `replay`, as the command line does.
fn plays(app: &App, file: &Path, more: &[&str]) -> Ran {
    let (org, file) = (app.slug("acme"), file.to_str().unwrap());
    let add = ["providers", "add", "--org", &org, "--slug", "replay", "--cassette", file, "--speed", "instant"];
    app.alm(&[&add, more].concat())
}

#[test]
fn a_client_hears_the_same_chunks_again_and_nobody_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tour.jsonl");
    let app = App::start(&["--record", file.to_str().unwrap()]);
    let service = Counting::start(|n, _| Says::json(&json!({ "ticket": n }).to_string()));
    declare(&app, OPERATOR, "POST", &service.url("/"), json!({}));
    let model = FakeModel::start(talk().into_iter().flat_map(|(_, answers)| answers).chain([Answer::status(429)]));
    let acme = app.org_asking("acme", &model);
    let recorded = asks(&acme, "recorded", "up/free");
    let busy = |model: &str| acme.post("/chat", json!({ "model": model, "messages": [user("Busy?")] }));
    let refused = busy("up/free").fails(502, "MODEL_UNAVAILABLE")["message"].clone();
    let lines = 1 + talk().len() + 1 + 2 + 1;
    until("the exchanges", || (fs::read_to_string(&file).unwrap().lines().count() == lines).then_some(()));
    let (asked, called) = (model.asked().len(), service.came().len());
    assert_eq!(
        plays(&app, &file, &["--match", "exact"]).ok().lines().next(),
        Some("Added replay: replay/free, matched exact")
    );
    // Two at once, each in its own order.
    let both = std::thread::scope(|scope| {
        let [one, other] = ["one", "other"].map(|session| {
            let acme = &acme;
            scope.spawn(move || asks(acme, session, "replay/free"))
        });
        [one.join().unwrap(), other.join().unwrap()]
    });
    for (session, replayed) in ["one", "other"].iter().zip(both) {
        assert_eq!(replayed, recorded, "{session}");
        let told = acme.messages(session);
        let replies = told.iter().filter(|message| message["role"] == "assistant");
        assert!(replies.clone().count() == 7 && replies.clone().all(|reply| reply["metadata"]["replayed"] == "exact"));
    }
    let replayed = busy("replay/free").fails(502, "MODEL_UNAVAILABLE")["message"].clone();
    assert_eq!(replayed.as_str().unwrap().replace("provider replay", "provider up"), refused.as_str().unwrap());
    acme.post("/chat", json!({ "model": "replay/free", "messages": [user("Nobody knows")] }))
        .fails(502, "MODEL_UNAVAILABLE");
    assert_eq!((model.asked().len(), service.came().len()), (asked, called), "nobody was asked");
    let held = app.alm(&["ledger", "verify"]);
    assert_eq!(held.code, 0, "{held:?}");
}

#[test]
fn an_organization_connects_a_cassette_by_the_command_line_alone() {
    let app = App::start(&[]);
    app.org("acme");
    let nothing = app.folder().join("none.jsonl");
    assert!(plays(&app, &nothing, &[]).fails(1).contains("none.jsonl"));
    assert!(plays(&app, Path::new(TOUR), &["--match", "loose"]).fails(2).contains("loose"));
    assert!(plays(&app, Path::new(TOUR), &["--base-url", "http://127.0.0.1/v1"]).fails(2).contains("--base-url"));
    let added = plays(&app, Path::new(TOUR), &["--json", "--tools", "real"]).json();
    assert_eq!(added["slug"], "replay");
    let model = added["models"][0].as_str().unwrap();
    let said = app.org("acme").ask(model, "Summarise the periodic table in 3 sentences.").text();
    assert!(!said.is_empty());
    let words = ["--model", model, "Summarise the periodic table in 3 sentences."];
    let chat = app.alm(&[&["chat", "--org", &app.slug("acme")], &words[..]].concat());
    assert_eq!(chat.ok().trim_end(), said.trim_end());
}

#[test]
fn what_was_left_out_as_a_secret_still_fits_exactly() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tour.jsonl");
    let named = [("ALM_PROVIDER_FAR", "hunter-2-hunter"), ("ALM_TOOL_SECRET_NEAR", "hunter-3-hunter")];
    let app = App::start_with(&["--record", file.to_str().unwrap()], &named);
    let model = FakeModel::start([Answer::text("Kept."), Answer::text("It is hunter-3-hunter.")]);
    let acme = app.org_asking("acme", &model);
    let asked = "Keep hunter-2-hunter, hunter-3-hunter, header-upstream and sk-upstream";
    assert_eq!(acme.ask("up/free", asked).text(), "Kept.");
    acme.ask("up/free", "Which?");
    app.says("a key of this server");
    let kept = fs::read_to_string(&file).unwrap();
    let secrets = ["hunter-2-hunter", "hunter-3-hunter", "header-upstream", "sk-upstream"];
    assert!(kept.lines().count() == 2 && secrets.iter().all(|secret| !kept.contains(secret)), "{kept}");
    plays(&app, &file, &["--match", "exact"]).ok();
    let replayed = acme.ask("replay/free", asked);
    assert_eq!((&*replayed.text(), &replayed.facts()["replayed"]), ("Kept.", &json!("exact")));
}

#[test]
fn where_ci_is_set_an_answer_must_be_one_to_the_same_request() {
    let app = App::start(&[]);
    app.org("acme");
    for (slug, value, reach) in
        [("none", None, "nearest"), ("empty", Some(""), "nearest"), ("set", Some("true"), "exact")]
    {
        let org = app.slug("acme");
        let mut command = alm(&["providers", "add", "--org", &org, "--slug", slug, "--cassette", TOUR, "--json"]);
        command.env("ALM_DATA_DIR", app.folder()).envs(value.map(|value| ("CI", value)));
        assert_eq!(Ran::of(&mut command).json()["match"], json!(reach), "{slug}");
    }
}

#[test]
fn a_cassette_is_looked_through_and_what_does_not_decode_is_named() {
    let ran = Ran::of(&mut alm(&["cassette", "check", TOUR]));
    assert!(ran.ok().contains("Summarise the periodic table") && ran.ok().contains("licence: "), "{ran:?}");
    let told = Ran::of(&mut alm(&["--json", "cassette", "check", TOUR])).json();
    let of = |field: &str| told["exchanges"][0][field].as_u64().unwrap();
    assert!(of("words") > 5 && of("inputTokens") > 5 && of("outputTokens") > 5 && told["faults"] == 0, "{told}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bad.jsonl");
    let half = json!({ "kind": "model", "id": 7, "model": "m", "asked": "Hi", "body": [[0, format!("data: {}\n\n", word("half"))]] });
    fs::write(&file, format!("{{\"almCassette\":1}}\n{half}\n")).unwrap();
    let ran = Ran::of(&mut alm(&["cassette", "check", file.to_str().unwrap()]));
    assert!(
        ran.code == 1 && ran.stdout.contains("7 ") && ran.stderr.contains("1 of 1 answers are not as they should be"),
        "{ran:?}"
    );
    fs::write(&file, "{\"almCassette\":2}\n").unwrap();
    let ran = Ran::of(&mut alm(&["cassette", "check", file.to_str().unwrap()]));
    assert!(ran.fails(1).contains("bad.jsonl is cassette format 2, this alm knows 1: use a newer alm"));
}

#[test]
fn questions_are_asked_and_their_answers_recorded_by_one_command() {
    let app = App::start(&[]);
    let model = FakeModel::start([Answer::text("one"), Answer::text("two"), Answer::text("three")]);
    app.provider("acme", &model.base_url(), &[ModelSpec::FREE]);
    app.org("acme");
    let (org, folder) = (app.slug("acme"), tempfile::tempdir().unwrap());
    let file = folder.path().join("tour.jsonl");
    let prompts = folder.path().join("prompts.txt");
    fs::write(&prompts, "first\nsecond\n\nthird\n").unwrap();
    let [file, prompts] = [&file, &prompts].map(|path| path.to_str().unwrap());
    let record = ["record", file, "--org", &org, "--model", "up/free", "--prompts", prompts];
    assert_eq!(app.alm(&record).code, 3, "a server has the folder");
    app.terminate();
    app.exit_code();
    let ran = app.alm(&record);
    assert!(ran.code == 0 && ran.stdout.starts_with("3 exchanges in "), "{ran:?}");
    assert!(ran.stderr.contains("> second\ntwo"), "{ran:?}");
    let asked: Vec<_> = model.chats().iter().map(|chat| chat["messages"].as_array().unwrap().len()).collect();
    assert_eq!((asked[1] - asked[0], asked[2]), (2, asked[0]), "an empty line begins another conversation");
    assert!(!app.alm(&["keys", "list", "--org", &org]).ok().contains("alm record"), "its key ends with it");
    let ran = app.alm(&["record", file, "--org", &org, "--model", "demo/ala", "Hi"]);
    assert!(ran.code == 1 && ran.stderr.contains("nothing was recorded"), "{ran:?}");
}

/// `alm` with nothing but a loopback of its own.
fn without_a_network(arguments: &[&str]) -> Command {
    let is_root = fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    let mut command = Command::new("unshare");
    command.arg(if is_root { "-n" } else { "-rn" }).args([
        "sh",
        "-c",
        "ip link set lo up && cat /proc/net/dev >&2 && exec \"$@\"",
        "sh",
    ]);
    command.arg(env!("CARGO_BIN_EXE_alm")).args(arguments).stdin(Stdio::null());
    command
}

fn demo(file: &Path) -> Ran {
    let file = file.to_str().unwrap();
    Ran::of(&mut without_a_network(&["demo", "--once", "--cassette", file, "--speed", "instant", "--match", "exact"]))
}

#[test]
fn the_walk_with_recorded_answers_needs_no_network() {
    let ran = demo(Path::new(TOUR));
    assert!(
        ran.stderr.contains("lo:"),
        "this needs a network namespace (unshare -n as root, or unshare -rn) and iproute2: {ran:?}"
    );
    let others = ran.stderr.lines().skip(2).filter(|line| line.contains(':') && !line.trim_start().starts_with("lo:"));
    assert_eq!(others.filter(|line| line.contains(" 0 ")).count(), 0, "{}", ran.stderr);
    assert!(ran.code == 0 && ran.stdout.contains("Every check passed."), "{ran:?}");
}

#[test]
fn the_walk_says_which_answer_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let file: PathBuf = folder.path().join("short.jsonl");
    let tour = fs::read_to_string(TOUR).unwrap();
    let rest: Vec<_> = tour.lines().filter(|line| !line.contains("\"asked\":\"What did I just ask?\"")).collect();
    fs::write(&file, rest.join("\n") + "\n").unwrap();
    let ran = demo(&file);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("The cassette short.jsonl has no answer for \\\"What did I just ask?\\\""), "{ran:?}");
}
