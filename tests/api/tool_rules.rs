//! What holds of every call, whatever comes in between: who may let it run, what it may cost, how many there may be.

use std::sync::{
    Arc, Barrier,
    atomic::{AtomicUsize, Ordering},
};

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

/// A service that counts, and an agent whose model calls a tool of it so often, and says `done`.
struct Calling {
    app: App,
    acme: Client,
    model: FakeModel,
    service: Counting,
}

impl Calling {
    fn of(calls: usize, more: Value) -> Self {
        let service = Counting::start(|_, _| Says::json("{}"));
        let ids = ["t0", "t1"];
        let asked = (0..calls).map(|n| call(Some(n), Some(ids[n]), Some("create_ticket"), "{}"));
        let script = [Answer::chunks(asked.chain([finish("tool_calls")])), Answer::text("done"), Answer::text("more")];
        let (app, model) = (App::start(&[]), FakeModel::start(script));
        let acme = app.org_asking("acme", &model);
        declare(&app, OPERATOR, "POST", &service.url("/tickets"), more);
        Calling { app, acme, model, service }
    }

    fn ask(&self, client: &Client) -> Stream {
        client.chat(json!({ "id": "c", "messages": [user("Go")] }))
    }

    fn waiting(&self) -> Vec<String> {
        let asked = self.ask(&self.acme);
        let ids =
            asked.all("tool-approval-request").into_iter().map(|one| one["approvalId"].as_str().unwrap().to_owned());
        ids.collect()
    }

    /// Says yes in each of the ways there are.
    fn insist(&self, id: &str) {
        let yes = json!({ "approvals": [{ "approvalId": id, "approved": true }] });
        self.acme.post("/chat/c/resume", yes);
        self.acme.post(&format!("/approvals/{id}"), json!({ "approved": true }));
        let call = json!({ "type": "dynamic-tool", "toolName": "create_ticket", "toolCallId": "t0", "state": "approval-responded",
            "input": {}, "approval": { "id": id, "approved": true } });
        for message in self.acme.messages("c").iter().filter(|message| message["role"] == "assistant") {
            let posted = json!({ "id": message["id"], "role": "assistant", "parts": [call] });
            self.acme.post("/chat", json!({ "id": "c", "messages": [posted] }));
        }
        self.app.alm(&["approvals", "allow", "--org", &self.app.slug("acme"), id]);
    }

    fn told(&self) -> String {
        let (role, text) = self.model.last_messages().pop().unwrap();
        assert_eq!(role, "tool");
        text
    }
}

#[test]
fn a_call_that_was_denied_withdrawn_or_asked_too_long_ago_never_runs() {
    for end in ["denied", "withdrawn", "expired"] {
        let calling = Calling::of(1, json!({ "approval": "ask" }));
        let ids = calling.waiting();
        match end {
            "denied" => drop(
                calling
                    .acme
                    .post("/chat/c/resume", json!({ "approvals": [{ "approvalId": ids[0], "approved": false }] })),
            ),
            "withdrawn" => drop(calling.ask(&calling.acme)),
            _ => {
                let week = 7 * 24 * 60 * 60 * 1_000 + 1;
                calling.app.file().execute("UPDATE tool_call SET asked_at = asked_at - ?1", [week]).unwrap();
            }
        }
        calling.insist(&ids[0]);
        let status = calling.acme.get("/tool-calls").ok(200)["items"][0]["status"].clone();
        let expected = if end == "expired" { "withdrawn" } else { end };
        assert_eq!((status, calling.service.came().len()), (json!(expected), 0), "{end}");
    }
}

#[test]
fn a_tool_that_is_gone_off_or_not_its_agents_any_more_does_not_run_though_it_was_allowed() {
    for change in ["DELETE FROM tool", "UPDATE tool SET is_active = 0", "UPDATE tool SET approval = 'off'", "agent"] {
        let calling = Calling::of(1, json!({ "approval": "ask" }));
        let ids = calling.waiting();
        match change {
            "agent" => {
                let org = calling.app.tenant("acme");
                let none = |agent: &mut alm::store::agents::Agent| {
                    agent.allowed_tools = Some(Vec::new());
                    Ok(())
                };
                wait(calling.app.store().org(&org).update_agent("ala".into(), none)).unwrap();
            }
            sql => drop(calling.app.file().execute(sql, []).unwrap()),
        }
        let yes = json!({ "approvals": [{ "approvalId": ids[0], "approved": true }] });
        calling.acme.post("/chat/c/resume", yes);
        assert!(calling.told().contains("is not there any more, so it was not run"), "{change}: {}", calling.told());
        assert_eq!(calling.service.came().len(), 0, "{change}");
    }
}

#[test]
fn a_call_that_waits_holds_no_money_and_no_denial_is_shown_before_all_are_answered() {
    let calling = Calling::of(2, json!({ "approval": "ask", "price": 700 }));
    calling.app.deposit("acme", 10_000);
    let ids = calling.waiting();
    let money = |field: &str| calling.acme.get("/billing").ok(200)[field].as_i64().unwrap();
    assert_eq!((money("balanceMicrocents"), money("heldMicrocents")), (10_000, 0));
    calling.acme.post(&format!("/approvals/{}", ids[0]), json!({ "approved": false })).ok(200);
    let parts = calling.acme.messages("c")[1]["parts"].clone();
    let states: Vec<_> = parts.as_array().unwrap().iter().filter_map(|part| part["state"].as_str()).collect();
    assert_eq!(states, ["approval-requested", "approval-requested"]);
    calling.acme.post(&format!("/approvals/{}", ids[1]), json!({ "approved": true })).ok(200);
    until("the reply", || (calling.acme.get("/sessions/c").ok(200)["status"] == "idle").then_some(()));
    assert_eq!((calling.service.came().len(), money("balanceMicrocents"), money("heldMicrocents")), (1, 9_300, 0));
}

#[test]
fn a_priced_call_that_nobody_may_pay_for_is_not_made() {
    let calling = Calling::of(1, json!({ "price": 700 }));
    calling.app.deposit("acme", 699);
    calling.ask(&calling.acme);
    assert_eq!(calling.told(), "The balance does not cover this tool.");
    let calling = Calling::of(1, json!({ "price": 700 }));
    calling.app.deposit("acme", 10_000);
    calling.ask(&calling.app.key("acme", Env::Test, &Scope::ALL));
    assert_eq!(calling.told(), "This is a test key: a tool that costs money is not run.");
    let balance = calling.acme.get("/billing").ok(200)["balanceMicrocents"].clone();
    assert_eq!((calling.service.came().len(), balance), (0, json!(10_000)));
}

#[test]
fn the_stricter_of_a_tool_and_its_agent_says_who_allows_a_call() {
    for (own, agents, asks) in
        [("never", Policy::Owner, "owner"), ("owner", Policy::Ask, "owner"), ("ask", Policy::Never, "ask")]
    {
        let calling = Calling::of(1, json!({ "approval": own }));
        let org = calling.app.tenant("acme");
        let set = move |agent: &mut alm::store::agents::Agent| {
            agent.settings.tool_approval = Some(agents);
            Ok(())
        };
        wait(calling.app.store().org(&org).update_agent("ala".into(), set)).unwrap();
        calling.waiting();
        assert_eq!(calling.acme.get("/approvals").ok(200)["items"][0]["policy"], json!(asks), "{own} {agents:?}");
    }
}

#[test]
fn tools_past_what_a_request_may_offer_are_left_out_and_counted() {
    const TOOLS_PER_REQUEST_MAX: usize = alm::tools::TOOLS_PER_REQUEST_MAX;
    let (app, model) = (App::start(&[]), FakeModel::saying("Hi"));
    let acme = app.org_asking("acme", &model);
    let mut left_out = Vec::new();
    // Two are built in.
    for count in [TOOLS_PER_REQUEST_MAX - 2, TOOLS_PER_REQUEST_MAX] {
        let known: i64 = app.file().query_row("SELECT count(*) FROM tool", [], |row| row.get(0)).unwrap();
        for n in usize::try_from(known).unwrap()..count {
            declare(&app, OPERATOR, "GET", "https://example.com/", json!({ "name": format!("t{n:03}") }));
        }
        left_out.push(acme.chat(json!({ "messages": [user("Hi")] })).facts()["toolsLeftOut"].clone());
        assert_eq!(model.chats().pop().unwrap()["tools"].as_array().unwrap().len(), TOOLS_PER_REQUEST_MAX);
    }
    assert_eq!(left_out, [json!(null), json!(2)]);
}

/// The calls of a step that a model asks for, each with an id of its own.
fn step_of(calls: usize, step: usize) -> Answer {
    let asked = (0..calls).map(|n| call(Some(n), Some(&format!("s{step}n{n}")), Some("create_ticket"), "{}"));
    Answer::chunks(asked.chain([finish("tool_calls")]))
}

#[test]
fn of_a_step_32_calls_run_of_a_turn_200_and_8_of_them_at_once() {
    const AT_ONCE: usize = 8;
    // Nobody is answered before eight are there: fewer at once would never be, and more are counted.
    let (all_there, inside, most) = (Barrier::new(AT_ONCE), AtomicUsize::new(0), Arc::<AtomicUsize>::default());
    let seen = most.clone();
    let service = Counting::start(move |_, _| {
        seen.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        all_there.wait();
        inside.fetch_sub(1, Ordering::SeqCst);
        Says::json("{}")
    });
    let steps = (0..7).map(|step| step_of(if step == 0 { 33 } else { 32 }, step));
    let (app, model) = (App::start(&[]), FakeModel::start(steps.chain([Answer::text("done")])));
    let acme = app.org_asking("acme", &model);
    declare(&app, OPERATOR, "POST", &service.url("/tickets"), json!({}));
    let patient = |agent: &mut alm::store::agents::Agent| {
        agent.settings.steps_max = Some(9);
        Ok(())
    };
    wait(app.store().org(&app.tenant("acme")).update_agent("ala".into(), patient)).unwrap();
    let stream = acme.chat(json!({ "messages": [user("Go")] }));
    assert_eq!(stream.text(), "done");
    assert_eq!((service.came().len(), most.load(Ordering::SeqCst)), (200, AT_ONCE));
    let told = |text: &str| stream.all("tool-output-error").iter().filter(|error| error["errorText"] == text).count();
    assert_eq!(told("A step may make 32 calls: this one was not run."), 1);
    assert_eq!(told("A reply may make 200 calls: this one was not run."), 24);
}

#[test]
fn of_all_turns_256_calls_run_at_once_and_the_next_one_is_told() {
    const TURNS: usize = 32;
    let service = Counting::start(|_, _| Says::Silence);
    let model = FakeModel::answering(|_, asked| match asked.json["messages"].as_array().unwrap().last().unwrap() {
        last if last["role"] == "tool" => Answer::text("done"),
        last if last["content"] == "One" => step_of(1, 0),
        _ => step_of(8, 0),
    });
    let (app, calls) = (App::start(&[]), 8 * TURNS);
    let acme = app.org_asking("acme", &model);
    declare(&app, OPERATOR, "POST", &service.url("/tickets"), json!({}));
    let session = |n: usize| format!("c{n}");
    let running: Vec<_> =
        (0..TURNS).map(|n| acme.listen(json!({ "id": session(n), "messages": [user("Eight")] }))).collect();
    until("all places to be taken", || (service.came().len() == calls).then_some(()));
    let next = acme.chat(json!({ "messages": [user("One")] }));
    let told = "The server runs as many tools as it can, so this call was not made.";
    assert_eq!((next.one("tool-output-error")["errorText"].as_str(), next.text().as_str()), (Some(told), "done"));
    (0..TURNS).for_each(|n| drop(acme.post(&format!("/chat/{}/stop", session(n)), json!({})).ok(200)));
    running.into_iter().for_each(|one| drop(one.rest()));
    assert_eq!(service.came().len(), calls);
}

#[test]
fn what_became_of_a_call_cannot_be_rewritten() {
    let calling = Calling::of(1, json!({}));
    calling.ask(&calling.acme);
    let file = calling.app.file();
    for status in ["waiting", "approved", "called", "unknown"] {
        let refused = file.execute("UPDATE tool_call SET status = ?1", [status]).unwrap_err();
        assert!(refused.to_string().contains("a call of a tool moves forward only"), "{status}: {refused}");
    }
    assert!(file.execute("DELETE FROM tool_call", []).is_err());
    assert_eq!(calling.acme.get("/tool-calls").ok(200)["items"][0]["status"], json!("done"));
}
