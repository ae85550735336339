//! Replies as providers send them and no contract says, heard by a client: what is in them arrives, and what goes back is
//! what the provider wants.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};

use crate::support::{
    client::Stream,
    fake_model::{Answer, FakeModel, call, delta, finish},
    harness::{App, until, user},
};

fn word(text: &str) -> Value {
    delta(json!({ "content": text }))
}

fn heard(answer: Answer) -> Stream {
    let (app, model) = (App::shared(), FakeModel::start([answer]));
    app.org_asking("acme", &model).ask("up/free", "Hi")
}

fn thoughts(stream: &Stream) -> String {
    stream.all("reasoning-delta").iter().map(|chunk| chunk["delta"].as_str().unwrap()).collect()
}

#[test]
fn half_a_character_ends_no_reply() {
    let half = |json: &str| format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{json}\"}}}}]}}\n\n");
    let halves = Answer::empty().raw(half("hi \\ud83d")).raw(half("\\ude00 there")).chunk(finish("stop")).done();
    let stream = heard(halves.packets_of(7));
    assert_eq!((&*stream.text(), stream.finish_reason()), ("hi 😀 there", "stop"));
}

#[test]
fn a_reply_that_came_compressed_is_read() {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(format!("data: {}\n\ndata: {}\n\ndata: [DONE]\n\n", word("hi"), finish("stop")).as_bytes()).unwrap();
    let packed = gzip.finish().unwrap();
    let stream = heard(Answer::empty().header("content-encoding", "gzip").raw(packed));
    assert_eq!((&*stream.text(), stream.finish_reason()), ("hi", "stop"));
}

#[test]
fn an_error_in_other_words_says_what_it_is() {
    for (document, has) in [
        (
            json!({ "choices": null, "base_resp": { "status_code": 1008, "status_msg": "insufficient balance" } }),
            "balance",
        ),
        (json!({ "code": 401, "msg": "token expired or incorrect", "success": false }), "key"),
        (json!({ "detail": "Not authenticated" }), "key"),
        (json!({ "message": "Too many requests", "object": "error", "code": 429 }), "limiting"),
    ] {
        for answer in [Answer::json(200, &document), Answer::chunks([document.clone()])] {
            let stream = heard(answer);
            let said = stream.one("error")["errorText"].as_str().unwrap();
            assert!(said.contains(has), "{document}: {said}");
        }
    }
}

#[test]
fn no_line_is_longer_than_readers_take_and_none_ends_where_it_should_not() {
    let long = "é\u{2028}".repeat(40_000);
    let stream = heard(Answer::chunks([word(&long), finish("stop")]));
    assert_eq!(stream.text(), long);
    assert!(stream.raw.split('\n').all(|line| line.len() <= 64 * 1024 && !line.contains('\u{2028}')));
}

#[test]
fn what_stands_beside_a_call_goes_back_with_it_in_this_turn_and_later() {
    let beside = json!({ "google": { "thought_signature": "c2lnLTE=" } });
    let mut signed = call(Some(0), Some("c"), Some("current_time"), "{}");
    signed["choices"][0]["delta"]["tool_calls"][0]["extra_content"] = beside.clone();
    let calls = Answer::chunks([signed, finish("tool_calls")]);
    let (app, model) = (App::shared(), FakeModel::start([calls, Answer::text("Noon."), Answer::text("Again.")]));
    let acme = app.org_asking("acme", &model);
    let ask = |text: &str| json!({ "id": "c", "model": "up/free", "messages": [user(text)] });
    let stream = acme.chat(ask("What time is it?"));
    assert_eq!(stream.text(), "Noon.");
    let kept = json!({ "up": { "call": { "extra_content": beside }, "function": {} } });
    assert_eq!(stream.one("tool-input-available")["providerMetadata"], kept);
    assert_eq!(acme.messages("c")[1]["parts"][1]["callProviderMetadata"], kept);
    acme.chat(ask("And now?"));
    for (at, chat) in model.chats().iter().enumerate().skip(1) {
        let messages = chat["messages"].as_array().unwrap();
        let call = messages.iter().find_map(|message| message.get("tool_calls")).expect("the call is sent back");
        assert_eq!(call[0]["extra_content"], beside, "request {at}");
    }
}

#[test]
fn what_stands_beside_the_words_goes_back_with_them_in_this_turn_and_later() {
    let (sealed, signature) = (
        json!([{ "type": "reasoning.encrypted", "data": "ZW4=", "id": "r1", "index": 0 }]),
        json!({ "google": { "thought_signature": "s" } }),
    );
    let mut called = call(Some(0), Some("c"), Some("current_time"), "{}");
    called["choices"][0]["delta"]["reasoning_details"] = sealed.clone();
    let mut said = word("Noon.");
    said["choices"][0]["delta"]["extra_content"] = signature.clone();
    let replies = [
        Answer::chunks([called, finish("tool_calls")]),
        Answer::chunks([said, finish("stop")]),
        Answer::text("Again."),
    ];
    let (app, model) = (App::shared(), FakeModel::start(replies));
    let acme = app.org_asking("acme", &model);
    let ask = |text: &str| json!({ "id": "c", "model": "up/free", "messages": [user(text)] });
    assert_eq!(acme.chat(ask("What time is it?")).text(), "Noon.");
    assert_eq!(acme.chat(ask("And now?")).text(), "Again.");
    let replied = |at: usize| -> Vec<Value> {
        let messages = model.chats()[at]["messages"].as_array().unwrap().clone();
        messages.into_iter().filter(|message| message["role"] == "assistant").collect()
    };
    for at in [1, 2] {
        assert_eq!(replied(at)[0]["reasoning_details"], sealed, "request {at}");
    }
    let last = json!({ "role": "assistant", "content": "Noon.", "extra_content": signature });
    assert_eq!(replied(2)[1], last);
}

#[test]
fn a_model_whose_template_opens_the_tag_is_known_by_its_first_reply() {
    let reply = || Answer::chunks([word("Let me see."), word("</think>"), word("\n\nParis."), finish("stop")]);
    let (app, model) = (App::shared(), FakeModel::answering(move |_, _| reply()));
    let acme = app.org_asking("acme", &model);
    let ask = || acme.ask("up/free", "Capital?");
    assert_eq!(ask().text(), "Let me see.\n\nParis.");
    // What a reply teaches is written down behind it.
    until("the model is known", || {
        let later = ask();
        ((&*thoughts(&later), &*later.text()) == ("Let me see.", "Paris.")).then_some(())
    });
}

#[test]
fn thoughts_in_tags_do_not_go_back() {
    let thinks = Answer::chunks([word("<th"), word("ink>Let me see.</thi"), word("nk>\n\nParis."), finish("stop")]);
    let (app, model) = (App::shared(), FakeModel::start([thinks, Answer::text("Madrid.")]));
    let acme = app.org_asking("acme", &model);
    let ask = |text: &str| acme.chat(json!({ "id": "c", "model": "up/free", "messages": [user(text)] }));
    let first = ask("Capital?");
    assert_eq!((&*thoughts(&first), &*first.text()), ("Let me see.", "Paris."));
    ask("And Spain?");
    assert!(!model.chats()[1].to_string().contains("Let me see"), "{}", model.chats()[1]);
}
