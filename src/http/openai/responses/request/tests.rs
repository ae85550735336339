//! What a request for a response may hold.

use super::*;

fn read(body: Value) -> Result<ResponseRequest, Fault> {
    decode(body.as_object().unwrap().clone())
}

fn with(field: &str, value: Value) -> Result<ResponseRequest, Fault> {
    let mut body = json!({"model": "ala", "input": "hi"});
    body[field] = value;
    read(body)
}

#[test]
fn what_is_asked_is_repeated_in_the_object() {
    let asked = read(json!({
        "model": "ala", "input": "hi", "instructions": "Be short.", "max_output_tokens": 9, "temperature": 0.5,
        "reasoning": {"effort": "low", "summary": "auto"}, "metadata": {"a": "b"}, "user": "u", "store": false,
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}, "verbosity": "low"},
        "tools": [{"type": "function", "name": "f"}, {"type": "web_search"}], "tool_choice": {"type": "function", "name": "f"},
        "parallel_tool_calls": false, "include": ["reasoning.encrypted_content"], "odd": 1, "top_p": null,
    }))
    .unwrap();
    assert_eq!(asked.ignored.header().as_deref(), Some("tools[1], odd"));
    assert_eq!((asked.sampling.output_tokens_max, asked.sampling.reasoning_effort.as_deref()), (Some(9), Some("low")));
    assert_eq!(asked.sampling.tool_choice, Some(ToolChoice::Named("f".into())));
    let schema = json!({"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}});
    assert_eq!((asked.sampling.response_format, asked.verbosity), (Some(schema), Some(json!("low"))));
    let object = Value::Object(asked.object.into_map());
    for (key, value) in [
        ("instructions", json!("Be short.")),
        ("max_output_tokens", json!(9)),
        ("temperature", json!(0.5)),
        ("top_p", json!(1.0)),
        ("reasoning", json!({"effort": "low", "summary": "auto"})),
        ("metadata", json!({"a": "b"})),
        ("store", json!(false)),
        ("parallel_tool_calls", json!(false)),
        ("user", json!("u")),
        ("tools", json!([{"type": "function", "name": "f", "description": null, "parameters": null, "strict": null}])),
        ("tool_choice", json!({"type": "function", "name": "f"})),
    ] {
        assert_eq!(object[key], value, "{key}");
    }
}

#[test]
fn a_request_goes_on_from_one_thing() {
    assert_eq!(with("previous_response_id", json!("resp_1")).unwrap().previous.as_deref(), Some("resp_1"));
    for conversation in [json!("conv_1"), json!({"id": "conv_1"})] {
        let asked = with("conversation", conversation).unwrap();
        assert_eq!(asked.conversation.as_deref(), Some("conv_1"));
        assert_eq!(asked.object.into_map()["conversation"], json!({"id": "conv_1"}));
    }
    assert!(
        read(json!({"model": "a", "input": "x", "conversation": "conv_1", "previous_response_id": "resp_1"})).is_err()
    );
    assert!(read(json!({"model": "a"})).is_err());
    assert!(read(json!({"model": "a", "previous_response_id": "resp_1"})).is_ok());
}

#[test]
fn what_would_be_answered_wrongly_is_refused() {
    for (field, value) in [
        ("model", json!("")),
        ("model", json!(1)),
        ("prompt", json!({"id": "p"})),
        ("top_logprobs", json!(2)),
        ("truncation", json!("middle")),
        ("tool_choice", json!("required")),
        ("tool_choice", json!({"type": "function", "name": "f"})),
        ("tool_choice", json!({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]})),
        ("tool_choice", json!({"type": "file_search"})),
        ("max_output_tokens", json!(0)),
        ("text", json!({"format": {"type": "xml"}})),
    ] {
        assert!(with(field, value.clone()).is_err(), "{field}: {value}");
    }
    assert!(read(json!({"model": "a", "input": "x", "background": true, "store": false})).is_err());
}
