//! What llama.cpp tells of itself, how it sends an answer, and what it refuses.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use serde_json::{Value, json};

use super::{
    events::Event,
    people::words,
    program::{Llama, Model, free_port, template},
    support::harness::{until, user},
    tools::copied_call,
};

/// What SmolLM2 was trained for.
const TRAINED: u32 = 8_192;
/// Characters of the id that it gives a call.
const CALL_ID_CHARS: usize = 32;

/// The window that it tells at both places.
fn window(llama: &Llama) -> u64 {
    let told = llama.get("/v1/models").1["data"][0]["meta"]["n_ctx"].as_u64();
    let props = llama.get("/props").1["default_generation_settings"]["n_ctx"].as_u64();
    assert_eq!(told, props);
    told.expect("it tells its window")
}

/// The body of a refusal.
#[track_caller]
fn refused((status, body): (u16, Value), expected: u16, kind: &str) -> Value {
    let error = &body["error"];
    assert_eq!((status, &error["code"], &error["type"]), (expected, &json!(expected), &json!(kind)), "{body}");
    error.clone()
}

#[test]
fn it_tells_the_window_of_one_slot() {
    let one = Llama::start(Model::Smollm2, 2_048, &[]);
    assert_eq!(window(&one), 2_048);
    let models = one.get("/v1/models").1;
    let [model] = &models["data"].as_array().unwrap()[..] else { panic!("{models}") };
    assert_eq!((&model["owned_by"], &model["meta"]["n_ctx_train"]), (&json!("llamacpp"), &json!(TRAINED)));
    assert!(["n_params", "size"].iter().all(|name| model["meta"][*name].as_u64().is_some_and(|n| n > 0)), "{model}");
    assert!(model["meta"]["ftype"].is_string(), "{model}");
    assert_eq!(model["architecture"]["input_modalities"], json!(["text"]));
    let props = one.get("/props").1;
    assert_eq!((&props["total_slots"], &props["is_sleeping"]), (&json!(1), &json!(false)));
    assert_eq!(props["chat_template_caps"]["supports_tools"], json!(false));
    drop(one);
    assert_eq!(window(&Llama::start(Model::Smollm2, 2_048, &["-np", "2"])), 1_024, "the slots share it");
    assert_eq!(
        window(&Llama::start(Model::Smollm2, 2 * TRAINED, &[])),
        u64::from(TRAINED),
        "it was trained for no more"
    );
}

#[test]
fn a_template_with_tools_is_told() {
    let qwen = template("Qwen-Qwen2.5-7B-Instruct");
    let llama = Llama::start(Model::Smollm2, 2_048, &["--chat-template-file", &qwen]);
    assert_eq!(llama.get("/props").1["chat_template_caps"]["supports_tools"], json!(true));
}

#[test]
fn while_it_loads_every_route_is_503() {
    // The larger file takes a second or two; which of the moments in between is met is chance, so each is looked at.
    let mut llama = Llama::begin(free_port(), Model::Gemma3, 16_384, &[]);
    until("llama-server to listen", || llama.listens().then_some(()));
    let mut loading = 0;
    loop {
        for path in ["/v1/models", "/props", "/health"] {
            let (status, body) = llama.get(path);
            if status == 503 {
                let expected = json!({ "code": 503, "message": "Loading model", "type": "unavailable_error" });
                assert_eq!(body["error"], expected, "{path}");
                loading += 1;
            }
        }
        if llama.get("/health").0 == 200 {
            break;
        }
        assert!(llama.ended().is_none());
    }
    assert!(loading > 0, "it was ready before it was asked");
}

#[test]
fn the_head_comes_before_the_prompt_is_read_and_an_empty_chunk_with_the_first_token() {
    let llama = Llama::start(Model::Smollm2, 4_096, &[]);
    let mut events = llama.stream(json!({ "messages": [user(&words(400))], "max_tokens": 4 }));
    assert_eq!(events.status, 200);
    // The head came as it was asked; now it reads.
    assert!(llama.works());
    let first = events.chunk();
    assert_eq!(first["choices"][0]["delta"], json!({ "role": "assistant", "content": null }));
    events.word();
}

#[test]
fn a_request_that_waits_for_a_slot_has_no_head() {
    let llama = Llama::start(Model::Smollm2, 4_096, &["--metrics"]);
    let mut first = llama.stream(json!({ "messages": [user("Hi")], "ignore_eos": true }));
    first.word();
    let waiting = AtomicBool::new(true);
    thread::scope(|scope| {
        let second = scope.spawn(|| {
            let events = llama.stream(json!({ "messages": [user("Hello")], "max_tokens": 2 }));
            waiting.store(false, Ordering::SeqCst);
            events.rest()
        });
        until("the second to wait", || {
            first.word();
            (llama.waiting() == 1).then_some(())
        });
        for _ in 0..20 {
            first.word();
        }
        assert!(waiting.load(Ordering::SeqCst));
        drop(first);
        assert!(!second.join().unwrap().is_empty());
    });
}

#[test]
fn silence_is_broken_by_comments_unless_they_are_off() {
    let prompt = json!({ "messages": [user(&words(500))], "max_tokens": 1 });
    let comments = |interval: &str| {
        let llama = Llama::start(Model::Smollm2, 4_096, &["--sse-ping-interval", interval]);
        let mut events = llama.stream(prompt.clone());
        let all = std::iter::from_fn(|| events.next());
        all.filter(|event| *event == Event::Comment).count()
    };
    assert!(comments("1") > 0);
    assert_eq!(comments("-1"), 0);
}

#[test]
fn an_answer_ends_with_its_reason_then_its_usage_then_done() {
    let llama = Llama::start(Model::Smollm2, 2_048, &[]);
    let mut events = llama.stream(json!({ "model": "no such name", "messages": [user("Hi")], "max_tokens": 8 }));
    let mut all = Vec::new();
    while let Some(event) = events.next() {
        all.push(event);
    }
    let [.., Event::Chunk(last), Event::Chunk(counts), Event::Done] = &all[..] else { panic!("{all:?}") };
    assert_eq!(last["choices"][0]["finish_reason"], json!("length"));
    assert_eq!(counts["choices"], json!([]));
    let (usage, timings) = (&counts["usage"], &counts["timings"]);
    assert_eq!(usage["completion_tokens"], json!(8));
    let number = |value: &Value| value.as_u64().unwrap_or_else(|| panic!("{counts}"));
    assert_eq!(number(&usage["prompt_tokens_details"]["cached_tokens"]), number(&timings["cache_n"]));
    assert_eq!(number(&timings["cache_n"]) + number(&timings["prompt_n"]), number(&usage["prompt_tokens"]));
    assert_eq!(number(&timings["predicted_n"]), 8);
    assert!(timings["prompt_ms"].is_number() && timings["predicted_ms"].is_number());
}

#[test]
fn what_does_not_fit_is_refused_with_both_numbers_and_what_fills_the_window_ends() {
    let llama = Llama::start(Model::Smollm2, 512, &[]);
    let error = refused(llama.chat(json!({ "messages": [user(&words(600))] })), 400, "exceed_context_size_error");
    assert_eq!(error["n_ctx"], json!(512));
    assert!(error["n_prompt_tokens"].as_u64().is_some_and(|tokens| tokens >= 512), "{error}");
    // No end is allowed to the answer but the window's.
    let endless = json!({ "messages": [user(&words(300))], "ignore_eos": true });
    let (status, body) = llama.chat(endless);
    assert_eq!((status, &body["choices"][0]["finish_reason"]), (200, &json!("length")));
    assert_eq!(body["usage"]["total_tokens"], json!(512));
}

#[test]
fn what_a_text_model_cannot_see_is_refused() {
    let llama = Llama::start(Model::Smollm2, 512, &[]);
    let part =
        |part: Value| llama.chat(json!({ "messages": [{ "role": "user", "content": [part] }], "max_tokens": 1 }));
    let image = json!({ "type": "image_url", "image_url": { "url": "data:image/png;base64,iVBORw0KGgo=" } });
    let error = refused(part(image), 500, "server_error");
    assert!(error["message"].as_str().unwrap().contains("image"), "{error}");
    refused(part(json!({ "type": "hologram" })), 400, "invalid_request_error");
}

#[test]
fn a_template_without_tools_drops_them_without_a_word() {
    let llama = Llama::start(Model::Smollm2, 2_048, &[]);
    let parameters = json!({ "type": "object", "properties": {} });
    let tool =
        json!({ "type": "function", "function": { "name": "clock", "description": "x", "parameters": parameters } });
    let read = |body: Value| llama.chat(body).1["usage"]["prompt_tokens"].as_u64().unwrap();
    let plain = read(json!({ "messages": [user("Hi")], "max_tokens": 1 }));
    assert_eq!(read(json!({ "messages": [user("Hi")], "max_tokens": 1, "tools": [tool] })), plain);
}

#[test]
fn a_call_comes_with_its_name_first_and_its_arguments_in_pieces() {
    let qwen = template("Qwen-Qwen2.5-7B-Instruct");
    let llama = Llama::start(Model::Smollm2, 4_096, &["--chat-template-file", &qwen]);
    let chunks = llama.stream(copied_call()).rest();
    let calls: Vec<_> =
        chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["tool_calls"].as_array()).collect();
    let [first, rest @ ..] = &calls[..] else { panic!("no call in {chunks:?}") };
    assert_eq!((&first[0]["index"], &first[0]["function"]["name"]), (&json!(0), &json!("current_time")));
    assert_eq!(first[0]["id"].as_str().map(str::len), Some(CALL_ID_CHARS), "{first:?}");
    assert!(!rest.is_empty() && rest.iter().all(|call| call[0].get("id").is_none()), "{rest:?}");
    let pieces = calls.iter().filter_map(|call| call[0]["function"]["arguments"].as_str());
    assert!(serde_json::from_str::<Value>(&pieces.collect::<String>()).unwrap().is_object());
    let reasons: Vec<_> = chunks.iter().filter_map(|chunk| chunk["choices"][0]["finish_reason"].as_str()).collect();
    assert_eq!(reasons, ["tool_calls"]);
}

#[test]
fn a_file_without_a_template_gets_chatml() {
    let llama = Llama::start(Model::Gemma3, 512, &[]);
    let template = llama.get("/props").1["chat_template"].as_str().unwrap().to_owned();
    assert!(template.contains("<|im_start|>") && template.contains("<|im_end|>"), "{template}");
}
