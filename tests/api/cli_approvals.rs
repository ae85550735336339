//! `alm approvals`, beside a running server: it writes what the server then acts on.

use alm::store::decisions::REASON_CHARS_MAX;
use serde_json::{Value, json};

use crate::support::{
    client::Client,
    harness::{App, until, user},
};

/// A tool that nobody needs to reach until it is allowed.
fn add_tool(app: &App, slug: &str, url: &str) {
    let tool = json!({ "name": "book_room", "description": "Books.", "inputSchema": { "type": "object" }, "method": "POST", "url": url });
    let path = app.folder().join("tool.json");
    std::fs::write(&path, tool.to_string()).unwrap();
    app.alm(&["tools", "add", path.to_str().unwrap(), "--org", slug]).ok();
}

/// A session in which a call waits.
fn asked(owner: &Client) -> String {
    let session = owner.post("/sessions", json!({ "label": "rooms", "agentId": "ala" })).ok(201)["id"]
        .as_str()
        .unwrap()
        .to_owned();
    owner.chat(json!({ "sessionId": session, "messages": [user("call book_room")] }));
    session
}

#[test]
fn a_waiting_call_is_listed_denied_or_allowed_and_its_conversation_goes_on() {
    let app = App::start(&[]);
    let (owner, slug) = (app.org("acme"), app.slug("acme"));
    let room = crate::support::fake_model::nobody();
    add_tool(&app, &slug, &room);
    let alm = |words: &[&str]| app.alm(&[&["approvals"], words, &["--org", &slug, "--json"]].concat());
    assert_eq!(alm(&["list"]).json(), json!([]));

    for (word, reason, expected) in [("deny", Some("too dear"), "denied"), ("allow", None, "approved")] {
        let session = asked(&owner);
        let waiting = alm(&["list"]).json();
        let [call] = waiting.as_array().unwrap().as_slice() else { panic!("one call waits: {waiting}") };
        assert_eq!(
            (&call["toolName"], &call["sessionId"], &call["policy"]),
            (&json!("book_room"), &json!(session), &json!("ask"))
        );
        assert_eq!(call["input"], json!({}));
        let id = call["approvalId"].as_str().unwrap();
        let words = [&[word, id][..], &reason.map_or(vec![], |reason| vec!["--reason", reason])].concat();
        let told = alm(&words).json();
        assert_eq!((&told["approval"]["status"], &told["remaining"]), (&json!(expected), &json!(0)));
        alm(&words).ok();
        let other = if word == "allow" { "deny" } else { "allow" };
        assert!(alm(&[other, id]).fails(1).contains("its answer cannot change"));
        until("the conversation to go on", || {
            let status = owner.get(&format!("/sessions/{session}")).ok(200)["status"].clone();
            (status == "idle").then_some(())
        });
        let messages = owner.get(&format!("/sessions/{session}/messages")).ok(200)["items"].clone();
        let part = messages[1]["parts"]
            .as_array()
            .unwrap()
            .iter()
            .find(|part| part["toolCallId"].is_string())
            .unwrap()
            .clone();
        let state: Value = part["state"].clone();
        assert_eq!(state, json!(if word == "deny" { "output-denied" } else { "output-error" }), "{part}");
        assert_eq!(alm(&["list"]).json(), json!([]));
    }
    for (chars, fault) in
        [(REASON_CHARS_MAX - 1, "approval"), (REASON_CHARS_MAX, "approval"), (REASON_CHARS_MAX + 1, "--reason")]
    {
        let reason = "é".repeat(chars);
        assert!(alm(&["deny", "nobody", "--reason", &reason]).fails(1).contains(fault), "{chars}");
    }
    assert!(alm(&["allow", "nobody"]).fails(1).contains("approval"));
}
