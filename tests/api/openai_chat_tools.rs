//! Tools in chat completions: the client's, which end a reply, beside ours, which run unseen.

use serde_json::{Value, json};

use crate::{
    openai_chat::{CHAT, agent, ask, events, fails, message, said, whole},
    support::{
        client::Client,
        counting::{Counting, Says},
        fake_model::{Answer, FakeModel, call, delta, finish, usage},
        harness::{App, user},
        tools::{OPERATOR, declare},
    },
};

fn function(name: &str) -> Value {
    json!({ "type": "function", "function": { "name": name, "description": "Does it.", "parameters": { "type": "object" }, "strict": true } })
}

/// The names that a request offered to the model.
fn offered(chat: &Value) -> Vec<String> {
    let tools = chat["tools"].as_array().cloned().unwrap_or_default();
    tools.iter().map(|tool| tool["function"]["name"].as_str().unwrap().to_owned()).collect()
}

/// Two calls in one step, the first of them in two pieces.
fn two_calls(first: &str, second: &str, end: &str) -> Answer {
    Answer::chunks([
        delta(json!({ "content": "I look. " })),
        call(Some(0), Some("t0"), Some(first), "{\"city\":"),
        call(Some(0), None, None, "\"Paris\"}"),
        call(Some(1), Some("t1"), Some(second), "{}"),
        finish(end),
        usage(10, 5),
    ])
}

fn outputs(calls: &[&str]) -> Vec<Value> {
    calls.iter().map(|id| json!({ "role": "tool", "tool_call_id": id, "content": "20 degrees" })).collect()
}

#[test]
fn a_clients_tools_go_round_streamed_and_not() {
    let (app, model) = (
        App::shared(),
        FakeModel::deciding(|_, asked| match asked.json["messages"].to_string().contains("20 degrees") {
            true => Answer::text("It is warm."),
            // The word is the wrong one: some servers say so of a reply with calls.
            false => two_calls("weather", "now", "stop"),
        }),
    );
    let client = app.org_asking("acme", &model);
    let tools = json!([function("weather"), function("now")]);
    let first = whole(&ask(&client, "ala", json!({ "tools": tools })));
    assert_eq!(first["choices"][0]["finish_reason"], "tool_calls");
    let spoken = first["choices"][0]["message"].clone();
    let expected = json!([
        { "id": "t0", "type": "function", "function": { "name": "weather", "arguments": "{\"city\":\"Paris\"}" } },
        { "id": "t1", "type": "function", "function": { "name": "now", "arguments": "{}" } },
    ]);
    assert_eq!(spoken["tool_calls"], expected);
    let events = events(&ask(&client, "ala", json!({ "tools": tools, "stream": true })));
    let pieces: Vec<_> = events
        .iter()
        .map(|event| &event["choices"][0]["delta"]["tool_calls"][0])
        .filter(|call| call.is_object())
        .collect();
    assert!(pieces.iter().all(|call| call["index"].is_u64() && call["function"]["arguments"].is_string()));
    for (index, id, arguments) in [(0, "t0", "{\"city\":\"Paris\"}"), (1, "t1", "{}")] {
        let own: Vec<_> = pieces.iter().filter(|call| call["index"] == index).collect();
        assert_eq!((&own[0]["id"], own.iter().filter(|call| call.get("id").is_some()).count()), (&json!(id), 1));
        assert_eq!(
            own.iter().map(|call| call["function"]["arguments"].as_str().unwrap()).collect::<String>(),
            arguments
        );
    }
    let messages: Vec<_> = [user("Hello"), spoken].into_iter().chain(outputs(&["t0", "t1"])).collect();
    assert_eq!(
        message(&ask(&client, "ala", json!({ "tools": tools, "messages": messages })))["content"],
        "It is warm."
    );
    let sent = model.chats().pop().unwrap();
    assert_eq!(
        sent["tools"][0]["function"],
        json!({ "name": "weather", "description": "Does it.", "parameters": { "type": "object" } })
    );
    let roles: Vec<_> = model.last_messages().into_iter().map(|(role, _)| role).collect();
    assert_eq!(roles[roles.len() - 4..], ["user", "assistant", "tool", "tool"]);
}

#[test]
fn a_call_that_nothing_answers_is_left_out_and_an_output_needs_its_call() {
    let (app, model) = (App::shared(), FakeModel::saying("Fine."));
    let client = app.org_asking("acme", &model);
    let calls = json!([{ "id": "a", "type": "function", "function": { "name": "f", "arguments": "{}" } },
        { "id": "b", "type": "function", "function": { "name": "f", "arguments": "{}" } }]);
    let messages: Vec<_> = [user("Hello"), json!({ "role": "assistant", "content": null, "tool_calls": calls })]
        .into_iter()
        .chain(outputs(&["b"]))
        .chain([user("?")])
        .collect();
    whole(&ask(&client, "up/free", json!({ "messages": messages, "tools": [function("f")] })));
    assert_eq!(model.chats().pop().unwrap()["messages"][1]["tool_calls"].as_array().unwrap().len(), 1);
    let orphan: Vec<_> = [user("Hello")].into_iter().chain(outputs(&["x"])).collect();
    assert_eq!(
        fails(&ask(&client, "up/free", json!({ "messages": orphan })), 400, "invalid_value")["param"],
        "messages[1].tool_call_id"
    );
}

#[test]
fn our_tools_run_unseen_and_the_texts_of_the_steps_join_with_a_blank_line() {
    let script = || [two_calls("current_time", "current_time", "tool_calls"), Answer::text("It is noon.")];
    let (app, model) = (App::shared(), FakeModel::start(script().into_iter().chain(script())));
    let client = app.org_asking("acme", &model);
    let object = whole(&ask(&client, "ala", json!({})));
    let spoken = &object["choices"][0]["message"];
    assert_eq!(
        (&spoken["content"], &object["choices"][0]["finish_reason"]),
        (&json!("I look. \n\nIt is noon."), &json!("stop"))
    );
    assert!(spoken.get("tool_calls").is_none());
    assert_eq!(object["usage"]["total_tokens"], 30, "of both steps");
    let events = events(&ask(&client, "ala", json!({ "stream": true })));
    assert_eq!(said(&events, "content"), "I look. \n\nIt is noon.");
    assert!(events.iter().all(|event| event["choices"][0]["delta"].get("tool_calls").is_none()));
}

#[test]
fn a_step_that_calls_both_ends_with_the_clients_call_and_runs_none_of_ours() {
    let api = Counting::start(|_, _| Says::json("{}"));
    let (app, model) = (App::start(&[]), FakeModel::start([two_calls("create_ticket", "weather", "tool_calls")]));
    let client = app.org_asking("acme", &model);
    declare(&app, OPERATOR, "POST", &api.url("/tickets"), json!({}));
    let object = whole(&ask(&client, "ala", json!({ "tools": [function("weather")] })));
    let calls = object["choices"][0]["message"]["tool_calls"].as_array().unwrap().clone();
    assert_eq!((calls.len(), &calls[0]["function"]["name"]), (1, &json!("weather")));
    assert_eq!(object["choices"][0]["finish_reason"], "tool_calls");
    assert!(api.came().is_empty());
    assert_eq!(offered(&model.chats()[0])[0], "weather");
    assert!(offered(&model.chats()[0]).contains(&"create_ticket".to_owned()));
}

#[test]
fn of_two_tools_of_one_name_the_clients_stands() {
    let (app, model) = (App::shared(), FakeModel::start([Answer::call("t", "current_time", "{\"mine\": true}")]));
    let client = app.org_asking("acme", &model);
    let calls = message(&ask(&client, "ala", json!({ "tools": [function("current_time")] })))["tool_calls"].clone();
    assert_eq!(calls[0]["function"], json!({ "name": "current_time", "arguments": "{\"mine\": true}" }));
    let names = offered(&model.chats()[0]);
    assert_eq!(names.iter().filter(|name| *name == "current_time").count(), 1);
    assert_eq!(model.chats()[0]["tools"][0]["function"]["description"], "Does it.");
}

#[test]
fn a_choice_binds_the_first_step_and_the_second_is_free() {
    let (app, model) = (
        App::shared(),
        FakeModel::deciding(|_, asked| {
            match asked.json["messages"].as_array().unwrap().last().unwrap()["role"] == "user" {
                true => Answer::call("t", "current_time", "{}"),
                false => Answer::text("Noon."),
            }
        }),
    );
    let client = app.org_asking("acme", &model);
    let ask = |choice: Value| {
        whole(&ask(&client, "ala", json!({ "tools": [function("a"), function("b")], "tool_choice": choice })))
    };
    ask(json!("none"));
    let chats = model.chats();
    assert!(chats[0].get("tools").is_none() && chats[0].get("tool_choice").is_none());
    let named = json!({ "type": "function", "function": { "name": "b" } });
    for (choice, sent, names) in [
        (json!("required"), json!("required"), vec!["a", "b"]),
        (named.clone(), named, vec!["a", "b"]),
        (
            json!({ "type": "allowed_tools", "allowed_tools": { "mode": "required", "tools": [function("b")] } }),
            json!("required"),
            vec!["b"],
        ),
    ] {
        let before = model.chats().len();
        ask(choice);
        let chats = model.chats();
        assert_eq!(
            (&chats[before]["tool_choice"], offered(&chats[before])),
            (&sent, names.iter().map(|name| (*name).to_owned()).collect())
        );
        // The model called one of ours that was not offered: it is the client's to say no.
        assert_eq!(chats.len(), before + 1);
    }
    // A step of ours first, then a free one.
    let before = model.chats().len();
    ask(json!("auto"));
    let chats = model.chats();
    assert_eq!(chats.len(), before + 2);
    assert!(
        offered(&chats[before]).len() > 2 && chats[before + 1].get("tool_choice").is_none_or(|choice| choice == "auto")
    );
}

#[test]
fn a_name_that_nobody_offered_is_the_clients_if_it_has_tools_and_told_to_the_model_if_not() {
    let (app, model) = (
        App::shared(),
        FakeModel::deciding(|_, asked| {
            match asked.json["messages"].as_array().unwrap().last().unwrap()["role"] == "user" {
                true => Answer::call("t", "fly", "not json"),
                false => Answer::text("I cannot."),
            }
        }),
    );
    let client = app.org_asking("acme", &model);
    let calls = message(&ask(&client, "ala", json!({ "tools": [function("a")] })))["tool_calls"].clone();
    assert_eq!(calls[0]["function"], json!({ "name": "fly", "arguments": "not json" }));
    let spoken = message(&ask(&client, "ala", json!({})));
    assert_eq!((&spoken["content"], spoken.get("tool_calls")), (&json!("I cannot."), None));
}

#[test]
fn other_kinds_of_tools_are_left_out_and_named() {
    let (app, model) = (App::shared(), FakeModel::saying("Fine."));
    let client = app.org_asking("acme", &model);
    let reply = ask(&client, "up/free", json!({ "tools": [{ "type": "web_search" }, function("a")] }));
    assert_eq!((reply.status, reply.header("x-alm-ignored")), (200, Some("tools[0]")));
    assert_eq!(offered(&model.chats()[0]), ["a"]);
    let none = json!({ "tools": [{ "type": "web_search" }], "tool_choice": "required" });
    assert_eq!(fails(&ask(&client, "up/free", none), 400, "invalid_value")["param"], "tool_choice");
}

#[test]
fn a_reply_that_says_it_called_and_did_not_has_stopped() {
    let words = Answer::chunks([delta(json!({ "content": "Done." })), finish("tool_calls"), usage(10, 5)]);
    let (app, model) = (App::shared(), FakeModel::start([words]));
    let client = app.org_asking("acme", &model);
    assert_eq!(whole(&ask(&client, "up/free", json!({})))["choices"][0]["finish_reason"], "stop");
}

#[test]
fn a_tool_that_asks_is_not_offered_and_is_named() {
    let (app, model) = (App::start(&[]), FakeModel::saying("Fine."));
    let client = app.org_asking("acme", &model);
    declare(&app, OPERATOR, "POST", "https://example.com/", json!({ "approval": "ask" }));
    let reply = ask(&client, "ala", json!({}));
    assert_eq!((reply.status, reply.header("x-alm-ignored")), (200, Some("agent.create_ticket")));
    assert!(!offered(&model.chats()[0]).contains(&"create_ticket".to_owned()));
    let chat = client.ask("up/free", "Hello");
    assert_eq!(chat.finish_reason(), "stop");
    assert!(offered(&model.chats()[1]).contains(&"create_ticket".to_owned()), "where somebody can be asked it is");
}

#[test]
fn a_clients_tools_are_never_left_out_and_ours_make_room() {
    let (app, model) = (App::shared(), FakeModel::saying("Fine."));
    let client = app.org_asking("acme", &model);
    let large: Vec<_> = (0..100)
        .map(|n| json!({ "type": "function", "function": { "name": format!("t{n}"), "description": "x".repeat(4_096) } }))
        .collect();
    whole(&ask(&client, "ala", json!({ "tools": large })));
    let names = offered(&model.chats()[0]);
    assert!(names.len() == 100 && names.iter().all(|name| name.starts_with('t')), "{names:?}");
}

/// What `demo/ala` says of a request.
fn demo(client: &Client, more: Value) -> Value {
    let mut body = json!({ "model": "demo/ala", "messages": [user("Hello")] });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    message(&client.post(CHAT, body))
}

#[test]
fn the_built_in_model_calls_a_tool_and_fills_a_schema_on_demand() {
    let app = App::shared();
    let client = app.org("acme");
    let schema =
        json!({ "type": "object", "properties": { "n": { "type": "integer", "minimum": 2 } }, "required": ["n"] });
    let tool = json!({ "type": "function", "function": { "name": "count", "parameters": schema } });
    let calls = |more: Value| demo(&client, more)["tool_calls"][0]["function"].clone();
    let expected = json!({ "name": "count", "arguments": "{\"n\":2}" });
    let choice = json!({ "type": "function", "function": { "name": "count" } });
    assert_eq!(calls(json!({ "tools": [tool], "tool_choice": "required" })), expected);
    assert_eq!(calls(json!({ "tools": [tool], "tool_choice": choice })), expected);
    let asked = json!({ "tools": [tool], "messages": [user("call count")] });
    assert_eq!(calls(asked.clone()), expected);
    let called = demo(&client, asked);
    let output = json!({ "role": "tool", "tool_call_id": called["tool_calls"][0]["id"], "content": "two" });
    let answered = demo(&client, json!({ "tools": [tool], "messages": [user("call count"), called, output] }));
    assert!(answered["content"].as_str().unwrap().contains("two"));
    let format = json!({ "type": "json_schema", "json_schema": { "name": "n", "schema": schema, "strict": true } });
    assert_eq!(demo(&client, json!({ "response_format": format }))["content"], "{\"n\":2}");
    assert_eq!(demo(&client, json!({ "response_format": { "type": "json_object" } }))["content"], "{}");
    agent(&client, "counts", "demo/ala", json!({}));
    assert_eq!(
        message(&ask(&client, "counts", json!({ "tools": [tool], "tool_choice": "required" })))["tool_calls"][0]["function"],
        expected
    );
}
