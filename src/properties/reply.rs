//! A provider's body: however its bytes are split it is the same reply, bounded by what came in, and a client can take
//! the chunks it becomes.

use serde_json::Value;

use super::{cut::cut, fold::assert_sound, order::Order, tool_calls::assert_told};
use crate::{
    model::{Delta, Ending, openai::Decoder, sse::Parser},
    store::turns::Outcome,
    tools::{Tool, Toolbox, builtin::Builtin},
    turn::{calls, chunk::Chunk, fold::Fold, step::Step},
};

/// A cap that short inputs reach too.
const EVENT_BYTES_MAX: usize = 64;
/// A byte that is no text becomes a replacement character of three.
const TEXT_GROWTH: usize = 3;
/// Bytes of our own in a delta: a made-up id, a name, a sentence for a fault.
const DELTA_BYTES_MAX: usize = 256;

/// Server-sent events: the split does not matter, and the parser keeps no more than its caps.
pub fn events(bytes: &[u8]) {
    let (pieces, body) = cut(bytes);
    assert_eq!(read_events(pieces), read_events([body]));
}

fn read_events<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<(String, Vec<u8>)>, bool) {
    let (mut parser, mut events) = (Parser::new(EVENT_BYTES_MAX), Vec::new());
    let mut keep = |event: crate::model::sse::Event<'_>| events.push((event.name.to_owned(), event.data.to_vec()));
    let fed = pieces.into_iter().try_for_each(|piece| {
        let fed = parser.feed(piece, &mut keep);
        assert!(parser.kept_bytes() <= (2 + TEXT_GROWTH) * EVENT_BYTES_MAX, "{} bytes are kept", parser.kept_bytes());
        fed
    });
    let is_read = fed.and_then(|()| parser.finish(&mut keep)).is_ok();
    assert!(events.iter().all(|(_, data)| data.len() <= EVENT_BYTES_MAX), "an event outgrew its cap");
    (events, is_read)
}

/// A whole reply: deltas, and the chunks and parts that they become.
pub fn reply(bytes: &[u8]) {
    let (pieces, body) = cut(bytes);
    let (deltas, ending) = read([body]);
    assert_eq!(read(pieces), (deltas.clone(), ending.clone()), "the split of the bytes matters");
    assert_told(&ending.calls, &deltas);
    let said: usize = deltas.iter().map(size).sum();
    assert!(said <= TEXT_GROWTH * body.len() + deltas.len() * DELTA_BYTES_MAX, "{said} bytes out of {}", body.len());
    // Twice, as in a turn of two steps: the second one meets the ids of the first.
    let (mut step, mut chunks) = (Step::default(), Vec::new());
    for _ in 0..2 {
        write_step(&mut step, &deltas, &ending, &mut chunks);
    }
    let mut order = Order::default();
    chunks.iter().for_each(|chunk| order.take(chunk));
    order.end();
    assert_folds(&chunks, bytes.first().copied().unwrap_or(0));
}

/// A whole reply, with neighbouring deltas joined and the ids of calls numbered: some are made up.
pub(crate) fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Delta>, Ending) {
    let (mut decoder, mut deltas) = (Decoder::new(), Vec::new());
    pieces.into_iter().for_each(|piece| decoder.feed(piece, &mut deltas));
    let mut ending = decoder.finish(&mut deltas);
    let ids: Vec<String> = ending.calls.iter().map(|call| call.id.clone()).collect();
    let number = |id: &mut String| *id = ids.iter().position(|known| known == id).unwrap().to_string();
    ending.calls.iter_mut().for_each(|call| number(&mut call.id));
    for delta in &mut deltas {
        if let Delta::ToolStart { id, .. } | Delta::ToolArguments { id, .. } = delta {
            number(id);
        }
    }
    (joined(deltas), ending)
}

fn joined(deltas: Vec<Delta>) -> Vec<Delta> {
    let mut out: Vec<Delta> = Vec::new();
    for delta in deltas {
        match (out.last_mut(), delta) {
            (Some(Delta::Text(last)), Delta::Text(more)) => last.push_str(&more),
            (Some(Delta::Reasoning(last)), Delta::Reasoning(more)) => last.push_str(&more),
            (_, delta) => out.push(delta),
        }
    }
    out
}

fn size(delta: &Delta) -> usize {
    match delta {
        Delta::Text(text) | Delta::Reasoning(text) | Delta::Fault(text) => text.len(),
        Delta::ToolStart { id, name } => id.len() + name.len(),
        Delta::ToolArguments { id, fragment } => id.len() + fragment.len(),
        Delta::Source { url, title } => url.len() + title.as_ref().map_or(0, String::len),
    }
}

/// What a turn writes of one model call.
fn write_step(step: &mut Step, deltas: &[Delta], ending: &Ending, chunks: &mut Vec<Chunk>) {
    chunks.push(Chunk::StartStep);
    step.begin();
    deltas.iter().for_each(|delta| step.delta(delta.clone(), chunks));
    step.end(chunks);
    let mut outputs = Vec::new();
    let tools = Toolbox { tools: Builtin::ALL.map(Tool::from).into(), ..Toolbox::default() };
    for call in &ending.calls {
        let mut call = call.clone();
        call.id = step.call_id(&call.id);
        let checked = calls::check(&call, &tools, ending.finish);
        chunks.push(calls::input_chunk(&call, &checked, false));
        let tool_call_id = call.id;
        outputs.push(match checked {
            Ok(_) => Chunk::ToolOutputAvailable { tool_call_id, output: Value::Null, dynamic: false },
            Err((_, error_text)) => Chunk::ToolOutputError { tool_call_id, error_text, dynamic: false },
        });
    }
    chunks.extend(outputs);
    chunks.push(Chunk::FinishStep);
}

/// The whole needs no closing; what a stop at chunk `at` leaves does.
fn assert_folds(chunks: &[Chunk], at: u8) {
    let mut whole = Fold::new();
    chunks.iter().for_each(|chunk| whole.apply(chunk));
    assert_sound(&whole.into_parts());
    let mut stopped = Fold::new();
    chunks.iter().take(usize::from(at)).for_each(|chunk| stopped.apply(chunk));
    stopped.close(Outcome::Stopped);
    assert_sound(&stopped.into_parts());
}
