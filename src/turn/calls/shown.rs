//! How a call that ended is shown, kept, and told to the model.

use serde_json::{Value, json};

use crate::{
    store::tool_calls::{CallStatus, EndedCall, Origin},
    tools::{
        Tool,
        call::{Ended, File},
    },
    turn::{
        answers::MAY_HAVE_HAPPENED,
        chunk::{Chunk, clean_json},
        history,
    },
};

/// Bytes of an output that are stored.
pub const TOOL_OUTPUT_BYTES_MAX: usize = 256 * 1024;
/// Characters of a sentence that says why a call failed.
pub const TOOL_ERROR_CHARS_MAX: usize = 2_000;

/// A call that is about to run.
pub struct Ready<'a> {
    pub id: String,
    pub call_id: String,
    pub tool: &'a Tool,
    pub input: Value,
}

/// How a call is shown and kept.
pub struct Shown {
    pub chunks: Vec<Chunk>,
    /// What the model reads.
    pub output: String,
    pub ended: EndedCall,
}

/// Whether clients do not know a tool: its calls are parts of a type of their own.
pub fn is_dynamic(tool: &Tool) -> bool {
    is_foreign(tool.origin)
}

/// Whether clients do not know the tools from there.
pub fn is_foreign(origin: Origin) -> bool {
    matches!(origin, Origin::Http | Origin::Mcp | Origin::Host)
}

/// How it is.
pub fn show(ready: &Ready<'_>, ended: Ended) -> Shown {
    let (tool_call_id, dynamic) = (ready.call_id.clone(), is_dynamic(ready.tool));
    let failed = |status, sentence: String| {
        let error_text = sentence.clone();
        Shown {
            chunks: vec![Chunk::ToolOutputError { tool_call_id: tool_call_id.clone(), error_text, dynamic }],
            ended: EndedCall::made(ready.id.clone(), status, sentence.clone()),
            output: sentence,
        }
    };
    match ended {
        Ended::Done { output, files } => {
            let text_of =
                if ready.tool.origin == Origin::Mcp { history::text_of_answer } else { history::text_of_output };
            let output = kept(clean_json(output), text_of);
            let bytes = output.to_string().len();
            let mut chunks = vec![Chunk::ToolOutputAvailable {
                tool_call_id: tool_call_id.clone(),
                output: output.clone(),
                dynamic,
            }];
            chunks.extend(files.into_iter().map(|File { media_type, url }| Chunk::File { url, media_type }));
            let output = text_of(&output);
            let (id, status) = (ready.id.clone(), CallStatus::Done);
            Shown { chunks, output, ended: EndedCall { id, status, was_made: true, output_bytes: bytes, reason: None } }
        }
        Ended::Failed(sentence) => failed(CallStatus::Failed, shortened(&sentence)),
        Ended::Unknown(why) => {
            let (status, sentence) = unknown(&why, ready.tool.is_read_only);
            failed(status, sentence)
        }
    }
}

/// How a call ended of which nobody knows whether it took effect; one that only reads has none.
pub fn unknown(why: &str, is_read_only: bool) -> (CallStatus, String) {
    let why = shortened(why.trim_end_matches('.'));
    match is_read_only {
        true => (CallStatus::Failed, format!("{why}.")),
        false => (CallStatus::Unknown, format!("{why}. {MAY_HAVE_HAPPENED}")),
    }
}

/// An output as it is stored: as text without its middle if it is too long.
fn kept(output: Value, text_of: fn(&Value) -> String) -> Value {
    if history::text_of_output(&output).len() <= TOOL_OUTPUT_BYTES_MAX {
        return output;
    }
    match text_of(&output) {
        text if text.len() <= TOOL_OUTPUT_BYTES_MAX => json!(text),
        text => json!(history::shortened(&text, TOOL_OUTPUT_BYTES_MAX)),
    }
}

fn shortened(sentence: &str) -> String {
    match sentence.char_indices().nth(TOOL_ERROR_CHARS_MAX) {
        Some((at, _)) => format!("{}…", &sentence[..at]),
        None => sentence.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::builtin::Builtin;

    #[test]
    fn an_output_is_stored_up_to_its_bound_and_says_what_is_gone() {
        for bytes in [TOOL_OUTPUT_BYTES_MAX - 1, TOOL_OUTPUT_BYTES_MAX, TOOL_OUTPUT_BYTES_MAX + 1] {
            let output = json!("x".repeat(bytes));
            let kept = kept(output.clone(), history::text_of_output);
            assert_eq!(kept == output, bytes <= TOOL_OUTPUT_BYTES_MAX, "{bytes}");
            assert_eq!(kept.as_str().unwrap().contains("bytes left out"), bytes > TOOL_OUTPUT_BYTES_MAX);
        }
    }

    #[test]
    fn an_answer_of_a_server_is_stored_as_its_text_where_it_is_too_long_as_it_is() {
        let text_of = history::text_of_answer;
        let answer = |mirror: usize| {
            let content = json!([{ "type": "text", "text": "20 degrees" }]);
            json!({ "content": content, "structuredContent": "x".repeat(mirror) })
        };
        assert_eq!(kept(answer(1), text_of), answer(1));
        assert_eq!(kept(answer(TOOL_OUTPUT_BYTES_MAX), text_of), json!("20 degrees"));
    }

    #[test]
    fn a_sentence_has_so_many_characters() {
        for chars in [TOOL_ERROR_CHARS_MAX - 1, TOOL_ERROR_CHARS_MAX, TOOL_ERROR_CHARS_MAX + 1] {
            let is_cut = shortened(&"ü".repeat(chars)).ends_with('…');
            assert_eq!(is_cut, chars > TOOL_ERROR_CHARS_MAX);
        }
    }

    #[test]
    fn what_may_have_happened_says_so_and_what_only_reads_does_not() {
        let tool = Tool::from(Builtin::CurrentTime);
        let ready = |tool| Ready { id: "i".into(), call_id: "c".into(), tool, input: Value::Null };
        let shown = show(&ready(&tool), Ended::Unknown("The connection broke".into()));
        assert_eq!((shown.ended.status, &*shown.output), (CallStatus::Failed, "The connection broke."));
        let writes = Tool { is_read_only: false, ..tool.clone() };
        let shown = show(&ready(&writes), Ended::Unknown("The connection broke.".into()));
        assert_eq!(shown.ended.status, CallStatus::Unknown);
        assert_eq!(shown.output, format!("The connection broke. {MAY_HAVE_HAPPENED}"));
    }
}
