//! Tool calls in pieces, put together.

use proptest::prelude::*;

use super::*;
use crate::properties::assert_told;

/// `(index, id, name, arguments)`, where `""` is none.
type Row = (Option<i64>, &'static str, &'static str, &'static str);

/// The calls that come of fragments, as `(name, arguments)`, after checking that the deltas tell the same.
fn calls_of(rows: &[Row]) -> Vec<(String, String)> {
    let (mut calls, mut out) = (ToolCalls::default(), Vec::new());
    for &(index, id, name, arguments) in rows {
        let fragment = Fragment { index, id: Some(id), name: Some(name), arguments, ..Fragment::default() };
        calls.push(fragment, &mut out).unwrap();
    }
    let ended = calls.finish(&mut out);
    assert_told(&ended, &out);
    ended.into_iter().map(|call| (call.name, call.arguments)).collect()
}

fn assert_calls(rows: &[Row], expected: &[(&str, &str)]) {
    let expected: Vec<_> = expected.iter().map(|(name, args)| (name.to_string(), args.to_string())).collect();
    assert_eq!(calls_of(rows), expected);
}

#[test]
fn a_call_in_fragments_is_one_call() {
    assert_calls(
        &[(Some(0), "a", "f", ""), (Some(0), "", "", "{\"x\""), (Some(0), "", "", ":1}")],
        &[("f", "{\"x\":1}")],
    );
}

#[test]
fn interleaved_calls_are_kept_apart_by_index() {
    assert_calls(
        &[
            (Some(3), "a", "f", ""),
            (Some(7), "b", "f", ""),
            (Some(7), "", "", "[1"),
            (Some(3), "", "", "[2"),
            (Some(7), "", "", "]"),
            (Some(3), "", "", "]"),
        ],
        &[("f", "[2]"), ("f", "[1]")],
    );
}

#[test]
fn interleaved_calls_without_index_are_kept_apart_by_id() {
    assert_calls(
        &[(None, "a", "f", "["), (None, "b", "f", "{"), (None, "a", "", "]"), (None, "b", "", "}")],
        &[("f", "[]"), ("f", "{}")],
    );
}

#[test]
fn fragments_that_say_nothing_continue_the_newest_unfinished_call() {
    assert_calls(
        &[(None, "", "f", "{}"), (None, "", "g", ""), (None, "", "", "{\"x\""), (None, "", "", ":1}")],
        &[("f", "{}"), ("g", "{\"x\":1}")],
    );
}

#[test]
fn an_index_used_again_begins_a_call_by_any_two_signs() {
    for second in [(Some(0), "b", "f", "{}"), (Some(0), "b", "f", ""), (Some(0), "", "f", "{}")] {
        assert_calls(&[(Some(0), "a", "f", "{\"x\":1}"), second], &[("f", "{\"x\":1}"), ("f", "{}")]);
    }
}

#[test]
fn one_sign_alone_continues_the_call() {
    let x = [("f", "{\"x\":1}")];
    // A new id with every fragment, the name with every fragment, both, and a brace inside the arguments.
    assert_calls(&[(Some(0), "a", "f", ""), (Some(0), "b", "", "{\"x\""), (Some(0), "c", "", ":1}")], &x);
    assert_calls(&[(Some(0), "a", "f", ""), (Some(0), "a", "f", "{\"x\""), (Some(0), "a", "f", ":1}")], &x);
    assert_calls(&[(Some(0), "a", "f", "{\"x\""), (Some(0), "b", "f", ":1}"), (Some(0), "b", "f", "")], &x);
    assert_calls(&[(Some(0), "a", "f", "{\"x\":"), (Some(0), "a", "f", "{}}")], &[("f", "{\"x\":{}}")]);
}

#[test]
fn another_name_on_a_used_index_is_another_call() {
    assert_calls(
        &[(Some(0), "", "f", ""), (Some(0), "", "g", ""), (Some(0), "", "", "[1]")],
        &[("f", "{}"), ("g", "[1]")],
    );
}

#[test]
fn arguments_wait_for_the_name_and_a_call_without_one_is_not_lost() {
    assert_calls(&[(Some(0), "a", " ", "{\"x\""), (Some(0), "b", "f", ":1}")], &[("f", "{\"x\":1}")]);
    assert_calls(&[(Some(0), "a", "", "{}"), (Some(1), "b", "", " ")], &[(UNNAMED, "{}")]);
    assert_calls(&[(None, "", "", "{}")], &[(UNNAMED, "{}")]);
}

#[test]
fn a_quote_or_brace_in_a_string_closes_nothing() {
    let whole = r#"{"x":"}\"]"}"#;
    for at in 0..=whole.len() {
        let mut balance = Balance::default();
        balance.read(&whole.as_bytes()[..at]);
        assert_eq!(balance.is_closed(), at == whole.len(), "{}", &whole[..at]);
    }
    let mut balance = Balance::default();
    balance.read(br"{\}");
    assert!(balance.is_closed(), "a backslash outside a string escapes nothing");
}

#[test]
fn too_many_calls_and_too_long_arguments_are_refused_and_what_fitted_stays() {
    let (mut calls, mut out) = (ToolCalls::default(), Vec::new());
    let call = Fragment { name: Some("f"), arguments: "{}", ..Fragment::default() };
    let refused = (0..CALLS_MAX + 9).filter(|_| calls.push(call, &mut out).is_err()).count();
    assert_eq!((refused, calls.finish(&mut out).len()), (9, CALLS_MAX));

    let (mut calls, half) = (ToolCalls::default(), "x".repeat(ARGUMENT_BYTES_MAX / 2));
    let long = Fragment { index: Some(0), name: Some("f"), arguments: &half, ..Fragment::default() };
    assert_eq!(calls.push(Fragment { arguments: &half[1..], ..long }, &mut out), Ok(()));
    assert_eq!(calls.push(long, &mut out), Ok(()));
    assert_eq!(calls.push(long, &mut out), Err(TooMuch));
}

/// How a server tells calls apart.
#[derive(Debug, Clone, Copy)]
enum Style {
    Indexed { ids: bool, interleaved: bool },
    SameIndex,
    NoIndex { ids: bool },
}

/// The fragments in which a server of this style sends these calls, arguments cut into `size` bytes.
fn sent(style: Style, calls: &[(String, String)], size: usize) -> Vec<(Option<i64>, String, String, String)> {
    let mut rows = Vec::new();
    for (at, (name, arguments)) in calls.iter().enumerate() {
        let (index, id) = match style {
            Style::Indexed { ids, .. } => (Some(at as i64), if ids { format!("id{at}") } else { String::new() }),
            Style::SameIndex => (Some(0), format!("id{at}")),
            Style::NoIndex { ids } => (None, if ids { format!("id{at}") } else { String::new() }),
        };
        rows.push((0, (index, id.clone(), name.clone(), String::new())));
        for (turn, piece) in arguments.as_bytes().chunks(size).enumerate() {
            let id = if matches!(style, Style::NoIndex { .. }) { id.clone() } else { String::new() };
            rows.push((turn + 1, (index, id, String::new(), String::from_utf8(piece.to_vec()).unwrap())));
        }
    }
    if let Style::Indexed { interleaved: true, .. } = style {
        rows.sort_by_key(|(turn, _)| *turn);
    }
    rows.into_iter().map(|(_, row)| row).collect()
}

fn style() -> impl Strategy<Value = Style> {
    prop_oneof![
        (any::<bool>(), any::<bool>()).prop_map(|(ids, interleaved)| Style::Indexed { ids, interleaved }),
        Just(Style::SameIndex),
        any::<bool>().prop_map(|ids| Style::NoIndex { ids }),
    ]
}

proptest! {
    #[test]
    fn no_call_is_lost_in_any_style(
        style in style(),
        calls in prop::collection::vec(("[fg]", r#"\{"[a-c]":(1|"\}"|\[\{\}\])\}"#), 0..6),
        size in 1usize..12,
    ) {
        let rows = sent(style, &calls, size);
        let (mut assembler, mut out) = (ToolCalls::default(), Vec::new());
        for (index, id, name, arguments) in &rows {
            let fragment = Fragment { index: *index, id: Some(id), name: Some(name), arguments, ..Fragment::default() };
            assembler.push(fragment, &mut out).unwrap();
        }
        let ended = assembler.finish(&mut out).into_iter().map(|call| (call.name, call.arguments));
        prop_assert_eq!(ended.collect::<Vec<_>>(), calls);
    }
}

#[test]
fn calls_and_their_bytes_may_be_as_many_as_the_bounds_and_not_one_more() {
    for (count, last) in [(CALLS_MAX - 1, Ok(())), (CALLS_MAX, Ok(())), (CALLS_MAX + 1, Err(TooMuch))] {
        let (mut calls, mut out) = (ToolCalls::default(), Vec::new());
        let call = |n: usize| Fragment { index: Some(n as i64), name: Some("f"), ..Fragment::default() };
        let pushed = (0..count).map(|n| calls.push(call(n), &mut out)).last().unwrap();
        assert_eq!((pushed, calls.finish(&mut out).len()), (last, count.min(CALLS_MAX)), "{count} calls");
    }
    // A name, an id and arguments count, each of them once.
    let of = |arguments: usize| {
        let (mut calls, mut out, text) = (ToolCalls::default(), Vec::new(), "x".repeat(arguments));
        let begin = Fragment { index: Some(0), id: Some("id"), name: Some("f"), ..Fragment::default() };
        calls.push(begin, &mut out).unwrap();
        calls.push(Fragment { arguments: &text[..arguments / 2], ..begin }, &mut out).unwrap();
        calls.push(Fragment { arguments: &text[arguments / 2..], name: None, ..begin }, &mut out)
    };
    let names = "idf".len();
    for (bytes, last) in
        [(ARGUMENT_BYTES_MAX - 1, Ok(())), (ARGUMENT_BYTES_MAX, Ok(())), (ARGUMENT_BYTES_MAX + 1, Err(TooMuch))]
    {
        assert_eq!(of(bytes - names), last, "{bytes} bytes");
    }
}

#[test]
fn a_name_and_an_id_may_have_as_many_characters_as_the_bounds_and_not_one_more() {
    let call = |name: &str, id: &str| {
        let (mut calls, mut out) = (ToolCalls::default(), Vec::new());
        let fragment =
            Fragment { name: Some(name), id: Some(id), index: Some(0), arguments: "{", ..Fragment::default() };
        calls.push(fragment, &mut out).unwrap();
        // What follows finds its call by an id of any length.
        calls.push(Fragment { id: Some(id), arguments: "}", ..Fragment::default() }, &mut out).unwrap();
        let mut calls = calls.finish(&mut out);
        assert_told(&calls, &out);
        assert_eq!((calls.len(), &*calls[0].arguments), (1, "{}"));
        calls.remove(0)
    };
    for (chars, kept) in [
        (CALL_NAME_CHARS_MAX - 1, CALL_NAME_CHARS_MAX - 1),
        (CALL_NAME_CHARS_MAX, CALL_NAME_CHARS_MAX),
        (CALL_NAME_CHARS_MAX + 1, CALL_NAME_CHARS_MAX),
        (900_000, CALL_NAME_CHARS_MAX),
    ] {
        assert_eq!(call(&"x".repeat(chars), "a").name, "x".repeat(kept), "{chars}");
    }
    for (chars, is_kept) in
        [(CALL_ID_CHARS_MAX - 1, true), (CALL_ID_CHARS_MAX, true), (CALL_ID_CHARS_MAX + 1, false), (500_000, false)]
    {
        let id = "ä".repeat(chars);
        let given = call("f", &id).id;
        assert_eq!((given == id, given.len() <= 2 * CALL_ID_CHARS_MAX), (is_kept, true), "{chars}");
    }
}

#[test]
fn what_stands_beside_a_call_is_kept_up_to_the_bound() {
    let beside = |bytes: usize| {
        let json = format!("\"{}\"", "x".repeat(bytes - "s\"\"".len()));
        let signature: &RawValue = serde_json::from_str(&json).unwrap();
        let null: &RawValue = serde_json::from_str("null").unwrap();
        let (of_call, of_function) = ([("s".into(), signature), ("type".into(), signature)], [("n".into(), null)]);
        let (mut calls, mut out) = (ToolCalls::default(), Vec::new());
        let begin = Fragment { name: Some("f"), id: Some("a"), ..Fragment::default() };
        calls.push(Fragment { beside: [&of_call, &of_function], ..begin }, &mut out).unwrap();
        calls.push(Fragment { id: Some("a"), arguments: "{}", ..Fragment::default() }, &mut out).unwrap();
        calls.finish(&mut out).remove(0).beside
    };
    for (bytes, is_kept) in
        [(BESIDE_BYTES_MAX - 1, true), (BESIDE_BYTES_MAX, true), (BESIDE_BYTES_MAX + 1, false), (100_000, false)]
    {
        let kept = beside(bytes);
        assert_eq!(kept.is_some(), is_kept, "{bytes}");
        if let Some(kept) = kept {
            let names = [&kept.call, &kept.function].map(|fields| fields.keys().cloned().collect::<String>());
            assert_eq!(names, ["s", ""], "neither its type nor what is null");
        }
    }
}
