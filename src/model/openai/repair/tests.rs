//! What a refused request could do without.

use serde_json::{Map, json};

use super::*;
use crate::model::{Content, Message, Thoughts, ThoughtsField, ToolSpec, openai::CapField, sampling::Sampling};

/// A request that has everything.
fn whole() -> Request {
    let file = Content::File {
        media_type: "image/png".into(),
        url: "data:image/png;base64,AA==".into(),
        filename: None,
        detail: None,
    };
    let thoughts = Thoughts {
        text: "t".into(),
        field: Some(ThoughtsField::ReasoningContent),
        provider: "p".into(),
        beside: Map::new(),
    };
    Request {
        model: "m".into(),
        messages: vec![
            Message::System("s".into()),
            Message::User(vec![file]),
            Message::Assistant { text: "a".into(), thoughts: Some(thoughts), calls: Vec::new() },
        ],
        tools: vec![ToolSpec { name: "f".into(), description: "d".into(), parameters: json!({}) }],
        sampling: Sampling {
            temperature: Some(0.2),
            top_p: Some(0.9),
            reasoning_effort: Some("low".into()),
            output_tokens_max: Some(16_384),
            ..Sampling::default()
        },
        ..Request::default()
    }
}

fn asked(status: u16, said: &str) -> Option<Repair> {
    repair(status, said, &whole(), &Dialect::default())
}

fn error(message: &str) -> String {
    json!({ "error": { "message": message, "type": "invalid_request_error" } }).to_string()
}

#[test]
fn a_field_that_was_sent_on_as_it_came_is_left_out_once_it_is_named() {
    let mut request = whole();
    let extra = json!({"mirostat": 2, "top_k": 5, "guided_json": {}, "k": 1});
    request.sampling.extra = extra.as_object().unwrap().clone();
    let omits = |status: u16, said: &str, dialect: &Dialect| repair(status, said, &request, dialect);
    let none = Dialect::default();
    let left_out = |name: &str| Some(Repair::OmitExtra(name.into()));
    assert_eq!(omits(400, &error("Unrecognized request argument supplied: mirostat"), &none), left_out("mirostat"));
    let pydantic = json!({"detail": [{"loc": ["body", "top_k"], "msg": "Extra inputs are not permitted"}]});
    assert_eq!(omits(422, &pydantic.to_string(), &none), left_out("top_k"));
    // A part of another word, a shape of the reply, and what was left out already are not it.
    for said in ["mirostat_tau is unknown", "guided_json is not supported", "kind"] {
        assert_eq!(omits(400, &error(said), &none), None, "{said}");
    }
    assert_eq!(omits(500, &error("mirostat"), &none), None);
    let mut without = Dialect::default();
    assert_eq!(without.change(Repair::OmitExtra("mirostat".into())), None, "nothing is learned of it");
    assert_eq!(omits(400, &error("mirostat"), &without), None);
    assert_eq!(without.omits(&request), ["mirostat"]);
    assert_eq!(without.extra(&request).len(), 3);
}

#[test]
fn what_a_refusal_names_is_left_out() {
    let pydantic = |field: &str| {
        let echo = json!({"temperature": 1, "tools": [], "max_tokens": 3});
        json!({"detail": [{"type": "extra_forbidden", "loc": ["body", field], "msg": "Extra inputs are not permitted", "input": echo}]})
            .to_string()
    };
    let wrapped =
        json!({"error": {"message": "Provider returned error", "metadata": {"raw": error("top_p is not supported")}}});
    let param = json!({"error": {"message": "Unsupported value: only the default of this model is supported, see max_tokens", "param": "temperature"}});
    for (status, said, field) in [
        (400, error("registry.ollama.ai/library/gemma3:4b does not support tools"), Field::Tools),
        (400, error("\"auto\" tool choice requires --enable-auto-tool-choice to be set"), Field::Tools),
        (404, error("No endpoints found that support tool use. Try disabling \"f\"."), Field::Tools),
        (500, error("tools param requires --jinja flag"), Field::Tools),
        (400, error("m is not a multimodal model"), Field::Files),
        (500, error("image input is not supported - hint: you may need to provide the mmproj"), Field::Files),
        (404, error("No endpoints found that support image input"), Field::Files),
        (400, error("'messages.0.content' : value must be a string"), Field::Files),
        (400, error("'messages.1' : property 'reasoning_content' is unsupported"), Field::Thoughts),
        (400, error("Unrecognized request argument supplied: reasoning_effort"), Field::ReasoningEffort),
        (400, r#"{"error":"\"m\" does not support thinking"}"#.to_owned(), Field::ReasoningEffort),
        (400, error("`temperature` is deprecated for this model."), Field::Temperature),
        (400, param.to_string(), Field::Temperature),
        (422, pydantic("stream_options"), Field::StreamOptions),
        (422, pydantic("top_p"), Field::TopP),
        (400, wrapped.to_string(), Field::TopP),
        (400, "Unknown field: include_usage".to_owned(), Field::StreamOptions),
        (400, error("'messages[0].role' does not support 'system' with this model."), Field::System),
        (400, error("Developer instruction is not enabled for models/gemma-3-4b-it"), Field::System),
        (500, error("Jinja Exception: System role not supported"), Field::System),
        (500, error("Jinja Exception: Conversation roles must alternate user/assistant"), Field::Tools),
    ] {
        assert_eq!(asked(status, &said), Some(Repair::Omit { field, always: true }), "{said}");
    }
}

#[test]
fn what_only_tunes_is_left_out_and_what_cannot_be_missed_is_told_from_it() {
    let mut tuned = whole();
    tuned.sampling = Sampling {
        stop: vec!["END".into()],
        seed: Some(7),
        presence_penalty: Some(0.5),
        frequency_penalty: Some(0.5),
        parallel_tool_calls: Some(true),
        tool_choice: Some(crate::model::sampling::ToolChoice::Required),
        response_format: Some(json!({ "type": "json_object" })),
        ..Sampling::default()
    };
    let param = |name: &str| json!({ "error": { "message": "no", "param": name } }).to_string();
    for (said, field) in [
        (error("Unsupported parameter: 'stop' is not supported with this model."), Field::Stop),
        (param("stop"), Field::Stop),
        (error("Unrecognized request argument supplied: seed"), Field::Seed),
        (error("presence_penalty is not supported"), Field::PresencePenalty),
        (error("'frequency_penalty' is not supported"), Field::FrequencyPenalty),
        (error("parallel_tool_calls is not allowed"), Field::ParallelToolCalls),
        (error("tool_choice required is not supported"), Field::ToolChoice),
        (error("This response_format type is unavailable now"), Field::ResponseFormat),
        (error("json mode is not supported"), Field::ResponseFormat),
        (error("this model does not support tools"), Field::Tools),
    ] {
        let change = repair(400, &said, &tuned, &Dialect::default());
        assert_eq!(change, Some(Repair::Omit { field, always: true }), "{said}");
    }
}

#[test]
fn a_value_that_is_refused_is_left_out_this_once() {
    for (said, field) in [
        ("temperature must be between 0 and 1", Field::Temperature),
        ("image exceeds 5 MB maximum", Field::Files),
        ("could not decode the image", Field::Files),
    ] {
        assert_eq!(asked(400, &error(said)), Some(Repair::Omit { field, always: false }), "{said}");
    }
}

#[test]
fn what_names_nothing_of_ours_is_final() {
    for (status, said) in [
        (400, error("no")),
        (400, String::new()),
        (401, error("tools")),
        (403, error("tools")),
        (429, error("max_tokens per minute")),
        (500, error("temperature")),
        (503, error("tools")),
    ] {
        assert_eq!(asked(status, &said), None, "{status} {said}");
    }
    // What is not in the request cannot be left out of it.
    let plain = Request { model: "m".into(), ..Request::default() };
    for said in ["tools", "image", "reasoning_content", "temperature", "max_tokens"] {
        assert_eq!(repair(400, &error(said), &plain, &Dialect::default()), None, "{said}");
    }
    let without = Dialect { omitted: Field::ALL.into(), ..Dialect::default() };
    assert_eq!(repair(400, &error("tools"), &whole(), &without), None);
}

#[test]
fn the_cap_is_renamed_lowered_or_left_out() {
    let newer = error(
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
    );
    assert_eq!(asked(400, &newer), Some(Repair::NameCap(CapField::MaxCompletionTokens)));
    let mut dialect = Dialect::default();
    dialect.change(Repair::NameCap(CapField::MaxCompletionTokens));
    let older = error("Unknown parameter: max_completion_tokens");
    let change = repair(400, &older, &whole(), &dialect);
    assert_eq!(change, Some(Repair::Omit { field: Field::OutputCap, always: true }));
    for (said, tokens) in [
        ("max_tokens is too large: 16384. This model supports at most 4096 completion tokens", 4_096),
        ("max_tokens: 16384 > 8192, which is the maximum allowed number of output tokens", 8_192),
        ("`max_tokens` must be less than or equal to `8,192`, the maximum value", 8_192),
        ("Invalid max_tokens value, the valid range of max_tokens is [1, 8192]", 8_192),
    ] {
        assert_eq!(asked(400, &error(said)), Some(Repair::LowerCap { tokens, always: true }), "{said}");
    }
}

#[test]
fn a_sum_that_does_not_fit_takes_a_lower_cap_and_a_prompt_that_does_not_takes_none() {
    let sum = "This model's maximum context length is 8192 tokens. However, you requested 16484 tokens (100 in the \
               messages, 16384 in the completion). Please reduce the length of the messages or completion.";
    let lowered = Repair::LowerCap { tokens: 8_092, always: false };
    assert_eq!(asked(400, &error(sum)), Some(lowered.clone()));
    let mut dialect = Dialect::default();
    dialect.change(lowered);
    assert_eq!(repair(400, &error(sum), &whole(), &dialect), None, "once");
    let prompt = "This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens.";
    assert_eq!(asked(400, &error(prompt)), None);
}

#[test]
fn a_refusal_says_how_much_too_long_a_conversation_is() {
    let llama_cpp = r#"{"error":{"code":400,"message":"the request exceeds the available context size","type":"exceed_context_size_error","n_prompt_tokens":731,"n_ctx":512}}"#;
    for (said, window, prompt) in [
        (llama_cpp.to_owned(), Some(512), Some(731)),
        (
            error(
                "This model's maximum context length is 8192 tokens. However, your messages resulted in 9,001 tokens.",
            ),
            Some(8_192),
            Some(9_001),
        ),
        (
            error(
                "maximum context length is 8192 tokens. However, you requested 16484 tokens (100 in the messages, 16384 in the completion).",
            ),
            Some(8_192),
            Some(100),
        ),
        (error("prompt is too long: 208310 tokens > 200000 maximum"), Some(200_000), Some(208_310)),
        (error("the context window of 4096 tokens is full"), Some(4_096), None),
        (error("prompt is too long"), None, None),
    ] {
        assert_eq!(too_long(&said), TooLong { window, prompt }, "{said}");
    }
}
