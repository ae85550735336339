//! The built-in model `demo/ala`: prepared answers that need nothing, and show every kind of part.
//!
//! Rule: the same request has the same reply, word for word, and no reply claims to be more than a demo.
//! Reading order: the table `ACTS`, then `prompt.rs` (what was said), `script.rs` (the performance), `smallest.rs`, `texts.rs`.

mod prompt;
mod script;
mod smallest;
#[cfg(test)]
mod tests;
mod texts;

pub use script::Script;

use serde_json::{Value, json};

use super::Request;
use prompt::Prompt;
use smallest::smallest;

/// How much of a person's words, or of a tool's, is said back.
const QUOTE_CHARS_MAX: usize = 2_000;
const LONG_WORDS_DEFAULT: usize = 500;
const LONG_WORDS_MAX: usize = 5_000;
const PRIME_MAX: usize = 99_999;
/// Tools that are nobody's own.
const BUILT_IN: [&str; 3] = ["current_time", "search_history", "ask_agent"];

/// The whole reply to a request, written before its first word is sent.
pub fn reply(request: &Request) -> Script {
    let prompt = Prompt::of(request);
    let mut script = Script::new();
    let (_, play) = ACTS.iter().find(|(cue, _)| cue(&prompt)).expect("the last act fits every prompt");
    play(&prompt, &mut script);
    script.seal(request)
}

type Act = (fn(&Prompt) -> bool, fn(&Prompt, &mut Script));

/// What is played when: the first act whose cue fits.
const ACTS: &[Act] = &[
    (|a| a.tool_due().is_some(), call_due),
    (|a| a.shape().is_some() && (a.tool_named().is_none() || !a.tool_results().is_empty()), take_shape),
    (|a| !a.tool_results().is_empty(), report_tool_results),
    (|a| !a.files().is_empty(), decline_files),
    (|a| a.has_word(&["help"]) || a.says(&["what can you do", "what can you show"]), |_, s| s.say(texts::HELP)),
    (|a| a.says(&["show an error", "show me an error", "raise an error", "simulate an error"]), break_off),
    (|a| a.has_word(&["tool"]) && a.has_word(&["bad", "broken", "invalid", "malformed"]), call_badly),
    (
        |a| a.has_word(&["tool"]) && (a.has_word(&["unknown", "missing"]) || a.says(&["not exist", "no such"])),
        call_unknown,
    ),
    (|a| a.tool_named().is_some(), call_named),
    (|a| a.has_word(&["approval", "approvals"]) || a.says(&["ask me first"]), ask_first),
    (|a| asks_time(a) || asks_search(a), call_built_in),
    (|a| a.says(&["did i just ask", "did i just say", "my last question", "my previous question"]), recall_last),
    (|a| a.says(&["my first question", "did i ask first", "did i first ask", "my first message"]), recall_first),
    (
        |a| a.says(&["did i ask", "have i asked", "we talked about", "talk about so far", "our conversation"]),
        recall_all,
    ),
    (|a| a.says(&["what is my name", "what's my name", "who am i"]), recall_name),
    (|a| a.says(&["your instructions", "your system prompt"]), quote_instructions),
    (|a| prompt::given_name(&a.text).is_some(), greet),
    (|a| a.says(&["long answer", "essay"]) || (a.has_word(&["words"]) && a.number().is_some()), speak_long),
    (|a| a.has_word(&["prime"]) || thinks(a), reason),
    (|a| a.has_word(&["source", "sources", "cite", "citation", "link", "links"]), cite),
    (|a| a.says(&["periodic table"]), summarise),
    (|a| a.has_word(&["code", "program", "function", "rust", "python", "javascript"]), write_code),
    (|a| a.has_word(&["markdown", "table"]), |_, s| s.say(texts::MARKDOWN)),
    (|a| a.has_word(&["hello", "hi", "hey"]), greet),
    (
        |a| a.has_word(&["thanks", "thank"]),
        |_, s| s.say("You are welcome. Say `help` to see what else I can show you."),
    ),
    (|a| a.says(&["who are you", "what are you", "about yourself"]), |_, s| s.say(texts::SELF)),
    (|_| true, admit),
];

fn asks_time(prompt: &Prompt) -> bool {
    prompt.says(&["what time", "time is it", "the time now", "tell me the time", "current time"])
}

fn asks_search(prompt: &Prompt) -> bool {
    prompt.says(&["search my history", "search my chats", "search my sessions", "search history"])
}

fn thinks(prompt: &Prompt) -> bool {
    prompt.has_word(&["think", "reason", "reasoning"]) || prompt.says(&["step by step"])
}

fn report_tool_results(prompt: &Prompt, script: &mut Script) {
    for (at, (tool, answer)) in prompt.tool_results().into_iter().enumerate() {
        let opening = if at == 0 { "" } else { "\n\n" };
        match serde_json::from_str::<Value>(answer) {
            Ok(Value::String(text)) => {
                script.say(&format!("{opening}I called `{tool}`, and it says: {}", quote(&text)))
            }
            Ok(value) => {
                let pretty = format!("{value:#}");
                script.say(&format!(
                    "{opening}I called `{tool}`. This is its answer:\n\n```json\n{}\n```",
                    quote(&pretty)
                ));
            }
            Err(_) => script.say(&format!("{opening}I called `{tool}`, and it says: {}", quote(answer))),
        }
    }
}

fn decline_files(prompt: &Prompt, script: &mut Script) {
    let names: Vec<_> = prompt.files().into_iter().map(|name| format!("`{}`", quote(name))).collect();
    let names = names.join(", ");
    script.say(&format!(
        "I have received {names}, and it is stored with your message. Reading it takes a real model, though; I am only the \
         built-in demo."
    ));
}

fn break_off(_: &Prompt, script: &mut Script) {
    script.say(texts::BEFORE_FAULT);
    script.fault(texts::FAULT);
}

fn call_badly(prompt: &Prompt, script: &mut Script) {
    // A tool that exists shows best that it is the arguments that are refused.
    let tool = prompt.request.tools.first().map_or("current_time", |tool| &tool.name);
    script.say(&format!("I call `{tool}`, and break off in the middle of its arguments.\n\n"));
    script.call(prompt.call_id(1), tool, r#"{"zone": "Europe/"#);
}

fn call_unknown(prompt: &Prompt, script: &mut Script) {
    script.say("I call a tool that nobody has given me.\n\n");
    script.call(prompt.call_id(1), "make_coffee", r#"{"cups": 2}"#);
}

fn call_named(prompt: &Prompt, script: &mut Script) {
    let Some(tool) = prompt.tool_named() else { return };
    let input = prompt.object().map_or_else(|| smallest(&tool.parameters).to_string(), str::to_owned);
    script.call(prompt.call_id(1), &tool.name, &input);
}

/// The tool that has to be called, whatever was said.
fn call_due(prompt: &Prompt, script: &mut Script) {
    let Some(tool) = prompt.tool_due() else { return };
    script.call(prompt.call_id(1), &tool.name, &smallest(&tool.parameters).to_string());
}

/// The smallest reply of the shape that was asked for.
fn take_shape(prompt: &Prompt, script: &mut Script) {
    let shape = prompt.shape().map_or_else(|| json!({}), |schema| smallest(&schema));
    script.say(&shape.to_string());
}

/// Somebody's own tool: those ask before they run, unless they only read.
fn ask_first(prompt: &Prompt, script: &mut Script) {
    let Some(tool) = prompt.request.tools.iter().find(|tool| !BUILT_IN.contains(&&*tool.name)) else {
        return script.say(texts::NO_TOOL);
    };
    script.say(&format!("I call `{}`. If it asks first, it waits now for your yes or no.\n\n", tool.name));
    script.call(prompt.call_id(1), &tool.name, &smallest(&tool.parameters).to_string());
}

/// Both tools at once, if both were asked for.
fn call_built_in(prompt: &Prompt, script: &mut Script) {
    let mut calls = Vec::new();
    if asks_time(prompt) {
        calls.push(("current_time", json!({})));
    }
    if asks_search(prompt) {
        let parameter = prompt.first_parameter("search_history").unwrap_or("query");
        let query = prompt.after(&[" for ", " about "]).unwrap_or("periodic table");
        calls.push(("search_history", json!({ parameter: query })));
    }
    let missing: Vec<_> = calls.iter().filter(|(tool, _)| !prompt.has_tool(tool)).map(|(tool, _)| *tool).collect();
    if !missing.is_empty() {
        let tools = missing.join("` and `");
        return script.say(&format!(
            "For that I would call `{tools}`, but this agent may not. Add it to the agent's `allowedTools`, and ask again."
        ));
    }
    for (at, (tool, arguments)) in calls.iter().enumerate() {
        script.call(prompt.call_id(at + 1), tool, &arguments.to_string());
    }
}

fn recall_last(prompt: &Prompt, script: &mut Script) {
    match prompt.earlier().last() {
        Some(text) => script.say(&format!("You asked me: “{}”", quote(text))),
        None => script.say("Nothing yet: this is your first message in this session."),
    }
}

fn recall_first(prompt: &Prompt, script: &mut Script) {
    match prompt.earlier().first() {
        Some(text) => script.say(&format!("Your first message in this session was: “{}”", quote(text))),
        None => script.say("This very one: it is your first message in this session."),
    }
}

fn recall_all(prompt: &Prompt, script: &mut Script) {
    let earlier = prompt.earlier();
    if earlier.is_empty() {
        return script.say("Nothing yet: this is your first message in this session.");
    }
    script.say("In this session you have said, in this order:\n");
    for (at, text) in earlier.iter().enumerate() {
        script.say(&format!("\n{}. {}", at + 1, quote(text)));
    }
}

fn recall_name(prompt: &Prompt, script: &mut Script) {
    match prompt.name_given() {
        Some(name) => script.say(&format!("You are {name}: you told me so earlier in this session.")),
        None => script.say("You have not told me yet. Say “My name is …”, and ask me again."),
    }
}

fn quote_instructions(prompt: &Prompt, script: &mut Script) {
    match prompt.system_prompt() {
        Some(prompt) => script.say(&format!("This agent gives me these instructions:\n\n{}", quote(prompt))),
        None => script.say("I have none: this agent has no system prompt."),
    }
}

fn greet(prompt: &Prompt, script: &mut Script) {
    let name = prompt.name_given().map(|name| format!(", {name}")).unwrap_or_default();
    script.say(&format!("Hello{name}! I am the built-in demo model. Say `help` to see what I can show you."));
}

fn speak_long(prompt: &Prompt, script: &mut Script) {
    let words_min = prompt.number().unwrap_or(LONG_WORDS_DEFAULT).clamp(1, LONG_WORDS_MAX);
    let mut words = 0;
    while words < words_min {
        if words > 0 {
            script.say(&format!("\n\n{}\n\n", texts::AGAIN));
        }
        // Whole sentences, so that the end sounds like one.
        for sentence in texts::LONG.split_inclusive(". ") {
            if words >= words_min {
                break;
            }
            words += sentence.split_whitespace().count();
            script.say(sentence);
        }
    }
}

/// Is a number prime? Something that can truly be thought through.
fn reason(prompt: &Prompt, script: &mut Script) {
    let number = prompt.number().filter(|n| (2..=PRIME_MAX).contains(n)).unwrap_or(221);
    script.think(&format!("Is {number} prime? I try every prime whose square is at most {number}. "));
    for candidate in (2..).take_while(|c| c * c <= number).filter(|c| divisor(*c).is_none()) {
        let (quotient, rest) = (number / candidate, number % candidate);
        if rest == 0 {
            script.think(&format!("{candidate} × {quotient} = {number}, with nothing left over: a divisor."));
            return script.say(&format!("No, {number} is not prime: it is {candidate} × {quotient}."));
        }
        script.think(&format!("{candidate} × {quotient} leaves {rest}. "));
    }
    script.think("None divides it.");
    script.say(&format!("Yes, {number} is prime: no smaller prime divides it."));
}

/// The smallest number above one that divides `number`, if that is not itself.
fn divisor(number: usize) -> Option<usize> {
    (2..).take_while(|c| c * c <= number).find(|c| number.is_multiple_of(*c))
}

fn cite(_: &Prompt, script: &mut Script) {
    script.say(texts::CITED);
    for (url, title) in texts::SOURCES {
        script.cite(url, title);
    }
}

fn summarise(prompt: &Prompt, script: &mut Script) {
    let sentences = prompt.number().unwrap_or(3).clamp(1, texts::PERIODIC_TABLE.len());
    script.say(&texts::PERIODIC_TABLE[..sentences].join(" "));
}

fn write_code(prompt: &Prompt, script: &mut Script) {
    let asked_for = texts::CODE.iter().find(|(language, _)| prompt.has_word(&[language]));
    script.say(asked_for.unwrap_or(&texts::CODE[0]).1);
}

fn admit(prompt: &Prompt, script: &mut Script) {
    if prompt.text.trim().is_empty() {
        return script.say(texts::SELF);
    }
    script.say(&format!("You said: “{}”\n\nI have no answer prepared for that. {}", quote(&prompt.text), texts::SELF));
}

fn quote(text: &str) -> String {
    let text = text.trim();
    match text.char_indices().nth(QUOTE_CHARS_MAX) {
        Some((at, _)) => format!("{} …", &text[..at]),
        None => text.to_owned(),
    }
}
