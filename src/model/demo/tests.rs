//! What the demo model promises: the same answer to the same question, and every kind of part.

use std::time::Duration;

use super::*;
use crate::model::{
    Content, Delta, Ending, Finish, Message, ToolSpec,
    sampling::{Sampling, ToolChoice},
};

fn user(text: &str) -> Message {
    Message::User(vec![Content::Text(text.into())])
}

fn assistant(text: &str) -> Message {
    Message::Assistant { text: text.into(), thoughts: None, calls: Vec::new() }
}

fn tool(name: &str) -> ToolSpec {
    let parameters = json!({"type": "object", "properties": {"q": {"type": "string"}}});
    ToolSpec { name: name.into(), description: String::new(), parameters }
}

fn ask(text: &str) -> Request {
    Request { messages: vec![user(text)], ..Request::default() }
}

#[tokio::main(flavor = "current_thread")]
async fn perform(request: &Request) -> (Vec<Delta>, Ending) {
    let mut script = reply(request).word_pause(Duration::ZERO);
    let mut deltas = Vec::new();
    loop {
        if let Some(ending) = script.next(&mut deltas).await {
            return (deltas, ending);
        }
    }
}

fn text_of(request: &Request) -> String {
    let texts = perform(request).0.into_iter().filter_map(|delta| match delta {
        Delta::Text(text) => Some(text),
        _ => None,
    });
    texts.collect()
}

fn sentences(text: &str) -> usize {
    text.split_inclusive(['.', '!', '?']).filter(|sentence| sentence.ends_with(['.', '!', '?'])).count()
}

#[test]
fn the_quickstart_gets_its_three_sentences() {
    let text = text_of(&ask("Summarise the periodic table in 3 sentences."));
    assert_eq!(sentences(&text), 3);
    assert!(text.contains("118") && text.contains("Mendeleev"));
    assert_eq!(sentences(&text_of(&ask("The periodic table in 1 sentence, please"))), 1);
}

#[test]
fn a_reply_comes_word_by_word() {
    let (deltas, ending) = perform(&ask("Summarise the periodic table in 3 sentences."));
    assert!(deltas.len() > 50);
    let is_a_word = |delta: &Delta| matches!(delta, Delta::Text(word) if word.split_whitespace().count() == 1);
    assert!(deltas.iter().all(is_a_word));
    assert_eq!(ending.finish, Finish::Stop);
}

#[test]
fn the_same_request_has_the_same_reply() {
    for text in ["hello", "Think: is 97 prime?", "Write 800 words", "show an error", "what?"] {
        assert_eq!(perform(&ask(text)), perform(&ask(text)));
    }
}

#[test]
fn it_remembers_the_conversation_it_was_given() {
    let mut request = ask("Summarise the periodic table in 3 sentences.");
    request.messages.extend([
        assistant("…"),
        user("Thanks, my name is Kay."),
        assistant("…"),
        user("What did I just ask?"),
    ]);
    assert!(text_of(&request).contains("my name is Kay"));
    request.messages.extend([assistant("…"), user("What was my first question?")]);
    assert!(text_of(&request).contains("periodic table"));
    request.messages.extend([assistant("…"), user("What is my name?")]);
    assert!(text_of(&request).contains("You are Kay"));
    assert!(text_of(&ask("What did I just ask?")).contains("first message"));
}

#[test]
fn it_says_that_it_is_a_demo() {
    for text in ["Who are you?", "Compose a symphony", "", "hello", "help"] {
        assert!(text_of(&ask(text)).contains("built-in demo model"), "{text}");
    }
}

#[test]
fn it_thinks_before_it_answers() {
    for (text, answer) in
        [("Think: is 221 prime?", "No, 221 is not prime: it is 13 × 17."), ("Is 97 prime?", "Yes, 97")]
    {
        let (deltas, ending) = perform(&ask(text));
        assert!(matches!(deltas[0], Delta::Reasoning(_)));
        assert!(text_of(&ask(text)).starts_with(answer));
        let usage = ending.usage.unwrap();
        assert!(0 < usage.reasoning_tokens && usage.reasoning_tokens < usage.output_tokens);
    }
}

#[test]
fn it_calls_the_tools_it_has_and_tells_their_answers() {
    let mut request = ask("What time is it? And search my history for “hydrogen”!");
    assert!(text_of(&request).contains("this agent may not"));

    request.tools = vec![tool("current_time"), tool("search_history")];
    let (deltas, ending) = perform(&request);
    assert_eq!(ending.finish, Finish::ToolCalls);
    let [time, search] = ending.calls.as_slice() else { panic!("two calls") };
    assert_eq!((time.name.as_str(), time.arguments.as_str()), ("current_time", "{}"));
    assert_eq!(serde_json::from_str::<Value>(&search.arguments).unwrap(), json!({"q": "hydrogen"}));
    let streamed = deltas.iter().filter_map(|delta| match delta {
        Delta::ToolArguments { id, fragment } if *id == search.id => Some(fragment.as_str()),
        _ => None,
    });
    assert_eq!(streamed.collect::<String>(), search.arguments);

    let answered =
        |call: &crate::model::ToolCall, output: &str| Message::Tool { call_id: call.id.clone(), output: output.into() };
    let answers = [answered(time, r#"{"time":"12:00"}"#), answered(search, "Nothing was found.")];
    let calls = ending.calls.clone();
    request.messages.push(Message::Assistant { text: String::new(), thoughts: None, calls });
    request.messages.extend(answers);
    let text = text_of(&request);
    assert!(text.contains("`current_time`") && text.contains("12:00"));
    assert!(text.contains("`search_history`") && text.contains("Nothing was found."));

    request.messages.extend([assistant("…"), user("Call current_time with {\"zone\": \"UTC\"}")]);
    let again = perform(&request).1.calls;
    assert_eq!(again[0].arguments, r#"{"zone": "UTC"}"#);
    assert!(ending.calls.iter().all(|call| call.id != again[0].id), "ids are unique in a conversation");
}

#[test]
fn it_calls_any_tool_by_its_name_with_the_smallest_input_or_the_one_it_is_given() {
    let parameters = json!({ "type": "object", "properties": { "people": { "type": "integer", "minimum": 1 } }, "required": ["people"] });
    let book = ToolSpec { name: "book_room".into(), description: String::new(), parameters };
    let asked = |text: &str, tools: &[ToolSpec]| perform(&Request { tools: tools.to_vec(), ..ask(text) });
    let tools = [tool("current_time"), book, tool("github__search"), tool("getLocation")];
    for (text, name, input) in [
        ("call book_room", "book_room", r#"{"people":1}"#),
        ("Call `book_room` with {\"people\": 4}, please", "book_room", r#"{"people": 4}"#),
        ("use github__search", "github__search", "{}"),
        ("Call getLocation!", "getLocation", "{}"),
        ("Show me an approval", "book_room", r#"{"people":1}"#),
    ] {
        let (_, ending) = asked(text, &tools);
        let [call] = ending.calls.as_slice() else { panic!("{text}: one call") };
        assert_eq!((&*call.name, &*call.arguments, ending.finish), (name, input, Finish::ToolCalls), "{text}");
    }
    let request = Request { tools: tools[..1].to_vec(), ..ask("Show me an approval") };
    assert!(text_of(&request).contains("alm tools add") && asked("call book_room", &tools[..1]).1.calls.is_empty());
}

#[test]
fn it_calls_tools_wrongly_when_asked_to() {
    let (_, bad) = perform(&ask("Make a bad tool call"));
    assert!(serde_json::from_str::<Value>(&bad.calls[0].arguments).is_err());
    let (_, unknown) = perform(&ask("Call an unknown tool"));
    assert_eq!(unknown.calls[0].name, "make_coffee");
}

#[test]
fn an_error_comes_in_the_middle_of_a_reply() {
    let (deltas, ending) = perform(&ask("Please show an error"));
    assert!(matches!(deltas.first(), Some(Delta::Text(_))));
    assert!(matches!(deltas.last(), Some(Delta::Fault(_))));
    assert_eq!(ending.finish, Finish::Error);
}

#[test]
fn a_source_comes_with_its_title() {
    let (deltas, _) = perform(&ask("Cite a source"));
    assert!(deltas.iter().any(|delta| matches!(delta, Delta::Source { title: Some(_), .. })));
}

#[test]
fn a_long_answer_is_as_long_as_asked() {
    for words in [30, 500, 1_200] {
        let text = text_of(&ask(&format!("Write {words} words")));
        let count = text.split_whitespace().count();
        assert!((words..words + 60).contains(&count), "{count} for {words}");
        assert!(text.trim_end().ends_with('.'));
    }
    assert!(text_of(&ask("A long answer, please")).split_whitespace().count() >= LONG_WORDS_DEFAULT);
}

fn capped_at(tokens: u32) -> Sampling {
    Sampling { output_tokens_max: Some(tokens), ..Sampling::default() }
}

#[test]
fn a_capped_reply_says_that_it_was_cut() {
    let capped = Request { sampling: capped_at(10), ..ask("Write 500 words") };
    let (_, ending) = perform(&capped);
    assert_eq!(ending.finish, Finish::Length);
    assert!(ending.usage.unwrap().output_tokens <= 10);

    let tools = vec![tool("current_time")];
    let capped = Request { sampling: capped_at(1), tools, ..ask("What time is it?") };
    let (deltas, ending) = perform(&capped);
    assert!(deltas.is_empty() && ending.calls.is_empty());
}

#[test]
fn a_file_is_named_and_not_guessed_at() {
    let file = Content::File {
        media_type: "image/png".into(),
        url: "data:,".into(),
        filename: Some("cat.png".into()),
        detail: None,
    };
    let request = Request { messages: vec![Message::User(vec![file])], ..Request::default() };
    assert!(text_of(&request).contains("`cat.png`"));
}

#[test]
fn what_is_said_back_is_bounded() {
    for chars in [QUOTE_CHARS_MAX - 1, QUOTE_CHARS_MAX, QUOTE_CHARS_MAX + 1] {
        let (text, kept) = ("é".repeat(chars), "é".repeat(chars.min(QUOTE_CHARS_MAX)));
        let more = if chars > QUOTE_CHARS_MAX { " …" } else { "" };
        assert!(text_of(&ask(&text)).contains(&format!("“{kept}{more}”")), "{chars}");
    }
}

#[test]
fn a_long_reply_has_as_many_words_as_were_asked_for_up_to_a_bound() {
    let words = |count: usize| text_of(&ask(&format!("Write a long text of {count} words"))).split_whitespace().count();
    let at_most = words(LONG_WORDS_MAX);
    assert!(at_most >= LONG_WORDS_MAX && at_most == words(LONG_WORDS_MAX + 1) && at_most == words(9 * LONG_WORDS_MAX));
    assert!((LONG_WORDS_MAX - 1..=at_most).contains(&words(LONG_WORDS_MAX - 1)) && words(100) < words(1_000));
}

#[test]
fn a_number_is_thought_about_up_to_a_bound() {
    let said = |number: usize| text_of(&ask(&format!("Think: is {number} prime?")));
    for number in [2, PRIME_MAX - 1, PRIME_MAX] {
        assert!(said(number).contains(&number.to_string()), "{}", said(number));
    }
    for number in [0, 1, PRIME_MAX + 1] {
        assert!(said(number).starts_with("No, 221 is not prime"), "{}", said(number));
    }
}

/// A request in which a reply is wanted so.
fn wanted(text: &str, tools: &[&str], sampling: Sampling) -> Request {
    Request { tools: tools.iter().map(|name| tool(name)).collect(), sampling, ..ask(text) }
}

#[test]
fn a_tool_that_has_to_be_called_is_called_with_its_smallest_input_whatever_was_said() {
    let choose = |choice| Sampling { tool_choice: Some(choice), ..Sampling::default() };
    for (text, choice, name) in [
        ("hello", ToolChoice::Required, "a"),
        ("call b", ToolChoice::Required, "b"),
        ("call a", ToolChoice::Named("b".into()), "b"),
    ] {
        let (_, ending) = perform(&wanted(text, &["a", "b"], choose(choice)));
        let [call] = ending.calls.as_slice() else { panic!("{text}: one call") };
        assert_eq!((&*call.name, &*call.arguments, ending.finish), (name, "{}", Finish::ToolCalls), "{text}");
    }
    for choice in [ToolChoice::Auto, ToolChoice::None] {
        assert!(perform(&wanted("hello", &["a"], choose(choice))).1.calls.is_empty());
    }
    assert!(perform(&wanted("hello", &[], choose(ToolChoice::Required))).1.calls.is_empty(), "there is none to call");
}

#[test]
fn a_reply_has_the_smallest_shape_that_was_asked_for() {
    let schema =
        json!({ "type": "object", "properties": { "n": { "type": "integer", "minimum": 3 } }, "required": ["n"] });
    let schema = json!({ "type": "json_schema", "json_schema": { "name": "x", "schema": schema } });
    for (format, said) in [(schema.clone(), r#"{"n":3}"#), (json!({ "type": "json_object" }), "{}")] {
        let format = Sampling { response_format: Some(format), ..Sampling::default() };
        assert_eq!(text_of(&wanted("hello", &[], format)), said);
    }
    let plain = Sampling { response_format: Some(json!({ "type": "text" })), ..Sampling::default() };
    assert_eq!(text_of(&wanted("hello", &[], plain)), text_of(&ask("hello")));
    // A tool that was asked for comes first, and what it says is answered in the shape.
    let mut request = wanted("call a", &["a"], Sampling { response_format: Some(schema), ..Sampling::default() });
    let calls = perform(&request).1.calls;
    assert_eq!(calls.len(), 1);
    let output = Message::Tool { call_id: calls[0].id.clone(), output: "done".into() };
    request.messages.extend([Message::Assistant { text: String::new(), thoughts: None, calls }, output]);
    assert_eq!(text_of(&request), r#"{"n":3}"#);
}
