//! Responses: what is asked, streamed, kept, gone on from and let go.

use std::io::{BufRead, BufReader};

use serde_json::{Value, json};

use crate::support::{
    client::{Client, Reply},
    fake_model::{Answer, FakeModel, call, delta, finish, usage},
    harness::{App, until},
};

/// Answers of the model `up/free`: the first text, then the next, and so on.
pub fn asking(app: &App, texts: &'static [&'static str]) -> (Client, FakeModel) {
    let model = FakeModel::start(texts.iter().map(|text| Answer::text(text)));
    (app.org_asking("acme", &model), model)
}

#[track_caller]
pub fn create(client: &Client, body: Value) -> Value {
    let reply = client.post("/v1/responses", body);
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.json()
}

#[track_caller]
pub fn get(client: &Client, id: &Value) -> Value {
    let reply = client.get(&format!("/v1/responses/{}", id.as_str().unwrap()));
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.json()
}

#[track_caller]
pub fn refused(reply: Reply, status: u16, code: &str) -> Value {
    assert_eq!(reply.status, status, "{}", reply.text);
    let error = reply.json()["error"].take();
    assert_eq!(error["code"], code, "{}", reply.text);
    error
}

pub fn text_of(response: &Value) -> &str {
    response["output"][0]["content"][0]["text"].as_str().unwrap()
}

/// The events of a stream; each is named after its type, and they are numbered from `first`.
#[track_caller]
fn events(stream: &str, first: u64) -> Vec<Value> {
    assert!(!stream.contains("[DONE]") && !stream.contains("\nid:"), "{stream}");
    let events: Vec<Value> = stream
        .split_terminator("\n\n")
        .map(|event| {
            let (name, data) = event.split_once('\n').unwrap_or_else(|| panic!("{event}"));
            let event: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
            assert_eq!(name.strip_prefix("event: "), event["type"].as_str());
            event
        })
        .collect();
    for (number, event) in (first..).zip(&events) {
        assert_eq!(event["sequence_number"], number, "{event}");
    }
    events
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

#[test]
fn a_response_is_answered_streamed_and_read_later_as_the_same_object() {
    let app = App::shared();
    let (client, model) = asking(&app, &["Hello you.", "Hello you."]);
    let asked = json!({"model": "ala", "input": "Hi", "instructions": "Be short.", "metadata": {"a": "b"}});
    let whole = create(&client, asked.clone());
    assert_eq!(
        (text_of(&whole), &whole["status"], &whole["model"]),
        ("Hello you.", &json!("completed"), &json!("ala"))
    );
    assert_eq!((&whole["instructions"], &whole["metadata"]), (&json!("Be short."), &json!({"a": "b"})));
    assert_eq!((&whole["usage"]["input_tokens"], &whole["usage"]["output_tokens"]), (&json!(10), &json!(5)));
    assert_eq!(whole.as_object().unwrap().len(), 33);
    assert_eq!(get(&client, &whole["id"]), whole);
    let messages = model.chats()[0]["messages"].clone();
    assert!(
        messages[0]["content"].as_str().unwrap().ends_with("\n\nBe short."),
        "the agent's prompt, then the client's"
    );

    let mut asked = asked;
    asked["stream"] = json!(true);
    let reply = client.post("/v1/responses", asked);
    assert!(reply.header("content-type").unwrap().starts_with("text/event-stream"));
    let events = events(&reply.text, 0);
    let deltas: String = events.iter().filter_map(|event| event["delta"].as_str()).collect();
    assert_eq!(deltas, "Hello you.");
    assert_eq!(
        kinds(&events)[..4],
        ["response.created", "response.in_progress", "response.output_item.added", "response.content_part.added"]
    );
    let last = events.last().unwrap();
    assert_eq!(
        (last["type"].as_str(), &last["response"]),
        (Some("response.completed"), &get(&client, &last["response"]["id"]))
    );
}

#[test]
fn tokens_that_nobody_counted_are_estimated() {
    let app = App::shared();
    let model = FakeModel::start([Answer::chunks([delta(json!({"content": "Hello you there."})), finish("stop")])]);
    let client = app.org_asking("acme", &model);
    let whole = create(&client, json!({"model": "ala", "input": "Hi"}));
    let counted = |name: &str| whole["usage"][name].as_u64().unwrap();
    assert!(
        counted("output_tokens") > 0 && counted("total_tokens") == counted("input_tokens") + counted("output_tokens")
    );
    assert_eq!(get(&client, &whole["id"]), whole);
}

#[test]
fn a_chain_goes_on_in_its_session_and_a_fork_has_its_own() {
    let app = App::shared();
    let (client, model) = asking(&app, &["one", "two", "three", "four"]);
    let ask = |text: &str, previous: &Value| {
        create(&client, json!({"model": "ala", "input": text, "instructions": "I", "previous_response_id": previous}))
    };
    let first = create(&client, json!({"model": "ala", "input": "1", "instructions": "Only now."}));
    let second = ask("2", &first["id"]);
    let fork = ask("3", &first["id"]);
    assert_eq!(second["previous_response_id"], first["id"]);
    let said = |nth: usize| {
        let messages = model.chats()[nth]["messages"].as_array().unwrap().clone();
        messages[1..].iter().map(|message| message["content"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(
        (said(1), said(2)),
        (vec!["1".into(), "one".into(), "2".into()], vec!["1".into(), "one".into(), "3".to_owned()])
    );
    let system = model.chats()[1]["messages"][0]["content"].as_str().unwrap().to_owned();
    assert!(!system.contains("Only now.") && system.ends_with("\n\nI"), "instructions are not carried over");
    let list = client.get("/sessions?origin=responses").ok(200);
    assert_eq!(list["items"].as_array().unwrap().len(), 2);
    assert!(client.get("/sessions").ok(200)["items"].as_array().unwrap().is_empty());
    assert_eq!(text_of(&get(&client, &fork["id"])), "three");
}

#[test]
fn a_previous_response_that_is_not_there_is_a_404() {
    let app = App::shared();
    let (client, _model) = asking(&app, &["one"]);
    let kept = create(&client, json!({"model": "ala", "input": "1"}));
    let unkept = create(&client, json!({"model": "ala", "input": "1", "store": false}));
    let deleted = create(&client, json!({"model": "ala", "input": "1"}));
    let path = |id: &Value| format!("/v1/responses/{}", id.as_str().unwrap());
    assert_eq!(
        client.delete(&path(&deleted["id"])).json(),
        json!({"id": deleted["id"], "object": "response", "deleted": true})
    );
    refused(client.get(&path(&deleted["id"])), 404, "not_found");
    refused(client.delete(&path(&deleted["id"])), 404, "not_found");
    refused(client.get(&path(&unkept["id"])), 404, "not_found");
    for (client, id) in [
        (&client, &deleted["id"]),
        (&client, &unkept["id"]),
        (&client, &json!("resp_1")),
        (&app.org("globex"), &kept["id"]),
    ] {
        let reply = client.post("/v1/responses", json!({"model": "ala", "input": "x", "previous_response_id": id}));
        let error = refused(reply, 404, "previous_response_not_found");
        assert_eq!(error["param"], "previous_response_id");
    }
    let (other, path) = (app.org("globex"), path(&kept["id"]));
    for way in ["", "?stream=true", "/input_items"] {
        refused(other.get(&format!("{path}{way}")), 404, "not_found");
    }
    refused(other.post(&format!("{path}/cancel"), json!({})), 404, "not_found");
    refused(other.delete(&path), 404, "not_found");
    assert_eq!(get(&client, &kept["id"]), kept);
}

#[test]
fn a_clients_tool_is_called_and_its_output_goes_on_with_the_stored_call() {
    let app = App::shared();
    let model = FakeModel::start([
        Answer::chunks([
            delta(json!({"content": "I look."})),
            call(Some(0), Some("c1"), Some("weather"), "{ \"city\": "),
            call(Some(0), None, None, "\"Rome\" }"),
            finish("tool_calls"),
            usage(10, 5),
        ]),
        Answer::text("Sunny."),
    ]);
    let client = app.org_asking("acme", &model);
    let tools =
        json!([{"type": "function", "name": "weather", "parameters": {"type": "object"}}, {"type": "web_search"}]);
    let reply =
        client.post("/v1/responses", json!({"model": "ala", "input": "Weather?", "tools": tools, "stream": true}));
    let events = events(&reply.text, 0);
    let first = &events.last().unwrap()["response"];
    assert_eq!(first["status"], "completed");
    let item = &first["output"][1];
    assert_eq!(
        (&item["type"], &item["call_id"], &item["name"]),
        (&json!("function_call"), &json!("c1"), &json!("weather"))
    );
    assert_eq!(item["arguments"], "{ \"city\": \"Rome\" }", "as the model wrote them");
    assert_eq!(&get(&client, &first["id"]), first);
    let output = json!([{"type": "function_call_output", "call_id": "c1", "output": "sun"}]);
    let body = json!({"model": "ala", "input": output, "previous_response_id": first["id"], "tools": tools});
    let second = create(&client, body);
    assert_eq!(text_of(&second), "Sunny.");
    assert_eq!(get(&client, &second["id"]), second);
    let messages = model.chats()[1]["messages"].as_array().unwrap().clone();
    let roles: Vec<_> = messages.iter().map(|message| message["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "tool"]);
    let called = &messages[2]["tool_calls"][0]["id"];
    assert_eq!((&messages[3]["content"], &messages[3]["tool_call_id"]), (&json!("sun"), called));
    let items = client.get(&format!("/v1/responses/{}/input_items", second["id"].as_str().unwrap())).json();
    assert_eq!(
        (&items["data"][0]["type"], &items["data"][0]["output"]),
        (&json!("function_call_output"), &json!("sun"))
    );
    let stranger = json!([{"type": "function_call_output", "call_id": "c9", "output": "sun"}]);
    let reply = client.post("/v1/responses", json!({"model": "ala", "input": stranger}));
    assert_eq!(refused(reply, 400, "invalid_value")["param"], "input[0].call_id");
}

#[test]
fn items_of_earlier_responses_can_be_named() {
    let app = App::shared();
    let (client, model) = asking(&app, &["Hello you.", "Again."]);
    let first = create(&client, json!({"model": "ala", "input": "Hi"}));
    let named = &first["output"][0]["id"];
    let input = json!([{"role": "user", "content": "Hi"}, {"type": "item_reference", "id": named}, {"role": "user", "content": "And?"}]);
    create(&client, json!({"model": "ala", "input": input}));
    let said = model.last_messages().split_off(1);
    assert_eq!(said.iter().map(|(_, text)| &**text).collect::<Vec<_>>(), ["Hi", "Hello you.", "And?"]);
    for (client, item) in [(&client, &json!("msg_0-0")), (&app.org("globex"), named)] {
        let body = json!({"model": "ala", "input": [{"type": "item_reference", "id": item}]});
        refused(client.post("/v1/responses", body), 404, "item_not_found");
    }
}

#[test]
fn input_items_are_paged() {
    let app = App::shared();
    let (client, _model) = asking(&app, &["Hello."]);
    let input = json!([
        {"role": "developer", "content": "d"},
        {"role": "user", "content": [{"type": "input_text", "text": "u"}, {"type": "input_image", "image_url": "https://x.example/y.png"}]},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{ }"},
        {"type": "function_call_output", "call_id": "c", "output": "o"},
        {"role": "user", "content": "last"},
    ]);
    let response = create(&client, json!({"model": "ala", "input": input}));
    let path = format!("/v1/responses/{}/input_items", response["id"].as_str().unwrap());
    let list = client.get(&format!("{path}?order=asc")).json();
    let kinds: Vec<_> = list["data"].as_array().unwrap().iter().map(|item| item["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["message", "message", "function_call", "function_call_output", "message"]);
    assert_eq!(list["data"][2]["arguments"], "{ }");
    let first = client.get(&format!("{path}?limit=2")).json();
    assert_eq!((&first["data"][0]["content"][0]["text"], &first["has_more"]), (&json!("last"), &json!(true)));
    let next = client.get(&format!("{path}?limit=100&after={}", first["last_id"].as_str().unwrap())).json();
    assert_eq!((next["data"].as_array().unwrap().len(), &next["has_more"]), (3, &json!(false)));
    assert_eq!(client.get(&format!("{path}?limit=0")).status, 400);
}

#[test]
fn a_response_in_the_background_is_read_followed_and_cancelled() {
    let app = App::shared();
    let slow = Answer::empty()
        .chunk(delta(json!({"content": "One"})))
        .wait()
        .chunk(delta(json!({"content": " two."})))
        .chunk(finish("stop"))
        .done();
    let model = FakeModel::start([slow]);
    let client = app.org_asking("acme", &model);
    let body = json!({"model": "ala", "input": "Hi", "background": true});
    let begun = create(&client, body.clone());
    assert_eq!((&begun["status"], &begun["background"]), (&json!("in_progress"), &json!(true)));
    let path = format!("/v1/responses/{}", begun["id"].as_str().unwrap());
    refused(client.delete(&path), 409, "response_in_progress");
    let body_after = json!({"model": "ala", "input": "x", "previous_response_id": begun["id"]});
    refused(client.post("/v1/responses", body_after), 409, "response_in_progress");
    let follow = client.attempt("GET", &format!("{path}?stream=true"), None).unwrap();
    let mut lines = BufReader::new(follow.into_body().into_reader());
    let mut heard = String::new();
    while !heard.contains("\"One\"") {
        lines.read_line(&mut heard).unwrap();
    }
    let tail = client.attempt("GET", &format!("{path}?stream=true&starting_after=1"), None).unwrap();
    model.go();
    let rest = tail.into_body().read_to_string().unwrap();
    while lines.read_line(&mut heard).unwrap() > 0 {}
    let all = events(&heard, 0);
    assert_eq!(events(&rest, 2), all[2..]);
    let ended = get(&client, &begun["id"]);
    assert_eq!((&ended["status"], text_of(&ended)), (&json!("completed"), "One two."));
    let last = client.get(&format!("{path}?stream=true&starting_after=3")).text;
    assert_eq!(
        events(&last, 4),
        [{
            let mut event = all.last().unwrap().clone();
            event["sequence_number"] = json!(4);
            event
        }]
    );
    assert_eq!(client.post(&format!("{path}/cancel"), json!({})).json(), ended, "what is over stays as it is");

    let cancelled = create(&client, body);
    let path = format!("/v1/responses/{}", cancelled["id"].as_str().unwrap());
    until("the model to be asked", || (model.chats().len() == 2).then_some(()));
    let object = client.post(&format!("{path}/cancel"), json!({})).json();
    assert_eq!(object["status"], "cancelled", "{object}");
    assert_eq!(get(&client, &cancelled["id"]), object);
}

#[test]
fn what_is_not_kept_is_nowhere() {
    let app = App::shared();
    let (client, _model) = asking(&app, &["Marmalade."]);
    let response = create(&client, json!({"model": "ala", "input": "Zanzibar", "store": false}));
    assert_eq!((text_of(&response), &response["store"]), ("Marmalade.", &json!(false)));
    let found: i64 = app
        .file()
        .query_row(
            "SELECT count(*) FROM message WHERE content LIKE '%Marmalade%' OR content LIKE '%Zanzibar%'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(found, 0);
    let stream =
        client.post("/v1/responses", json!({"model": "ala", "input": "x", "store": false, "stream": true})).text;
    assert_eq!(kinds(&events(&stream, 0)).last(), Some(&"response.completed"));
    refused(
        client.post("/v1/responses", json!({"model": "ala", "input": "x", "store": false, "background": true})),
        400,
        "invalid_value",
    );
}

#[test]
fn a_late_failure_is_told_twice_and_kept() {
    let app = App::shared();
    let model = FakeModel::start([Answer::empty().chunk(delta(json!({"content": "Half"}))).cut()]);
    let client = app.org_asking("acme", &model);
    let reply = client.post("/v1/responses", json!({"model": "ala", "input": "Hi", "stream": true}));
    let events = events(&reply.text, 0);
    let [.., error, failed] = &events[..] else { panic!("{events:?}") };
    assert_eq!((error["type"].as_str(), failed["type"].as_str()), (Some("error"), Some("response.failed")));
    let of = &failed["response"]["error"];
    assert_eq!((&error["code"], &error["message"]), (&of["code"], &of["message"]));
    assert_eq!(error["code"], "model_unavailable");
    assert_eq!(get(&client, &failed["response"]["id"]), failed["response"]);
    let early = FakeModel::start([Answer::status(500)]);
    let client = app.org_asking("globex", &early);
    refused(
        client.post("/v1/responses", json!({"model": "ala", "input": "Hi", "stream": true})),
        502,
        "model_unavailable",
    );
    assert!(client.get("/sessions?origin=responses").ok(200)["items"].as_array().unwrap().is_empty());
    let background = create(&client, json!({"model": "ala", "input": "Hi", "background": true}));
    let ended = until("the response to fail", || {
        let now = get(&client, &background["id"]);
        (now["status"] != "in_progress").then_some(now)
    });
    assert_eq!((&ended["status"], &ended["error"]["code"]), (&json!("failed"), &json!("model_unavailable")));
}

#[test]
fn what_a_crash_leaves_is_a_failed_response() {
    let app = App::start(&[]);
    let model = FakeModel::start([Answer::empty().chunk(delta(json!({"content": "Half a"}))).wait().done()]);
    let client = app.org_asking("acme", &model);
    let begun = create(&client, json!({"model": "ala", "input": "Hi", "background": true}));
    until("a checkpoint", || {
        let there: i64 = app.file().query_row("SELECT count(*) FROM turn_journal", [], |row| row.get(0)).unwrap();
        (there > 0).then_some(())
    });
    let app = app.crash();
    let after = get(&client.at(app.url()), &begun["id"]);
    assert_eq!((&after["status"], text_of(&after)), (&json!("failed"), "Half a"));
    assert_eq!(after["output"][0]["status"], "incomplete");
}
