//! What a request of Anthropic's may hold.

use serde_json::json;

use super::*;

fn asked(more: Value) -> Result<MessagesRequest, Fault> {
    let mut body = json!({"model": "ala", "max_tokens": 64, "messages": [{"role": "user", "content": "hi"}]});
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    let Value::Object(body) = body else { unreachable!() };
    decode(body)
}

#[test]
fn what_tunes_a_reply_is_read() {
    let request = asked(json!({"stream": true, "temperature": 0.5, "top_p": 0.9, "stop_sequences": ["a", ""],
        "system": [{"type": "text", "text": "x-anthropic-billing-header: cc_version=2;"}, {"type": "text", "text": "Be brief."},
            {"type": "text", "text": "Be kind."}]}));
    let MessagesRequest { model, stream, conversation, sampling, ignored, .. } = request.unwrap();
    assert_eq!((&*model, stream, conversation.finish().0.as_str()), ("ala", true, "Be brief.\n\nBe kind."));
    let expected = Sampling {
        temperature: Some(0.5),
        top_p: Some(0.9),
        stop: vec!["a".into()],
        output_tokens_max: Some(64),
        ..Sampling::default()
    };
    assert_eq!((sampling, ignored.header()), (expected, None));
    assert_eq!(asked(json!({"system": "One."})).unwrap().conversation.finish().0, "One.");
}

#[test]
fn what_only_anthropic_serves_is_passed_over() {
    let request = asked(json!({
        "thinking": {"type": "adaptive"}, "context_management": {"edits": []}, "output_config": {"effort": "high"},
        "metadata": {"user_id": "u"}, "service_tier": "auto", "betas": ["x"], "temperature": null, "top_k": 5,
        "mcp_servers": [{}], "tools": [{"name": "f", "input_schema": {"type": "object"}},
            {"type": "web_search_20250305", "name": "web_search"}, {"type": "custom", "name": "g", "description": "G."}],
    }));
    let MessagesRequest { tools, ignored, sampling, .. } = request.unwrap();
    assert_eq!(ignored.header().as_deref(), Some("tools[1], mcp_servers, top_k"));
    let tools: Vec<_> = tools.finish().into_iter().map(|tool| (tool.name, tool.description)).collect();
    assert_eq!(tools, [("f".into(), String::new()), ("g".into(), "G.".into())]);
    assert_eq!(sampling.reasoning_effort, None);
}

#[test]
fn each_choice_of_a_tool_has_its_meaning() {
    let chosen = |choice: Value| {
        let sampling = asked(json!({"tools": [{"name": "f"}], "tool_choice": choice}))?.sampling;
        Ok::<_, Fault>((sampling.tool_choice, sampling.parallel_tool_calls))
    };
    for (choice, expected) in [
        (json!({"type": "auto"}), (ToolChoice::Auto, None)),
        (json!({"type": "any", "disable_parallel_tool_use": true}), (ToolChoice::Required, Some(false))),
        (json!({"type": "none"}), (ToolChoice::None, None)),
        (json!({"type": "tool", "name": "f"}), (ToolChoice::Named("f".into()), None)),
    ] {
        assert_eq!(chosen(choice).unwrap(), (Some(expected.0), expected.1));
    }
    assert!(chosen(json!({"type": "tool", "name": "g"})).is_err() && chosen(json!({"type": "x"})).is_err());
    let nothing_left = json!({"tools": [{"type": "web_search_20250305", "name": "w"}], "tool_choice": {"type": "any"}});
    assert!(asked(nothing_left).is_err());
}

#[test]
fn what_cannot_be_read_is_refused_by_its_path() {
    for (more, param) in [
        (json!({"model": ""}), "model"),
        (json!({"model": null}), "model"),
        (json!({"messages": []}), "messages"),
        (json!({"messages": "hi"}), "messages"),
        (json!({"max_tokens": 0}), "max_tokens"),
        (json!({"temperature": 3}), "temperature"),
        (json!({"stop_sequences": "a"}), "stop_sequences"),
        (json!({"stop_sequences": [1]}), "stop_sequences"),
        (json!({"system": [{"type": "image"}]}), "system[0].type"),
        (json!({"tools": [{}]}), "tools[0].name"),
        (json!({"tool_choice": "auto"}), "tool_choice"),
    ] {
        assert_eq!(asked(more.clone()).unwrap_err().param.as_deref(), Some(param), "{more}");
    }
}

#[test]
fn so_many_messages_and_stop_sequences_are_taken() {
    for (max, name, of) in
        [(MESSAGES_MAX, "messages", json!({"role": "user", "content": "a"})), (STOP_MAX, "stop_sequences", json!("a"))]
    {
        for (count, fits) in [(max - 1, true), (max, true), (max + 1, false)] {
            assert_eq!(asked(json!({ name: vec![of.clone(); count] })).is_ok(), fits, "{count} {name}");
        }
    }
}
