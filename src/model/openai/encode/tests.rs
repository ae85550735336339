//! Requests as the wire has them.

use serde_json::json;

use super::{super::prompt::call_id, *};
use crate::{
    model::{Beside, Message, Needs, Thoughts, facts::Facts, openai::Repair, sampling::Sampling},
    time::Timestamp,
};

fn body(request: &Request, dialect: &Dialect) -> Value {
    serde_json::from_slice(&encode(request, dialect, "here")).unwrap()
}

fn without(fields: impl IntoIterator<Item = Field>) -> Dialect {
    Dialect { omitted: fields.into_iter().collect(), ..Dialect::default() }
}

fn messages(messages: Vec<Message>) -> Value {
    body(&Request { messages, ..Request::default() }, &Dialect::default())["messages"].take()
}

fn file(media_type: &str, url: &str, filename: Option<&str>) -> Content {
    Content::File {
        media_type: media_type.into(),
        url: url.into(),
        filename: filename.map(str::to_owned),
        detail: None,
    }
}

#[test]
fn what_nobody_asked_for_is_left_to_the_server() {
    let request = Request { model: "m".into(), ..Request::default() };
    let expected = json!({"model": "m", "messages": [], "stream": true, "stream_options": {"include_usage": true}});
    assert_eq!(body(&request, &Dialect::default()), expected);
}

#[test]
fn every_setting_has_its_field_and_the_cap_has_the_name_the_server_knows() {
    let request = Request {
        model: "m".into(),
        sampling: Sampling {
            temperature: Some(0.5),
            top_p: Some(0.9),
            reasoning_effort: Some("low".into()),
            output_tokens_max: Some(7),
            ..Sampling::default()
        },
        tools: vec![ToolSpec { name: "f".into(), description: "d".into(), parameters: json!({"type": "object"}) }],
        ..Request::default()
    };
    let dialect = Dialect { cap: CapField::MaxCompletionTokens, ..Dialect::default() };
    let function = json!({"name": "f", "description": "d", "parameters": {"type": "object"}});
    let expected = json!({
        "model": "m", "messages": [], "temperature": 0.5, "top_p": 0.9, "reasoning_effort": "low",
        "tools": [{"type": "function", "function": function}],
        "max_completion_tokens": 7, "stream": true, "stream_options": {"include_usage": true},
    });
    assert_eq!(body(&request, &dialect), expected);
    assert_eq!(body(&request, &Dialect::default())["max_tokens"], 7);
    for (most, sent) in [(6, 6), (7, 7), (8, 7)] {
        let dialect = Dialect { cap_max: Some(most), ..Dialect::default() };
        assert_eq!(body(&request, &dialect)["max_tokens"], sent);
    }
    assert_eq!(body(&request, &without(Field::ALL)), json!({"model": "m", "messages": [], "stream": true}));
    let named = ["stream_options", "reasoning_effort", "top_p", "temperature", "max_tokens", "tools"];
    assert_eq!(without(Field::ALL).omits(&request), named, "thoughts and files are not in it");
}

#[test]
fn a_conversation_keeps_its_order_its_thoughts_and_its_calls() {
    let call = |id: &str, arguments: &str| ToolCall {
        id: id.into(),
        name: "f".into(),
        arguments: arguments.into(),
        beside: None,
    };
    let thoughts = |provider: &str, field| {
        Some(Thoughts { text: "r".into(), field: Some(field), provider: provider.into(), beside: Map::new() })
    };
    let said = |text: &str, thoughts, calls: Vec<ToolCall>| Message::Assistant { text: text.into(), thoughts, calls };
    let output = |id: &str| Message::Tool { call_id: id.into(), output: "o".into() };
    let question = || Message::User(vec![Content::Text("u".into())]);
    let conversation = vec![
        Message::System("s".into()),
        question(),
        said("", thoughts("here", ThoughtsField::ReasoningContent), vec![call("c", r#"{"a":1}"#)]),
        output("c"),
        said("a", thoughts("here", ThoughtsField::Reasoning), vec![]),
        question(),
        said("t", thoughts("elsewhere", ThoughtsField::Reasoning), vec![call("d", r#"{"a":"#)]),
        output("d"),
    ];
    let sent = body(&Request { messages: conversation.clone(), ..Request::default() }, &Dialect::default());
    let (c, d) = (call_id("c"), call_id("d"));
    let wire_call = |id: &str, arguments: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": arguments}});
    let expected = json!([
        {"role": "system", "content": "s"},
        {"role": "user", "content": "u"},
        {"role": "assistant", "content": null, "reasoning_content": "r", "tool_calls": [wire_call(&c, r#"{"a":1}"#)]},
        {"role": "tool", "tool_call_id": c, "content": "o"},
        {"role": "assistant", "content": "a", "reasoning": "r"},
        {"role": "user", "content": "u"},
        {"role": "assistant", "content": "t", "tool_calls": [wire_call(&d, "{}")]},
        {"role": "tool", "tool_call_id": d, "content": "o"},
    ]);
    assert_eq!(sent["messages"], expected);
    let sent = body(&Request { messages: conversation, ..Request::default() }, &without([Field::Thoughts]));
    assert!(!sent.to_string().contains("reasoning"), "{sent}");
}

#[test]
fn a_file_goes_as_what_a_server_understands_or_in_words() {
    let sent = messages(vec![Message::User(vec![
        Content::Text("look".into()),
        file("image/png", "data:image/png;base64,AA==", None),
        file("audio/mpeg", "data:audio/mpeg;base64,AAE=", None),
        file("application/pdf", "data:application/pdf;base64,AAI=", Some("a.pdf")),
        file("text/csv", "data:text/csv;base64,YSxi", Some("a.csv")),
        file("application/zip", "data:application/zip;base64,/w==", Some("a.zip")),
        file("audio/ogg", "https://example.com/a.ogg", None),
    ])]);
    let expected = json!([
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
        {"type": "input_audio", "input_audio": {"data": "AAE=", "format": "mp3"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAI="}},
        {"type": "text", "text": "a.csv:\na,b"},
        {"type": "text", "text": "[a.zip (application/zip) cannot be shown to you]"},
        {"type": "text", "text": "[a file (audio/ogg) is at https://example.com/a.ogg]"},
    ]);
    assert_eq!(sent[0]["content"], expected);
}

#[test]
fn to_a_model_without_files_they_go_in_words_as_one_text() {
    let asked = vec![
        Content::Text("look".into()),
        file("image/png", "data:image/png;base64,AA==", Some("a.png")),
        file("text/csv", "data:text/csv;base64,YSxi", Some("a.csv")),
    ];
    let request = Request { messages: vec![Message::User(asked)], ..Request::default() };
    let sent = body(&request, &without([Field::Files]));
    let words = "look\n\n[a.png (image/png) cannot be shown to you]\n\na.csv:\na,b";
    assert_eq!(sent["messages"][0]["content"], words);
    assert_eq!(without([Field::Files]).omits(&request), ["files"]);
}

#[test]
fn what_is_known_of_a_model_is_left_out_and_what_it_refuses_is_learned() {
    let now = Timestamp::now();
    let mut dialect = Dialect::default();
    let changes = [
        Repair::Omit { field: Field::Tools, always: true },
        Repair::Omit { field: Field::Files, always: true },
        Repair::Omit { field: Field::Temperature, always: true },
        Repair::NameCap(CapField::MaxCompletionTokens),
        Repair::LowerCap { tokens: 100, always: true },
    ];
    let mut facts = Facts::default();
    for change in changes {
        assert!(facts.learn(dialect.change(change).unwrap(), now));
    }
    for passing in [Repair::Omit { field: Field::TopP, always: false }, Repair::LowerCap { tokens: 9, always: false }] {
        assert_eq!(dialect.clone().change(passing), None);
    }
    let mut later = Dialect::default();
    later.take(&facts, now);
    assert_eq!(later, dialect);
    assert_eq!(later.omitted, [Field::Temperature, Field::Files, Field::Tools].into());
}

#[test]
fn what_a_provider_put_beside_a_call_goes_back_to_it_alone() {
    let fields = |json: Value| json.as_object().unwrap().clone();
    let beside = Beside {
        provider: "gemini".into(),
        call: fields(json!({"extra_content": {"google": {"thought_signature": "s"}}})),
        function: fields(json!({"x": [1]})),
        message: fields(json!({"reasoning_details": [{"data": "d"}]})),
    };
    let call = ToolCall { id: "a".into(), name: "f".into(), arguments: "{}".into(), beside: Some(Box::new(beside)) };
    let request = Request {
        messages: vec![
            Message::User(vec![Content::Text("u".into())]),
            Message::Assistant { text: String::new(), thoughts: None, calls: vec![call] },
            Message::Tool { call_id: "a".into(), output: "o".into() },
        ],
        ..Request::default()
    };
    let sent = |provider: &str| {
        let body: Value = serde_json::from_slice(&encode(&request, &Dialect::default(), provider)).unwrap();
        let details = body["messages"][1].get("reasoning_details").cloned();
        (body["messages"][1]["tool_calls"][0].clone(), details)
    };
    let ((own, details), (other, no_details)) = (sent("gemini"), sent("other"));
    assert_eq!((details, no_details), (Some(json!([{"data": "d"}])), None));
    assert_eq!(own["extra_content"], json!({"google": {"thought_signature": "s"}}));
    assert_eq!(own["function"], json!({"name": "f", "arguments": "{}", "x": [1]}));
    assert_eq!((other.get("extra_content"), &other["function"]), (None, &json!({"name": "f", "arguments": "{}"})));
}

#[test]
fn what_stood_beside_words_goes_back_to_who_sent_it_alone() {
    let beside = json!({ "reasoning_details": [{ "type": "reasoning.encrypted", "data": "d" }] });
    let beside = beside.as_object().unwrap().clone();
    let thoughts = Some(Thoughts { text: String::new(), field: None, provider: "router".into(), beside });
    let request = Request {
        messages: vec![
            Message::User(vec![Content::Text("u".into())]),
            Message::Assistant { text: "a".into(), thoughts, calls: Vec::new() },
            Message::User(vec![Content::Text("v".into())]),
        ],
        ..Request::default()
    };
    let sent = |provider: &str, dialect: &Dialect| {
        let body: Value = serde_json::from_slice(&encode(&request, dialect, provider)).unwrap();
        body["messages"][1].clone()
    };
    let bare = json!({ "role": "assistant", "content": "a" });
    let own = json!({ "role": "assistant", "content": "a", "reasoning_details": [{ "type": "reasoning.encrypted", "data": "d" }] });
    assert_eq!(sent("router", &Dialect::default()), own);
    assert_eq!(sent("other", &Dialect::default()), bare);
    let mut without = Dialect::default();
    without.change(Repair::Omit { field: Field::Thoughts, always: true });
    assert_eq!((sent("router", &without), without.omits(&request)), (bare, vec!["reasoning".to_owned()]));
}

#[test]
fn a_call_whose_id_an_earlier_one_had_gets_another_as_its_output_does() {
    let call = ToolCall { id: "call_0".into(), name: "f".into(), arguments: "{}".into(), beside: None };
    let turn = [
        Message::User(vec![Content::Text("u".into())]),
        Message::Assistant { text: String::new(), thoughts: None, calls: vec![call] },
        Message::Tool { call_id: "call_0".into(), output: "o".into() },
        Message::Assistant { text: "a".into(), thoughts: None, calls: Vec::new() },
    ];
    let ids = |turns: usize| {
        let request =
            Request { messages: turn.iter().cycle().take(4 * turns).cloned().collect(), ..Request::default() };
        let body: Value = serde_json::from_slice(&encode(&request, &Dialect::default(), "p")).unwrap();
        let messages = body["messages"].as_array().unwrap().clone();
        let id = |message: &Value| {
            let id = message["tool_calls"][0]["id"].as_str().or(message["tool_call_id"].as_str());
            id.map(str::to_owned)
        };
        messages.iter().filter_map(id).collect::<Vec<_>>()
    };
    let three = ids(3);
    assert_eq!([&three[0], &three[2], &three[4]], [&three[1], &three[3], &three[5]]);
    assert!(three[0] != three[2] && three[2] != three[4] && three[0] != three[4]);
    assert_eq!(ids(2), three[..4], "a longer history begins with what a shorter one was sent as");
}

#[test]
fn a_model_without_tools_is_told_in_words_what_they_returned() {
    let call = ToolCall { id: "c".into(), name: "clock".into(), arguments: "{\"zone\":\"UTC\"}".into(), beside: None };
    let user = |text: &str| Message::User(vec![Content::Text(text.into())]);
    let asked = |text: &str| Message::Assistant { text: text.into(), thoughts: None, calls: vec![call.clone()] };
    let output = Message::Tool { call_id: "c".into(), output: "12:00".into() };
    let said = Message::Assistant { text: "It is noon.".into(), thoughts: None, calls: Vec::new() };
    let mut without = Dialect::default();
    without.change(Repair::Omit { field: Field::Tools, always: true });
    let sent = |messages: &[Message]| {
        let request = Request { messages: messages.to_vec(), ..Request::default() };
        let body: Value = serde_json::from_slice(&encode(&request, &without, "p")).unwrap();
        let short = |message: &Value| {
            format!("{}: {}", message["role"].as_str().unwrap(), message["content"].as_str().unwrap())
        };
        (body["messages"].as_array().unwrap().iter().map(short).collect::<Vec<_>>(), without.omits(&request))
    };
    let words = "(I called clock with {\"zone\":\"UTC\"} and got: 12:00)";
    let history = [user("When?"), asked("Let me see."), output.clone(), said, user("Thanks.")];
    let told = format!("assistant: Let me see.\n\n{words}\n\nIt is noon.");
    assert_eq!(sent(&history), (vec!["user: When?".into(), told, "user: Thanks.".into()], vec!["tools".to_owned()]));
    let last = [user("When?"), asked(""), output];
    let expected = vec!["user: When?".to_owned(), format!("assistant: {words}"), "user: Go on.".into()];
    assert_eq!(sent(&last), (expected, vec!["tools".to_owned()]));
}

#[test]
fn instructions_begin_the_first_question_where_their_role_is_refused() {
    let mut without = Dialect::default();
    without.change(Repair::Omit { field: Field::System, always: true });
    let text = |text: &str| Content::Text(text.into());
    let sent = |contents: Vec<Content>| {
        let messages = vec![Message::System("Be brief.".into()), Message::User(contents)];
        let request = Request { messages, ..Request::default() };
        assert_eq!(without.omits(&request), ["system"]);
        body(&request, &without)["messages"].take()
    };
    assert_eq!(sent(vec![text("Hi")]), json!([{ "role": "user", "content": "Be brief.\n\nHi" }]));
    let parts = sent(vec![text("See"), file("image/png", "data:image/png;base64,AA==", None)]);
    assert_eq!(parts[0]["content"][0], json!({ "type": "text", "text": "Be brief." }));
    assert_eq!(parts[0]["content"].as_array().unwrap().len(), 3);
    let request = Request { messages: vec![Message::System("Be brief.".into())], ..Request::default() };
    assert_eq!(body(&request, &without)["messages"], json!([{ "role": "user", "content": "Be brief." }]));
}

#[test]
fn what_a_caller_tunes_has_its_field_and_what_nobody_here_knows_goes_as_it_came() {
    let format = json!({"type": "json_schema", "json_schema": {"name": "n", "schema": {}}});
    let sampling = Sampling {
        stop: vec!["END".into()],
        seed: Some(7),
        presence_penalty: Some(0.5),
        frequency_penalty: Some(-0.5),
        parallel_tool_calls: Some(false),
        tool_choice: Some(ToolChoice::Required),
        response_format: Some(format.clone()),
        extra: json!({"top_k": 5}).as_object().unwrap().clone(),
        ..Sampling::default()
    };
    let tools = vec![ToolSpec { name: "f".into(), description: "d".into(), parameters: json!({}) }];
    let request = Request { tools, sampling, ..Request::default() };
    let expected = json!({"stop": ["END"], "seed": 7, "presence_penalty": 0.5, "frequency_penalty": -0.5,
        "parallel_tool_calls": false, "tool_choice": "required", "response_format": format, "top_k": 5});
    let sent = body(&request, &Dialect::default());
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(sent[name], *value, "{name}");
    }
    let alone = Request { tools: Vec::new(), ..request.clone() };
    let sent = body(&alone, &Dialect::default());
    assert!(sent.get("tool_choice").is_none() && sent.get("parallel_tool_calls").is_none(), "only beside tools");
    let named = Sampling { tool_choice: Some(ToolChoice::Named("f".into())), ..Sampling::default() };
    let sent = body(&Request { sampling: named, ..request }, &Dialect::default());
    assert_eq!(sent["tool_choice"], json!({"type": "function", "function": {"name": "f"}}));
}

#[test]
fn what_a_request_cannot_do_without_is_sent_whatever_is_known_of_the_model() {
    let tools = vec![ToolSpec { name: "f".into(), description: "d".into(), parameters: json!({}) }];
    let sampling = Sampling {
        response_format: Some(json!({"type": "json_object"})),
        tool_choice: Some(ToolChoice::Required),
        seed: Some(1),
        ..Sampling::default()
    };
    let asked = vec![Message::User(vec![file("image/png", "data:image/png;base64,AA==", None)])];
    let ours = Request { tools, sampling, messages: asked, ..Request::default() };
    let own = Request { needs: Needs { tools: true, files: true, format: true }, ..ours.clone() };
    let without = without(Field::ALL);
    let (ours_sent, own_sent) = (body(&ours, &without), body(&own, &without));
    for (name, value) in [("tools", json!(1)), ("response_format", json!(1)), ("seed", Value::Null)] {
        assert!(ours_sent.get(name).is_none(), "{name}");
        assert_eq!(own_sent.get(name).is_some(), !value.is_null(), "{name}");
    }
    assert!(ours_sent["messages"][0]["content"].is_string() && own_sent["messages"][0]["content"].is_array());
    assert_eq!(without.omits(&own), ["stream_options", "seed"]);
}

#[test]
fn instructions_stay_where_they_stand_where_they_may_stand_anywhere() {
    let user = |text: &str| Message::User(vec![Content::Text(text.into())]);
    let messages = vec![Message::System("s".into()), user("1"), Message::System("t".into()), user("2")];
    let request = Request { messages, ..Request::default() };
    let roles = |dialect: &Dialect| {
        let body: Value = serde_json::from_slice(&encode(&request, dialect, "up")).unwrap();
        let messages = body["messages"].as_array().unwrap().iter();
        messages
            .map(|message| format!("{}:{}", message["role"], message["content"]).replace('"', ""))
            .collect::<Vec<_>>()
    };
    let anywhere = Dialect { system_anywhere: true, ..Dialect::default() };
    assert_eq!(roles(&anywhere), ["system:s", "user:1", "system:t", "user:2"]);
    assert_eq!(roles(&Dialect::default()), ["system:s\\n\\nt", "user:1\\n\\n2"]);
    let without = Dialect { system_anywhere: true, ..without([Field::System]) };
    assert_eq!(roles(&without), ["user:s\\n\\nt\\n\\n1\\n\\n2"]);
}
