//! A text that a model goes on with: the legacy route, for editors.
//!
//! Rule: such a text goes there as it is. A chat's template would make another text of it.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    dialect::{Dialect, Field},
    encode,
};
use crate::model::{Legacy, Request};

/// Where a provider is asked, below its base URL, and the body that asks for a streamed reply.
pub fn question(request: &Request, dialect: &Dialect, provider: &str) -> (&'static str, Vec<u8>) {
    match &request.legacy {
        None => ("/chat/completions", encode(request, dialect, provider)),
        Some(text) => ("/completions", body(request, text, dialect)),
    }
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    prompt: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    suffix: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    stop: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f64>,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
    #[serde(flatten)]
    extra: Cow<'a, Map<String, Value>>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

fn body(request: &Request, text: &Legacy, dialect: &Dialect) -> Vec<u8> {
    let (sends, sampling) = (|field| dialect.sends(field, request), &request.sampling);
    let body = Body {
        model: &request.model,
        prompt: &text.prompt,
        suffix: text.suffix.as_deref(),
        temperature: sampling.temperature.filter(|_| sends(Field::Temperature)),
        top_p: sampling.top_p.filter(|_| sends(Field::TopP)),
        max_tokens: sampling.output_tokens_max.filter(|_| sends(Field::OutputCap)),
        stop: if sends(Field::Stop) { &sampling.stop } else { &[] },
        seed: sampling.seed.filter(|_| sends(Field::Seed)),
        presence_penalty: sampling.presence_penalty.filter(|_| sends(Field::PresencePenalty)),
        frequency_penalty: sampling.frequency_penalty.filter(|_| sends(Field::FrequencyPenalty)),
        stream: true,
        stream_options: sends(Field::StreamOptions).then_some(StreamOptions { include_usage: true }),
        extra: dialect.extra(request),
    };
    serde_json::to_vec(&body).expect("the body has string keys only, and a Vec takes every write")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::{Delta, Finish, openai::Decoder, sampling::Sampling};

    #[test]
    fn a_text_goes_to_a_route_of_its_own_as_it_is() {
        let legacy = Legacy { prompt: " a\n".into(), suffix: Some("b".into()) };
        let sampling = Sampling { stop: vec!["x".into()], output_tokens_max: Some(9), ..Sampling::default() };
        let request = Request { model: "m".into(), legacy: Some(legacy), sampling, ..Request::default() };
        let (path, body) = question(&request, &Dialect::default(), "p");
        let expected = json!({
            "model": "m", "prompt": " a\n", "suffix": "b", "max_tokens": 9, "stop": ["x"], "stream": true,
            "stream_options": {"include_usage": true},
        });
        assert_eq!((path, serde_json::from_slice::<Value>(&body).unwrap()), ("/completions", expected));
        let chat = Request { legacy: None, ..request };
        assert_eq!(question(&chat, &Dialect::default(), "p").0, "/chat/completions");
    }

    #[test]
    fn what_it_goes_on_with_is_read_like_any_reply() {
        let (mut decoder, mut deltas) = (Decoder::default(), Vec::new());
        for piece in ["  b", "\n"] {
            let chunk = json!({"choices": [{"index": 0, "text": piece, "finish_reason": null}]});
            decoder.feed(format!("data: {chunk}\n\n").as_bytes(), &mut deltas);
        }
        let last = json!({"choices": [{"index": 0, "text": "", "finish_reason": "length"}]});
        decoder.feed(format!("data: {last}\n\ndata: [DONE]\n\n").as_bytes(), &mut deltas);
        let ending = decoder.finish(&mut deltas);
        let said: String =
            deltas.iter().map(|delta| if let Delta::Text(text) = delta { &**text } else { "?" }).collect();
        assert_eq!((said.as_str(), ending.finish), ("  b\n", Finish::Length));
    }
}
