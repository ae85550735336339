//! One agent asks another: the tool `ask_agent`, with the built-in model, which calls what it is told to call.

use serde_json::{Value, json};

use crate::support::{
    client::Client,
    fake_model::{Answer, FakeModel},
    harness::{App, until, user},
};

/// An agent that may ask others.
fn agent(client: &Client, name: &str, model: &str) -> Value {
    client.post("/agents", json!({ "name": name, "model": model, "allowedTools": ["ask_agent"] })).ok(201)
}

/// What makes the built-in model ask an agent.
fn asking(agent: &str, message: &str) -> String {
    format!("Call ask_agent with {}", json!({ "agent": agent, "message": message }))
}

/// The tool's part of a reply to a message for an agent, as it is stored.
fn part(client: &Client, agent: &str, message: &str) -> Value {
    let heard = client.chat(json!({ "agentId": agent, "messages": [user(message)] }));
    let session = heard.chunks[0]["messageMetadata"]["sessionId"].as_str().unwrap();
    let messages = client.messages(session);
    let parts = messages[1]["parts"].as_array().unwrap();
    parts.iter().find(|part| part["type"] == "tool-ask_agent").unwrap_or_else(|| panic!("{messages:?}")).clone()
}

#[test]
fn an_agent_asks_another_in_a_session_of_its_own() {
    let app = App::shared();
    let acme = app.org("acme");
    for name in ["Chief", "Cook"] {
        agent(&acme, name, "demo/ala");
    }
    let heard = acme.chat(json!({ "agentId": "chief", "messages": [user(&asking("cook", "My name is Ada"))] }));
    let session = heard.chunks[0]["messageMetadata"]["sessionId"].as_str().unwrap();
    let stored = acme.messages(session);
    let part =
        stored[1]["parts"].as_array().unwrap().iter().find(|part| part["type"] == "tool-ask_agent").unwrap().clone();
    let output = &part["output"];
    assert_eq!((&part["state"], &output["costMicrocents"]), (&json!("output-available"), &json!(0)));
    let theirs = output["sessionId"].as_str().unwrap();
    let history = acme.history(theirs);
    assert_eq!(history[0], ("user".into(), "My name is Ada".into()));
    assert_eq!(output["text"], history[1].1);
    let child = acme.get(&format!("/sessions/{theirs}")).ok(200);
    assert_eq!((&child["origin"], &child["metadata"]), (&json!("agent"), &json!({ "parentSessionId": session })));
    assert_eq!(child["agentName"], "Cook");
    // It is found by who looks for it, and by nobody else.
    let ids = |path: &str| {
        let page = acme.get(path).ok(200);
        page["items"].as_array().unwrap().iter().map(|session| session["id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(ids("/sessions?origin=agent"), [theirs]);
    assert!(!ids("/sessions").contains(&json!(theirs)));
}

#[test]
fn it_is_a_tool_for_agents_that_name_it() {
    let model = FakeModel::saying("Hi");
    let app = App::shared();
    let acme = app.org_asking("acme", &model);
    acme.chat(json!({ "messages": [user("Hi")] }));
    let offered = |chat: &Value| {
        let tools = chat["tools"].as_array().cloned().unwrap_or_default();
        tools.iter().map(|tool| tool["function"]["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    agent(&acme, "Chief", "up/free");
    acme.chat(json!({ "agentId": "chief", "messages": [user("Hi")] }));
    let chats = model.chats();
    assert!(!offered(&chats[0]).contains(&"ask_agent".to_owned()), "{:?}", offered(&chats[0]));
    assert_eq!(offered(&chats[1]), ["ask_agent"]);
}

#[test]
fn no_agent_is_asked_that_waits_and_none_too_deep() {
    let app = App::shared();
    let acme = app.org("acme");
    for name in ["One", "Two", "Three", "Four"] {
        agent(&acme, name, "demo/ala");
    }
    let itself = part(&acme, "one", &asking("one", "Hi"));
    assert_eq!(itself["errorText"], "One is you or waits for you: ask another agent.");
    assert!(
        part(&acme, "one", &asking("nobody", "Hi"))["errorText"].as_str().unwrap().starts_with("There is no agent")
    );
    let back = part(&acme, "one", &asking("two", &asking("one", "Hi")));
    assert!(back["output"]["text"].as_str().unwrap().contains("One is you or waits for you"), "{back}");
    // One asks two, two asks three, and three may not ask four.
    let deep = part(&acme, "one", &asking("two", &asking("three", &asking("four", "Hi"))));
    assert!(deep["output"]["text"].as_str().unwrap().contains("at most 2 deep"), "{deep}");
    let asked = acme.get("/sessions?origin=agent").ok(200);
    assert!(asked["items"].as_array().unwrap().iter().all(|session| session["agentName"] != "Four"));
    // Another organization's agent is not there.
    let globex = app.org("globex");
    agent(&globex, "Stranger", "demo/ala");
    let foreign = part(&globex, "stranger", &asking("four", "Hi"));
    assert!(foreign["errorText"].as_str().unwrap().starts_with("There is no agent called four"), "{foreign}");
}

#[test]
fn who_stops_a_reply_stops_the_agents_it_asked() {
    let model = FakeModel::start([Answer::text("Half").silent()]);
    let app = App::shared();
    let acme = app.org_asking("acme", &model);
    agent(&acme, "Chief", "demo/ala");
    agent(&acme, "Slow", "up/free");
    let mut heard = acme.listen(json!({ "agentId": "chief", "messages": [user(&asking("slow", "Go on"))] }));
    let session = heard.until("start")["messageMetadata"]["sessionId"].as_str().unwrap().to_owned();
    until("the other agent to be asked", || model.asked().pop());
    acme.post(&format!("/chat/{session}/stop"), json!({})).ok(200);
    model.wait_hung_up(1);
    until("its turn to end", || {
        let sessions = acme.get("/sessions?origin=agent").ok(200);
        (sessions["items"][0]["status"] == "idle").then_some(())
    });
}
