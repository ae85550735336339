//! Tools: what a model may do besides talk, and what comes of it when it does it badly.

use serde_json::{Value, json};

use crate::support::{
    client::{Client, Stream},
    fake_model::{Answer, FakeModel, call, delta, finish},
    harness::{App, user},
};

/// What a model heard back of its tools, before it said `done`.
struct Told {
    stream: Stream,
    /// The messages of the second request that follow the question.
    answers: Vec<Value>,
    stored: Value,
}

/// A turn in which the model first gives this answer and then says `done`.
fn after(first: Answer) -> Told {
    let (app, model) = (App::shared(), FakeModel::start([first, Answer::text("done")]));
    let acme = app.org_asking("acme", &model);
    let stream = acme.chat(json!({ "id": "c", "model": "up/free", "messages": [user("Go")] }));
    let stored = acme.messages("c").pop().unwrap();
    let sent = model.asked().pop().unwrap().json["messages"].as_array().unwrap().clone();
    let question = sent.iter().position(|message| message["role"] == "user").unwrap();
    Told { stream, answers: sent[question + 1..].to_vec(), stored }
}

/// The calls of a stream: id, name, and what came of it.
fn outcomes(stream: &Stream) -> Vec<(String, &str)> {
    let ends = ["tool-output-available", "tool-output-error"];
    let ended = stream.chunks.iter().filter(|chunk| ends.iter().any(|end| chunk["type"] == *end));
    ended.map(|chunk| (chunk["toolCallId"].as_str().unwrap().to_owned(), chunk["type"].as_str().unwrap())).collect()
}

#[test]
fn a_tool_is_run_between_two_calls_of_the_model() {
    let told = after(Answer::call("t1", "current_time", r#"{"utcOffsetMinutes":60}"#));
    assert_eq!((&*told.stream.text(), told.stream.finish_reason()), ("done", "stop"));
    let mut types = told.stream.types();
    types.dedup();
    let mut expected = vec!["start", "start-step", "tool-input-start", "tool-input-delta", "tool-input-available"];
    expected.extend(["tool-output-available", "finish-step", "start-step", "text-start", "text-delta", "text-end"]);
    expected.extend(["finish-step", "finish"]);
    assert_eq!(types, expected);
    assert_eq!(told.stream.one("tool-input-available")["input"], json!({ "utcOffsetMinutes": 60 }));
    let output = &told.stream.one("tool-output-available")["output"];
    assert_eq!(output["zone"], json!("UTC+01:00"));
    let [called, result] = &told.answers[..] else { panic!("{:?}", told.answers) };
    assert_eq!(called["tool_calls"][0]["id"], result["tool_call_id"]);
    assert_eq!(serde_json::from_str::<Value>(result["content"].as_str().unwrap()).unwrap(), *output);
    let parts = told.stored["parts"].as_array().unwrap();
    let kinds: Vec<_> = parts.iter().map(|part| part["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["step-start", "tool-current_time", "step-start", "text"]);
    assert_eq!((&parts[1]["state"], &parts[1]["output"]), (&json!("output-available"), output));
    let usage = &told.stored["metadata"]["usage"];
    assert_eq!((&usage["inputTokens"], &usage["outputTokens"]), (&json!(20), &json!(10)), "of all steps");
}

#[test]
fn a_conversation_with_tools_is_sent_whole_in_the_next_turn() {
    let script = [Answer::call("t1", "current_time", "{}"), Answer::text("noon"), Answer::text("later")];
    let (app, model) = (App::shared(), FakeModel::start(script));
    let acme = app.org_asking("acme", &model);
    acme.chat(json!({ "id": "c", "model": "up/free", "messages": [user("When?")] }));
    acme.chat(json!({ "id": "c", "model": "up/free", "messages": [user("And?")] }));
    let roles: Vec<_> = model.last_messages().into_iter().map(|(role, _)| role).collect();
    assert_eq!(roles, ["system", "user", "assistant", "tool", "assistant", "user"]);
}

#[test]
fn a_call_that_cannot_run_is_answered_with_a_sentence_and_the_turn_goes_on() {
    for (name, arguments, word) in [
        ("search_history", "{\"query\": \"x", "JSON"),
        ("search_history", "{}", "query"),
        ("search_history", "[]", "search_history"),
        ("fly", "{}", "fly"),
        ("current_time", "{\"utcOffsetMinutes\":\"x\"}", "current_time"),
    ] {
        let told = after(Answer::call("t1", name, arguments));
        let wrong = told.stream.one("tool-input-error");
        assert!(wrong["errorText"].as_str().unwrap().contains(word), "{wrong}");
        assert_eq!(outcomes(&told.stream), [("t1".into(), "tool-output-error")]);
        assert_eq!((&*told.stream.text(), told.stream.finish_reason()), ("done", "stop"));
        assert!(told.answers[1]["content"].as_str().unwrap().contains(word), "{:?}", told.answers);
        let part = &told.stored["parts"][1];
        assert_eq!((&part["state"], part.get("output")), (&json!("output-error"), None));
    }
    let late = after(Answer::call("t1", "current_time", r#"{"utcOffsetMinutes":9999}"#));
    assert_eq!(late.stream.all("tool-input-error").len(), 0, "the arguments are fine, the tool is not");
    assert_eq!(outcomes(&late.stream), [("t1".into(), "tool-output-error")]);
}

#[test]
fn calls_are_put_together_however_they_come() {
    let fragments = |names: bool| {
        let name = |at: usize| (names || at == 0).then_some("current_time");
        [
            call(Some(0), Some("t1"), name(0), ""),
            call(Some(0), None, name(1), "{\"utc"),
            call(Some(0), None, name(2), "OffsetMinutes\":0}"),
        ]
    };
    let whole = |index, id, arguments| call(index, id, Some("current_time"), arguments);
    for (case, chunks, ids) in [
        ("fragments", fragments(false).to_vec(), vec!["t1"]),
        ("a name in every fragment", fragments(true).to_vec(), vec!["t1"]),
        ("parallel", vec![whole(Some(0), Some("a"), "{}"), whole(Some(1), Some("b"), "{}")], vec!["a", "b"]),
        ("no index", vec![whole(None, Some("a"), "{}"), whole(None, Some("b"), "{}")], vec!["a", "b"]),
        ("a reused index", vec![whole(Some(0), Some("a"), "{}"), whole(Some(0), Some("b"), "{}")], vec!["a", "b"]),
        ("an index from one", vec![whole(Some(1), Some("a"), "{}")], vec!["a"]),
        ("no arguments", vec![whole(Some(0), Some("a"), "")], vec!["a"]),
        (
            "fragments in turns",
            vec![
                whole(Some(0), Some("a"), "{"),
                whole(Some(1), Some("b"), "{"),
                call(Some(0), None, None, "}"),
                call(Some(1), None, None, "}"),
            ],
            vec!["a", "b"],
        ),
    ] {
        let told = after(Answer::chunks(chunks.into_iter().chain([finish("tool_calls")])));
        let expected: Vec<_> = ids.iter().map(|id| ((*id).to_owned(), "tool-output-available")).collect();
        assert_eq!(outcomes(&told.stream), expected, "{case}");
    }
}

#[test]
fn calls_without_ids_get_some_and_equal_ids_are_told_apart() {
    let nameless = call(None, None, Some("current_time"), "{}");
    let told = after(Answer::chunks([nameless, finish("stop")]));
    let ids = outcomes(&told.stream);
    assert!(ids.len() == 1 && !ids[0].0.is_empty(), "a server may say stop with a call, and it is run");
    let script =
        [Answer::call("t", "current_time", "{}"), Answer::call("t", "current_time", "{}"), Answer::text("done")];
    let (app, model) = (App::shared(), FakeModel::start(script));
    let stream = app.org_asking("acme", &model).ask("up/free", "Go");
    let ids = outcomes(&stream);
    assert!(ids.len() == 2 && ids[0].0 != ids[1].0, "{ids:?}");
    let started: Vec<_> = stream.all("tool-input-start").iter().map(|chunk| chunk["toolCallId"].clone()).collect();
    assert_eq!(started, [json!(ids[0].0), json!(ids[1].0)]);
}

#[test]
fn a_call_of_a_reply_that_was_cut_short_is_not_run() {
    for reason in ["length", "content_filter"] {
        let chunks = [call(Some(0), Some("t1"), Some("current_time"), "{}"), finish(reason)];
        let (app, model) = (App::shared(), FakeModel::start([Answer::chunks(chunks), Answer::text("done")]));
        let stream = app.org_asking("acme", &model).ask("up/free", "Go");
        assert_eq!(outcomes(&stream), [("t1".into(), "tool-output-error")], "{reason}");
        assert_eq!(model.asked().len(), 1);
    }
}

#[test]
fn a_turn_that_is_out_of_steps_ends_in_words() {
    let (app, model) = (App::shared(), FakeModel::start([Answer::call("t1", "current_time", "{}")]));
    let acme = app.org_asking("acme", &model);
    acme.post("/agents", json!({ "name": "Bea", "settings": { "maxSteps": 3 } })).ok(201);
    let stream = acme.chat(json!({ "agentId": "bea", "model": "up/free", "messages": [user("Go")] }));
    assert_eq!((model.asked().len(), stream.finish_reason()), (3, "length"));
    assert_eq!(outcomes(&stream).len(), 3);
    let last_step = stream.types().iter().rposition(|kind| *kind == "start-step").unwrap();
    assert!(stream.types()[last_step..].contains(&"text-delta"), "or a client that resubmits would ask for ever");
}

#[test]
fn a_model_is_offered_the_tools_its_agent_may_use_and_no_other() {
    let (app, model) = (
        App::shared(),
        FakeModel::start([Answer::call("t1", "search_history", r#"{"query":"x"}"#), Answer::text("done")]),
    );
    let acme = app.org_asking("acme", &model);
    let offered = |at: usize| -> Vec<String> {
        let tools = model.asked()[at].json["tools"].clone();
        let names =
            tools.as_array().into_iter().flatten().map(|tool| tool["function"]["name"].as_str().unwrap().into());
        names.collect()
    };
    acme.post("/agents", json!({ "name": "Clock", "allowedTools": ["current_time"] })).ok(201);
    acme.post("/agents", json!({ "name": "Bare", "allowedTools": [] })).ok(201);
    let ask = |agent: &str| acme.chat(json!({ "agentId": agent, "model": "up/free", "messages": [user("Go")] }));
    let stream = ask("clock");
    assert_eq!(offered(0), ["current_time"]);
    assert!(stream.one("tool-output-error")["errorText"].as_str().unwrap().contains("search_history"));
    ask("bare");
    assert_eq!(offered(2), Vec::<String>::new());
    ask("ala");
    assert_eq!(offered(3), ["current_time", "search_history"]);
}

#[test]
fn a_search_finds_what_ones_own_organization_said_elsewhere_and_nothing_else() {
    let search = Answer::call("t1", "search_history", r#"{"query":"heliotrope"}"#);
    let (app, model) = (App::shared(), FakeModel::start([search, Answer::text("done")]));
    let acme = app.org_asking("acme", &model);
    let say = |client: &Client, label: &str| {
        let session = client.post("/sessions", json!({ "label": label })).ok(201)["id"].as_str().unwrap().to_owned();
        client.post(&format!("/sessions/{session}/messages"), user(&format!("{label} likes heliotrope"))).ok(201);
        session
    };
    let ours = say(&acme, "Ours");
    let deleted = say(&acme, "Deleted");
    acme.delete(&format!("/sessions/{deleted}")).ok(200);
    say(&app.org("globex"), "Theirs");
    let stream = acme.chat(json!({ "model": "up/free", "messages": [user("Who likes heliotrope?")] }));
    let hits = stream.one("tool-output-available")["output"]["hits"].clone();
    let found: Vec<_> = hits.as_array().unwrap().iter().map(|hit| hit["sessionId"].as_str().unwrap()).collect();
    assert_eq!(found, [&*ours], "{hits}");
    assert_eq!((&hits[0]["session"], &hits[0]["role"]), (&json!("Ours"), &json!("user")));
}

#[test]
fn what_a_tool_or_a_model_brings_cannot_touch_a_clients_prototypes() {
    let arguments = r#"{"__proto__":{"polluted":1},"constructor":{"prototype":{}},"utcOffsetMinutes":0}"#;
    let told = after(Answer::chunks([
        delta(json!({ "content": "x" })),
        call(Some(0), Some("t1"), Some("current_time"), arguments),
        finish("tool_calls"),
    ]));
    let input = told
        .stream
        .chunks
        .iter()
        .find(|chunk| chunk["type"].as_str().unwrap().starts_with("tool-input-") && chunk.get("input").is_some());
    let text = input.unwrap()["input"].to_string();
    assert!(!text.contains("__proto__") && !text.contains("prototype"), "{text}");
    assert!(!told.stored["parts"].to_string().contains("__proto__"));
}
