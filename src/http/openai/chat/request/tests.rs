//! What a request is read as.

use serde_json::json;

use super::*;
use crate::{
    http::openai::sampling::{FORMAT_BYTES_MAX, STOP_MAX},
    model::Message,
};

/// A request with these fields besides.
fn read(more: Value) -> Result<ChatRequest, Fault> {
    let mut body = json!({ "model": "ala", "messages": [{ "role": "user", "content": "Hello" }] });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    decode(body.as_object().unwrap().clone())
}

fn param(more: Value) -> String {
    match read(more.clone()) {
        Ok(_) => panic!("{more} was taken"),
        Err(fault) => fault.param.unwrap_or_default(),
    }
}

fn function(name: &str) -> Value {
    json!({ "type": "function", "function": { "name": name, "strict": true } })
}

/// What is left out, as the header names it, when `model` is asked.
fn left_out(more: Value, is_raw: bool, is_free: bool) -> (Map<String, Value>, String) {
    let mut request = read(more).unwrap();
    let sent = sampling::extra(request.rest, is_raw, is_free, &mut request.ignored);
    (sent, request.ignored.header().unwrap_or_default())
}

#[test]
fn a_model_and_a_message_are_enough_and_null_is_absent_everywhere() {
    let nulls = [
        "stream",
        "stream_options",
        "max_tokens",
        "max_completion_tokens",
        "temperature",
        "top_p",
        "reasoning_effort",
        "stop",
        "seed",
        "presence_penalty",
        "frequency_penalty",
        "parallel_tool_calls",
        "logit_bias",
        "verbosity",
        "tools",
        "tool_choice",
        "response_format",
        "n",
        "logprobs",
        "top_logprobs",
        "modalities",
        "audio",
        "functions",
        "function_call",
        "store",
        "metadata",
        "user",
        "safety_identifier",
        "prompt_cache_key",
        "service_tier",
        "prediction",
        "moderation",
        "web_search_options",
        "options",
        "top_k",
        "anything",
    ];
    let nulls: Map<_, _> = nulls.into_iter().map(|name| (name.to_owned(), Value::Null)).collect();
    for more in [json!({}), nulls.into()] {
        let request = read(more).unwrap();
        assert!(!request.stream && !request.include_usage && request.tools.is_empty() && request.rest.is_empty());
        assert_eq!(request.sampling, Sampling::default());
        assert_eq!(request.ignored.header(), None);
    }
    assert_eq!(param(json!({ "model": "" })), "model");
    assert_eq!(param(json!({ "model": 5 })), "model");
    assert_eq!(param(json!({ "messages": [] })), "messages");
    assert_eq!(param(json!({ "messages": null })), "messages");
}

#[test]
fn the_smaller_of_both_caps_counts() {
    for (more, most) in [
        (json!({ "max_tokens": 5 }), Some(5)),
        (json!({ "max_completion_tokens": 7 }), Some(7)),
        (json!({ "max_tokens": 5, "max_completion_tokens": 7 }), Some(5)),
        (json!({ "max_tokens": 9, "max_completion_tokens": 7 }), Some(7)),
        (json!({ "max_tokens": -1, "max_completion_tokens": 7.0 }), Some(7)),
        (json!({ "max_tokens": -1 }), None),
    ] {
        assert_eq!(read(more.clone()).unwrap().sampling.output_tokens_max, most, "{more}");
    }
    assert_eq!(param(json!({ "max_tokens": 0 })), "max_tokens");
    assert_eq!(param(json!({ "max_completion_tokens": -2 })), "max_completion_tokens");
    assert_eq!(param(json!({ "max_tokens": 1.5 })), "max_tokens");
}

#[test]
fn how_a_reply_is_made_is_read() {
    let format = json!({ "type": "json_schema", "json_schema": { "name": "n", "schema": { "type": "object" } } });
    let request = read(json!({
        "temperature": 0.5, "top_p": 0.9, "reasoning_effort": "xhigh", "stop": "END", "seed": 7, "presence_penalty": -1,
        "frequency_penalty": 2, "parallel_tool_calls": false, "tools": [function("f")], "response_format": format,
        "stream": true, "stream_options": { "include_usage": true, "include_obfuscation": false },
    }))
    .unwrap();
    let expected = Sampling {
        temperature: Some(0.5),
        top_p: Some(0.9),
        reasoning_effort: Some("xhigh".into()),
        stop: vec!["END".into()],
        seed: Some(7),
        presence_penalty: Some(-1.0),
        frequency_penalty: Some(2.0),
        parallel_tool_calls: Some(false),
        response_format: Some(format),
        ..Sampling::default()
    };
    assert_eq!(request.sampling, expected);
    assert!(request.stream && request.include_usage && request.ignored.header().is_none());
    assert_eq!(
        read(json!({ "parallel_tool_calls": true })).unwrap().sampling.parallel_tool_calls,
        None,
        "only beside tools"
    );
    for (more, name) in [
        (json!({ "temperature": 2.1 }), "temperature"),
        (json!({ "top_p": -0.1 }), "top_p"),
        (json!({ "presence_penalty": 3 }), "presence_penalty"),
        (json!({ "reasoning_effort": "huge" }), "reasoning_effort"),
        (json!({ "stop": [1] }), "stop"),
        (json!({ "response_format": "json" }), "response_format"),
        (json!({ "response_format": { "type": "xml" } }), "response_format.type"),
        (json!({ "stream": "yes" }), "stream"),
    ] {
        assert_eq!(param(more), name);
    }
}

#[test]
fn what_no_answer_would_be_right_for_is_refused_by_its_name() {
    for (more, name) in [
        (json!({ "n": 2 }), "n"),
        (json!({ "logprobs": true }), "logprobs"),
        (json!({ "top_logprobs": 3 }), "top_logprobs"),
        (json!({ "modalities": ["text", "audio"] }), "modalities"),
        (json!({ "audio": { "voice": "a" } }), "audio"),
        (json!({ "functions": [] }), "functions"),
        (json!({ "function_call": "auto" }), "function_call"),
    ] {
        assert_eq!(param(more), name);
    }
    assert!(read(json!({ "n": 1, "logprobs": false, "top_logprobs": 0, "modalities": ["text"] })).is_ok());
}

#[test]
fn functions_are_offered_and_other_tools_are_named() {
    let tools = json!([function("a"), { "type": "web_search" }, { "type": "custom", "custom": { "name": "c" } }, function("b")]);
    let request = read(json!({ "tools": tools })).unwrap();
    assert_eq!(request.ignored.header().as_deref(), Some("tools[1], tools[2]"));
    let offered = request.tools.finish();
    assert_eq!(offered.iter().map(|tool| &*tool.name).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(offered[0].input_schema, json!({ "type": "object", "properties": {} }));
    assert_eq!(param(json!({ "tools": [{ "type": "function" }] })), "tools[0].function");
    assert_eq!(param(json!({ "tools": [function("a"), function("a")] })), "tools[1].function.name");
    assert_eq!(param(json!({ "tools": [{ "type": "web_search" }], "tool_choice": "required" })), "tool_choice");
}

#[test]
fn a_choice_of_tools_is_read_and_has_to_be_possible() {
    let choose = |choice: Value| read(json!({ "tools": [function("a"), function("b")], "tool_choice": choice }));
    let allowed = |mode: &str, name: &str| json!({ "type": "allowed_tools", "allowed_tools": { "mode": mode, "tools": [function(name)] } });
    for (choice, expected, offered) in [
        (json!("none"), ToolChoice::None, vec!["a", "b"]),
        (json!("auto"), ToolChoice::Auto, vec!["a", "b"]),
        (json!("required"), ToolChoice::Required, vec!["a", "b"]),
        (function("b"), ToolChoice::Named("b".into()), vec!["a", "b"]),
        (allowed("auto", "b"), ToolChoice::Auto, vec!["b"]),
        (allowed("required", "a"), ToolChoice::Required, vec!["a"]),
    ] {
        let request = choose(choice.clone()).unwrap();
        assert_eq!(request.sampling.tool_choice, Some(expected), "{choice}");
        assert_eq!(request.tools.finish().into_iter().map(|tool| tool.name).collect::<Vec<_>>(), offered, "{choice}");
    }
    for (choice, name) in [
        (json!("any"), "tool_choice"),
        (function("c"), "tool_choice"),
        (allowed("auto", "c"), "tool_choice.allowed_tools.tools"),
        (allowed("some", "a"), "tool_choice.allowed_tools.mode"),
        (json!({ "type": "custom" }), "tool_choice.type"),
    ] {
        assert_eq!(choose(choice).unwrap_err().param.as_deref(), Some(name));
    }
}

#[test]
fn an_unknown_field_is_sent_to_a_free_model_and_named_to_everybody_else() {
    let more = json!({ "top_k": 5, "guided_json": {}, "logit_bias": {}, "mirostat": 2, "user": "u", "prompt_cache_key": "p",
        "prompt_cache_options": {}, "metadata": { "a": "b" }, "store": false, "web_search_options": {}, "service_tier": "auto" });
    let named = "web_search_options";
    let (sent, header) = left_out(more.clone(), true, true);
    assert_eq!(sent, *json!({ "top_k": 5, "guided_json": {}, "logit_bias": {}, "mirostat": 2 }).as_object().unwrap());
    assert_eq!(header, named);
    let (sent, header) = left_out(more.clone(), true, false);
    assert_eq!(sent, *json!({ "top_k": 5, "guided_json": {}, "logit_bias": {} }).as_object().unwrap());
    assert_eq!(header, format!("{named}, mirostat"));
    let (sent, header) = left_out(more, false, true);
    assert_eq!((sent, header), (Map::new(), format!("{named}, top_k, guided_json, logit_bias, mirostat")));
}

#[test]
fn so_many_texts_end_a_reply_and_a_schema_has_so_many_bytes() {
    for (count, fits) in [(STOP_MAX - 1, true), (STOP_MAX, true), (STOP_MAX + 1, false)] {
        assert_eq!(read(json!({ "stop": vec!["x"; count] })).is_ok(), fits, "sampling::STOP_MAX: {count}");
    }
    let format = |text: &str| json!({ "type": "json_schema", "json_schema": { "description": text } });
    let around = format("").to_string().len();
    for (bytes, fits) in [(FORMAT_BYTES_MAX - 1, true), (FORMAT_BYTES_MAX, true), (FORMAT_BYTES_MAX + 1, false)] {
        let read = read(json!({ "response_format": format(&"x".repeat(bytes - around)) }));
        assert_eq!(read.is_ok(), fits, "sampling::FORMAT_BYTES_MAX: {bytes}");
    }
}

#[test]
fn the_conversation_is_in_it() {
    let (system, messages) = read(json!({})).unwrap().conversation.finish();
    assert_eq!(system, "");
    assert!(matches!(&messages[..], [Message::User(_)]));
}
