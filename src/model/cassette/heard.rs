//! What a recorded answer says, for whoever looks a cassette through.
//!
//! Rule: it goes through the decoder that a turn's goes through, so what is said here of it is true there.

use super::line::{End, Exchange};
use crate::model::{Delta, Usage, openai::Decoder};

/// An answer, heard to its end.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Heard {
    /// Its words, without its thoughts.
    pub text: String,
    /// The tools it called.
    pub calls: Vec<String>,
    /// What it used, if it says so.
    pub usage: Option<Usage>,
    /// What is wrong with it although it came whole; a refusal, and what was cut off, are as they were.
    pub fault: Option<String>,
}

/// Hears an answer.
pub fn heard(exchange: &Exchange) -> Heard {
    let mut heard = Heard::default();
    if exchange.status.is_some_and(|status| !(200..300).contains(&status)) {
        return heard;
    }
    let (mut decoder, mut deltas) = (Decoder::in_thoughts(exchange.in_thoughts), Vec::new());
    for (_, piece) in &exchange.body {
        decoder.feed(&piece.bytes().unwrap_or_default(), &mut deltas);
    }
    let ending = decoder.finish(&mut deltas);
    for delta in deltas {
        match delta {
            Delta::Text(text) => heard.text.push_str(&text),
            Delta::Fault(fault) if exchange.end == End::Whole => drop(heard.fault.get_or_insert(fault)),
            _ => {}
        }
    }
    heard.calls = ending.calls.into_iter().map(|call| call.name).collect();
    heard.usage = ending.usage;
    heard
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::cassette::Piece;

    fn of(body: &str, end: End, status: u16) -> Heard {
        let body = vec![(0, Piece::of(body.as_bytes()))];
        heard(&Exchange { body, end, status: Some(status), ..Exchange::default() })
    }

    #[test]
    fn an_answer_is_heard_and_what_is_wrong_with_it_is_told_from_what_was_recorded_so() {
        let whole =
            "data: {\"choices\":[{\"delta\":{\"content\":\"Hi you\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
        assert_eq!(of(whole, End::Whole, 200), Heard { text: "Hi you".into(), ..Heard::default() });
        let half = &whole[..whole.find(",\"finish").unwrap()];
        assert!(of(half, End::Whole, 200).fault.is_some());
        assert_eq!(of(half, End::Cut, 200).fault, None);
        assert_eq!(of("busy", End::Whole, 429), Heard::default());
    }
}
