//! What a call of a tool adds to a turn: turns with an HTTP tool on loopback beside turns with a built-in one and without any.
//!
//! Rule: the kinds of turn take turns in one run, and what stands beside the server (the model, the tool's own service) is asked
//! directly in the same run and taken off. Everyone shares one machine, so differences count.

#[allow(dead_code)] // the suites use the rest
#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use serde_json::json;

use support::{
    asked::Asked,
    client::Client,
    counting::{Counting, Says},
    fake_model::{Answer, FakeModel},
    harness::App,
    tools::{OPERATOR, declare},
};

/// Turns of each kind that are measured, after some that warm up.
const TURNS: usize = 300;
const WARM_UP: usize = 20;
/// What a person asks for, and so which kind of turn it is.
const KINDS: [&str; 3] = ["words", "current_time", "create_ticket"];

fn main() {
    let (app, model) = (App::start(&["--chat-rate", "1000000"]), FakeModel::answering(|_, asked| answer(asked)));
    let service = Counting::start(|_, _| Says::json("{\"id\":7}"));
    let acme = app.org_asking("acme", &model);
    declare(&app, OPERATOR, "POST", &service.url("/tickets"), json!({}));
    let beside = Client::new(&service.url(""), None);
    let mut took = [const { Vec::new() }; 3];
    let (mut tool_alone, mut model_alone) = (Vec::new(), Vec::new());
    for round in 0..WARM_UP + TURNS {
        for (kind, took) in KINDS.iter().zip(&mut took) {
            took.push(time(|| assert_eq!(acme.ask("up/free", kind).text(), "done")));
        }
        tool_alone.push(time(|| assert_eq!(beside.post("/tickets", json!({})).status, 200)));
        model_alone.push(time(|| ask_directly(&model)));
        if round + 1 == WARM_UP {
            took.iter_mut().chain([&mut tool_alone, &mut model_alone]).for_each(Vec::clear);
        }
    }
    let [words, builtin, http] = took.map(median);
    let (tool, model) = (median(tool_alone), median(model_alone));
    let ms = |of: Duration| of.as_secs_f64() * 1_000.0;
    println!("medians of {TURNS} turns of each kind, in ms");
    println!("a turn of words               {:.2}", ms(words));
    println!("one with a built-in tool      {:.2}", ms(builtin));
    println!("one with an HTTP tool         {:.2}", ms(http));
    println!("the tool's service, directly  {:.2}", ms(tool));
    println!("the model, directly           {:.2}", ms(model));
    let beside = |than: Duration| ms(http) - ms(than) - ms(tool);
    println!("an HTTP tool adds {:.2} to a turn with a built-in one, beside its service", beside(builtin));
    println!(
        "and {:.2} to a turn of words, beside its service and the second call of the model",
        beside(words) - ms(model)
    );
}

/// A call of what the person asks for, and words once it has an output.
fn answer(asked: &Asked) -> Answer {
    let last = asked.json["messages"].as_array().and_then(|all| all.last()).cloned().unwrap_or_default();
    match last["content"].as_str() {
        Some(name) if last["role"] == "user" && KINDS[1..].contains(&name) => Answer::call("call", name, "{}"),
        _ => Answer::text("done"),
    }
}

fn ask_directly(model: &FakeModel) {
    let config = ureq::Agent::config_builder().proxy(None);
    let body = json!({ "messages": [{ "role": "user", "content": "words" }] }).to_string();
    let response = config.build().new_agent().post(&format!("{}/chat/completions", model.base_url())).send(&body);
    assert!(response.unwrap().body_mut().read_to_string().unwrap().contains("done"));
}

fn time(act: impl FnOnce()) -> Duration {
    let from = Instant::now();
    act();
    from.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
