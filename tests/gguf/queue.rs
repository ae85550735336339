//! Who waits for a child that is busy: in order, told where, and no more than so many.

use std::{sync::mpsc::channel, thread};

use serde_json::{Value, json};

use crate::{
    llama_server::LlamaServer,
    people::{says_in, serve, whole},
    support::{
        client::{Client, Listening},
        harness::{App, until},
    },
};

/// Who may wait for a model; a person at most half of them.
const QUEUE: usize = 64;

/// What the next word about its place says.
fn position(heard: &mut Listening) -> u64 {
    let waiting = heard.until("data-model")["data"].take();
    assert_eq!(waiting["state"], "queued", "{waiting}");
    waiting["position"].as_u64().unwrap()
}

/// A server whose child is busy with somebody's question until the gate `on` opens.
fn busy(llama: &LlamaServer) -> (App, Client, Listening) {
    let app = serve(llama, &[]);
    let owner = app.org("acme");
    let heard = owner.listen(says_in("busy", "Hi reads=on"));
    llama.until("reads", 1);
    (app, owner, heard)
}

/// So many questions that wait, each in a session of its own; they have all been told where.
fn waiting(person: &Client, name: &str, count: usize) -> Vec<Listening> {
    let (told, tells) = channel();
    thread::scope(|scope| {
        for n in 0..count {
            let told = told.clone();
            scope.spawn(move || {
                let mut heard = person.listen(says_in(&format!("{name}{n}"), "Me too"));
                position(&mut heard);
                told.send(heard).unwrap();
            });
        }
    });
    tells.try_iter().collect()
}

#[test]
fn positions_fall_and_the_first_to_come_is_the_first_to_be_served() {
    let llama = LlamaServer::new();
    let (_app, owner, first) = busy(&llama);
    let mut others = Vec::new();
    for n in 1..=3 {
        // Each holds the child until its own gate opens, so that the next is seen to move.
        let mut heard = owner.listen(says_in(&format!("s{n}"), &format!("Hi {n} reads=on{n}")));
        assert_eq!(position(&mut heard), n);
        others.push(heard);
    }
    llama.open("on");
    whole(&first.rest());
    assert_eq!(others[1..].iter_mut().map(position).collect::<Vec<_>>(), [1, 2]);
    for n in 1..=3 {
        llama.open(&format!("on{n}"));
    }
    others.into_iter().for_each(|heard| drop(whole(&heard.rest())));
    let order: Vec<_> = llama.asked().iter().map(|body| last_text(body)[..4].to_owned()).collect();
    assert_eq!(order, ["Hi r", "Hi 1", "Hi 2", "Hi 3"]);
    assert_eq!(llama.count("queued"), 0, "the child never has a queue");
}

fn last_text(body: &Value) -> String {
    body["messages"].as_array().unwrap().last().unwrap()["content"].as_str().unwrap().to_owned()
}

#[test]
fn a_full_queue_refuses_and_says_when_to_come_again() {
    let llama = LlamaServer::new();
    let (app, owner, first) = busy(&llama);
    let half = waiting(&owner, "a", QUEUE / 2);
    assert_eq!(half.len(), QUEUE / 2);
    let refused = owner.post("/chat", says_in("more", "Me too"));
    refused.fails(503, "SERVICE_UNAVAILABLE");
    assert_eq!(owner.get("/sessions/more").status, 404, "half of it is all that one person has");
    // Somebody else has the other half.
    let member = app.member("acme");
    let others = waiting(&member, "b", QUEUE / 2);
    let third = app.member("acme");
    let error = third.post("/chat", says_in("c", "Me too")).fails(503, "SERVICE_UNAVAILABLE");
    let words = error["message"].as_str().unwrap();
    assert!(words.starts_with("64 answers wait for the local model: try again in "), "{words}");
    // One that is stopped leaves, and its place is somebody's.
    member.post("/chat/b0/stop", json!({})).ok(200);
    let mut late = third.listen(says_in("late", "Me too"));
    assert_eq!(position(&mut late), 64);
    llama.open("on");
    whole(&first.rest());
    for heard in half {
        whole(&heard.rest());
    }
    let ended: Vec<_> = others.into_iter().map(|heard| heard.rest()).collect();
    assert_eq!(ended.iter().filter(|stream| stream.types().last() == Some(&"abort")).count(), 1);
    whole(&late.rest());
    assert_eq!((llama.asked().len(), llama.count("queued")), (1 + QUEUE, 0));
}

#[test]
fn a_stop_while_it_waits_is_free_and_asks_nothing() {
    let llama = LlamaServer::new();
    let (_app, owner, first) = busy(&llama);
    let mut heard = owner.listen(says_in("c", "Me too"));
    position(&mut heard);
    owner.post("/chat/c/stop", json!({})).ok(200);
    assert_eq!(heard.rest().types().last(), Some(&"abort"));
    llama.open("on");
    whole(&first.rest());
    assert_eq!(llama.asked().len(), 1);
    assert_eq!(owner.get("/sessions/c").ok(200)["status"], "idle");
    whole(&owner.chat(says_in("c", "And now?")));
}

#[test]
fn with_two_slots_two_are_answered_at_once() {
    let llama = LlamaServer::new();
    let app = serve(&llama, &["--gguf-slots", "2"]);
    let owner = app.org("acme");
    let both = ["a", "b"].map(|session| owner.listen(says_in(session, "Hi reads=on")));
    llama.until("reads", 2);
    let mut third = owner.listen(says_in("c", "Hi"));
    assert_eq!(position(&mut third), 1);
    llama.open("on");
    both.into_iter().chain([third]).for_each(|heard| drop(whole(&heard.rest())));
    until("the slots to be free", || (llama.count("free") == 3).then_some(()));
}
