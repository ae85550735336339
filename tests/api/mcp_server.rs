//! `POST /mcp`: the server as other programs' models meet it, byte by byte. `tests/clients` has the real clients.

use std::io::Read;

use alm::key::{Env, Scope};
use serde_json::{Value, json};

use crate::support::{
    client::{Client, Reply},
    fake_model::{Answer, FakeModel, delta, finish, nobody},
    harness::{App, ModelSpec, until, user},
};

const MODERN: &str = "2026-07-28";

/// A request of the era with a handshake.
fn legacy(client: &Client, method: &str, params: Value) -> Reply {
    client.post("/mcp", json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }))
}

/// A request of the era without, with the headers that it asks for.
fn modern(client: &Client, method: &str, params: Value) -> Reply {
    let named = params["name"].as_str().map(str::to_owned);
    let client = client.header("mcp-protocol-version", MODERN).header("mcp-method", method);
    let client = named.iter().fold(client, |client, name| client.header("mcp-name", name));
    client.post("/mcp", modern_body(method, params))
}

fn modern_body(method: &str, mut params: Value) -> Value {
    params["_meta"]["io.modelcontextprotocol/protocolVersion"] = MODERN.into();
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({});
    json!({ "jsonrpc": "2.0", "id": "a", "method": method, "params": params })
}

/// The result of a request that had one.
#[track_caller]
fn result(reply: &Reply) -> Value {
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")), "{}", reply.text);
    let answer = reply.json();
    assert_eq!(answer["jsonrpc"], "2.0");
    assert!(answer["error"].is_null(), "{answer}");
    answer["result"].clone()
}

/// Status and code of a request that had none.
#[track_caller]
fn fault(reply: &Reply) -> (u16, i64) {
    let answer = reply.json();
    assert!(answer.as_object().unwrap().contains_key("id") && answer["result"].is_null(), "{answer}");
    (reply.status, answer["error"]["code"].as_i64().unwrap())
}

/// What a tool told, checked to be the same in both of its forms.
#[track_caller]
fn told(reply: &Reply) -> Value {
    let result = result(reply);
    assert_eq!(result["isError"], false, "{result}");
    let text = result["content"][0]["text"].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(text).unwrap(), result["structuredContent"]);
    result["structuredContent"].clone()
}

/// The sentence of a tool that failed.
#[track_caller]
fn failed(reply: &Reply) -> String {
    let result = result(reply);
    assert_eq!(result["isError"], true, "{result}");
    result["content"][0]["text"].as_str().unwrap().to_owned()
}

fn call(client: &Client, name: &str, arguments: Value) -> Reply {
    legacy(client, "tools/call", json!({ "name": name, "arguments": arguments }))
}

#[test]
fn a_client_with_a_handshake_lists_and_calls() {
    let app = App::shared();
    let acme = app.org("acme");
    for (asked, got) in [
        ("2025-11-25", "2025-11-25"),
        ("2025-06-18", "2025-06-18"),
        ("2025-03-26", "2025-03-26"),
        ("2024-11-05", "2025-11-25"),
        (MODERN, "2025-11-25"),
    ] {
        let told =
            legacy(&acme, "initialize", json!({ "protocolVersion": asked, "capabilities": {}, "clientInfo": {} }));
        assert!(told.header("mcp-session-id").is_none());
        let told = result(&told);
        assert_eq!((&told["protocolVersion"], &told["serverInfo"]["name"]), (&json!(got), &json!("alm")));
        assert!(told["capabilities"]["tools"].is_object());
        let acme = acme.header("mcp-protocol-version", got);
        let ready = acme.post("/mcp", json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
        assert_eq!((ready.status, &*ready.text), (202, ""));
        assert_eq!(result(&legacy(&acme, "ping", json!({}))), json!({}));
        let tools = result(&legacy(&acme, "tools/list", json!({})));
        let names: Vec<_> = tools["tools"].as_array().unwrap().iter().map(|tool| tool["name"].clone()).collect();
        assert_eq!(names, ["list_agents", "ask_agent", "search_history", "read_session"]);
        let agents = told_agents(&call(&acme, "list_agents", json!({})));
        assert_eq!(agents[0]["agent"], "ala");
    }
}

#[track_caller]
fn told_agents(reply: &Reply) -> Vec<Value> {
    told(reply)["agents"].as_array().unwrap().clone()
}

#[test]
fn a_client_without_one_discovers_lists_and_calls() {
    let app = App::shared();
    let acme = app.org("acme");
    let about = result(&modern(&acme, "server/discover", json!({})));
    assert_eq!((&about["supportedVersions"], &about["resultType"]), (&json!([MODERN]), &json!("complete")));
    assert_eq!(about["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "alm");
    let tools = result(&modern(&acme, "tools/list", json!({})));
    assert_eq!((tools["cacheScope"].as_str(), tools["tools"].as_array().unwrap().len()), (Some("private"), 4));
    let reply = modern(&acme, "tools/call", json!({ "name": "list_agents", "arguments": {} }));
    assert_eq!(result(&reply)["resultType"], "complete");
    assert_eq!(told_agents(&reply)[0]["name"], "Ala");
    assert_eq!(reply.json()["id"], "a");
    // What the era with a handshake has, this one has not, and the other way round.
    assert_eq!(fault(&modern(&acme, "initialize", json!({}))), (404, -32601));
    assert_eq!(fault(&modern(&acme, "ping", json!({}))), (404, -32601));
    assert_eq!(fault(&legacy(&acme, "server/discover", json!({}))), (200, -32601));
    assert_eq!(fault(&legacy(&acme, "resources/list", json!({}))), (200, -32601));
}

#[test]
fn headers_that_do_not_say_what_the_body_says_are_refused() {
    let app = App::shared();
    let acme = app.org("acme");
    let body = modern_body("tools/call", json!({ "name": "list_agents", "arguments": {} }));
    let all = [("mcp-protocol-version", MODERN), ("mcp-method", "tools/call"), ("mcp-name", "list_agents")];
    let with = |headers: &[(&str, &str)]| {
        let client = headers.iter().fold(acme.clone(), |client, (name, value)| client.header(name, value));
        client.post("/mcp", body.clone())
    };
    told(&with(&all));
    for at in 0..all.len() {
        let mut some = all.to_vec();
        some.remove(at);
        assert_eq!(fault(&with(&some)), (400, -32020), "without {}", all[at].0);
        some.push((all[at].0, "ask_agent"));
        assert_eq!(fault(&with(&some)), (400, -32020), "another {}", all[at].0);
    }
    let bare = acme.header("mcp-protocol-version", MODERN);
    assert_eq!(fault(&legacy(&bare, "tools/list", json!({}))), (400, -32602), "no _meta");
}

#[test]
fn a_version_of_the_protocol_that_is_none_of_ours_is_refused_and_ours_are_named() {
    let app = App::shared();
    let acme = app.org("acme");
    let later = acme.header("mcp-protocol-version", "2030-01-01").header("mcp-method", "tools/list");
    let mut body = modern_body("tools/list", json!({}));
    body["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = "2030-01-01".into();
    let refused = later.post("/mcp", body);
    assert_eq!(fault(&refused), (400, -32022));
    let data = &refused.json()["error"]["data"];
    assert_eq!(data["supported"], json!([MODERN, "2025-11-25", "2025-06-18", "2025-03-26"]));
    assert_eq!(data["requested"], "2030-01-01");
    assert_eq!(fault(&legacy(&later, "tools/list", json!({}))), (400, -32022));
    let told = later.post("/mcp", json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
    assert_eq!(fault(&told), (400, -32022));
    let gone = acme.header("mcp-protocol-version", "2024-11-05");
    assert_eq!(fault(&legacy(&gone, "tools/list", json!({}))), (400, -32022));
}

#[test]
fn a_body_that_is_no_message_is_refused() {
    let app = App::shared();
    let acme = app.org("acme");
    let ping = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" });
    assert_eq!(fault(&acme.post("/mcp", json!([ping]))), (400, -32600));
    assert_eq!(fault(&acme.post("/mcp", json!({ "id": 1, "method": "ping" }))), (400, -32600));
    assert_eq!(fault(&acme.send("POST", "/mcp", Some("{"))), (400, -32700));
    assert_eq!(fault(&acme.header("content-type", "text/plain").send("POST", "/mcp", Some("{}"))), (400, -32700));
    assert_eq!(acme.post("/mcp", json!({ "jsonrpc": "2.0", "id": 1, "result": {} })).status, 202);
    for bytes in [128 * 1024 - 1, 128 * 1024, 128 * 1024 + 1] {
        let text = ping.to_string();
        let body = format!("{text}{}", " ".repeat(bytes - text.len()));
        let reply = acme.asking_first().send("POST", "/mcp", Some(&body));
        match bytes > 128 * 1024 {
            true => drop(reply.fails(413, "PAYLOAD_TOO_LARGE")),
            false => assert_eq!(result(&reply), json!({})),
        }
    }
}

#[test]
fn nobody_comes_in_without_a_key_and_no_page_of_another_site() {
    let app = App::start(&["--cors-origin", "https://named.example"]);
    let ping = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" });
    app.anonymous().post("/mcp", ping.clone()).fails(401, "UNAUTHORIZED");
    app.anonymous().header("authorization", "Bearer alm_live_x").post("/mcp", ping.clone()).fails(401, "UNAUTHORIZED");
    app.browser("acme").on_a_page().post("/mcp", ping.clone()).fails(401, "UNAUTHORIZED");
    let acme = app.org("acme");
    for foreign in ["https://evil.example", "null", "http://127.0.0.1:1"] {
        acme.header("origin", foreign).post("/mcp", ping.clone()).fails(403, "FORBIDDEN");
    }
    for own in ["https://named.example", app.url()] {
        assert_eq!(result(&acme.header("origin", own).post("/mcp", ping.clone())), json!({}));
    }
    app.key("acme", Env::Live, &[Scope::Write]).post("/mcp", ping).fails(403, "FORBIDDEN");
}

#[test]
fn other_methods_and_the_doors_of_oauth_are_closed_in_json() {
    let app = App::shared();
    for caller in [app.anonymous(), app.org("acme")] {
        for method in ["GET", "DELETE", "PUT"] {
            let refused = caller.send(method, "/mcp", None);
            refused.fails(405, "METHOD_NOT_ALLOWED");
            assert_eq!(refused.header("allow"), Some("POST"));
        }
        for door in [
            "oauth-protected-resource",
            "oauth-protected-resource/mcp",
            "oauth-authorization-server",
            "oauth-authorization-server/mcp",
            "openid-configuration",
        ] {
            caller.get(&format!("/.well-known/{door}")).fails(404, "NOT_FOUND");
        }
    }
}

#[test]
fn a_key_sees_and_calls_the_tools_of_its_scopes() {
    let app = App::shared();
    let names = |client: &Client| {
        let tools = result(&legacy(client, "tools/list", json!({})));
        tools["tools"]
            .as_array()
            .unwrap()
            .iter()
            .map(|tool| tool["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let (reader, chatter) = (app.key("acme", Env::Live, &[Scope::Read]), app.key("acme", Env::Live, &[Scope::Chat]));
    assert_eq!(names(&reader), ["list_agents", "search_history", "read_session"]);
    assert_eq!(names(&chatter), ["ask_agent"]);
    assert_eq!(fault(&call(&reader, "ask_agent", json!({ "agent": "ala", "message": "Hi" }))), (200, -32602));
    assert_eq!(fault(&call(&chatter, "list_agents", json!({}))), (200, -32602));
    let unknown = json!({ "name": "fly", "arguments": {} });
    assert_eq!(fault(&modern(&reader, "tools/call", unknown)), (400, -32602));
    assert_eq!(fault(&legacy(&reader, "tools/list", json!({ "cursor": "x" }))), (200, -32602));
}

#[test]
fn an_agent_answers_in_a_session_that_goes_on() {
    let app = App::shared();
    let acme = app.org("acme");
    let first = told(&call(&acme, "ask_agent", json!({ "agent": "ala", "message": "My name is Ada" })));
    let session = first["sessionId"].as_str().unwrap();
    assert_eq!((&first["status"], &first["costMicrocents"]), (&json!("complete"), &json!(0)));
    let asked = json!({ "agent": "ala", "message": "What is my name?", "sessionId": session });
    let second = told(&call(&acme, "ask_agent", asked));
    assert!(second["text"].as_str().unwrap().contains("Ada"), "{second}");
    assert_eq!(second["sessionId"], session);
    let listed = acme.get("/sessions?origin=mcp").ok(200);
    assert_eq!((&listed["items"][0]["id"], &listed["items"][0]["origin"]), (&json!(session), &json!("mcp")));
    let messages = acme.messages(session);
    assert_eq!((messages.len(), &messages[3]["id"]), (4, &second["messageId"]));
    assert_eq!(second["finishReason"], messages[3]["metadata"]["finishReason"]);

    let page = told(&call(&acme, "read_session", json!({ "sessionId": session, "limit": 3 })));
    assert_eq!((page["messages"].as_array().unwrap().len(), &page["status"]), (3, &json!("idle")));
    let rest = json!({ "sessionId": session, "cursor": page["nextCursor"] });
    let rest = told(&call(&acme, "read_session", rest));
    assert_eq!((&rest["messages"][0]["text"], &rest["nextCursor"]), (&second["text"], &Value::Null));
    let found = told(&call(&acme, "search_history", json!({ "query": "name is Ada" })));
    assert_eq!(found["hits"][0]["sessionId"], session);
    // Another organization finds nothing of it.
    let globex = app.org("globex");
    assert_eq!(told(&call(&globex, "search_history", json!({ "query": "Ada" })))["hits"], json!([]));
    assert_eq!(failed(&call(&globex, "read_session", json!({ "sessionId": session }))), "no such session");
    let theirs = json!({ "agent": "ala", "message": "Hi", "sessionId": session });
    assert_eq!(failed(&call(&globex, "ask_agent", theirs)), "no such session");
}

#[test]
fn what_is_wrong_in_a_call_is_told_to_the_model_that_made_it() {
    let app = App::shared();
    let acme = app.org("acme");
    for (tool, arguments, why) in [
        ("list_agents", json!({ "all": true }), "all"),
        ("ask_agent", json!({ "agent": "ala" }), "message"),
        ("ask_agent", json!({ "agent": "ala", "message": " " }), "message: must not be empty"),
        ("ask_agent", json!({ "agent": "nobody", "message": "Hi" }), "no such agent"),
        ("search_history", json!({ "query": "" }), "query: must be 1 to 500 characters"),
        ("search_history", json!({ "query": "x".repeat(501) }), "query: must be 1 to 500 characters"),
        ("search_history", json!({ "query": "x", "limit": 21 }), "limit: must be 1 to 20"),
        ("read_session", json!({ "sessionId": "x", "limit": 0 }), "limit: must be 1 to 100"),
        ("read_session", json!({ "sessionId": "x" }), "no such session"),
    ] {
        let sentence = failed(&call(&acme, tool, arguments));
        assert!(sentence.contains(why), "{tool}: {sentence}");
    }
    for chars in [499, 500] {
        told(&call(&acme, "search_history", json!({ "query": "x".repeat(chars) })));
    }
    assert_eq!(fault(&legacy(&acme, "tools/call", json!({ "name": "list_agents", "arguments": [] }))), (200, -32602));
}

#[test]
fn rate_balance_and_a_model_that_fails_are_the_tools_failures() {
    let app = App::start(&["--chat-rate", "3"]);
    app.provider("acme", &nobody(), &[ModelSpec::FREE, ModelSpec::PAID]);
    let acme = app.org("acme");
    let agent = |model: &str| {
        let agent = acme.post("/agents", json!({ "name": model, "model": model })).ok(201);
        json!({ "agent": agent["slug"], "message": "Hi" })
    };
    let (paid, free) = (agent("up/paid"), agent("up/free"));
    let unpaid = failed(&call(&acme, "ask_agent", paid));
    assert!(unpaid.contains("the balance cannot pay"), "{unpaid}");
    assert!(!failed(&call(&acme, "ask_agent", free.clone())).is_empty());
    // One bucket with the chats, and what reads is not counted.
    acme.chat(json!({ "messages": [user("Hi")], "model": "demo/ala" }));
    assert!(failed(&call(&acme, "ask_agent", free)).starts_with("too many requests: wait, then try again ("));
    told(&call(&acme, "list_agents", json!({})));
    acme.post("/chat", json!({ "messages": [user("Hi")] })).fails(429, "TOO_MANY_REQUESTS");
}

#[test]
fn an_answer_comes_as_events_with_news_of_it_where_the_client_reads_them() {
    let app = App::shared();
    let acme = app.org("acme").header("accept", "application/json, text/event-stream");
    let ask = |meta: Value| {
        let params = json!({ "name": "ask_agent", "arguments": { "agent": "ala", "message": "Hello" }, "_meta": meta });
        let reply = legacy(&acme, "tools/call", params);
        assert_eq!((reply.status, reply.header("content-type")), (200, Some("text/event-stream")));
        assert!(reply.text.starts_with(": stream-open\n\n"), "{}", reply.text);
        let data = reply.text.lines().filter_map(|line| line.strip_prefix("data: "));
        data.map(|data| serde_json::from_str(data).unwrap()).collect::<Vec<Value>>()
    };
    let events = ask(json!({ "progressToken": "p" }));
    let (answer, news) = events.split_last().unwrap();
    assert_eq!((&answer["id"], &answer["result"]["isError"]), (&json!(1), &json!(false)));
    assert_eq!(
        (&news[0]["method"], &news[0]["params"]["progressToken"]),
        (&json!("notifications/progress"), &json!("p"))
    );
    let session = answer["result"]["structuredContent"]["sessionId"].as_str().unwrap();
    assert!(news[0]["params"]["message"].as_str().unwrap().contains(session));
    assert_eq!(ask(json!({})).len(), 1, "nobody asked for news");
    // What is there at once needs no stream, unless nothing else is read.
    told(&call(&acme, "list_agents", json!({})));
    let only = acme.header("accept", "text/event-stream");
    let reply = call(&only, "list_agents", json!({}));
    assert_eq!(reply.header("content-type"), Some("text/event-stream"));
    assert!(reply.text.starts_with("event: message\ndata: {"), "{}", reply.text);
}

#[test]
fn a_client_that_leaves_does_not_end_the_answer() {
    let half = Answer::empty().chunk(delta(json!({ "content": "Half" }))).wait().chunk(finish("stop")).done();
    let model = FakeModel::start([half]);
    let app = App::shared();
    let acme = app.org_asking("acme", &model).header("accept", "text/event-stream, application/json");
    let params = json!({
        "name": "ask_agent", "arguments": { "agent": "ala", "message": "Go on" }, "_meta": { "progressToken": 1 },
    });
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
    let mut reply = acme.attempt("POST", "/mcp", Some(&body.to_string())).unwrap().into_body().into_reader();
    let mut heard = String::new();
    while !heard.contains("session ") || !heard.ends_with("\n\n") {
        let mut byte = [0];
        reply.read_exact(&mut byte).unwrap();
        heard.push(byte[0] as char);
    }
    let session = heard.split_once("session ").unwrap().1.split_once(':').unwrap().0.to_owned();
    drop(reply);
    model.go();
    until("the answer to be stored", || {
        let history = acme.history(&session);
        history.iter().find(|(role, text)| role == "assistant" && text == "Half").map(drop)
    });
    assert_eq!(acme.get(&format!("/sessions/{session}")).ok(200)["status"], "idle");
}

#[test]
fn a_revoked_key_hears_no_more() {
    let model = FakeModel::start([Answer::text("Half").silent()]);
    let app = App::shared();
    app.org_asking("acme", &model);
    let key = app.key("acme", Env::Live, &[Scope::Chat]).header("accept", "text/event-stream, application/json");
    let params = json!({ "name": "ask_agent", "arguments": { "agent": "ala", "message": "Go on" } });
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
    let reply = key.attempt("POST", "/mcp", Some(&body.to_string())).unwrap();
    until("the model to be asked", || model.asked().pop());
    app.alm(&["keys", "revoke", "--org", &app.slug("acme"), &key.key()[..12]]).ok();
    let mut rest = String::new();
    reply.into_body().into_reader().read_to_string(&mut rest).unwrap();
    assert!(rest.starts_with(": stream-open"), "{rest}");
    // What it asked for is stopped as well.
    model.wait_hung_up(1);
}
