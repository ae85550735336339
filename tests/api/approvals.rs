//! Calls that wait for a person: asked, answered in every way, once, and over a crash.

use std::thread;

use alm::{
    key::{Env, Scope},
    store::tools::Policy,
};
use serde_json::{Value, json};

use crate::support::{
    client::{Client, Stream},
    counting::{Counting, Says},
    fake_model::{Answer, FakeModel, call, finish},
    harness::{App, until, user, wait},
    tools::{OPERATOR, declare},
};

const SEARCH: (&str, &str) = ("search_history", r#"{"query":"tea"}"#);

/// An organization whose tools ask, and a model that calls one of them and then says `done`.
struct Asking {
    app: App,
    model: FakeModel,
    acme: Client,
}

fn asking(policy: Policy, first: Answer) -> Asking {
    let (app, model) = (App::start(&[]), FakeModel::start([first, Answer::text("done"), Answer::text("more")]));
    let acme = app.org_asking("acme", &model);
    let tenant = app.tenant("acme");
    let org = app.store().org(&tenant);
    wait(org.update_agent("ala".into(), move |agent| {
        agent.settings.tool_approval = Some(policy);
        Ok(())
    }))
    .unwrap();
    Asking { app, model, acme }
}

impl Asking {
    fn ask(&self) -> Stream {
        self.acme.chat(json!({ "id": "c", "messages": [user("Go")] }))
    }

    /// The message as the SDK posts it back, its calls answered.
    fn answered(&self, approved: bool, reason: Option<&str>) -> Value {
        let mut last = self.acme.messages("c").pop().unwrap();
        for part in last["parts"].as_array_mut().unwrap() {
            if part["state"] == "approval-requested" {
                part["state"] = "approval-responded".into();
                part["approval"]["approved"] = approved.into();
                if let Some(reason) = reason {
                    part["approval"]["reason"] = reason.into();
                }
                part["input"] = json!({ "query": "something else" });
            }
        }
        json!({ "id": "c", "messages": [{ "id": last["id"], "role": "assistant", "parts": last["parts"] }] })
    }

    fn status(&self) -> String {
        self.acme.get("/sessions/c").ok(200)["status"].as_str().unwrap().to_owned()
    }

    /// What the model read of the call.
    fn told(&self) -> String {
        let (role, text) = self.model.last_messages().pop().unwrap();
        assert_eq!(role, "tool");
        text
    }

    fn calls(&self) -> Vec<Value> {
        self.acme.get("/tool-calls").ok(200)["items"].as_array().unwrap().clone()
    }
}

fn one_call() -> Answer {
    Answer::call("t1", SEARCH.0, SEARCH.1)
}

fn two_calls() -> Answer {
    let calls = [("t1", 0), ("t2", 1)].map(|(id, n)| call(Some(n), Some(id), Some(SEARCH.0), SEARCH.1));
    calls.into_iter().fold(Answer::empty(), Answer::chunk).chunk(finish("tool_calls")).done()
}

fn approval_id(stream: &Stream) -> String {
    stream.one("tool-approval-request")["approvalId"].as_str().unwrap().to_owned()
}

fn answer(id: &str, approved: bool) -> Value {
    json!({ "approvals": [{ "approvalId": id, "approved": approved }] })
}

#[test]
fn a_call_that_asks_ends_the_turn_and_waits() {
    let asking = asking(Policy::Ask, one_call());
    let asked = asking.ask();
    let mut types = asked.types();
    types.dedup();
    let expected = ["start", "start-step", "tool-input-start", "tool-input-delta", "tool-input-available"];
    assert_eq!(types[..5], expected);
    assert_eq!(types[5..], ["tool-approval-request", "finish-step", "finish"]);
    assert_eq!((asked.finish_reason(), &*asking.status()), ("tool-calls", "awaiting_approval"));
    let waiting = asking.acme.get("/approvals").ok(200)["items"].clone();
    assert_eq!(waiting[0]["approvalId"], json!(approval_id(&asked)));
    assert_eq!((&waiting[0]["toolName"], &waiting[0]["input"]), (&json!(SEARCH.0), &json!({ "query": "tea" })));
    assert_eq!((&waiting[0]["sessionId"], &waiting[0]["status"]), (&json!("c"), &json!("waiting")));
    let stored = asking.acme.messages("c").pop().unwrap();
    assert_eq!((&stored["status"], &stored["parts"][1]["state"]), (&json!("complete"), &json!("approval-requested")));
}

#[test]
fn a_yes_runs_the_stored_call_under_the_same_message_whatever_input_is_posted() {
    let asking = asking(Policy::Ask, one_call());
    let asked = asking.ask();
    let answered = asking.acme.chat(asking.answered(true, None));
    assert_eq!(answered.message_id(), asked.message_id());
    let mut types = answered.types();
    types.dedup();
    assert_eq!(types[..3], ["start", "tool-output-available", "start-step"]);
    assert_eq!((&*answered.text(), &*asking.status()), ("done", "idle"));
    assert!(asking.told().contains("hits"), "{}", asking.told());
    let stored = asking.acme.messages("c").pop().unwrap();
    assert_eq!(stored["parts"][1]["input"], json!({ "query": "tea" }));
    assert_eq!(
        (&stored["parts"][1]["state"], &stored["parts"][1]["approval"]["approved"]),
        (&json!("output-available"), &json!(true))
    );
    let row = &asking.calls()[0];
    assert_eq!((&row["status"], &row["policy"]), (&json!("done"), &json!("ask")));
}

#[test]
fn a_no_reaches_the_model_with_its_reason_and_the_reply_goes_on() {
    let asking = asking(Policy::Ask, one_call());
    asking.ask();
    let answered = asking.acme.chat(asking.answered(false, Some("Not on a Friday.")));
    assert_eq!(answered.types()[1], "tool-output-denied");
    assert_eq!((&*answered.text(), &*asking.told()), ("done", "Not on a Friday."));
    assert_eq!(asking.calls()[0]["status"], json!("denied"));
}

#[test]
fn the_same_answer_again_in_any_way_is_the_same_stream_and_the_other_one_is_refused() {
    let asking = asking(Policy::Ask, one_call());
    let id = approval_id(&asking.ask());
    let posted = asking.answered(true, None);
    let first = asking.acme.chat(posted.clone());
    let asks = asking.model.chats().len();
    let again = asking.acme.chat(posted);
    assert_eq!((again.message_id(), again.text()), (first.message_id(), first.text()));
    assert_eq!(again.one("tool-output-available")["output"], first.one("tool-output-available")["output"]);
    let resumed = asking.acme.post("/chat/c/resume", answer(&id, true));
    assert!(resumed.text.contains("tool-output-available"), "{}", resumed.text);
    assert_eq!(
        asking.acme.post(&format!("/approvals/{id}"), json!({ "approved": true })).ok(200)["resumed"],
        json!(false)
    );
    assert_eq!(asking.model.chats().len(), asks, "nothing is asked again");
    let refused = asking.acme.post("/chat/c/resume", answer(&id, false)).fails(409, "CONFLICT");
    assert!(refused["message"].as_str().unwrap().contains("its answer cannot change"), "{refused}");
    asking.acme.post(&format!("/approvals/{id}"), json!({ "approved": false })).fails(409, "CONFLICT");
    assert_eq!(asking.calls().len(), 1);
}

#[test]
fn all_waiting_calls_of_a_message_are_answered_together() {
    let asking = asking(Policy::Ask, two_calls());
    let asked = asking.ask();
    let ids: Vec<_> =
        asked.all("tool-approval-request").iter().map(|one| one["approvalId"].as_str().unwrap()).collect();
    let refused = asking.acme.post("/chat/c/resume", answer(ids[0], true)).fails(422, "VALIDATION_ERROR");
    assert_eq!(refused["details"]["pending"], json!([{ "approvalId": ids[1], "toolName": SEARCH.0 }]));
    let without = asking.acme.send("POST", "/chat/c/resume", None).fails(422, "VALIDATION_ERROR");
    assert_eq!(without["details"]["pending"].as_array().unwrap().len(), 2);
    asking.acme.post("/sessions/c/messages", json!({ "role": "user", "content": "x" })).fails(409, "CONFLICT");
    assert!(asking.calls().iter().all(|call| call["status"] == "waiting"));
    let decided = asking.acme.post(&format!("/approvals/{}", ids[0]), json!({ "approved": true })).ok(200);
    assert_eq!((&decided["remaining"], &decided["resumed"]), (&json!(1), &json!(false)));
    let decided = asking.acme.post(&format!("/approvals/{}", ids[1]), json!({ "approved": false })).ok(200);
    assert_eq!((&decided["remaining"], &decided["resumed"]), (&json!(0), &json!(true)));
    until("the reply", || (asking.status() == "idle").then_some(()));
    let history = asking.acme.messages("c");
    let states = [1, 2].map(|at| history[1]["parts"][at]["state"].clone());
    assert_eq!(states, ["output-available", "output-denied"].map(Value::from), "{history:?}");
}

#[test]
fn an_answer_says_why_its_conversation_does_not_go_on() {
    let asking = asking(Policy::Ask, one_call());
    let id = approval_id(&asking.ask());
    let slug = asking.app.slug("acme");
    asking.app.alm(&["providers", "remove", "--org", &slug, "up"]).ok();
    let decided = asking.acme.post(&format!("/approvals/{id}"), json!({ "approved": true })).ok(200);
    assert_eq!((&decided["remaining"], &decided["resumed"]), (&json!(0), &json!(false)));
    assert!(decided["refusal"].as_str().is_some_and(|why| why.contains("up/free")), "{decided}");
    // It waits for the turn that acts on the answer, and nothing comes between them.
    assert_eq!(asking.status(), "awaiting_approval");
    asking.acme.post("/sessions/c/messages", json!({ "role": "user", "content": "x" })).fails(409, "CONFLICT");
}

#[test]
fn a_conversation_that_goes_on_withdraws_what_nobody_answered() {
    let asking = asking(Policy::Ask, one_call());
    let id = approval_id(&asking.ask());
    let posted = asking.answered(true, None);
    let next = asking.acme.chat(json!({ "id": "c", "messages": [user("Never mind")] }));
    assert_eq!((&*next.text(), &*asking.status()), ("done", "idle"));
    let told = asking.model.last_messages();
    assert!(told.iter().any(|(role, text)| role == "tool" && text.starts_with("Nobody answered")), "{told:?}");
    let parts = asking.acme.messages("c")[1]["parts"].clone();
    assert_eq!(parts[1]["state"], json!("output-denied"));
    let refused = asking.acme.post("/chat", posted).fails(409, "CONFLICT");
    assert_eq!(refused["message"], json!("The conversation went on without this call."));
    asking.acme.post(&format!("/approvals/{id}"), json!({ "approved": true })).fails(409, "CONFLICT");
    assert_eq!(asking.calls()[0]["status"], json!("withdrawn"));
}

#[test]
fn a_no_of_the_inbox_stays_a_no_with_its_reason_when_a_question_comes_first() {
    let asking = asking(Policy::Ask, two_calls());
    let asked = asking.ask();
    let ids: Vec<_> =
        asked.all("tool-approval-request").iter().map(|one| one["approvalId"].as_str().unwrap()).collect();
    let no = json!({ "approved": false, "reason": "Not on a Friday." });
    assert_eq!(asking.acme.post(&format!("/approvals/{}", ids[0]), no.clone()).ok(200)["remaining"], json!(1));
    assert_eq!(asking.acme.chat(json!({ "id": "c", "messages": [user("Never mind")] })).text(), "done");
    let told = asking.model.last_messages();
    let told: Vec<_> = told.iter().filter(|(role, _)| role == "tool").map(|(_, text)| &**text).collect();
    assert_eq!(told, ["Not on a Friday.", "Nobody answered: the conversation went on."]);
    let parts = asking.acme.messages("c")[1]["parts"].clone();
    for (at, reason) in [(1, told[0]), (2, told[1])] {
        assert_eq!(parts[at]["state"], json!("output-denied"), "{parts}");
        assert_eq!(parts[at]["approval"]["reason"], json!(reason), "{parts}");
    }
    let statuses: Vec<_> = asking.calls().iter().rev().map(|call| call["status"].clone()).collect();
    assert_eq!(statuses, ["denied", "withdrawn"]);
    assert_eq!(asking.acme.post(&format!("/approvals/{}", ids[0]), no).ok(200)["resumed"], json!(false));
}

#[test]
fn a_test_key_that_allows_a_call_in_the_inbox_spends_nothing() {
    let service = Counting::start(|_, _| Says::json("{}"));
    let script = [Answer::call("t1", "create_ticket", "{}"), Answer::text("done")];
    let (app, model) = (App::start(&[]), FakeModel::start(script));
    let acme = app.org_asking("acme", &model);
    declare(&app, OPERATOR, "POST", &service.url("/tickets"), json!({ "price": 700, "approval": "ask" }));
    app.deposit("acme", 1_000_000);
    let asked = acme.chat(json!({ "id": "c", "messages": [user("Go")] }));
    let test = app.key("acme", Env::Test, &Scope::ALL);
    let yes = json!({ "approved": true, "remember": "session" });
    assert_eq!(test.post(&format!("/approvals/{}", approval_id(&asked)), yes).ok(200)["resumed"], json!(true));
    until("the reply", || (acme.get("/sessions/c").ok(200)["status"] == "idle").then_some(()));
    let (role, told) = model.last_messages().pop().unwrap();
    assert_eq!((&*role, &*told), ("tool", "This is a test key: a tool that costs money is not run."));
    assert_eq!((service.came().len(), &acme.get("/billing").ok(200)["balanceMicrocents"]), (0, &json!(1_000_000)));
    let granted: i64 = app.file().query_row("SELECT count(*) FROM tool_grant", [], |row| row.get(0)).unwrap();
    assert_eq!(granted, 0, "what is allowed for the session is allowed by who may pay for it");
}

#[test]
fn an_answer_is_given_after_a_crash_as_before_it() {
    for way in ["chat", "resume", "inbox"] {
        let mut asking = asking(Policy::Ask, one_call());
        let id = approval_id(&asking.ask());
        let posted = asking.answered(true, None);
        asking.app = asking.app.crash();
        asking.acme = asking.acme.at(asking.app.url());
        assert_eq!(asking.status(), "awaiting_approval", "{way}");
        match way {
            "chat" => drop(asking.acme.chat(posted)),
            "resume" => drop(asking.acme.post("/chat/c/resume", answer(&id, true))),
            _ => drop(asking.acme.post(&format!("/approvals/{id}"), json!({ "approved": true })).ok(200)),
        }
        until("the reply", || (asking.status() == "idle").then_some(()));
        let last = asking.acme.history("c").pop().unwrap();
        assert_eq!(last, ("assistant".into(), "done".into()), "{way}");
        assert_eq!(asking.calls()[0]["status"], json!("done"), "{way}");
    }
}

#[test]
fn fifty_answers_at_once_are_one_turn() {
    let asking = asking(Policy::Ask, two_calls());
    let asked = asking.ask();
    let ids: Vec<_> = asked.all("tool-approval-request").iter().map(|one| one["approvalId"].clone()).collect();
    let approvals: Vec<_> = ids.iter().map(|id| json!({ "approvalId": id, "approved": true })).collect();
    let (posted, body) = (asking.answered(true, None), json!({ "approvals": approvals }));
    thread::scope(|scope| {
        for n in 0..50 {
            let (acme, posted, body) = (&asking.acme, posted.clone(), body.clone());
            scope.spawn(move || match n % 2 {
                0 => acme.post("/chat", posted),
                _ => acme.post("/chat/c/resume", body),
            });
        }
    });
    until("the reply", || (asking.status() == "idle").then_some(()));
    assert_eq!(asking.model.chats().len(), 2, "the question and one continuation");
    let calls = asking.calls();
    assert!(calls.len() == 2 && calls.iter().all(|call| call["status"] == "done"), "{calls:?}");
}

#[test]
fn a_call_for_an_owner_takes_no_yes_from_a_key() {
    let asking = asking(Policy::Owner, one_call());
    let id = approval_id(&asking.ask());
    asking.acme.post("/chat/c/resume", answer(&id, true)).fails(403, "FORBIDDEN");
    asking.acme.post(&format!("/approvals/{id}"), json!({ "approved": true })).fails(403, "FORBIDDEN");
    assert_eq!(asking.status(), "awaiting_approval");
    let owner = asking.app.browser("acme");
    assert_eq!(owner.post(&format!("/approvals/{id}"), json!({ "approved": true })).ok(200)["resumed"], json!(true));
    until("the reply", || (asking.status() == "idle").then_some(()));
    assert_eq!((&asking.calls()[0]["status"], &asking.calls()[0]["decidedVia"]), (&json!("done"), &json!("sign-in")));
}

#[test]
fn what_is_allowed_for_a_session_is_not_asked_again_in_it() {
    let script = || [one_call(), one_call(), Answer::text("done"), one_call()];
    let asking = asking(Policy::Ask, one_call());
    let model = FakeModel::start(script());
    let acme = asking.app.org_asking("globex", &model);
    let tenant = asking.app.tenant("globex");
    wait(asking.app.store().org(&tenant).update_agent("ala".into(), |agent| {
        agent.settings.tool_approval = Some(Policy::Ask);
        Ok(())
    }))
    .unwrap();
    let asked = acme.chat(json!({ "id": "c", "messages": [user("Go")] }));
    let mut body = answer(&approval_id(&asked), true);
    body["approvals"][0]["remember"] = json!("session");
    let reply = acme.post("/chat/c/resume", body);
    assert!(!reply.text.contains("tool-approval-request") && reply.text.contains("done"), "{}", reply.text);
    let other = acme.chat(json!({ "id": "d", "messages": [user("Go")] }));
    assert_eq!(other.all("tool-approval-request").len(), 1, "another session asks");
}

#[test]
fn a_tool_of_the_clients_own_is_run_by_the_client() {
    let script = [Answer::call("t1", "getLocation", r#"{"fine":true}"#), Answer::text("Rome")];
    let (app, model) = (App::shared(), FakeModel::start(script));
    let acme = app.org_asking("acme", &model);
    let tools = json!({ "getLocation": { "description": "Where.", "parameters": { "type": "object" } } });
    let asked = acme.chat(json!({ "id": "c", "messages": [user("Where?")], "tools": tools }));
    assert_eq!(asked.finish_reason(), "tool-calls");
    assert!(asked.all("tool-output-error").is_empty() && asked.one("tool-input-available")["dynamic"].is_null());
    let offered = &model.chats()[0]["tools"];
    assert_eq!(offered[0]["function"]["name"], json!("getLocation"), "{offered}");
    let body = json!({ "toolOutputs": [{ "toolCallId": "t1", "output": { "city": "Rome" } }] });
    let answered = acme.post("/chat/c/resume", body);
    assert!(answered.text.contains("Rome"), "{}", answered.text);
    let (role, told) = model.last_messages().pop().unwrap();
    assert_eq!((&*role, told.contains("Rome")), ("tool", true));
}

#[test]
fn whoever_asks_over_mcp_is_told_what_waits_and_hears_the_rest_once_it_is_allowed() {
    let asking = asking(Policy::Ask, Answer::call("t1", SEARCH.0, SEARCH.1));
    let call = |tool: &str, arguments: Value| {
        let params = json!({ "name": tool, "arguments": arguments });
        let asked = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
        asking.acme.post("/mcp", asked).json()["result"]["structuredContent"].clone()
    };
    let told = call("ask_agent", json!({ "agent": "ala", "message": "Go" }));
    assert_eq!((&told["status"], &told["finishReason"]), (&json!("awaiting_approval"), &json!("tool-calls")), "{told}");
    let waiting = &asking.acme.get("/approvals").ok(200)["items"][0];
    let expected = json!([{ "approvalId": waiting["approvalId"], "toolName": SEARCH.0 }]);
    assert_eq!(told["approvals"], expected);

    let path = format!("/approvals/{}", waiting["approvalId"].as_str().unwrap());
    asking.acme.post(&path, json!({ "approved": true })).ok(200);
    let session = told["sessionId"].as_str().unwrap();
    let read = until("the reply to go on", || {
        let read = call("read_session", json!({ "sessionId": session }));
        (read["status"] == "idle").then_some(read)
    });
    let last = read["messages"].as_array().unwrap().last().unwrap();
    assert!(last["text"].as_str().unwrap().ends_with("done"), "{read}");
}
