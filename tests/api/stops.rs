//! Stopping a running reply: at any moment, by anyone of the organization, any number of times.

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::support::{
    client::{Client, Listening, Stream},
    fake_model::{Answer, FakeModel, call, delta, finish, usage},
    harness::{App, until, user},
};

/// Microcents of an organization that can pay for everything it asks.
const DEPOSIT: i64 = 1_000_000;
/// Stops of one reply at once.
const STOPS: usize = 8;
/// Replies that end by themselves in the moment they are stopped.
const RACES: usize = 30;

fn word(text: &str) -> Value {
    delta(json!({ "content": text }))
}

fn acme(app: &App, model: &FakeModel) -> Client {
    let acme = app.org_asking("acme", model);
    app.deposit("acme", DEPOSIT);
    acme
}

/// The reply to a question of the session `c`.
fn listen(acme: &Client, model: &str) -> Listening {
    acme.listen(json!({ "id": "c", "model": model, "messages": [user("Hi")] }))
}

fn stop(client: &Client, session: &str) -> Value {
    client.post(&format!("/chat/{session}/stop"), json!({})).ok(200)
}

/// The ledger's own sums, and how many turns were charged.
fn ledger(app: &App) -> (i64, i64, i64) {
    let sums = "SELECT sum(balance_delta), sum(held_delta), count(*) FILTER (WHERE kind = 'settle') FROM ledger_entry
                WHERE org_id = ?1";
    let org = app.tenant("acme").org_id;
    app.file().query_row(sums, [org], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap()
}

/// Stops the reply, and checks what is true of every stop: the model is hung up on although it is silent, whoever reads
/// hears `abort`, and the bill is settled.
fn stop_and_check(app: &App, acme: &Client, model: &FakeModel, readers: Vec<Listening>) -> (Vec<Stream>, Duration) {
    let asked = Instant::now();
    let stopped = stop(acme, "c");
    model.wait_hung_up(1);
    let took = asked.elapsed();
    let streams: Vec<_> = readers.into_iter().map(Listening::rest).collect();
    for stream in &streams {
        assert_eq!(stream.types().last(), Some(&"abort"));
        assert!(stream.all("finish").is_empty() && stream.all("error").is_empty(), "{:?}", stream.types());
    }
    let stored = acme.messages("c").into_iter().nth(1);
    assert_eq!(stopped["stopped"], json!(true));
    assert_eq!(stopped["messageId"], stored.as_ref().map_or(Value::Null, |answer| answer["id"].clone()));
    let (balance, held, charged) = ledger(app);
    assert_eq!((held, charged), (0, i64::from(balance < DEPOSIT)));
    if let Some(answer) = stored {
        let facts = [&answer["status"], &answer["metadata"]["costMicrocents"]];
        assert_eq!(facts, [&json!("stopped"), &json!(DEPOSIT - balance)]);
    }
    assert_eq!(acme.get("/sessions/c").ok(200)["status"], json!("idle"));
    (streams, took)
}

#[test]
fn a_silent_model_is_hung_up_on_before_its_head_and_in_mid_reply() {
    let moments = [
        ("before the head", Answer::empty().silent(), "start"),
        ("after the head", Answer::empty().chunk(delta(json!({ "role": "assistant" }))).silent(), "start-step"),
        ("in mid-text", Answer::empty().chunk(word("one ")).silent(), "text-delta"),
        ("in a thought", Answer::empty().chunk(delta(json!({ "reasoning": "Hm" }))).silent(), "reasoning-delta"),
        ("after the end", Answer::empty().chunk(word("one ")).chunk(finish("stop")).silent(), "text-delta"),
    ];
    let mut slowest = Duration::ZERO;
    for (moment, answer, heard) in moments {
        let (app, model) = (App::shared(), FakeModel::start([answer]));
        let acme = acme(&app, &model);
        let mut asked = listen(&acme, "up/paid");
        asked.until(heard);
        let second = acme.listen_in("c");
        let (streams, took) = stop_and_check(&app, &acme, &model, vec![asked, second]);
        assert_eq!(streams[0].chunks, streams[1].chunks, "{moment}");
        slowest = slowest.max(took);
    }
    println!("proof: stop.model_hung_up_ms_max {}", slowest.as_millis());
}

#[test]
fn what_was_said_before_a_stop_is_paid_for_and_no_more() {
    let (app, model) = (App::shared(), FakeModel::start([Answer::empty().chunk(word(&"word ".repeat(100))).silent()]));
    let acme = acme(&app, &model);
    let mut asked = listen(&acme, "up/paid");
    asked.until("text-delta");
    assert!(acme.get("/billing").ok(200)["heldMicrocents"].as_i64().unwrap() > 0);
    stop_and_check(&app, &acme, &model, vec![asked]);
    let facts = acme.messages("c")[1]["metadata"].clone();
    assert_eq!((&facts["estimated"], &facts["usage"]), (&json!(true), &Value::Null));
    let cost = facts["costMicrocents"].as_i64().unwrap();
    assert!((100..1_000).contains(&cost), "500 characters and a short prompt, not the hold: {cost}");
}

#[test]
fn a_call_that_a_stop_cuts_off_is_closed() {
    let half = call(Some(0), Some("t1"), Some("current_time"), "{\"utc");
    let (app, model) = (App::shared(), FakeModel::start([Answer::empty().chunk(half).silent(), Answer::text("Yes.")]));
    let acme = acme(&app, &model);
    let mut asked = listen(&acme, "up/free");
    asked.until("tool-input-delta");
    stop_and_check(&app, &acme, &model, vec![asked]);
    let parts = acme.messages("c")[1]["parts"].clone();
    let open = |part: &&Value| part["state"].as_str().is_some_and(|state| state.starts_with("input-"));
    assert_eq!(parts.as_array().unwrap().iter().find(open), None, "{parts}");
    let closed = &parts[1];
    assert_eq!((&closed["state"], &closed["toolCallId"]), (&json!("output-error"), &json!("t1")));
    assert!(closed["errorText"].as_str().unwrap().contains("stopped"), "{closed}");
    // The conversation goes on: the model is told how its call ended.
    let next = acme.chat(json!({ "id": "c", "model": "up/free", "messages": [user("Are you there?")] }));
    assert_eq!(next.text(), "Yes.");
}

#[test]
fn what_a_tool_said_before_a_stop_is_kept() {
    let answers = [Answer::call("t1", "current_time", "{}"), Answer::empty().silent()];
    let (app, model) = (App::shared(), FakeModel::start(answers));
    let acme = acme(&app, &model);
    let mut asked = listen(&acme, "up/paid");
    asked.until("tool-output-available");
    until("the model to be asked again", || (model.asked().len() == 2).then_some(()));
    stop_and_check(&app, &acme, &model, vec![asked]);
    let parts = acme.messages("c")[1]["parts"].clone();
    assert_eq!(parts[1]["state"], json!("output-available"), "{parts}");
}

#[test]
fn stops_at_once_are_one_stop() {
    let (app, model) = (App::shared(), FakeModel::start([Answer::empty().chunk(word("one ")).silent()]));
    let acme = acme(&app, &model);
    let mut asked = listen(&acme, "up/paid");
    asked.until("text-delta");
    let stops: Vec<_> = thread::scope(|scope| {
        let stops: Vec<_> = (0..STOPS).map(|_| scope.spawn(|| stop(&acme, "c"))).collect();
        stops.into_iter().map(|stop| stop.join().unwrap()).collect()
    });
    let id = asked.rest().message_id();
    let (hit, late): (Vec<_>, Vec<_>) = stops.into_iter().partition(|stop| stop["stopped"] == true);
    assert!(!hit.is_empty() && hit.iter().all(|stop| stop["messageId"] == json!(id)), "{hit:?}");
    assert!(late.iter().all(|stop| stop["messageId"].is_null()), "{late:?}");
    assert_eq!((acme.messages("c").len(), ledger(&app).2), (2, 1));
    assert_eq!(stop(&acme, "c"), json!({ "stopped": false, "messageId": null }));
    println!("proof: stop.at_once {STOPS}");
}

#[test]
fn a_stop_that_meets_the_end_leaves_one_whole_turn_either_way() {
    let (app, mut stopped) = (App::shared(), 0);
    let ending = [word("two"), finish("stop"), usage(10, 5)];
    let answer = ending.into_iter().fold(Answer::empty().chunk(word("one ")).wait(), Answer::chunk).done();
    let model = FakeModel::start([answer]);
    let acme = acme(&app, &model);
    for race in 0..RACES {
        let session = format!("c{race}");
        let mut asked = acme.listen(json!({ "id": session, "model": "up/paid", "messages": [user("Hi")] }));
        asked.until("text-delta");
        let answered = thread::scope(|scope| {
            let stop = scope.spawn(|| stop(&acme, &session));
            // Other questions to the server move the end to before, into and behind the stop.
            (0..race % 4).for_each(|_| drop(acme.get("/billing")));
            model.go();
            stop.join().unwrap()
        });
        let stream = asked.rest();
        let [_, answer] = &acme.messages(&session)[..] else { panic!("one question, one answer") };
        assert!([&json!(answer["id"]), &Value::Null].contains(&&answered["messageId"]), "{answered}");
        match stream.types().last() {
            Some(&"abort") => {
                assert_eq!((&answer["status"], &answered["stopped"]), (&json!("stopped"), &json!(true)));
                stopped += 1;
            }
            Some(&"finish") => {
                assert_eq!((&answer["status"], &answer["content"]), (&json!("complete"), &json!("one two")));
            }
            other => panic!("neither stopped nor whole: {other:?}"),
        }
        assert_eq!(answer["content"], json!(stream.text()), "what was heard is what is kept");
    }
    let billing = acme.get("/billing").ok(200);
    let (balance, held, charged) = ledger(&app);
    assert_eq!((held, charged), (0, RACES as i64));
    assert_eq!((&billing["balanceMicrocents"], &billing["heldMicrocents"]), (&json!(balance), &json!(0)));
    println!("proof: stop.races {RACES}");
    println!("proof: stop.races_stopped {stopped}");
}
