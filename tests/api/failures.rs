//! A model that fails: before the first byte without a trace, after it with what was said so far.

use serde_json::{Value, json};

use crate::support::{
    client::Stream,
    fake_model::{Answer, FakeModel, call, delta, finish, nobody, usage},
    harness::{App, ModelSpec, user},
};

fn word(text: &str) -> Value {
    delta(json!({ "content": text }))
}

/// What one answer makes of a chat, as it is heard.
fn heard(answer: Answer) -> Stream {
    let (app, model) = (App::shared(), FakeModel::start([answer]));
    app.org_asking("acme", &model).ask("up/free", "Hi")
}

/// An error that is told in the stream: the structured one, then the sentence.
#[track_caller]
fn told(stream: &Stream) -> (&str, &str) {
    let data = &stream.one("data-error")["data"];
    let sentence = stream.one("error")["errorText"].as_str().unwrap();
    assert_eq!((data["message"].as_str(), &stream.one("data-error")["transient"]), (Some(sentence), &json!(true)));
    assert_eq!(data["requestId"].as_str(), stream.headers["x-request-id"].to_str().ok());
    assert!(!stream.raw.contains("secret") && !sentence.is_empty(), "{sentence}");
    (data["code"].as_str().unwrap(), sentence)
}

#[test]
fn what_fails_before_the_first_byte_is_a_plain_502_without_a_trace() {
    for status in [400, 401, 403, 404, 429, 500, 503] {
        let answer = Answer::status(status).header("retry-after", "120");
        let (app, model) = (App::shared(), FakeModel::start([answer]));
        let acme = app.org_asking("acme", &model);
        app.deposit("acme", 1_000_000);
        let reply = acme.post("/chat", json!({ "id": "c", "model": "up/paid", "messages": [user("Hi")] }));
        let error = reply.fails(502, "MODEL_UNAVAILABLE");
        assert!(!reply.text.contains("secret"), "{error}");
        acme.get("/sessions/c").fails(404, "NOT_FOUND");
        let billing = acme.get("/billing").ok(200);
        assert_eq!((&billing["balanceMicrocents"], &billing["heldMicrocents"]), (&json!(1_000_000), &json!(0)));
        assert_eq!(billing["currentMonth"]["turns"], json!(0));
    }
}

#[test]
fn a_model_that_nobody_serves_is_a_502_too() {
    let app = App::shared();
    app.provider("acme", &nobody(), &[ModelSpec::FREE]);
    let reply = app.org("acme").post("/chat", json!({ "model": "up/free", "messages": [user("Hi")] }));
    let message = reply.fails(502, "MODEL_UNAVAILABLE")["message"].as_str().unwrap().to_owned();
    assert!(message.contains("the provider up") && !message.contains("127.0.0.1"), "{message}");
}

#[test]
fn a_retry_after_an_early_failure_is_clean() {
    let answers = [Answer::text("before"), Answer::status(401), Answer::text("after")];
    let (app, model) = (App::shared(), FakeModel::start(answers));
    let acme = app.org_asking("acme", &model);
    let ask =
        |id: &str| json!({ "id": "c", "model": "up/free", "messages": [{ "id": id, "role": "user", "content": id }] });
    acme.chat(ask("u1"));
    acme.post("/chat", ask("u2")).fails(502, "MODEL_UNAVAILABLE");
    let session = acme.get("/sessions/c").ok(200);
    assert_eq!((&session["status"], &session["messageCount"]), (&json!("idle"), &json!(2)));
    acme.chat(ask("u2"));
    let texts: Vec<_> = acme.history("c").into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, ["u1", "before", "u2", "after"]);
    let sent: Vec<_> = model.last_messages().into_iter().map(|(_, text)| text).collect();
    assert_eq!(sent[1..], ["u1", "before", "u2"]);
}

#[test]
fn an_answer_that_could_not_be_regenerated_or_edited_away_is_restored() {
    let (app, model) = (App::shared(), FakeModel::start([Answer::text("kept"), Answer::status(401)]));
    let acme = app.org_asking("acme", &model);
    let question = json!({ "id": "u1", "role": "user", "content": "a" });
    acme.chat(json!({ "id": "c", "model": "up/free", "messages": [question] }));
    let before = acme.messages("c");
    let again = json!({ "id": "c", "model": "up/free", "trigger": "regenerate-message", "messages": [question] });
    acme.post("/chat", again).fails(502, "MODEL_UNAVAILABLE");
    assert_eq!(acme.messages("c"), before);
    let edited = json!({ "id": "u1", "role": "user", "content": "b" });
    let edit = json!({ "id": "c", "model": "up/free", "messageId": "u1", "messages": [edited] });
    acme.post("/chat", edit).fails(502, "MODEL_UNAVAILABLE");
    assert_eq!(acme.messages("c"), before);
    assert_eq!(acme.get("/sessions/c").ok(200)["messageCount"], json!(2));
}

#[test]
fn what_fails_when_the_stream_has_begun_is_told_in_the_stream() {
    let (app, model) = (App::shared(), FakeModel::start([Answer::status(401).late()]));
    let acme = app.org_asking("acme", &model);
    app.deposit("acme", 1_000_000);
    let mut listening = acme.listen(json!({ "id": "c", "model": "up/paid", "messages": [user("Hi")] }));
    listening.until("start");
    model.go();
    let stream = listening.rest();
    assert_eq!(stream.types(), ["start", "data-error", "error"]);
    assert_eq!(told(&stream).0, "MODEL_UNAVAILABLE");
    let session = acme.get("/sessions/c").ok(200);
    assert_eq!((&session["status"], &session["messageCount"]), (&json!("idle"), &json!(1)));
    let billing = acme.get("/billing").ok(200);
    assert_eq!((&billing["balanceMicrocents"], &billing["heldMicrocents"]), (&json!(1_000_000), &json!(0)));
}

#[test]
fn a_reply_that_is_cut_off_is_kept_as_far_as_it_came() {
    let half = || Answer::empty().chunk(word("half a ")).chunk(word("reply"));
    let cuts = [
        half().cut(),
        half().raw("data: {\"choices\":[{\"del").cut(),
        half(),
        half().done(),
        half().raw("data: {\"choices\":[{\"delta\":{\"content\":"),
    ];
    for (at, cut) in cuts.into_iter().enumerate() {
        let (app, model) = (App::shared(), FakeModel::start([cut]));
        let acme = app.org_asking("acme", &model);
        let stream = acme.chat(json!({ "id": "c", "model": "up/free", "messages": [user("Hi")] }));
        assert_eq!((told(&stream).0, &*stream.text()), ("MODEL_UNAVAILABLE", "half a reply"), "cut {at}");
        assert!(stream.all("finish").iter().all(|finish| finish["finishReason"] == "error"));
        let stored = acme.messages("c").pop().unwrap();
        assert_eq!((&stored["status"], &stored["content"]), (&json!("error"), &json!("half a reply")), "cut {at}");
        assert_eq!(stored["parts"][1]["state"], json!("done"), "no part stays open");
    }
}

#[test]
fn an_error_inside_a_reply_is_told_without_the_upstreams_words() {
    let error = json!({ "error": { "code": 502, "message": "upstream-secret-detail" } });
    for answer in [
        Answer::chunks([error.clone()]),
        Answer::empty().raw(error.to_string()),
        Answer::chunks([word("half"), error.clone(), finish("error")]),
        Answer::empty().raw(format!("event: error\ndata: {error}\n\n")),
        Answer::chunks([word("half"), finish("error")]),
        Answer::empty().raw("<html>secret</html>"),
        Answer::empty(),
    ] {
        told(&heard(answer));
    }
}

#[test]
fn however_a_reply_is_written_down_it_is_the_same_reply() {
    let text = "Grüße, 世界 🎉 — done.";
    let comments = Answer::empty().raw(": OPENROUTER PROCESSING\n\n:\n\n").chunk(word(text)).raw(": x\n\n");
    let unspaced = format!("data:{}\n\nid: 7\nretry: 1\ndata:{}\n\ndata:[DONE]\n\n", word(text), finish("stop"));
    let odd = json!({ "choices": [], "prompt_filter_results": [] });
    let nulls = json!({ "choices": [{ "delta": { "role": null, "content": null, "tool_calls": null }, "finish_reason": null }] });
    let spellings = [
        Answer::text(text),
        Answer::text(text).crlf(),
        Answer::text(text).packets_of(1),
        Answer::text(text).crlf().packets_of(3),
        comments.chunk(finish("stop")).done(),
        Answer::empty().raw(unspaced),
        Answer::empty().chunk(odd).chunk(nulls).chunk(word(text)).chunk(finish("stop")),
        Answer::empty()
            .raw(json!({ "choices": [{ "message": { "content": text }, "finish_reason": "stop" }] }).to_string()),
    ];
    for (at, spelling) in spellings.into_iter().enumerate() {
        let stream = heard(spelling);
        assert_eq!((&*stream.text(), stream.finish_reason()), (text, "stop"), "spelling {at}");
    }
}

#[test]
fn every_end_of_a_reply_has_its_word() {
    for (theirs, ours) in [
        ("stop", "stop"),
        ("length", "length"),
        ("content_filter", "content-filter"),
        ("tool_calls", "tool-calls"),
        ("eos", "other"),
    ] {
        assert_eq!(heard(Answer::chunks([word("x"), finish(theirs)])).finish_reason(), ours);
    }
    let refusal = Answer::chunks([delta(json!({ "refusal": "I will not." })), finish("stop")]);
    let stream = heard(refusal);
    assert_eq!((&*stream.text(), stream.finish_reason()), ("I will not.", "content-filter"));
}

#[test]
fn thoughts_are_streamed_and_kept_apart_from_words() {
    let (app, thinks) = (
        App::shared(),
        Answer::chunks([
            delta(json!({ "reasoning_content": "Hm, " })),
            delta(json!({ "reasoning": "well." })),
            word("Yes."),
            finish("stop"),
        ]),
    );
    let model = FakeModel::start([thinks]);
    let acme = app.org_asking("acme", &model);
    let stream = acme.chat(json!({ "id": "c", "model": "up/free", "messages": [user("Hi")] }));
    let thoughts: String = stream.all("reasoning-delta").iter().map(|chunk| chunk["delta"].as_str().unwrap()).collect();
    assert_eq!((&*thoughts, &*stream.text()), ("Hm, well.", "Yes."));
    let stored = acme.messages("c").pop().unwrap();
    assert_eq!(stored["content"], json!("Yes."));
    assert_eq!(stored["parts"][1]["type"], json!("reasoning"));
}

#[test]
fn an_endless_reply_ends_at_a_bound_and_the_model_is_hung_up_on() {
    let (app, model) = (App::shared(), FakeModel::start([Answer::empty().endless(word(&"x".repeat(64 * 1024)))]));
    let acme = app.org_asking("acme", &model);
    let stream = acme.chat(json!({ "id": "c", "model": "up/free", "messages": [user("Hi")] }));
    assert_eq!(stream.finish_reason(), "length");
    model.wait_hung_up(1);
    let page = acme.get("/sessions/c/messages?order=desc&pageSize=1").ok(200);
    let stored = &page["items"][0];
    assert_eq!(
        (&stored["status"], stored["content"].as_str().unwrap().len()),
        (&json!("complete"), stream.text().len())
    );
}

#[test]
fn one_event_without_end_is_given_up() {
    let (app, model) = (App::shared(), FakeModel::start([Answer::empty().raw(vec![b'x'; 20 * 1024 * 1024])]));
    let stream = app.org_asking("acme", &model).ask("up/free", "Hi");
    told(&stream);
    let (app, model) = (App::shared(), FakeModel::start([Answer::empty().chunk(word(&"y".repeat(10 * 1024 * 1024)))]));
    let stream = app.org_asking("acme", &model).ask("up/free", "Hi");
    told(&stream);
}

#[test]
fn a_key_that_nobody_has_is_an_early_failure() {
    let app = App::shared();
    let tenant = app.slug("acme");
    app.tenant("acme");
    let model = FakeModel::saying("Hi.");
    let add = ["providers", "add", "--org", &tenant, "--slug", "x", "--base-url", &model.base_url(), "--model", "m"];
    app.alm(&[&add[..], &["--api-key-env", "ALM_TEST_KEY_THAT_IS_NOT_SET"]].concat()).ok();
    let reply = app.org("acme").post("/chat", json!({ "model": "x/m", "messages": [user("Hi")] }));
    reply.fails(502, "MODEL_UNAVAILABLE");
    assert!(model.asked().is_empty());
}

#[test]
fn a_busy_model_is_asked_again_before_anyone_hears_of_it() {
    let (app, model) = (App::shared(), FakeModel::start([Answer::status(503), Answer::text("Now.")]));
    let stream = app.org_asking("acme", &model).ask("up/free", "Hi");
    assert_eq!((&*stream.text(), model.asked().len()), ("Now.", 2));
}

#[test]
fn usage_and_a_tool_call_in_one_reply_without_a_reason_are_not_run() {
    let answer = Answer::chunks([call(Some(0), Some("t1"), Some("current_time"), "{}"), usage(1, 1)]);
    let stream = heard(answer);
    told(&stream);
    assert!(stream.all("tool-output-available").is_empty(), "a reply that was cut may hold a call that was cut");
}

#[test]
fn why_a_reply_broke_off_is_still_known_after_a_reload() {
    let model = FakeModel::start([Answer::empty().chunk(delta(json!({ "content": "Half" }))).cut()]);
    let app = App::shared();
    let acme = app.org_asking("acme", &model);
    let heard = acme.chat(json!({ "id": "c", "messages": [user("Hi")] }));
    let said = &heard.one("data-error")["data"];
    let stored = acme.messages("c").pop().unwrap();
    assert_eq!((&stored["status"], &stored["content"]), (&json!("error"), &json!("Half")));
    assert_eq!(stored["metadata"]["error"], json!({ "code": said["code"], "message": said["message"] }));
}
