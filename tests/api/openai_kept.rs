//! Conversations of responses, how long responses are kept, and who may read them.

use alm::{
    http::openai::conversations::{self, ITEMS_MAX},
    key::{Env, Scope},
};
use serde_json::json;

use super::openai_responses::{asking, create, get, refused, text_of};
use crate::support::{
    fake_model::{Answer, FakeModel, delta, finish},
    harness::{App, until},
};

#[test]
fn a_conversation_is_a_session() {
    let app = App::shared();
    let (client, _model) = asking(&app, &["one", "two"]);
    let made = client.post("/v1/conversations", json!({"metadata": {"topic": "x"}})).json();
    let id = made["id"].as_str().unwrap();
    assert_eq!((&made["object"], &made["metadata"]), (&json!("conversation"), &json!({"topic": "x"})));
    for (conversation, text) in [(json!(id), "1"), (json!({"id": id}), "2")] {
        let response = create(&client, json!({"model": "ala", "input": text, "conversation": conversation}));
        assert_eq!(response["conversation"], json!({"id": id}));
    }
    let session = id.strip_prefix("conv_").unwrap();
    let said: Vec<_> = client.history(session).into_iter().map(|(_, text)| text).collect();
    assert_eq!(said, ["1", "one", "2", "two"]);
    assert_eq!(client.get(&format!("/v1/conversations/{id}")).json(), made);
    let body = json!({"model": "ala", "input": "x", "conversation": "conv_nothing"});
    refused(client.post("/v1/responses", body), 404, "not_found");
    refused(app.org("globex").get(&format!("/v1/conversations/{id}")), 404, "not_found");
    let gone = client.delete(&format!("/v1/conversations/{id}")).json();
    assert_eq!(gone, json!({"id": id, "object": "conversation.deleted", "deleted": true}));
    refused(client.get(&format!("/v1/conversations/{id}")), 404, "not_found");
}

#[test]
fn a_conversation_begins_with_as_many_items_as_it_may_and_no_more() {
    let app = App::shared();
    let client = app.org("acme");
    for (count, status) in [(ITEMS_MAX - 1, 200), (conversations::ITEMS_MAX, 200), (ITEMS_MAX + 1, 400)] {
        let items = vec![json!({"type": "message", "role": "user", "content": "hi"}); count];
        assert_eq!(client.post("/v1/conversations", json!({ "items": items })).status, status, "{count}");
    }
}

#[test]
fn old_responses_go_with_their_sessions_and_conversations_stay() {
    let app = App::start(&["--responses-keep", "0s"]);
    let (client, _model) = asking(&app, &["one", "two"]);
    let old = create(&client, json!({"model": "ala", "input": "Zanzibar"}));
    let conversation = client.post("/v1/conversations", json!({})).json()["id"].clone();
    let kept = create(&client, json!({"model": "ala", "input": "x", "conversation": conversation}));
    let app = app.crash();
    let client = client.at(app.url());
    let path = format!("/v1/responses/{}", old["id"].as_str().unwrap());
    until("the old response to go", || (client.get(&path).status == 404).then_some(()));
    until("its words to go", || {
        let sql = "SELECT count(*) FROM message WHERE content = 'Zanzibar'";
        let left: i64 = app.file().query_row(sql, [], |row| row.get(0)).unwrap();
        (left == 0).then_some(())
    });
    assert_eq!(text_of(&get(&client, &kept["id"])), "two");
}

#[test]
fn a_key_that_may_only_read_reads_and_does_not_ask() {
    let app = App::shared();
    let (client, _model) = asking(&app, &["one"]);
    let response = create(&client, json!({"model": "ala", "input": "1"}));
    let reader = app.key("acme", Env::Live, &[Scope::Read]);
    assert_eq!(get(&reader, &response["id"]), response);
    refused(reader.post("/v1/responses", json!({"model": "ala", "input": "1"})), 403, "insufficient_scope");
    let path = format!("/v1/responses/{}", response["id"].as_str().unwrap());
    refused(reader.delete(&path), 403, "insufficient_scope");
}

#[test]
fn a_conversation_in_which_a_response_is_being_written_is_busy() {
    let app = App::shared();
    let slow = Answer::empty().chunk(delta(json!({"content": "One"}))).wait().chunk(finish("stop")).done();
    let model = FakeModel::start([slow]);
    let client = app.org_asking("acme", &model);
    let conversation = client.post("/v1/conversations", json!({})).json()["id"].clone();
    let body = json!({"model": "ala", "input": "Hi", "conversation": conversation, "background": true});
    let running = create(&client, body.clone());
    refused(client.post("/v1/responses", body), 409, "session_busy");
    model.go();
    let done = until("the response to end", || {
        let now = get(&client, &running["id"]);
        (now["status"] == "completed").then_some(now)
    });
    assert_eq!(text_of(&done), "One");
}

#[test]
fn a_providers_model_reads_what_its_client_says_and_nothing_else() {
    let app = App::shared();
    let (client, model) = asking(&app, &["one", "two"]);
    let input = json!([{"role": "developer", "content": "d"}, {"role": "user", "content": "u"}]);
    let first = create(&client, json!({"model": "up/free", "input": input, "instructions": "i"}));
    let last = json!([{"role": "system", "content": "later"}, {"role": "user", "content": "v"}]);
    create(&client, json!({"model": "up/free", "input": last, "previous_response_id": first["id"]}));
    let said = |nth: usize| model.chats()[nth]["messages"].clone();
    let text = |role: &str, text: &str| json!({"role": role, "content": text});
    assert_eq!(said(0), json!([text("system", "i\n\nd"), text("user", "u")]));
    let asked = said(1);
    assert_eq!(asked[0], text("system", "d"), "instructions are of one response");
    let last = asked[3]["content"].to_string();
    assert!(last.contains("<system>\\nlater\\n</system>") && last.contains('v'), "{asked}");
    assert!(model.chats()[1].get("tools").is_none());
}
