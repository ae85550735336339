//! Providers that play a cassette: what clients hear, what tools answer, what is paid, and what no client learns of the file.

use std::{fs, path::PathBuf};

use alm::{
    key::{Env, Scope},
    money::Pricing,
    store::{
        providers::{Cassette, Provider, ProviderModel},
        tools::{AddedBy, Policy},
    },
};
use serde_json::{Value, json};

use crate::support::{
    client::{Client, Stream},
    counting::{Counting, Says},
    fake_model::{call, delta, finish, usage},
    harness::{App, until, user, wait},
    tools::{OPERATOR, declare},
};

const BERN: &str = "What is the weather in Bern?";

/// The answer to a request, played in pieces.
fn answer(request: &Value, asked: &str, chunks: &[Value]) -> Value {
    let events = chunks.iter().enumerate().map(|(n, chunk)| json!([n * 20, format!("data: {chunk}\n\n")]));
    let body: Vec<_> = events.chain([json!([900, "data: [DONE]\n\n"])]).collect();
    json!({
        "kind": "model", "model": "gpt", "asked": asked, "request": request, "status": 200, "type": "text/event-stream",
        "waitMs": 400, "body": body,
    })
}

/// The answer to a question.
fn says(asked: &str, text: &str) -> Value {
    answer(&json!({ "messages": [{ "role": "user", "text": asked }] }), asked, &words(text))
}

fn words(text: &str) -> [Value; 3] {
    [delta(json!({ "content": text })), finish("stop"), usage(10, 5)]
}

/// A question, in whose first step a tool is called, and in whose second is said `done`.
fn calls(asked: &str, tool: &str, input: &Value) -> [Value; 2] {
    let question = json!({ "role": "user", "text": asked });
    let called = [call(Some(0), Some("c1"), Some(tool), &input.to_string()), finish("tool_calls"), usage(10, 5)];
    let then = json!({ "messages": [
        question,
        { "role": "assistant", "text": "", "calls": [{ "id": 1, "name": tool, "arguments": input }] },
        { "role": "tool", "id": 1, "output": "what it said then" },
    ] });
    [answer(&json!({ "messages": [question] }), asked, &called), answer(&then, asked, &words("done"))]
}

/// How a cassette is played where a test does not say.
fn cassette() -> Cassette {
    Cassette { file: String::new(), speed: 0.0, reach: "nearest".into(), real_tools: false }
}

/// An organization whose default model is `replay/gpt`, played of a file.
struct Played {
    app: App,
    acme: Client,
    file: PathBuf,
}

impl Played {
    fn of(lines: &[Value]) -> Self {
        Self::with(lines, cassette(), None)
    }

    /// The same, played so, at a price.
    fn with(lines: &[Value], cassette: Cassette, price: Option<&str>) -> Self {
        let app = App::start(&[]);
        let file = app.folder().join("tour.jsonl");
        let acme = app.org("acme");
        let pricing = price.map(|text| {
            let price = text.parse().unwrap();
            Pricing { input: price, output: price, cached_input: None }
        });
        let model = ProviderModel { pricing, ..ProviderModel::named("gpt") };
        let cassette = Cassette { file: file.to_str().unwrap().into(), ..cassette };
        let provider = Provider {
            cassette: Some(cassette),
            models: vec![model],
            added_by: AddedBy::Operator,
            ..Provider::new("replay", "")
        };
        let tenant = app.tenant("acme");
        wait(app.store().org(&tenant).create_provider(provider)).unwrap();
        wait(app.store().org(&tenant).set_default_model(Some("replay/gpt".into()))).unwrap();
        let played = Played { app, acme, file };
        played.write(lines);
        played
    }

    fn write(&self, lines: &[Value]) {
        let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
        fs::write(&self.file, format!("{{\"almCassette\":1}}\n{lines}")).unwrap();
    }

    fn ask(&self, session: &str, text: &str) -> Stream {
        self.acme.chat(json!({ "id": session, "messages": [user(text)] }))
    }

    /// What is said where nothing fits, or nothing can be read.
    fn refused(&self, text: &str) -> String {
        let body = json!({ "messages": [user(text)] });
        let refused = self.acme.post("/chat", body).fails(502, "MODEL_UNAVAILABLE");
        refused["message"].as_str().unwrap().to_owned()
    }
}

#[test]
fn a_question_is_answered_as_it_was_and_the_metadata_say_how_it_was_found() {
    let played = Played::of(&[says(BERN, "Rain."), says(BERN, "Snow.")]);
    let first = played.ask("a", BERN);
    assert_eq!((&*first.text(), first.finish_reason()), ("Rain.", "stop"));
    // The agent's own instructions were not there when it was recorded.
    assert_eq!(first.facts()["replayed"], json!("shape"));
    assert_eq!(first.facts()["usage"]["inputTokens"], json!(10));
    let stored = played.acme.messages("a").pop().unwrap();
    assert_eq!(stored["metadata"]["replayed"], json!("shape"));
    // Each session has its own order.
    assert_eq!(played.ask("b", "what's the weather in BERN?").facts()["replayed"], json!("nearest"));
    assert_eq!([played.ask("a", BERN).text(), played.ask("b", BERN).text()], ["Snow.", "Snow."]);
    assert_eq!([played.ask("c", BERN).text(), played.ask("a", BERN).text()], ["Rain.", "Snow."]);
}

#[test]
fn what_fits_nothing_is_refused_with_what_would_and_leaves_no_trace() {
    let played =
        Played::of(&[says("Tell a joke", "Ha."), says(BERN, "Rain."), says("Sing", "La."), says("Hum", "Hm.")]);
    let expected = format!(
        "The cassette tour.jsonl has no answer for \"Who are you?\" (step 0; nearest 0.00): record it, or ask \"Tell a joke\", \
         \"{BERN}\", \"Sing\"."
    );
    assert_eq!(played.refused("Who are you?"), expected);
    assert_eq!(played.acme.get("/sessions").ok(200)["items"], json!([]));
}

#[test]
fn a_file_that_changed_counts_at_once_and_one_that_is_gone_is_named_without_its_folder() {
    let played = Played::of(&[says(BERN, "Rain.")]);
    assert_eq!(played.ask("a", BERN).text(), "Rain.");
    played.write(&[says(BERN, "A storm is coming.")]);
    assert_eq!(played.ask("a", BERN).text(), "A storm is coming.");
    played.write(&[json!({ "kind": "film" })]);
    let broken = played.refused(BERN);
    assert!(broken.starts_with("tour.jsonl, line 2: unknown variant `film`"), "{broken}");
    fs::write(&played.file, "{\"almCassette\":2}\n").unwrap();
    assert_eq!(played.refused(BERN), "tour.jsonl is cassette format 2, this alm knows 1: use a newer alm");
    fs::remove_file(&played.file).unwrap();
    let gone = played.refused(BERN);
    let folder = played.app.folder().to_str().unwrap();
    assert!(gone.contains("the cassette tour.jsonl cannot be read") && !gone.contains(folder), "{gone}");
    played.write(&[says(BERN, "Sun.")]);
    assert_eq!(played.ask("a", BERN).text(), "Sun.");
}

#[test]
fn a_built_in_tool_runs_and_one_of_a_service_answers_as_it_was_recorded() {
    let input = json!({ "project": "a", "title": "b" });
    let service = Counting::start(|_, _| Says::json("{\"id\":7}"));
    let ticket = json!({ "kind": "tool", "name": "create_ticket", "input": input, "output": { "id": 3 }, "ms": 80 });
    let [clock, told] = calls("What time is it?", "current_time", &json!({}));
    let [open, opened] = calls("Open a ticket", "create_ticket", &input);
    let [other, then] = calls("Open another one", "create_ticket", &json!({ "project": "z" }));
    let lines = [clock, told, open, opened, other, then, ticket];
    let played = Played::of(&lines);
    declare(&played.app, OPERATOR, "POST", &service.url("/{project}"), json!({}));
    let time = played.ask("a", "What time is it?");
    assert!(time.one("tool-output-available")["output"]["utc"].is_string());
    assert_eq!((&*time.text(), &time.facts()["replayed"]), ("done", &json!("shape")));
    let opened = played.ask("b", "Open a ticket");
    assert_eq!(opened.one("tool-output-available")["output"], json!({ "id": 3 }));
    assert_eq!(opened.text(), "done");
    let other = played.ask("c", "Open another one");
    assert_eq!(other.one("tool-output-error")["errorText"], json!("This tool was not recorded with that input."));
    assert_eq!(service.came().len(), 0, "nothing was sent");

    let real = Played::with(&lines, Cassette { real_tools: true, ..cassette() }, None);
    declare(&real.app, OPERATOR, "POST", &service.url("/{project}"), json!({}));
    assert_eq!(real.ask("c", "Open another one").one("tool-output-available")["output"], json!({ "id": 7 }));
    assert_eq!(real.ask("b", "Open a ticket").one("tool-output-available")["output"], json!({ "id": 3 }));
    assert_eq!(service.came().len(), 1);
}

#[test]
fn a_replayed_call_is_allowed_after_a_crash_as_before_it() {
    let lines = calls("Do I like tea?", "search_history", &json!({ "query": "tea" }));
    let mut played = Played::of(&lines);
    let tenant = played.app.tenant("acme");
    let ask = move |agent: &mut alm::store::agents::Agent| {
        agent.settings.tool_approval = Some(Policy::Ask);
        Ok(())
    };
    wait(played.app.store().org(&tenant).update_agent("ala".into(), ask)).unwrap();
    let asked = played.ask("c", "Do I like tea?");
    let id = asked.one("tool-approval-request")["approvalId"].as_str().unwrap().to_owned();
    played.app = played.app.crash();
    played.acme = played.acme.at(played.app.url());
    played.acme.post(&format!("/approvals/{id}"), json!({ "approved": true })).ok(200);
    let last = || played.acme.history("c").pop().unwrap();
    until("the reply", || (last() == ("assistant".into(), "done".into())).then_some(()));
}

#[test]
fn a_refusal_and_a_cut_are_played_as_they_came() {
    let limited = json!({ "kind": "model", "model": "gpt", "asked": "Hi", "status": 429, "retryAfter": 7 });
    let mut cut = says("Tell", "Once");
    cut["body"].as_array_mut().unwrap().truncate(1);
    cut["end"] = "cut".into();
    let played = Played::of(&[limited, says("Hi", "Hello."), cut]);
    let refused = played.acme.post("/chat", json!({ "id": "a", "messages": [user("Hi")] }));
    let message = &refused.fails(502, "MODEL_UNAVAILABLE")["message"];
    assert_eq!(message, "the provider replay is limiting requests: wait, or check its quota");
    assert_eq!(played.ask("a", "Hi").text(), "Hello.");
    let body = json!({ "model": "replay/gpt", "messages": [{ "role": "user", "content": "Hi" }] });
    let refused = played.acme.post("/v1/chat/completions", body);
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("7")));
    let cut = played.ask("b", "Tell");
    assert_eq!((&*cut.text(), cut.finish_reason()), ("Once", "error"));
    let message = &cut.one("data-error")["data"]["message"];
    assert_eq!(message, "the connection to the provider replay broke in the middle of the reply");
}

#[test]
fn the_ledger_counts_what_was_recorded_and_a_test_key_never_pays() {
    let played = Played::with(&[says("Hi", "Hello.")], cassette(), Some("1"));
    played.app.deposit("acme", 1_000_000);
    let balance = || played.acme.get("/billing").ok(200)["balanceMicrocents"].clone();
    let reply = played.ask("a", "Hi");
    assert_eq!(reply.facts()["costMicrocents"], json!(15));
    assert_eq!(balance(), json!(1_000_000 - 15));
    let test = played.app.key("acme", Env::Test, &[Scope::Read, Scope::Chat]);
    let reply = test.chat(json!({ "messages": [user("Hi")] }));
    assert_eq!(reply.facts()["model"], json!("demo/ala"));
    assert_eq!(balance(), json!(1_000_000 - 15));
}

#[test]
fn openais_clients_are_answered_from_a_cassette_too() {
    let played = Played::of(&[says("Hi", "Hello.")]);
    let body = json!({ "model": "replay/gpt", "messages": [{ "role": "user", "content": "Hi" }] });
    let reply = played.acme.post("/v1/chat/completions", body).json();
    assert_eq!(reply["choices"][0]["message"]["content"], json!("Hello."), "{reply}");
    assert_eq!(reply["usage"]["total_tokens"], json!(15));
}

#[test]
fn doctor_reads_a_cassette() {
    let played = Played::of(&[says("Hi", "Hello.")]);
    let healthy = played.app.alm(&["doctor"]);
    assert!(healthy.stdout.contains("plays 1 exchange of tour.jsonl"), "{healthy:?}");
    let mut small = says("Hi", "Hello.");
    small["model"] = "small".into();
    played.write(&[says("Hi", "Hello."), small]);
    let more = played.app.alm(&["doctor"]);
    assert!(more.stdout.contains("plays 2 exchanges of tour.jsonl; new in it: small"), "{more:?}");
    fs::remove_file(&played.file).unwrap();
    let gone = played.app.alm(&["doctor"]);
    assert!(gone.stdout.contains("tour.jsonl: No such file"), "{gone:?}");
    assert_eq!(gone.code, 1);
}

#[test]
fn a_model_that_is_new_in_a_file_is_offered_when_it_is_asked_for_and_once_models_are_listed() {
    let played = Played::of(&[says(BERN, "Rain.")]);
    let of = |model: &str, text: &str| {
        let mut line = says(BERN, text);
        line["model"] = model.into();
        line
    };
    let known = says(BERN, "Rain.");
    played.write(&[known.clone(), of("asked", "Snow."), of("given", "Hail.")]);
    assert_eq!(played.acme.ask("replay/asked", BERN).text(), "Snow.");
    let given = json!({ "model": "replay/given", "messages": [user(BERN)] });
    assert_eq!(played.acme.post("/v1/chat/completions", given).json()["choices"][0]["message"]["content"], "Hail.");
    let none = json!({ "model": "replay/none", "messages": [user(BERN)] });
    assert_eq!(played.acme.post("/chat", none).invalid(), ["model"]);
    played.write(&[known, of("listed", "Fog.")]);
    until("the new model to be listed", || {
        let models = played.acme.get("/models").ok(200).to_string();
        models.contains("replay/listed").then_some(())
    });
}

#[test]
fn the_api_lists_a_cassette_by_its_name_and_makes_and_moves_none() {
    let played = Played::of(&[says("Hi", "Hello.")]);
    let owner = played.app.browser("acme");
    let listed = &owner.get("/providers").ok(200)["items"][0];
    let expected = json!({ "file": "tour.jsonl", "speed": 0.0, "match": "nearest", "realTools": false });
    assert_eq!(
        (&listed["kind"], &listed["baseUrl"], &listed["cassette"]),
        (&json!("cassette"), &Value::Null, &expected)
    );
    assert_eq!((&listed["local"], &listed["models"][0]["id"]), (&json!(true), &json!("gpt")));
    let new = json!({ "slug": "other", "kind": "cassette", "baseUrl": "/etc/passwd" });
    let refused = owner.post("/providers", new).fails(403, "FORBIDDEN");
    assert_eq!(refused["message"], json!("a cassette is added on the machine: alm providers add --cassette FILE"));
    for change in
        [json!({ "baseUrl": "http://127.0.0.1:1/v1" }), json!({ "apiKey": "sk-1" }), json!({ "headers": { "a": "b" } })]
    {
        owner.patch("/providers/replay", change).fails(409, "CONFLICT");
    }
    let priced = json!({ "models": [{ "id": "gpt", "pricing": { "inputPerMillion": "1", "outputPerMillion": "2" } }] });
    owner.patch("/providers/replay", priced).ok(200);
    let tested = owner.post("/providers/replay/test", json!({})).ok(200);
    assert_eq!((&tested["models"], &tested["model"]), (&json!(["gpt"]), &json!("gpt")));
    let mut small = says("Hi", "Hello.");
    small["model"] = "small".into();
    played.write(&[says("Hi", "Hello."), small]);
    let refreshed = owner.post("/providers/replay/refresh", json!({})).ok(200);
    let models: Vec<_> = refreshed["models"].as_array().unwrap().iter().map(|model| model["id"].clone()).collect();
    assert_eq!(models, ["gpt", "small"]);
    let prices = &refreshed["models"][0]["pricing"];
    assert_eq!(prices["outputPerMillion"], json!("2"), "{refreshed}");
    let folder = played.app.folder().to_str().unwrap();
    for path in ["/providers", "/providers/replay", "/models"] {
        let text = played.acme.get(path).ok(200).to_string();
        assert!(!text.contains(folder) && text.contains("replay"), "{text}");
    }
    fs::remove_file(&played.file).unwrap();
    let gone = owner.post("/providers/replay/test", json!({})).fails(502, "MODEL_UNAVAILABLE");
    assert!(gone["message"].as_str().unwrap().contains("tour.jsonl"), "{gone}");
    owner.delete("/providers/replay").ok(200);
}

#[test]
fn an_export_leaves_a_cassette_out_and_says_so() {
    let played = Played::of(&[says("Hi", "Hello.")]);
    played.ask("a", "Hi");
    let file = played.app.folder().join("acme.jsonl");
    let exported = played.app.alm(&["export", "--org", &played.app.slug("acme"), file.to_str().unwrap()]);
    assert!(exported.ok().contains(", 1 cassette"), "{exported:?}");
    let text = fs::read_to_string(&file).unwrap();
    assert!(!text.contains("tour.jsonl") && !text.contains("\"gpt\""), "{text}");
    let elsewhere = App::start(&[]);
    elsewhere.alm(&["import", file.to_str().unwrap(), "--slug", "other"]).ok();
    let listed = elsewhere.alm(&["providers", "list", "--org", "other", "--json"]).json();
    assert_eq!(listed, json!([]));
}
