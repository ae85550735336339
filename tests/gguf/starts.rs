//! What a child is given, when it is started, and its states.

use std::{fs, os::unix::fs::PermissionsExt};

use alm::store::providers::Provider;
use serde_json::json;

use crate::{
    llama_server::{LlamaServer, MODEL, signal, talker},
    people::{begin, order, reaches, says, says_in, serve, states, told, whole},
    support::{
        client::Client,
        fake_model::nobody,
        harness::{App, Ran, alm, until, user, wait},
    },
    system::{ports, runs},
};

/// The variables that a child may have.
const VARIABLES: [&str; 5] = ["PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "GGML_NO_BACKTRACE"];
/// How the names of others begin that it may have.
const FAMILIES: [&str; 5] = ["CUDA_", "GGML_", "HIP_", "ROCR_", "VK_"];

#[test]
fn one_file_is_a_model_of_every_organization_and_answers_where_none_is_named() {
    let llama = LlamaServer::new();
    let app = serve(&llama, &[]);
    for org in ["acme", "globex"] {
        let owner = app.org(org);
        assert_eq!(whole(&owner.chat(says("Hi"))), "A few words of a model.");
        let models = owner.get("/models").ok(200);
        let model = models["items"].as_array().unwrap().iter().find(|model| model["id"] == MODEL).unwrap();
        assert_eq!(model["contextWindow"], json!(8_192), "{model}");
    }
    let stream = app.org("acme").chat(says("And?"));
    let usage = &stream.facts()["usage"];
    assert!(usage["inputTokenDetails"]["cacheReadTokens"].as_u64() > Some(0), "{usage}");
    assert_eq!(llama.starts().len(), 1);
}

#[test]
fn metrics_and_the_log_tell_of_each_model_by_its_name() {
    let metrics = nobody().trim_start_matches("http://").trim_end_matches("/v1").to_owned();
    let llama = LlamaServer::new();
    let app = serve(&llama, &["--metrics-listen", &metrics]);
    assert!(app.says("a local model is ready").contains("tiny"));
    let text = || Client::new(&format!("http://{metrics}"), None).get("/metrics").text;
    let line = |text: &str, name: &str, more: &str| {
        let begins = format!("alm_local_model_{name}{{name=\"tiny\"{more}}} ");
        text.lines()
            .find_map(|line| line.strip_prefix(&*begins)?.parse::<u64>().ok())
            .unwrap_or_else(|| panic!("{begins}: {text}"))
    };
    let ready = text();
    assert_eq!([line(&ready, "state", r#",state="ready""#), line(&ready, "state", r#",state="failed""#)], [1, 0]);
    assert_eq!([line(&ready, "restarts_total", ""), line(&ready, "queue", "")], [0, 0]);
    assert!(line(&ready, "resident_bytes", "") > 0);
    signal(&llama.pid(), "KILL");
    until("it to be started again", || (line(&text(), "restarts_total", "") == 1).then_some(()));
}

#[test]
fn a_provider_of_the_same_name_hides_them_and_doctor_says_so() {
    let llama = LlamaServer::new();
    let app = serve(&llama, &[]);
    let tenant = app.tenant("acme");
    for slug in ["local", "other"] {
        wait(app.store().org(&tenant).create_provider(Provider::new(slug, nobody()))).unwrap();
    }
    let models = app.org("acme").get("/models").ok(200).to_string();
    assert!(!models.contains(MODEL) && app.org("globex").get("/models").ok(200).to_string().contains(MODEL));
    let doctor = |variables: &[(&str, String)]| {
        let mut command = alm(&["doctor"]);
        Ran::of(command.env("ALM_DATA_DIR", app.folder()).envs(variables.iter().cloned())).stdout
    };
    let told = doctor(&llama.variables());
    let hiding: Vec<_> = told.lines().filter(|line| line.contains("hides the server's own models")).collect();
    assert!(hiding.len() == 1 && hiding[0].contains(&format!("provider {}/local", app.slug("acme"))), "{told}");
    assert!(!doctor(&[]).contains("hides"), "a server without a file has nothing to hide");
}

#[test]
fn commands_beside_the_server_know_its_models_and_without_it_they_do_not() {
    let llama = LlamaServer::new();
    let app = serve(&llama, &[]);
    app.org("acme");
    let slug = app.slug("acme");
    let listed = || app.alm(&["models", "--org", &slug, "--json"]).ok().contains(MODEL);
    assert!(listed());
    app.alm(&["org", "set", &slug, "--default-model", MODEL]).ok();
    let unknown = app.alm(&["org", "set", &slug, "--default-model", "local/none"]);
    assert!(unknown.fails(1).contains("local/none"), "{unknown:?}");
    app.terminate();
    until("the server to end", || app.exit_code());
    assert!(!listed());
}

#[test]
fn the_api_answers_before_the_model_is_ready_and_a_chat_waits_for_it() {
    let llama = LlamaServer::planned(json!({ "loads": "loaded" }));
    let app = begin(&llama, &[]);
    reaches(&app, "loading");
    let owner = app.org("acme");
    let mut heard = owner.listen(says("Hi"));
    assert_eq!(heard.until("data-model")["data"]["state"], "loading");
    llama.open("loaded");
    whole(&heard.rest());
    reaches(&app, "ready");
    assert_eq!(llama.count("queued"), 0);
}

#[test]
fn a_stop_ends_the_wait_for_a_child_that_loads() {
    let llama = LlamaServer::planned(json!({ "loads": "never" }));
    let app = begin(&llama, &[]);
    let owner = app.org("acme");
    let mut heard = owner.listen(says("Hi"));
    heard.until("data-model");
    owner.post("/chat/c/stop", json!({})).ok(200);
    assert_eq!(heard.rest().types().last(), Some(&"abort"));
    assert!(llama.asked().is_empty());
}

#[test]
fn a_child_is_given_what_it_needs_and_nothing_of_the_server() {
    let llama = LlamaServer::new();
    let variables = llama.variables();
    let mut given: Vec<_> = variables.iter().map(|(name, value)| (*name, &**value)).collect();
    given.extend([("LLAMA_ARG_CTX_SIZE", "512"), ("LLAMA_ARG_N_PARALLEL", "7"), ("SOME_SECRET", "sk-secret")]);
    given.extend([("CUDA_VISIBLE_DEVICES", "0"), ("OPENAI_API_KEY", "sk-other")]);
    let app = App::start_with(&["--gguf-context", "4096", "--gguf-slots", "2", "--gguf-threads", "3"], &given);
    reaches(&app, "ready");
    let [start] = &llama.starts()[..] else { panic!("{:?}", llama.starts()) };
    let socket = app.folder().join("run/tiny.sock");
    let expected = format!(
        "--host {} -m {} --alias tiny --jinja --offline --no-ui --no-slots -np 2 -c 8192 -t 3 -tb 3 -b 256 -ub 256 \
         --cache-reuse 64 --cache-ram 512 --sse-ping-interval 10 --reasoning-format auto",
        socket.display(),
        llama.file().display()
    );
    assert_eq!(start.arguments.join(" "), expected);
    for (name, value) in &start.environment {
        let is_known = VARIABLES.contains(&&**name) || FAMILIES.iter().any(|family| name.starts_with(family));
        // The interpreter sets one of its own.
        assert!(is_known || name == "LC_CTYPE", "{name}={value}");
    }
    let has = |name: &str, value: &str| start.environment.contains(&(name.into(), value.into()));
    assert!(has("GGML_NO_BACKTRACE", "1") && has("CUDA_VISIBLE_DEVICES", "0"));
    assert_eq!(fs::metadata(app.folder().join("run")).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!((ports(&app.process().to_string()), ports(&start.pid)), (1, 0), "no port but its own");
    let nice = |pid: &str| -> i32 {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.rsplit_once(") ").unwrap().1.split(' ').nth(16).unwrap().parse().unwrap()
    };
    assert_eq!(nice(&start.pid) - nice(&app.process().to_string()), 5);
}

#[test]
fn what_an_operator_passes_on_reaches_the_child_and_what_the_server_sets_is_refused() {
    let llama = LlamaServer::new();
    let _app = serve(&llama, &["--gguf-args", "--no-mmap --mlock"]);
    assert!(llama.starts()[0].arguments.ends_with(&["--no-mmap".into(), "--mlock".into()]));
    let folder = tempfile::tempdir().unwrap();
    let mut refused = alm(&["serve", "--listen", "127.0.0.1:0", "--gguf-args", "--no-mmap --host 0.0.0.0"]);
    let ran = Ran::of(refused.envs(llama.variables()).env("ALM_DATA_DIR", folder.path()));
    assert!(ran.code != 0 && ran.stderr.contains("--host"), "{ran:?}");
}

#[test]
fn idle_the_child_is_ended_and_started_when_it_is_asked_again() {
    let llama = LlamaServer::new();
    let app = serve(&llama, &["--gguf-idle", "1s"]);
    let owner = app.org("acme");
    whole(&owner.chat(says("Hi")));
    reaches(&app, "idle");
    assert!(!runs(&llama.pid()));
    whole(&owner.chat(says("And?")));
    assert_eq!(llama.starts().len(), 2);
}

#[test]
fn a_file_that_is_replaced_while_idle_is_checked_again() {
    let llama = LlamaServer::new();
    let app = serve(&llama, &["--gguf-idle", "1s"]);
    reaches(&app, "idle");
    fs::write(llama.file(), "no model").unwrap();
    let owner = app.org("acme");
    let reply = owner.post("/chat", says("Hi"));
    assert!(reply.text.contains("is no GGUF file"), "{}", reply.text);
    assert_eq!((llama.starts().len(), &*states(&app)[0].1), (1, "failed"));
    // Once it is whole again the owner starts it.
    fs::write(llama.file(), talker().bytes()).unwrap();
    order(&app, "start");
    reaches(&app, "ready");
    whole(&owner.chat(says("Hi")));
}

#[test]
fn an_owner_stops_and_starts_it_and_reads_its_last_words() {
    let llama = LlamaServer::planned(json!({ "chatters": true }));
    let app = serve(&llama, &[]);
    let (owner, browser) = (app.org("acme"), app.browser("acme"));
    let lines = until("its last words to be many", || {
        let lines = browser.get("/local-models/tiny").ok(200)["lastLines"].as_array().unwrap().clone();
        (lines.len() == 200).then_some(lines)
    });
    assert!(lines.iter().all(|line| line.as_str().unwrap().len() <= 512));
    let first = llama.pid();
    order(&app, "restart");
    until("another to be started", || (llama.starts().len() == 2).then_some(()));
    reaches(&app, "ready");
    assert!(!runs(&first));
    order(&app, "stop");
    until("it to end", || (!runs(&llama.pid())).then_some(()));
    whole(&owner.chat(says("Hi")));
}

/// How a child ends before it is ready: what it says, how often it is started, and what its owner is told.
const ENDS: [(&str, usize, &str); 8] = [
    ("odd", 3, "the local model ended (exit 1): its last words are on the Models page"),
    ("srv: couldn't bind HTTP server socket, hostname: x", 3, "the local model ended (exit 1)"),
    (
        "unknown model architecture: 'x'",
        1,
        "llama-server build 11434 does not know the architecture x: a newer one may",
    ),
    ("data is not within the file bounds", 1, "tiny.gguf is cut short"),
    ("terminate called after throwing an instance of 'std::bad_alloc'", 1, "tiny.gguf needs about "),
    ("mmap failed: Cannot allocate memory", 1, "tiny.gguf needs about "),
    ("failed to allocate buffer for kv cache", 1, "tiny.gguf needs about "),
    ("error: invalid argument: --sse-ping-interval", 1, "llama-server build 11434 is too old"),
];

#[test]
fn a_child_that_ends_before_it_is_ready_is_started_three_times_or_once_where_it_says_why() {
    for (says, starts, reason) in ENDS {
        let line = format!("{says}\n");
        let llama = LlamaServer::planned(json!({ "dies": { "at": "start", "says": line, "code": 1 } }));
        let app = begin(&llama, &[]);
        reaches(&app, "failed");
        assert_eq!(llama.starts().len(), starts, "{says}");
        let owner = app.org("acme");
        let told = told(&app);
        assert!(told["reason"].as_str().unwrap().contains(reason), "{says}: {told}");
        assert!(told["lastLines"].to_string().contains(says), "{told}");
        let refused = owner.post("/chat", says_in("d", "Hi"));
        assert!(refused.status >= 500 && refused.text.contains(reason), "{}", refused.text);
        assert_eq!(owner.get("/sessions/d").status, 404, "nothing is kept of it");
        // A person who has mended it starts it.
        llama.plan(json!({}));
        order(&app, "start");
        whole(&owner.chat(says_in("d", "Hi")));
    }
}

#[test]
fn a_child_that_ends_once_while_it_loads_is_started_again_and_who_waits_is_answered() {
    let dies = json!({ "loads": "go", "dies": { "at": "load", "says": "odd\n", "code": 3 } });
    let llama = LlamaServer::planned(json!([dies, {}]));
    let app = begin(&llama, &[]);
    let owner = app.org("acme");
    let mut heard = owner.listen(says("Hi"));
    heard.until("data-model");
    llama.open("go");
    whole(&heard.rest());
    assert_eq!(llama.starts().len(), 2);
}

#[test]
fn two_files_are_two_children() {
    let llama = LlamaServer::new();
    let (one, other) = (llama.file(), llama.path("other.gguf"));
    fs::write(&other, talker().bytes()).unwrap();
    let app = begin(&llama, &["--gguf", one.to_str().unwrap(), "--gguf", other.to_str().unwrap()]);
    until("both to be ready", || states(&app).iter().all(|(_, state)| state == "ready").then_some(()));
    let names: Vec<_> = states(&app).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["tiny", "other"]);
    let owner = app.org("acme");
    for name in names {
        let body = json!({ "model": format!("local/{name}"), "messages": [user("Hi")] });
        whole(&owner.chat(body));
    }
    assert_eq!(llama.starts().len(), 2);
}

#[test]
fn two_files_of_one_name_are_refused() {
    let (llama, folder) = (LlamaServer::new(), tempfile::tempdir().unwrap());
    let file = llama.file();
    let twice = ["--gguf", file.to_str().unwrap(), "--gguf", file.to_str().unwrap()];
    let mut command = alm(&[&["serve", "--listen", "127.0.0.1:0"][..], &twice].concat());
    let ran = Ran::of(command.env("ALM_LLAMA_SERVER", llama.program()).env("ALM_DATA_DIR", folder.path()));
    assert!(ran.code != 0 && ran.stderr.contains("tiny"), "{ran:?}");
}
