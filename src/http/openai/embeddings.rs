//! `POST /v1/embeddings`: vectors for texts.
//!
//! Rule: a provider's own models make them, and no agent. Base64 is made here: an upstream that does not know it would send what a
//! client takes for vectors of a quarter of their length.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use poem::{Response, http::StatusCode};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    answer::whole,
    begin,
    call::Call,
    error::{Fault, INVALID_REQUEST},
    fields::Fields,
    ignored::Ignored,
    models,
};
use crate::{
    http::{auth::Chat, wire::data::json_of},
    key::Env,
    turn::{
        ask::By,
        engine::embed::{Embed, Embedded},
        history,
    },
};

/// Texts of one request.
const INPUTS_MAX: usize = 2_048;
/// Tokens of all of them, as they are estimated.
const INPUT_TOKENS_MAX: u64 = 300_000;
/// Numbers of an answer that is written beside the threads that serve.
const LARGE_NUMBERS: usize = 50_000;

/// What is asked.
#[derive(Debug)]
struct EmbeddingsRequest {
    model: String,
    /// Texts, or the tokens of texts.
    input: Vec<Value>,
    /// How many tokens they are taken for.
    tokens: u64,
    dimensions: Option<u32>,
    is_base64: bool,
}

/// The answer.
#[derive(Serialize)]
struct Embeddings {
    object: &'static str,
    data: Vec<Embedding>,
    model: String,
    usage: Usage,
}

#[derive(Serialize)]
struct Embedding {
    object: &'static str,
    index: usize,
    embedding: Vector,
}

/// A vector, as it was asked for.
#[derive(Serialize)]
#[serde(untagged)]
enum Vector {
    Floats(Vec<f32>),
    Base64(String),
}

#[derive(Serialize)]
struct Usage {
    prompt_tokens: u64,
    total_tokens: u64,
}

/// Makes vectors of texts.
pub(super) async fn create(mut call: Call<Chat>) -> Result<Response, Fault> {
    let EmbeddingsRequest { model, input, tokens, dimensions, is_base64 } = call.body().await?.into(decode).await?;
    let caller = &call.caller;
    let asked = models::find(caller, &model).await?;
    let asker = begin::ask(caller, &asked, By::Completions).asker;
    let found = asked.of_provider().ok_or_else(|| makes_none(&model))?;
    if caller.env == Env::Test && !found.model.is_free() {
        let what = "a test key has vectors of free models only";
        return Err(Fault::new(StatusCode::BAD_REQUEST, INVALID_REQUEST, "test_key", what).param("model"));
    }
    let id = found.model.id.clone();
    let made = caller.app.engine.embed(Embed { asker, model: found, input, tokens, dimensions }).await?;
    let length = made.vectors.first().map_or(0, Vec::len);
    if dimensions.is_some_and(|asked| asked as usize != length) {
        return Err(Fault::unsupported_value("dimensions", &format!("{model} makes vectors of {length} numbers")));
    }
    let numbers = length * made.vectors.len();
    let write = move || json_of(&answer(made, model, is_base64));
    let body = match numbers > LARGE_NUMBERS {
        true => caller.app.large.run(move || Ok(write())).await?,
        false => write(),
    };
    Ok(begin::with_headers(whole(body), Some(&id), false, &Ignored::default()))
}

fn makes_none(model: &str) -> Fault {
    let what = format!("{model} makes no vectors: ask a provider's embedding model");
    Fault::new(StatusCode::BAD_REQUEST, INVALID_REQUEST, "unsupported_model", what).param("model")
}

fn decode(body: Map<String, Value>) -> Result<EmbeddingsRequest, Fault> {
    let mut fields = Fields::new(body);
    let model = fields.model()?;
    let input = match fields.need("input")? {
        Value::Array(items) if items.first().is_some_and(Value::is_number) => vec![Value::Array(items)],
        Value::Array(items) => items,
        one => vec![one],
    };
    if input.is_empty() || input.len() > INPUTS_MAX {
        return Err(Fault::invalid_value("input", &format!("must hold 1 to {INPUTS_MAX} texts")));
    }
    let mut tokens = 0;
    for (at, text) in input.iter().enumerate() {
        let is_first = std::mem::discriminant(text) == std::mem::discriminant(&input[0]);
        let count = Some(text).filter(|_| is_first).and_then(tokens_of);
        let count = count.ok_or_else(|| {
            Fault::invalid_type(format!("input[{at}]"), "expected strings, or arrays of tokens, and no mix of them")
        })?;
        if count == 0 {
            return Err(Fault::invalid_value(format!("input[{at}]"), "must not be empty"));
        }
        tokens += count;
    }
    if tokens > INPUT_TOKENS_MAX {
        let what =
            format!("must have at most {INPUT_TOKENS_MAX} tokens, and is taken for {tokens}: send fewer texts at once");
        return Err(Fault::invalid_value("input", &what));
    }
    let is_base64 = match fields.text("encoding_format")?.as_deref() {
        None | Some("float") => false,
        Some("base64") => true,
        Some(_) => return Err(Fault::unsupported_value("encoding_format", "must be float or base64")),
    };
    let dimensions = fields.integer("dimensions")?.map(u32::try_from).transpose();
    let dimensions = dimensions.ok().filter(|dimensions| *dimensions != Some(0));
    let dimensions = dimensions.ok_or_else(|| Fault::invalid_value("dimensions", "must be at least 1"))?;
    Ok(EmbeddingsRequest { model, input, tokens, dimensions, is_base64 })
}

/// The tokens of a text; none if it is neither a text nor tokens.
fn tokens_of(text: &Value) -> Option<u64> {
    match text {
        Value::String(text) => Some(history::tokens_of_text(text)),
        Value::Array(tokens) if tokens.iter().all(Value::is_u64) => Some(tokens.len() as u64),
        _ => None,
    }
}

fn answer(made: Embedded, model: String, is_base64: bool) -> Embeddings {
    let vector = |vector: Vec<f32>| match is_base64 {
        false => Vector::Floats(vector),
        true => Vector::Base64(base64_of(&vector)),
    };
    let embedding = |(index, one)| Embedding { object: "embedding", index, embedding: vector(one) };
    let usage = Usage { prompt_tokens: made.input_tokens, total_tokens: made.input_tokens };
    let data = made.vectors.into_iter().enumerate().map(embedding).collect();
    Embeddings { object: "list", data, model, usage }
}

/// Little-endian, four bytes to a number.
fn base64_of(vector: &[f32]) -> String {
    STANDARD.encode(vector.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn asked(input: Value) -> Result<EmbeddingsRequest, Fault> {
        let Value::Object(body) = json!({"model": "m", "input": input}) else { unreachable!() };
        decode(body)
    }

    #[test]
    fn texts_come_in_four_shapes() {
        for (input, expected, tokens) in [
            (json!("12345678"), json!(["12345678"]), 2),
            (json!(["a", "b"]), json!(["a", "b"]), 2),
            (json!([1, 2, 3]), json!([[1, 2, 3]]), 3),
            (json!([[1], [2, 3]]), json!([[1], [2, 3]]), 3),
        ] {
            let request = asked(input).unwrap();
            assert_eq!((Value::Array(request.input), request.tokens), (expected, tokens));
        }
    }

    #[test]
    fn what_is_no_text_is_refused_by_its_path() {
        for (input, param) in [
            (json!([]), "input"),
            (json!(""), "input[0]"),
            (json!(["a", ""]), "input[1]"),
            (json!([[1], []]), "input[1]"),
            (json!(["a", [1]]), "input[1]"),
            (json!([1, "a"]), "input[0]"),
            (json!([1.5]), "input[0]"),
            (json!({}), "input[0]"),
            (json!(null), "input"),
        ] {
            assert_eq!(asked(input.clone()).unwrap_err().param.as_deref(), Some(param), "{input}");
        }
    }

    #[test]
    fn so_many_texts_and_tokens_are_taken() {
        for (count, fits) in [(INPUTS_MAX - 1, true), (INPUTS_MAX, true), (INPUTS_MAX + 1, false)] {
            assert_eq!(asked(json!(vec!["a"; count])).is_ok(), fits, "{count}");
        }
        let most = INPUT_TOKENS_MAX as usize;
        for (count, fits) in [(most - 1, true), (most, true), (most + 1, false)] {
            assert_eq!(asked(json!([vec![1; count]])).is_ok(), fits, "{count}");
        }
    }

    #[test]
    fn the_other_fields_are_checked() {
        let with = |name: &str, value: Value| {
            let Value::Object(mut body) = json!({"model": "m", "input": "a", "user": "u"}) else { unreachable!() };
            body.insert(name.into(), value);
            decode(body)
        };
        assert!(with("encoding_format", json!("base64")).unwrap().is_base64);
        assert!(!with("encoding_format", json!(null)).unwrap().is_base64);
        assert_eq!(with("dimensions", json!(256)).unwrap().dimensions, Some(256));
        for (name, value) in [("encoding_format", json!("hex")), ("dimensions", json!(0)), ("dimensions", json!(-1))] {
            assert_eq!(with(name, value).unwrap_err().param.as_deref(), Some(name));
        }
    }

    #[test]
    fn base64_holds_the_same_numbers() {
        assert_eq!(base64_of(&[1.0, -0.5]), "AACAPwAAAL8=");
        let made = |is_base64| {
            let made = Embedded { vectors: vec![vec![1.0, -0.5]], input_tokens: 3 };
            serde_json::to_value(answer(made, "m".into(), is_base64)).unwrap()
        };
        let embedding = |embedding: Value| {
            json!({
                "object": "list", "data": [{"object": "embedding", "index": 0, "embedding": embedding}], "model": "m",
                "usage": {"prompt_tokens": 3, "total_tokens": 3},
            })
        };
        assert_eq!(made(false), embedding(json!([1.0, -0.5])));
        assert_eq!(made(true), embedding(json!("AACAPwAAAL8=")));
    }
}
