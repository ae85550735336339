//! Stops while a child reads and writes, and slots that do not come free.

use serde_json::json;

use crate::{
    llama_server::LlamaServer,
    people::{says, says_in, serve, whole},
    support::harness::until,
    system::runs,
};

#[test]
fn a_stop_while_a_prompt_is_read_frees_the_slot() {
    let llama = LlamaServer::new();
    let app = serve(&llama, &[]);
    let owner = app.org("acme");
    let mut heard = owner.listen(says("Hi reads=never"));
    heard.until("start");
    llama.until("reads", 1);
    let next = owner.listen(says_in("d", "Hi"));
    owner.post("/chat/c/stop", json!({})).ok(200);
    assert_eq!(heard.rest().types().last(), Some(&"abort"));
    whole(&next.rest());
    assert_eq!((llama.count("hung up"), llama.starts().len()), (1, 1));
    whole(&owner.chat(says("And?")));
}

#[test]
fn a_stop_in_an_answer_keeps_its_text_and_frees_the_slot() {
    let llama = LlamaServer::new();
    let app = serve(&llama, &[]);
    let owner = app.org("acme");
    let mut heard = owner.listen(says("Hi words=9 waits=never"));
    heard.until("text-delta");
    owner.post("/chat/c/stop", json!({})).ok(200);
    assert_eq!(heard.rest().text(), "w0 ");
    let kept = owner.messages("c").pop().unwrap();
    assert_eq!((&kept["status"], &kept["content"]), (&json!("stopped"), &json!("w0 ")));
    llama.until("free", 1);
    whole(&owner.chat(says("And?")));
}

#[test]
fn a_slot_that_does_not_come_free_is_taken_by_force_once_others_wait() {
    let llama = LlamaServer::planned(json!([{ "keeps_slot": true }, {}]));
    let app = serve(&llama, &[]);
    let owner = app.org("acme");
    let mut heard = owner.listen(says("Hi reads=never"));
    heard.until("start");
    llama.until("reads", 1);
    owner.post("/chat/c/stop", json!({})).ok(200);
    heard.rest();
    let first = llama.pid();
    assert!(runs(&first), "nobody waits");
    whole(&owner.chat(says_in("d", "Hi")));
    assert!(!runs(&first) && llama.starts().len() == 2);
    until("the message to be kept", || (owner.history("d").len() == 2).then_some(()));
}
