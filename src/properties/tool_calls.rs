//! The tool-call assembler: whatever fragments come, no call and no byte is lost, and the wire changes nothing.

use serde_json::json;

use super::tape::Tape;
use crate::model::{
    Delta, ToolCall,
    openai::Decoder,
    tool_calls::{CALLS_MAX, Fragment, ToolCalls},
};

/// Fragments of few indexes, ids and names, so that they meet.
type Row = (Option<i64>, &'static str, &'static str, String);

fn row(tape: &mut Tape<'_>) -> Row {
    let index = *tape.pick(&[None, Some(0), Some(1), Some(2), Some(-1)]);
    let id = *tape.pick(&["", "a", "b", " "]);
    let name = *tape.pick(&["", "f", "g", " "]);
    let arguments = match tape.byte() % 4 {
        0 => (*tape.pick(&["", "{", "}", "{}", "\"", "\\", "[", "]", ":1", "x", "{\"x\":", " "])).to_owned(),
        _ => tape.text(),
    };
    (index, id, name, arguments)
}

/// Reads fragments off `bytes`.
pub fn tool_calls(bytes: &[u8]) {
    let mut tape = Tape(bytes);
    let mut rows = Vec::new();
    while !tape.is_over() && rows.len() < CALLS_MAX {
        rows.push(row(&mut tape));
    }
    let (mut assembler, mut out) = (ToolCalls::default(), Vec::new());
    for (index, id, name, arguments) in &rows {
        let fragment = Fragment { index: *index, id: Some(id), name: Some(name), arguments, ..Fragment::default() };
        assembler.push(fragment, &mut out).expect("so few fragments fit");
    }
    let calls = assembler.finish(&mut out);
    assert_told(&calls, &out);
    assert_nothing_lost(&calls, &rows);
    let wired = over_the_wire(&rows);
    let said = |calls: &[ToolCall]| calls.iter().map(|c| (c.name.clone(), c.arguments.clone())).collect::<Vec<_>>();
    assert_eq!(said(&wired), said(&calls), "the wire changes calls");
}

/// What was told on the way is what the calls are in the end.
pub(crate) fn assert_told(calls: &[ToolCall], out: &[Delta]) {
    let starts = out.iter().filter_map(|delta| match delta {
        Delta::ToolStart { id, name } => Some((id, name)),
        _ => None,
    });
    let mut starts: Vec<_> = starts.collect();
    starts.sort();
    let mut ended: Vec<_> = calls.iter().map(|call| (&call.id, &call.name)).collect();
    ended.sort();
    assert_eq!(starts, ended, "every call begins once and is there in the end");
    assert!(ended.windows(2).all(|two| two[0].0 != two[1].0), "ids are unique in a reply");
    for call in calls {
        let pieces = out.iter().filter_map(|delta| match delta {
            Delta::ToolArguments { id, fragment } if *id == call.id => Some(fragment.as_str()),
            _ => None,
        });
        let told: String = pieces.inspect(|piece| assert!(!piece.is_empty(), "no empty piece")).collect();
        assert_eq!(if told.trim().is_empty() { "{}" } else { &told }, call.arguments);
    }
}

/// Arguments that are not blank end up in some call.
fn assert_nothing_lost(calls: &[ToolCall], rows: &[Row]) {
    let count = |texts: &mut dyn Iterator<Item = &str>| texts.map(|text| text.matches('x').count()).sum::<usize>();
    let sent = count(&mut rows.iter().map(|row| &*row.3));
    assert_eq!(count(&mut calls.iter().map(|call| &*call.arguments)), sent, "a byte of arguments is lost");
}

/// The same fragments as a server writes them.
fn over_the_wire(rows: &[Row]) -> Vec<ToolCall> {
    let (mut decoder, mut out) = (Decoder::new(), Vec::new());
    for (index, id, name, arguments) in rows {
        let call = json!({"index": index, "id": id, "function": {"name": name, "arguments": arguments}});
        let chunk = json!({"choices": [{"delta": {"tool_calls": [call]}}]});
        decoder.feed(format!("data: {chunk}\n\n").as_bytes(), &mut out);
    }
    decoder.finish(&mut out).calls
}
