//! What a model's server is sent of a request of OpenAI's API, and what is left out once it refuses it.

use serde_json::{Value, json};

use crate::{
    openai_chat::{ask, fails, message},
    openai_responses::{create, refused, text_of},
    support::{
        fake_model::{Answer, FakeModel, call, finish},
        harness::{App, ModelSpec, user},
    },
};

/// A server that refuses requests which have this field.
fn refusing(field: &'static str) -> FakeModel {
    FakeModel::deciding(move |_, asked| match asked.json.get(field) {
        Some(_) => Answer::json(400, &json!({ "error": { "message": format!("unknown field: {field}") } })),
        None => Answer::text("Fine."),
    })
}

#[test]
fn a_conversation_that_its_client_keeps_is_shortened_where_it_says_auto_and_only_there() {
    let app = App::shared();
    let upstream = FakeModel::saying("Fine.");
    app.provider("acme", &upstream.base_url(), &[ModelSpec { context_window: Some(1_000), ..ModelSpec::FREE }]);
    let client = app.org("acme");
    let item = |role: &str, n: usize| json!({ "role": role, "content": format!("{n} {}", "word ".repeat(300)) });
    let turns: Vec<_> = (0..4).flat_map(|n| [item("user", n), item("assistant", n)]).collect();
    let input: Vec<_> = turns.into_iter().chain([json!({ "role": "user", "content": "And now?" })]).collect();
    let sent = |truncation: &str| {
        let body = json!({ "model": "up/free", "input": input, "instructions": "Be brief.", "store": false, "truncation": truncation });
        let response = create(&client, body);
        assert_eq!((text_of(&response), &response["truncation"]), ("Fine.", &json!(truncation)));
        upstream.chats().pop().unwrap()["messages"].as_array().unwrap().clone()
    };
    let (whole, less) = (sent("disabled"), sent("auto"));
    assert_eq!(whole.len(), 1 + 9);
    assert!(less.len() < whole.len() && less.len() % 2 == 0, "{less:?}");
    assert_eq!((&less[0], less.last()), (&whole[0], whole.last()));
    assert_eq!(less[1]["role"], "user", "whole turns go");
}

#[test]
fn an_unknown_field_that_a_server_refuses_is_left_out_and_named() {
    let (app, upstream) = (App::shared(), refusing("mirostat"));
    let client = app.org_asking("acme", &upstream);
    let more = json!({ "mirostat": 2, "top_k": 5 });
    for n in 1..=2 {
        let reply = ask(&client, "up/free", more.clone());
        assert_eq!(
            (message(&reply)["content"].as_str(), reply.header("x-alm-ignored")),
            (Some("Fine."), Some("mirostat"))
        );
        let sent = upstream.chats();
        assert_eq!((sent.len(), &sent[2 * n - 1]["top_k"]), (2 * n, &json!(5)), "nothing is learned of it");
    }
    // What gives the reply its shape is not left out.
    let upstream = refusing("guided_json");
    let client = app.org_asking("globex", &upstream);
    fails(&ask(&client, "up/free", json!({ "guided_json": {} })), 400, "upstream_refused");
    assert_eq!(upstream.asked().len(), 1);
}

#[test]
fn how_closely_an_image_is_looked_at_is_passed_on() {
    let app = App::shared();
    let upstream = FakeModel::deciding(|_, _| Answer::text("A cat."));
    let client = app.org_asking("acme", &upstream);
    let sent = || upstream.chats().pop().unwrap()["messages"].to_string();
    let url = "data:image/png;base64,AA==";
    for (detail, expected) in
        [(json!("low"), "\"detail\":\"low\""), (Value::Null, "\"url\":\"data:image/png;base64,AA==\"}")]
    {
        let part = json!({ "type": "image_url", "image_url": { "url": url, "detail": detail } });
        let messages = json!([{ "role": "user", "content": [part] }]);
        for more in [json!({ "messages": messages }), json!({ "messages": messages, "store": true })] {
            assert_eq!(message(&ask(&client, "ala", more))["content"], "A cat.");
            assert!(sent().contains(expected), "{}", sent());
        }
        let part = json!({ "type": "input_image", "image_url": url, "detail": detail });
        let input = json!([{ "role": "user", "content": [part] }]);
        for store in [true, false] {
            let response = create(&client, json!({ "model": "ala", "input": input, "store": store }));
            assert!(sent().contains(expected), "{}", sent());
            if store {
                let path = format!("/v1/responses/{}/input_items", response["id"].as_str().unwrap());
                let said = detail.as_str().unwrap_or("auto");
                assert_eq!(client.get(&path).json()["data"][0]["content"][0]["detail"], said);
            }
        }
    }
}

#[test]
fn a_response_that_is_not_kept_goes_on_from_one_that_is() {
    let app = App::shared();
    let upstream = FakeModel::deciding(|nth, _| Answer::text(["one", "two", "three", "four", "five"][nth]));
    let client = app.org_asking("acme", &upstream);
    let first = create(&client, json!({ "model": "ala", "input": "1", "instructions": "old" }));
    let second = create(&client, json!({ "model": "ala", "input": "2", "previous_response_id": first["id"] }));
    let texts = |nth: usize| -> Vec<Value> {
        let messages = upstream.chats()[nth]["messages"].clone();
        messages.as_array().unwrap()[1..].iter().map(|message| message["content"].clone()).collect()
    };
    // From its end, and from the middle.
    for (nth, previous, expected) in
        [(2, &second, vec!["1", "one", "2", "two", "3"]), (3, &first, vec!["1", "one", "3"])]
    {
        let body = json!({ "model": "ala", "input": "3", "previous_response_id": previous["id"], "store": false,
            "instructions": "new" });
        let unkept = create(&client, body);
        assert_eq!((&unkept["previous_response_id"], &unkept["store"]), (&previous["id"], &json!(false)));
        assert_eq!(texts(nth), expected);
        let system = upstream.chats()[nth]["messages"][0]["content"].clone();
        assert!(system.as_str().unwrap().ends_with("\n\nnew"), "{system}");
        let body = json!({ "model": "ala", "input": "4", "previous_response_id": unkept["id"] });
        refused(client.post("/v1/responses", body), 404, "previous_response_not_found");
    }
    // What it went on from is as it was.
    let third = create(&client, json!({ "model": "ala", "input": "5", "previous_response_id": second["id"] }));
    assert_eq!(
        (text_of(&third), texts(4)),
        ("five", vec!["1", "one", "2", "two", "5"].into_iter().map(Value::from).collect())
    );
    let theirs = app.org("globex");
    let body = json!({ "model": "ala", "input": "x", "previous_response_id": first["id"], "store": false });
    refused(theirs.post("/v1/responses", body), 404, "previous_response_not_found");
}

#[test]
fn a_response_that_is_not_kept_reads_a_conversation_and_answers_its_calls() {
    let app = App::shared();
    let upstream = FakeModel::deciding(|_, asked| match asked.json["messages"].to_string().contains("20 degrees") {
        true => Answer::text("Warm."),
        false => Answer::chunks([call(Some(0), Some("t0"), Some("weather"), "{ }"), finish("tool_calls")]),
    });
    let client = app.org_asking("acme", &upstream);
    let conversation = client.post("/v1/conversations", json!({})).json()["id"].clone();
    let tools = json!([{ "type": "function", "name": "weather", "parameters": {} }]);
    let asked = create(&client, json!({ "model": "ala", "input": "q", "conversation": conversation, "tools": tools }));
    assert_eq!(asked["output"][0]["arguments"], "{ }");
    let output = json!([{ "type": "function_call_output", "call_id": "t0", "output": "20 degrees" }]);
    let unkept = |on: Value| {
        let mut body = json!({ "model": "ala", "input": output, "tools": tools, "store": false });
        body.as_object_mut().unwrap().extend(on.as_object().unwrap().clone());
        client.post("/v1/responses", body)
    };
    for on in [json!({ "conversation": conversation }), json!({ "previous_response_id": asked["id"] })] {
        assert_eq!(text_of(&unkept(on).json()), "Warm.");
    }
    let session = conversation.as_str().unwrap().strip_prefix("conv_").unwrap();
    assert_eq!(client.history(session).len(), 2, "nothing has come into it");
    assert!(client.messages(session)[1].to_string().contains("input-available"));
    let nobody = json!([{ "type": "function_call_output", "call_id": "other", "output": "x" }]);
    let body = json!({ "model": "ala", "input": nobody, "previous_response_id": asked["id"], "store": false });
    assert_eq!(refused(client.post("/v1/responses", body), 400, "invalid_value")["param"], "input[0].call_id");
    refused(unkept(json!({ "conversation": "conv_nothing" })), 404, "not_found");
}

#[test]
fn no_word_of_a_response_that_is_not_kept_comes_into_what_it_goes_on_from() {
    let (app, upstream) = (App::start(&[]), FakeModel::saying("quixoticanswer"));
    let client = app.org_asking("acme", &upstream);
    let first = create(&client, json!({ "model": "ala", "input": "Hi" }));
    let body =
        json!({ "model": "ala", "input": "zanzibarquestion", "previous_response_id": first["id"], "store": false });
    create(&client, body);
    let found = "SELECT count(*) FROM message WHERE parts LIKE '%zanzibar%'";
    assert_eq!(app.file().query_row(found, [], |row| row.get::<_, i64>(0)), Ok(0));
    assert_eq!(message(&ask(&client, "ala", json!({ "messages": [user("x")] })))["content"], "quixoticanswer");
}
