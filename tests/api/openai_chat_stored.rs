//! Chat completions that are kept: the history of their session becomes what was posted.

use serde_json::{Value, json};

use crate::{
    openai_chat::{CHAT, ask, events, fails, message, said, whole},
    support::{
        client::{Client, Reply},
        fake_model::{Answer, FakeModel, call, delta, finish, usage},
        harness::{App, column, until, user},
    },
};

fn model(text: &str) -> Value {
    json!({ "role": "assistant", "content": text })
}

fn system(text: &str) -> Value {
    json!({ "role": "system", "content": text })
}

/// Asks in the session of that id.
fn ask_in(client: &Client, session: &str, messages: &[Value]) -> Reply {
    ask(&client.header("x-alm-session-id", session), "ala", json!({ "messages": messages }))
}

fn texts(client: &Client, session: &str) -> Vec<String> {
    client.history(session).into_iter().map(|(_, text)| text).collect()
}

fn numbered() -> FakeModel {
    FakeModel::deciding(|nth, _| Answer::text(&format!("a{}", nth + 1)))
}

#[test]
fn a_reply_is_kept_where_its_client_asks_for_it() {
    let (app, upstream) = (App::shared(), numbered());
    let client = app.org_asking("acme", &upstream);
    let stored = ask(&client, "ala", json!({ "store": true, "metadata": { "topic": "x" } }));
    assert_eq!((message(&stored)["content"].as_str(), stored.header("x-alm-ignored")), (Some("a1"), None));
    let session = stored.header("x-alm-session-id").unwrap();
    assert_eq!(client.history(session), [("user", "Hello"), ("assistant", "a1")].map(|(a, b)| (a.into(), b.into())));
    let shown = client.get(&format!("/sessions/{session}")).ok(200);
    assert_eq!((&shown["origin"], &shown["metadata"]), (&json!("completions"), &json!({ "topic": "x" })));
    assert_eq!(column(&client.get("/sessions").ok(200), "id"), [session]);
    let id = whole(&stored)["id"].as_str().unwrap().strip_prefix("chatcmpl-").unwrap().to_owned();
    let turn = app.file().query_row("SELECT count(*) FROM turn WHERE id = ?1", [&id], |row| row.get::<_, i64>(0));
    assert_eq!(turn, Ok(1), "the bill is found by it");

    // A session that its client names, in a header or beside the request.
    let named = ask_in(&client, "my-chat", &[user("q")]);
    assert_eq!((named.status, named.header("x-alm-session-id")), (200, Some("my-chat")));
    let messages = [user("q"), model("a2"), user("r")];
    let noted = ask(&client, "ala", json!({ "messages": messages, "metadata": { "alm_session": "my-chat" } }));
    assert_eq!(noted.header("x-alm-session-id"), Some("my-chat"));
    assert_eq!(texts(&client, "my-chat"), ["q", "a2", "r", "a3"]);

    let both = client.header("x-alm-session-id", "my-chat");
    let refused = ask(&both, "ala", json!({ "metadata": { "alm_session": "other" } }));
    assert_eq!(fails(&refused, 400, "invalid_value")["param"], "metadata.alm_session");
    fails(&ask(&client.header("x-alm-session-id", "a b"), "ala", json!({})), 400, "invalid_value");
    fails(&ask(&client, "ala", json!({ "metadata": { "k": 1 } })), 400, "invalid_type");
    let unkept = ask(&client, "ala", json!({ "store": false, "metadata": { "k": "v" } }));
    assert_eq!((unkept.status, unkept.header("x-alm-session-id")), (200, None));
    assert_eq!(client.get("/sessions").ok(200)["items"].as_array().unwrap().len(), 2);
}

#[test]
fn the_history_becomes_what_is_posted() {
    let (app, upstream) = (App::shared(), numbered());
    let client = app.org_asking("acme", &upstream);
    let rows = || {
        let count = "SELECT count(*) FROM message m JOIN session s ON s.seq = m.session WHERE s.id = 'becomes'";
        app.file().query_row(count, [], |row| row.get::<_, i64>(0)).unwrap()
    };
    ask_in(&client, "becomes", &[user("q1")]);
    ask_in(&client, "becomes", &[system("s"), user("q1"), model("a1"), user("q2")]);
    assert_eq!((texts(&client, "becomes"), rows()), (["q1", "a1", "q2", "a2"].map(String::from).to_vec(), 4));
    // Once more: the question is not stored again, and its answer is a new one.
    ask_in(&client, "becomes", &[user("q1"), model("a1"), user("q2")]);
    assert_eq!((texts(&client, "becomes"), rows()), (["q1", "a1", "q2", "a3"].map(String::from).to_vec(), 5));
    // An edit, and an answer that is the client's own.
    ask_in(&client, "becomes", &[user("q1"), model("mine"), user("r2")]);
    assert_eq!(texts(&client, "becomes"), ["q1", "mine", "r2", "a4"]);
    let mine = client.messages("becomes")[1].clone();
    assert_eq!(mine["metadata"]["origin"], "client");
    assert!(client.messages("becomes")[3]["metadata"].get("origin").is_none());
    ask_in(&client, "becomes", &[user("anew")]);
    assert_eq!(texts(&client, "becomes"), ["anew", "a5"]);
}

#[test]
fn instructions_steer_a_kept_reply_and_are_not_stored() {
    let (app, upstream) = (App::shared(), numbered());
    let client = app.org_asking("acme", &upstream);
    ask_in(&client, "c", &[system("front"), user("q1")]);
    let messages =
        [system("front"), user("q1"), model("a1"), json!({ "role": "developer", "content": "now" }), user("q2")];
    ask_in(&client, "c", &messages);
    let asked = upstream.chats()[1]["messages"].clone();
    assert!(asked[0]["content"].as_str().unwrap().ends_with("\n\nfront"), "{asked}");
    let last = asked[3].to_string();
    assert!(last.contains("<system>\\nnow\\n</system>") && last.contains("q2"), "{asked}");
    assert_eq!(
        (asked.as_array().unwrap().len(), texts(&client, "c")),
        (4, ["q1", "a1", "q2", "a2"].map(String::from).to_vec())
    );
}

#[test]
fn our_tools_run_first_and_the_clients_round_trip_completes_the_stored_call() {
    let app = App::shared();
    let upstream = FakeModel::deciding(|_, asked| {
        let said = asked.json["messages"].to_string();
        match (said.contains("20 degrees"), said.contains("current_time")) {
            (true, _) => Answer::text("Warm."),
            (false, true) => Answer::text("?"),
            (false, false) => Answer::chunks([
                delta(json!({ "content": "I look." })),
                call(Some(0), Some("t0"), Some("weather"), "{ \"city\":\"Paris\" }"),
                call(Some(1), Some("t1"), Some("current_time"), "{}"),
                finish("tool_calls"),
                usage(10, 5),
            ]),
        }
    });
    let client = app.org_asking("acme", &upstream);
    let tools = json!([{ "type": "function", "function": { "name": "weather", "parameters": { "type": "object" } } }]);
    for stream in [false, true] {
        let session = format!("tools-{stream}");
        let inside = client.header("x-alm-session-id", &session);
        let body = json!({ "tools": tools, "stream": stream, "stream_options": { "include_usage": true } });
        let first = ask(&inside, "ala", body.clone());
        let spoken = match stream {
            false => whole(&first)["choices"][0]["message"].clone(),
            true => {
                let events = events(&first);
                assert!(!first.text.contains("current_time"), "{}", first.text);
                let usage = &events.last().unwrap()["usage"];
                assert_eq!((said(&events, "content"), usage["total_tokens"].as_u64()), ("I look.".into(), Some(15)));
                let call = json!({ "id": "t0", "type": "function",
                    "function": { "name": "weather", "arguments": "{ \"city\":\"Paris\" }" } });
                json!({ "role": "assistant", "content": "I look.", "tool_calls": [call] })
            }
        };
        assert_eq!(spoken["tool_calls"].as_array().unwrap().len(), 1, "{spoken}");
        assert_eq!(spoken["tool_calls"][0]["function"]["arguments"], "{ \"city\":\"Paris\" }");
        let output = json!({ "role": "tool", "tool_call_id": "t0", "content": "20 degrees" });
        let mut more = body;
        more["messages"] = json!([user("Hello"), spoken, output]);
        more["stream"] = json!(false);
        assert_eq!(message(&ask(&inside, "ala", more))["content"], "Warm.");
        let asked = upstream.chats().pop().unwrap()["messages"].clone();
        assert!(
            asked.to_string().contains("current_time") && asked.to_string().contains("utc"),
            "what ours gave is there: {asked}"
        );
        assert_eq!(texts(&client, &session), ["Hello", "I look.", "Warm."]);
        let calls = client.messages(&session)[1]["parts"].to_string();
        assert!(calls.contains("20 degrees") && calls.contains("tool-current_time"), "{calls}");
    }
}

#[test]
fn a_busy_session_is_told_so_and_a_kept_reply_survives_its_client() {
    let slow = Answer::empty().chunk(delta(json!({ "content": "One" }))).wait().chunk(finish("stop")).done();
    let (app, upstream) = (App::shared(), FakeModel::start([slow]));
    let client = app.org_asking("acme", &upstream);
    let inside = client.header("x-alm-session-id", "busy");
    let body = json!({ "model": "ala", "messages": [user("Hi")], "stream": true });
    let response = inside.attempt("POST", CHAT, Some(&body.to_string())).unwrap();
    drop(response);
    let busy = inside.post(CHAT, body);
    assert_eq!((busy.status, &busy.json()["error"]["code"]), (409, &json!("session_busy")));
    let listening = client.listen_in("busy");
    upstream.go();
    assert_eq!(listening.rest().text(), "One");
    until("the reply to be stored", || (texts(&client, "busy") == ["Hi", "One"]).then_some(()));
}

#[test]
fn another_agent_in_a_session_is_a_conflict_that_is_not_called_busy() {
    let (app, upstream) = (App::shared(), numbered());
    let client = app.org_asking("acme", &upstream);
    ask_in(&client, "c", &[user("q")]);
    client.post("/agents", json!({ "name": "Bo", "slug": "bo" })).ok(201);
    let other = ask(&client.header("x-alm-session-id", "c"), "bo", json!({}));
    assert_eq!((other.status, &other.json()["error"]["code"]), (409, &json!("conflict")));
}

#[test]
fn a_word_of_another_organizations_session_is_read_by_nobody_else() {
    let (app, upstream) = (App::shared(), numbered());
    let client = app.org_asking("acme", &upstream);
    ask_in(&client, "shared", &[user("Zanzibar")]);
    let theirs = app.org_asking("globex", &upstream);
    let reply = ask_in(&theirs, "shared", &[user("Zanzibar"), model("a1"), user("more")]);
    assert_eq!(reply.status, 200);
    assert_eq!(texts(&client, "shared"), ["Zanzibar", "a1"]);
    assert_eq!(theirs.messages("shared")[1]["metadata"]["origin"], "client");
}

#[test]
fn thoughts_that_a_client_posts_go_back_under_the_models_name_for_them() {
    let app = App::shared();
    let thinking = || {
        Answer::chunks([
            delta(json!({ "reasoning": "Hm." })),
            delta(json!({ "content": "Yes." })),
            finish("stop"),
            usage(1, 1),
        ])
    };
    let upstream = FakeModel::deciding(move |_, _| thinking());
    let client = app.org_asking("acme", &upstream);
    ask(&client, "ala", json!({}));
    let thought = json!({ "role": "assistant", "content": "Mine.", "reasoning_content": "Deep." });
    ask_in(&client, "c", &[user("q"), thought, user("r")]);
    let asked = upstream.chats()[1]["messages"].clone();
    assert_eq!(asked[2]["reasoning"], "Deep.", "{asked}");
    // The same of a response.
    let input = json!([{ "role": "user", "content": "q" },
        { "type": "reasoning", "summary": [{ "type": "summary_text", "text": "Deep." }] },
        { "role": "assistant", "content": "Mine." }, { "role": "user", "content": "r" }]);
    for store in [true, false] {
        let reply = client.post("/v1/responses", json!({ "model": "ala", "input": input, "store": store }));
        assert_eq!(reply.status, 200, "{}", reply.text);
        assert_eq!(upstream.chats().pop().unwrap()["messages"][2]["reasoning"], "Deep.", "{store}");
    }
}

#[test]
fn a_kept_reply_is_asked_for_once_with_a_key() {
    let (app, upstream) = (App::shared(), numbered());
    let client = app.org_asking("acme", &upstream).header("idempotency-key", "once");
    for stream in [false, true] {
        let once = client.header("idempotency-key", &format!("once-{stream}"));
        let [first, second] = [(); 2].map(|()| ask(&once, "ala", json!({ "store": true, "stream": stream })));
        assert_eq!((first.status, &first.text), (200, &second.text));
        assert_eq!(first.header("x-alm-session-id"), second.header("x-alm-session-id"));
    }
    assert_eq!(upstream.asked().len(), 2);
}
