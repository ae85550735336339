//! At most once: what a crash, a stop or an allowed call that was not made yet leave of a tool's calls. The service counts.

use std::thread;

use serde_json::{Value, json};

use crate::support::{
    client::Client,
    counting::{Counting, Says},
    fake_model::{Answer, FakeModel, call, finish},
    harness::{App, until, user, wait},
    tools::{OPERATOR, declare},
};

/// A server whose agent has a tool that does not respond, and a model that calls it, and then says `done`.
struct Calling {
    app: App,
    acme: Client,
    service: Counting,
    model: FakeModel,
}

fn calling(more: Value) -> Calling {
    calling_in_vain(1, more)
}

/// The same, and so many calls get no answer.
fn calling_in_vain(silences: usize, more: Value) -> Calling {
    let script = [Answer::call("t1", "create_ticket", "{}"), Answer::text("done"), Answer::text("more")];
    calling_of(script, silences, more)
}

fn calling_of(script: impl IntoIterator<Item = Answer>, silences: usize, more: Value) -> Calling {
    let (app, model) = (App::start(&[]), FakeModel::start(script));
    let service = Counting::start(move |n, _| if n < silences { Says::Silence } else { Says::json("{\"id\":7}") });
    let acme = app.org_asking("acme", &model);
    declare(&app, OPERATOR, "POST", &service.url("/tickets"), more);
    Calling { app, acme, service, model }
}

impl Calling {
    fn begin(&self) {
        let mut reply = self.acme.listen(json!({ "id": "c", "messages": [user("Go")] }));
        reply.until("tool-input-available");
        until("the call", || (self.service.came().len() == 1).then_some(()));
    }

    fn crash(&mut self) {
        self.app = self.app.crash();
        self.acme = self.acme.at(self.app.url());
    }

    fn call(&self) -> Value {
        self.acme.get("/tool-calls").ok(200)["items"][0].clone()
    }

    fn part(&self) -> Value {
        self.acme.messages("c").pop().unwrap()["parts"][1].clone()
    }
}

#[test]
fn a_call_that_ran_when_the_server_was_killed_is_not_made_again_and_says_so() {
    let mut calling = calling(json!({}));
    calling.begin();
    calling.crash();
    assert_eq!(calling.call()["status"], json!("unknown"));
    let said = "The server stopped while this call ran. It may have taken effect: check before you call it again.";
    let part = calling.part();
    assert_eq!(
        (&part["type"], &part["state"], &part["errorText"]),
        (&json!("dynamic-tool"), &json!("output-error"), &json!(said))
    );
    assert_eq!(calling.acme.resume("c").text(), "done");
    let (role, told) = calling.model.last_messages().pop().unwrap();
    assert_eq!((&*role, &*told), ("tool", said));
    assert_eq!(calling.service.came().len(), 1);
}

#[test]
fn a_call_that_may_be_made_again_is_made_again_under_its_key() {
    let mut calling = calling(json!({ "idempotent": true }));
    calling.begin();
    calling.crash();
    assert_eq!((&calling.call()["status"], &calling.part()["state"]), (&json!("called"), &json!("input-available")));
    assert_eq!(calling.acme.resume("c").text(), "done");
    let came = calling.service.came();
    assert_eq!(came.len(), 2);
    assert_eq!(came[0].header("idempotency-key"), came[1].header("idempotency-key"));
    assert_eq!((&calling.call()["status"], &calling.part()["state"]), (&json!("done"), &json!("output-available")));
}

#[test]
fn a_call_is_paid_for_once_however_often_it_is_made_again() {
    let mut calling = calling_in_vain(2, json!({ "idempotent": true, "price": 700 }));
    calling.app.deposit("acme", 1_000_000);
    // Whoever goes on with it holds money, which a second price could be taken from.
    let (app, paid) = (&calling.app, Some("up/paid".to_owned()));
    wait(app.store().org(&app.tenant("acme")).set_default_model(paid)).unwrap();
    calling.begin();
    let balance = |calling: &Calling| calling.acme.get("/billing").ok(200)["balanceMicrocents"].as_i64().unwrap();
    calling.crash();
    let after_one = balance(&calling);
    assert!((990_000..=999_300).contains(&after_one), "{after_one}");
    // Whoever resumes it is killed as well, while it is made again.
    calling.acme.listen_to_resumed("c").until("start");
    until("the call", || (calling.service.came().len() == 2).then_some(()));
    calling.crash();
    assert_eq!((calling.call()["status"].clone(), balance(&calling)), (json!("called"), after_one));
    // Once the conversation goes on it is nobody's any more.
    let on = json!({ "id": "c", "model": "up/free", "messages": [user("And?")] });
    assert_eq!(calling.acme.chat(on).text(), "done");
    assert_eq!((calling.call()["status"].clone(), balance(&calling)), (json!("unknown"), after_one));
    assert!(calling.app.alm(&["ledger", "verify"]).ok().contains("adds up"));
}

#[test]
fn a_call_that_was_answered_before_its_turn_ended_is_made_by_itself() {
    let app = App::start(&[]);
    let two = [call(Some(0), Some("c1"), Some("slow"), "{}"), call(Some(1), Some("c2"), Some("asks"), "{}")];
    let model = FakeModel::start([Answer::chunks(two.into_iter().chain([finish("tool_calls")])), Answer::text("done")]);
    let service = Counting::start(|n, _| if n == 0 { Says::Silence } else { Says::json("{}") });
    let acme = app.org_asking("acme", &model);
    declare(&app, OPERATOR, "POST", &service.url("/slow"), json!({ "name": "slow" }));
    declare(&app, OPERATOR, "POST", &service.url("/asks"), json!({ "name": "asks", "approval": "ask" }));
    let mut reply = acme.listen(json!({ "id": "c", "messages": [user("Go")] }));
    let id = reply.until("tool-approval-request")["approvalId"].as_str().unwrap().to_owned();
    until("the call", || (service.came().len() == 1).then_some(()));
    let decided = acme.post(&format!("/approvals/{id}"), json!({ "approved": true })).ok(200);
    assert_eq!((&decided["remaining"], &decided["resumed"]), (&json!(0), &json!(false)), "the reply is being written");
    let app = app.crash();
    let acme = acme.at(app.url());
    until("the call that was allowed", || (service.came().len() == 2).then_some(()));
    until("the reply", || (acme.history("c").last().unwrap().1 == "done").then_some(()));
    let statuses: Vec<_> = acme.get("/tool-calls").ok(200)["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|call| call["status"].clone())
        .collect();
    assert_eq!(statuses, [json!("done"), json!("unknown")]);
}

#[test]
fn a_call_that_might_have_been_made_again_is_unknown_once_the_conversation_goes_on() {
    let mut calling = calling(json!({ "idempotent": true }));
    calling.begin();
    calling.crash();
    assert_eq!(calling.acme.chat(json!({ "id": "c", "messages": [user("And?")] })).text(), "done");
    assert_eq!((calling.call()["status"].clone(), calling.service.came().len()), (json!("unknown"), 1));
    let told = calling.model.last_messages();
    assert!(told.iter().any(|(role, text)| role == "tool" && text.contains("may have taken effect")), "{told:?}");
}

#[test]
fn a_stop_ends_a_call_at_once_and_says_that_it_may_have_taken_effect() {
    let calling = calling(json!({}));
    calling.begin();
    assert_eq!(calling.acme.post("/chat/c/stop", json!({})).ok(200)["stopped"], json!(true));
    let part = calling.part();
    assert!(part["errorText"].as_str().unwrap().starts_with("The reply was stopped while this call ran."), "{part}");
    assert_eq!(calling.call()["status"], json!("unknown"));
}

#[test]
fn a_new_answer_without_words_does_not_bring_back_one_whose_calls_it_has_ended() {
    // The model that writes it anew says nothing before the server is killed.
    let script = [Answer::call("t1", "create_ticket", "{}"), Answer::empty().silent()];
    let mut calling = calling_of(script, 1, json!({ "approval": "ask", "idempotent": true }));
    let asked = calling.acme.chat(json!({ "id": "c", "messages": [user("Go")] }));
    let id = asked.one("tool-approval-request")["approvalId"].as_str().unwrap().to_owned();
    calling.acme.post(&format!("/approvals/{id}"), json!({ "approved": true })).ok(200);
    until("the call", || (calling.service.came().len() == 1).then_some(()));
    calling.crash();
    assert_eq!(calling.call()["status"], json!("called"), "it may be made again");
    let (anew, acme) = (json!({ "id": "c", "trigger": "regenerate-message", "messages": [] }), calling.acme.clone());
    let asking = thread::spawn(move || drop(acme.attempt("POST", "/chat", Some(&anew.to_string()))));
    until("the model to be asked again", || (calling.model.asked().len() == 2).then_some(()));
    calling.crash();
    asking.join().unwrap();
    assert_eq!((&calling.call()["status"], calling.acme.messages("c").len()), (&json!("unknown"), 1));
}

#[test]
fn a_call_that_was_allowed_is_made_once_whatever_is_killed_in_between() {
    let mut calling = calling(json!({ "approval": "ask" }));
    let asked = calling.acme.chat(json!({ "id": "c", "messages": [user("Go")] }));
    let id = asked.one("tool-approval-request")["approvalId"].as_str().unwrap().to_owned();
    assert_eq!(calling.service.came().len(), 0);
    calling.crash();
    assert_eq!((calling.call()["status"].clone(), calling.service.came().len()), (json!("waiting"), 0));
    let yes = json!({ "approved": true });
    assert_eq!(calling.acme.post(&format!("/approvals/{id}"), yes).ok(200)["resumed"], json!(true));
    until("the call", || (calling.service.came().len() == 1).then_some(()));
    calling.crash();
    assert_eq!(calling.call()["status"], json!("unknown"));
    // The answer again makes no second call of it.
    calling.acme.post("/chat/c/resume", json!({ "approvals": [{ "approvalId": id, "approved": true }] }));
    assert_eq!(calling.service.came().len(), 1);
    assert_eq!(calling.acme.resume("c").text(), "done");
}

#[test]
fn a_tool_that_changed_after_it_was_allowed_does_not_run() {
    let calling = calling(json!({ "approval": "ask" }));
    let asked = calling.acme.chat(json!({ "id": "c", "messages": [user("Go")] }));
    let id = asked.one("tool-approval-request")["approvalId"].clone();
    calling.app.file().execute("UPDATE tool SET description = 'Deletes everything.'", []).unwrap();
    calling.acme.post("/chat/c/resume", json!({ "approvals": [{ "approvalId": id, "approved": true }] }));
    let part = calling.part();
    assert!(part["errorText"].as_str().unwrap().contains("has changed since it was allowed"), "{part}");
    assert_eq!((calling.call()["status"].clone(), calling.service.came().len()), (json!("failed"), 0));
}
