//! A model's calls: checked before any of them runs, then run (`round.rs`).
//!
//! Rule: what a model wrote is foreign text. A call runs only if its arguments are JSON, its tool exists and takes them,
//! and the reply that holds it came to its own end.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::{
    beside,
    chunk::{Chunk, clean_json},
};
use crate::{
    model::{Finish, ToolCall, openai::sound_json},
    store::tool_calls::Origin,
    tools::{Tool, Toolbox, schema::is_within},
};

pub mod clients; // whose a call is
mod one; // one call, run
pub(super) mod round; // the calls of one step, written down and run
pub(super) mod shown; // how a call that ended is shown and kept
pub(super) mod so_far; // what a turn's calls have come to

/// Bytes of a call's input.
pub const TOOL_INPUT_BYTES_MAX: usize = 256 * 1024;

/// Where the provider metadata of a client's call have its arguments as the model wrote them: `{"alm": {"arguments": "…"}}`.
pub const AS_WRITTEN: &str = "alm";

/// How deep arguments may nest: a message holds them a few levels deeper, and JSON of more than 128 is not read back.
const DEPTH_MAX: usize = 64;

/// A call that can run, with its input; or its input as it came, and what is wrong with it.
pub type Checked<'a> = Result<(Value, &'a Tool), (Value, String)>;

/// Checks a call before anything of it runs.
pub fn check<'a>(call: &ToolCall, tools: &'a Toolbox, finish: Finish) -> Checked<'a> {
    let Some(input) = read(&call.arguments).map(clean_json) else {
        return Err((Value::String(call.arguments.clone()), format!("The arguments of {} are not JSON.", call.name)));
    };
    if !is_within(DEPTH_MAX, &input) {
        let sentence = format!("The arguments of {} are nested more than {DEPTH_MAX} deep.", call.name);
        return Err((Value::String(call.arguments.clone()), sentence));
    }
    if !finish.allows_calls() {
        return Err((input, "The reply was cut off before this call was complete, so it was not run.".into()));
    }
    if call.arguments.len() > TOOL_INPUT_BYTES_MAX {
        let most = TOOL_INPUT_BYTES_MAX / 1024;
        return Err((Value::Null, format!("The arguments of {} are longer than {most} KiB.", call.name)));
    }
    let Some(tool) = tools.find(&call.name) else {
        return Err((input, format!("There is no tool called {}.", call.name)));
    };
    match tool.refuse(&input) {
        // Whoever runs it checks it.
        _ if tool.origin == Origin::Client => Ok((input, tool)),
        None => Ok((input, tool)),
        Some(sentence) => Err((input, sentence)),
    }
}

/// Arguments as JSON. Models leave line ends unescaped in it, and some servers halve a character.
fn read(arguments: &str) -> Option<Value> {
    serde_json::from_str(arguments).or_else(|_| serde_json::from_str(&sound_json(arguments))).ok()
}

/// The chunk for the arguments of a call that whoever asks runs, and judges.
pub fn theirs_chunk(call: &ToolCall) -> Chunk {
    let read = read(&call.arguments).map(clean_json).filter(|input| is_within(DEPTH_MAX, input));
    Chunk::ToolInputAvailable {
        tool_call_id: call.id.clone(),
        tool_name: call.name.clone(),
        input: read.unwrap_or_else(|| Value::String(call.arguments.clone())),
        provider_metadata: call.beside.as_deref().map(beside::to_metadata),
        dynamic: false,
    }
}

/// The chunk for a call's arguments.
pub fn input_chunk(call: &ToolCall, checked: &Checked<'_>, dynamic: bool) -> Chunk {
    let (tool_call_id, tool_name) = (call.id.clone(), call.name.clone());
    let provider_metadata = call.beside.as_deref().map(beside::to_metadata);
    match checked {
        Ok((input, _)) => {
            Chunk::ToolInputAvailable { tool_call_id, tool_name, input: input.clone(), provider_metadata, dynamic }
        }
        Err((input, error_text)) => Chunk::ToolInputError {
            tool_call_id,
            tool_name,
            input: input.clone(),
            error_text: error_text.clone(),
            provider_metadata,
            dynamic,
        },
    }
}

/// Notes beside a client's call how its model wrote its arguments: another API passes them on so.
pub fn keep_written(input: &mut Chunk, arguments: &str) {
    if let Chunk::ToolInputAvailable { provider_metadata, .. } | Chunk::ToolInputError { provider_metadata, .. } = input
    {
        provider_metadata.get_or_insert_with(|| json!({}))[AS_WRITTEN] = json!({ "arguments": arguments });
    }
}

/// A client's call's arguments as its model wrote them, as far as that was noted.
pub fn as_written<'a>(metadata: Option<&'a Value>, input: &'a Value) -> Cow<'a, str> {
    let written = metadata.and_then(|metadata| metadata[AS_WRITTEN]["arguments"].as_str());
    written.or(input.as_str()).map_or_else(|| input.to_string().into(), Cow::from)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, mpsc};

    use futures_util::StreamExt;

    use super::*;
    use crate::{
        catalog::Catalog,
        model::upstream::Upstreams,
        outbound,
        seal::{self, Sealer},
        store::{
            Store,
            messages::{Role, Status},
        },
        tools::Tools,
        turn::{
            ask::{Ask, Asker, Posted, SessionRef},
            engine::{Engine, RESPONSE_KEEP},
            parts,
            reader::Reader,
        },
    };

    #[test]
    fn arguments_that_are_almost_json_are_read() {
        for (arguments, expected) in [
            ("{\"q\":\"a\nb\"}", Some("a\nb")),
            (r#"{"q":"\ud83d"}"#, Some("\u{fffd}")),
            (r#"{"q":"\ud83d\ude00"}"#, Some("😀")),
            (r#"{"q":"it\'s"}"#, Some("it's")),
            (r#"{"q":"a"#, None),
            ("q: a", None),
        ] {
            assert_eq!(read(arguments).map(|read| read["q"].clone()), expected.map(Value::from), "{arguments}");
        }
    }

    #[test]
    fn arguments_are_taken_up_to_their_bytes() {
        for bytes in [TOOL_INPUT_BYTES_MAX - 1, TOOL_INPUT_BYTES_MAX, TOOL_INPUT_BYTES_MAX + 1] {
            let arguments = format!(r#"{{"a":"{}"}}"#, "x".repeat(bytes - 8));
            let call = ToolCall { id: "c".into(), name: "none".into(), arguments, beside: None };
            let (_, sentence) =
                check(&call, &Toolbox::default(), Finish::ToolCalls).expect_err("there is no such tool");
            assert_eq!(sentence.contains("longer than"), bytes > TOOL_INPUT_BYTES_MAX, "{bytes}");
        }
    }

    #[test]
    fn arguments_nested_too_deep_to_be_read_back_are_kept_as_text() {
        for (depth, is_text) in [(DEPTH_MAX, false), (DEPTH_MAX + 1, true), (127, true)] {
            let arguments = "[".repeat(depth) + &"]".repeat(depth);
            let call = ToolCall { id: "c".into(), name: "none".into(), arguments, beside: None };
            let (input, sentence) =
                check(&call, &Toolbox::default(), Finish::ToolCalls).expect_err("there is no such tool");
            assert_eq!((input.is_string(), sentence.contains("nested")), (is_text, is_text), "{depth}");
        }
    }

    /// Adds to `read` what comes, until it holds `end`.
    async fn read_up_to(reader: &mut Reader, read: &mut String, end: &str) {
        while !read.contains(end) {
            let piece = reader.next().await.unwrap_or_else(|| panic!("no {end} in {read}")).unwrap();
            read.push_str(str::from_utf8(&piece).unwrap());
        }
    }

    #[test]
    fn a_stop_does_not_wait_for_a_tool_and_closes_its_call() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), 2).unwrap();
        let tenant = store.create_org("acme", "a@example.com", None).unwrap().tenant();
        let sealer = Sealer::open(&folder.path().join(seal::FILE_NAME)).unwrap();
        let builder = &mut tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).max_blocking_threads(1).enable_all().build().unwrap();
        // The one thread that a search could run on is taken until the test is over.
        let (release, taken) = mpsc::channel::<()>();
        runtime.spawn_blocking(move || taken.recv());
        runtime.block_on(async {
            let upstreams = Upstreams::new(&outbound::Options::default()).unwrap();
            let clients = Arc::new(outbound::ToolClients::new(&outbound::Options::default()).unwrap());
            let tools = Tools::new(store.clone(), sealer.clone(), clients);
            let catalog = Arc::new(Catalog::new(store.clone(), sealer, Vec::new(), upstreams));
            let engine = Engine::new(store.clone(), catalog, tools, RESPONSE_KEEP);
            let question = Posted {
                id: None,
                role: Role::User,
                parts: parts::of_text(r#"Call search_history with {"query": "tea"}"#),
            };
            let ask = Ask {
                session: SessionRef::Client("c".into()),
                messages: vec![question],
                ..Ask::new(Asker::new(tenant.clone(), "r"))
            };
            let started = engine.begin(ask).await.unwrap();
            let (mut reader, mut read) = (started.turn.reader(), String::new());
            read_up_to(&mut reader, &mut read, "tool-input-available").await;
            let stopped = engine.stop(&tenant, "c").await;
            read_up_to(&mut reader, &mut read, "data: [DONE]").await;
            assert!(read.ends_with("data: {\"type\":\"abort\"}\n\ndata: [DONE]\n\n"), "{read}");
            let org = store.org(&tenant);
            let (history, _) = org.history(org.session("c").unwrap().seq, usize::MAX).unwrap();
            assert_eq!((Some(&history[1].id), history[1].status), (stopped.as_ref(), Status::Stopped));
            assert!(history[1].parts.contains("\"output-error\"") && !history[1].parts.contains("\"input-available\""));
        });
        drop(release);
    }
}
