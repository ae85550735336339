//! What happens, as it happens: who hears of it, and from where they go on.

use std::io::{BufRead, BufReader};

use alm::{
    key::{Env, Scope},
    store::tools::Policy,
};
use serde_json::{Value, json};
use ureq::BodyReader;

use crate::support::{
    client::Client,
    fake_model::{Answer, FakeModel},
    harness::{App, user, wait},
};

/// Streams of one person.
const STREAMS: usize = 16;

/// Someone who listens, and the id of what they heard last.
struct Ear {
    lines: BufReader<BodyReader<'static>>,
    last: String,
}

impl Ear {
    /// Listens from now on. The first event says how many calls wait.
    #[track_caller]
    fn of(client: &Client) -> Self {
        let mut ear = Ear::after(client, "");
        assert_eq!(ear.next().unwrap()["type"], json!("approvals"));
        ear
    }

    /// Listens from after an event, or from now on.
    #[track_caller]
    fn after(client: &Client, last: &str) -> Self {
        let response = client.header("last-event-id", last).attempt("GET", "/events", None).unwrap();
        assert_eq!(response.status().as_u16(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Ear { lines: BufReader::new(response.into_body().into_reader()), last: last.to_owned() }
    }

    /// The next event; `None` at the end.
    fn next(&mut self) -> Option<Value> {
        loop {
            let mut line = String::new();
            self.lines.read_line(&mut line).ok().filter(|read| *read > 0)?;
            match line.trim_end().split_once(": ") {
                Some(("id", id)) => id.clone_into(&mut self.last),
                Some(("data", data)) => return Some(serde_json::from_str(data).unwrap()),
                Some(("", _)) | None => {}
                Some(_) => panic!("{line}"),
            }
        }
    }

    /// All events up to one that fits.
    #[track_caller]
    fn until(&mut self, fits: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut heard = Vec::new();
        loop {
            let event = self.next().unwrap_or_else(|| panic!("the stream ended after {heard:?}"));
            let done = fits(&event);
            heard.push(event);
            if done {
                return heard;
            }
        }
    }
}

fn session(client: &Client, label: &str) -> String {
    client.post("/sessions", json!({ "label": label })).ok(201)["id"].as_str().unwrap().to_owned()
}

/// Of which sessions those events are.
fn labels(events: &[Value]) -> Vec<&str> {
    events.iter().filter_map(|event| event["label"].as_str()).collect()
}

#[test]
fn a_reply_a_change_and_an_end_are_heard_without_their_texts() {
    let (app, model) = (App::shared(), FakeModel::saying("secret-answer"));
    let acme = app.org_asking("acme", &model);
    let mut owner = Ear::of(&app.browser("acme"));
    let id = session(&acme, "Tea");
    let made = owner.until(|event| event["id"] == json!(id)).pop().unwrap();
    assert_eq!(
        [&made["type"], &made["status"], &made["label"], &made["origin"]],
        [&json!("session"), &json!("idle"), &json!("Tea"), &json!("chat")]
    );
    assert_eq!(made["updatedAt"], acme.get(&format!("/sessions/{id}")).ok(200)["updatedAt"]);
    acme.chat(json!({ "id": id, "model": "up/free", "messages": [user("secret-question")] }));
    let replied = owner.until(|event| event["type"] == "request" && event["status"] == "complete");
    let listed = acme.get("/requests").ok(200)["items"][0].clone();
    let mut request = replied.last().unwrap().clone();
    request.as_object_mut().unwrap().remove("type");
    assert_eq!(request, listed);
    assert!(!format!("{replied:?}").contains("secret-"), "{replied:?}");
    acme.patch(&format!("/sessions/{id}"), json!({ "label": "Coffee" })).ok(200);
    owner.until(|event| event["id"] == json!(id) && event["label"] == "Coffee" && event["status"] == "idle");
    acme.delete(&format!("/sessions/{id}")).ok(200);
    let gone = owner.until(|event| event["deleted"] == true).pop().unwrap();
    assert_eq!(gone, json!({ "type": "session", "id": id, "deleted": true }));
}

#[test]
fn how_many_calls_wait_is_heard() {
    let call = Answer::call("c1", "search_history", r#"{"query":"tea"}"#);
    let (app, model) = (App::start(&[]), FakeModel::start([call, Answer::text("done")]));
    let acme = app.org_asking("acme", &model);
    let tenant = app.tenant("acme");
    let asks = |agent: &mut alm::store::agents::Agent| {
        agent.settings.tool_approval = Some(Policy::Ask);
        Ok(())
    };
    wait(app.store().org(&tenant).update_agent("ala".into(), asks)).unwrap();
    let mut ear = Ear::of(&acme);
    acme.chat(json!({ "id": "c", "messages": [user("Go")] }));
    ear.until(|event| event["waiting"] == 1);
    assert_eq!(Ear::after(&acme, "").next(), Some(json!({ "type": "approvals", "waiting": 1 })));
    let id = acme.get("/approvals").ok(200)["items"][0]["approvalId"].as_str().unwrap().to_owned();
    acme.post(&format!("/approvals/{id}"), json!({ "approved": false })).ok(200);
    ear.until(|event| event["waiting"] == 0);
}

#[test]
fn everyone_hears_of_what_they_may_see() {
    let (app, model) = (App::shared(), FakeModel::saying("Hello."));
    let acme = app.org_asking("acme", &model);
    let (member, chats, globex) = (app.member("acme"), app.key("acme", Env::Live, &[Scope::Chat]), app.org("globex"));
    let mut ears = [&app.browser("acme"), &acme, &member, &chats, &globex].map(Ear::of);
    let private = member.post("/projects", json!({ "name": "Secret", "visibility": "private" })).ok(201);
    let hidden = json!({ "label": "hidden", "projectId": private["id"] });
    let hidden = member.post("/sessions", hidden).ok(201)["id"].as_str().unwrap().to_owned();
    member.delete(&format!("/sessions/{hidden}")).ok(200);
    for client in [&member, &acme] {
        client.ask("up/free", "Hi");
    }
    session(&acme, "last");
    session(&globex, "last");
    let heard = ears.each_mut().map(|ear| ear.until(|event| event["label"] == "last"));
    let owner_id = app.tenant("acme").user_id;
    let whose = |events: &[Value]| {
        let requests = events.iter().filter(|event| event["type"] == "request" && event["status"] == "complete");
        requests.map(|request| request["userId"] == json!(owner_id)).collect::<Vec<_>>()
    };
    let [owner, own_key, members, without_read, elsewhere] = &heard;
    assert_eq!(whose(owner), [false, true], "an owner at a browser sees everybody's");
    assert_eq!((whose(own_key), whose(members)), (vec![true], vec![false]));
    assert!(!without_read.iter().any(|event| event["type"] == "request") && labels(without_read).len() > 1);
    assert_eq!(labels(elsewhere), ["last"]);
    let saw = |events: &[Value]| events.iter().any(|event| event["id"] == json!(hidden));
    assert_eq!(heard.each_ref().map(|events| saw(events)), [false, false, true, false, false]);
}

#[test]
fn a_session_that_goes_where_others_cannot_see_it_is_gone_for_them() {
    let app = App::shared();
    let (owner, member) = (app.org("acme"), app.member("acme"));
    let project = member.post("/projects", json!({ "name": "Secret", "visibility": "private" })).ok(201);
    let id = session(&member, "Tea");
    let (mut theirs, mut ours) = (Ear::of(&owner), Ear::of(&member));
    member.patch(&format!("/sessions/{id}"), json!({ "projectId": project["id"] })).ok(200);
    theirs.until(|event| *event == json!({ "type": "session", "id": id, "deleted": true }));
    ours.until(|event| event["id"] == json!(id) && event["label"] == "Tea");
    let project = format!("/projects/{}", project["id"].as_str().unwrap());
    member.patch(&project, json!({ "visibility": "team" })).ok(200);
    theirs.until(|event| *event == json!({ "type": "resync" }));
}

#[test]
fn a_listener_goes_on_after_the_last_event_they_heard() {
    let app = App::start(&[]);
    let acme = app.org("acme");
    let lost = Ear::of(&acme).last;
    for label in ["one", "two"] {
        session(&acme, label);
    }
    let mut again = Ear::after(&acme, &lost);
    assert_eq!(labels(&again.until(|event| event["label"] == "two")), ["one", "two"]);
    assert_eq!(Ear::after(&acme, &again.last).last, again.last);
    let mut elsewhere = Ear::after(&app.org("globex"), &again.last);
    for mut ear in [Ear::after(&acme, "x"), Ear::after(&acme, "1-1")] {
        assert_eq!(ear.next(), Some(json!({ "type": "resync" })));
    }
    assert_eq!(elsewhere.next(), Some(json!({ "type": "resync" })), "an event of another organization is none");
    let app = app.crash();
    let mut after = Ear::after(&acme.at(app.url()), &again.last);
    assert_eq!(after.next(), Some(json!({ "type": "resync" })), "what was before a restart is not known");
    session(&acme.at(app.url()), "three");
    after.until(|event| event["label"] == "three");
}

#[test]
fn who_may_hear_no_more_hears_nothing() {
    let app = App::shared();
    let (acme, owner) = (app.org("acme"), app.browser("acme"));
    let key = owner.post("/api-keys", json!({ "name": "listens" })).ok(201);
    let mut by_key = Ear::of(&Client::new(app.url(), Some(key["key"].as_str().unwrap().to_owned())));
    owner.delete(&format!("/api-keys/{}", key["id"].as_str().unwrap())).ok(200);
    assert_eq!(by_key.next(), None, "a key that was revoked");
    let mut member = Ear::of(&app.member("acme"));
    let people = owner.get("/members").ok(200)["items"].as_array().unwrap().clone();
    let removed = people.iter().find(|person| person["role"] == "member").unwrap();
    owner.delete(&format!("/members/{}", removed["userId"].as_str().unwrap())).ok(200);
    assert_eq!(member.next(), None, "a member who was removed");
    let mut signed_out = Ear::of(&owner);
    owner.post("/auth/logout", json!({})).ok(200);
    session(&acme, "after");
    assert_eq!(signed_out.next(), None, "a sign-in that has ended");
    app.anonymous().get("/events").fails(401, "UNAUTHORIZED");
    app.key("acme", Env::Live, &[Scope::Write]).get("/events").fails(403, "FORBIDDEN");
}

#[test]
fn a_person_has_so_many_streams() {
    let app = App::shared();
    let acme = app.org("acme");
    let mut ears: Vec<_> = (0..STREAMS).map(|_| Ear::of(&acme)).collect();
    let refused = acme.get("/events");
    refused.fails(503, "SERVICE_UNAVAILABLE");
    assert_eq!(refused.header("retry-after"), Some("5"));
    let other = Ear::of(&app.member("acme"));
    ears.pop();
    // The server sees that one is gone when it has something to tell.
    crate::support::harness::until("room", || {
        session(&acme, "news");
        acme.attempt("GET", "/events", None).ok().filter(|response| response.status() == 200)
    });
    drop(other);
}

#[test]
fn a_server_that_goes_down_ends_what_is_listened_to() {
    let app = App::start(&[]);
    let mut ear = Ear::of(&app.org("acme"));
    app.terminate();
    assert_eq!(ear.next(), None);
    assert_eq!(app.exit_code(), Some(0));
}
