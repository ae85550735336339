//! Vectors for texts: one request, one whole answer.
//!
//! Rule: the answer is as many vectors as there were texts, in their order and of one length, or it is none. Floats are asked for:
//! a server that does not know base64 would send what a client takes for vectors of a quarter of their length.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::{task::spawn_blocking, time::timeout};

use super::{Endpoint, Failure, Purpose, Unanswered, Upstreams, unpack};
use crate::{
    error::{Error, Result},
    outbound::{Body, http::Method, http::Response},
};

/// The longest answer: 2,048 vectors of 3,072 numbers are smaller.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// A longer one is read beside the threads that serve.
const LARGE_ANSWER_BYTES: usize = 1024 * 1024;
/// How long all of it may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// What vectors are asked for.
#[derive(Debug, Clone, Serialize)]
pub struct Texts {
    /// The model's name as its provider knows it.
    pub model: String,
    /// Texts, or the tokens of texts.
    pub input: Vec<Value>,
    /// The length of the vectors; the model's own when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dimensions: Option<u32>,
}

/// The vectors of texts.
#[derive(Debug, Clone, PartialEq)]
pub struct Vectors {
    /// One for each text, all of one length.
    pub vectors: Vec<Vec<f32>>,
    /// Tokens of the texts, if the upstream counted them.
    pub input_tokens: Option<u64>,
}

#[derive(Serialize)]
struct Asked<'a> {
    #[serde(flatten)]
    texts: &'a Texts,
    encoding_format: &'static str,
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Embedding>,
    #[serde(default)]
    usage: Value,
}

#[derive(Deserialize)]
struct Embedding {
    index: Option<usize>,
    embedding: Vec<f32>,
}

impl Upstreams {
    /// Asks for the vectors of texts. Dropping the wait ends the asking.
    pub async fn embed(&self, endpoint: &Endpoint, texts: &Texts) -> Result<Vectors> {
        let authority = endpoint.authority()?;
        let body = serde_json::to_vec(&Asked { texts, encoding_format: "float" }).map_err(Error::internal)?;
        let http = endpoint.request(Method::POST, "/embeddings", body)?;
        let answered = async {
            let response = self.send(endpoint, &authority, http, &mut |_| ()).await?;
            Ok::<_, Unanswered>(body_of(response).await?)
        };
        let answered = timeout(ANSWER_TIMEOUT, answered).await.unwrap_or_else(|_| Err(Failure::HeadTimeout.into()));
        let body = answered.map_err(|Unanswered { failure, .. }| {
            tracing::warn!(authority, ?failure, "a provider sent no vectors");
            failure.into_error(&endpoint.who(), Purpose::Reply(&texts.model))
        })?;
        let asked = texts.input.len();
        let read = match body.len() > LARGE_ANSWER_BYTES {
            true => spawn_blocking(move || vectors(&body, asked)).await.map_err(Error::internal)?,
            false => vectors(&body, asked),
        };
        read.map_err(|what| {
            tracing::warn!(authority, what, "a provider sent vectors that are of no use");
            Error::ModelUnavailable(format!("{} {what}", endpoint.who()))
        })
    }
}

async fn body_of(response: Response<Body>) -> Result<Vec<u8>, Failure> {
    let (head, mut body) = response.into_parts();
    let body = body.read_up_to(ANSWER_BYTES_MAX + 1).await.map_err(|_| Failure::Lost)?;
    Ok(unpack::whole(body, &head.headers, ANSWER_BYTES_MAX + 1))
}

/// The vectors of an answer to so many texts, or what is wrong with it.
fn vectors(body: &[u8], asked: usize) -> Result<Vectors, &'static str> {
    if body.len() > ANSWER_BYTES_MAX {
        return Err("sent more than 64 MiB of vectors: send fewer texts at once");
    }
    let Answer { data, usage } =
        serde_json::from_slice(body).map_err(|_| "sent no vectors: the model may not be one for embeddings")?;
    if data.len() != asked {
        return Err("sent another number of vectors than there were texts");
    }
    if data.iter().enumerate().any(|(at, embedding)| embedding.index.is_some_and(|index| index != at)) {
        return Err("sent its vectors in another order than that of the texts");
    }
    let vectors: Vec<_> = data.into_iter().map(|embedding| embedding.embedding).collect();
    let length = vectors.first().map_or(0, Vec::len);
    if length == 0 || vectors.iter().any(|vector| vector.len() != length) {
        return Err("sent vectors that are not of one length");
    }
    let counted = ["prompt_tokens", "total_tokens"].iter().find_map(|name| usage[*name].as_u64());
    Ok(Vectors { vectors, input_tokens: counted.filter(|tokens| *tokens > 0) })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        model::{openai::Dialect, scripted::Server},
        outbound::{Options, Whose},
    };

    fn texts(count: usize) -> Texts {
        Texts { model: "m".into(), input: vec!["a".into(); count], dimensions: None }
    }

    fn of(answer: &Value, count: usize) -> Result<Vectors, &'static str> {
        vectors(answer.to_string().as_bytes(), count)
    }

    #[test]
    fn an_answer_is_one_vector_for_each_text_in_their_order() {
        let answer = json!({
            "data": [{"index": 0, "embedding": [0.5, -1]}, {"index": 1, "embedding": [1e-3, 2]}],
            "usage": {"prompt_tokens": 4, "total_tokens": 4},
        });
        let expected = Vectors { vectors: vec![vec![0.5, -1.0], vec![1e-3, 2.0]], input_tokens: Some(4) };
        assert_eq!(of(&answer, 2), Ok(expected));
        let bare = json!({"data": [{"embedding": [1]}], "usage": {"prompt_tokens": 0}});
        assert_eq!(of(&bare, 1), Ok(Vectors { vectors: vec![vec![1.0]], input_tokens: None }));
    }

    #[test]
    fn an_answer_of_another_number_order_or_length_is_none() {
        let one = |index: usize, vector: Value| json!({"index": index, "embedding": vector});
        for (data, said) in [
            (json!([one(0, json!([1]))]), "another number"),
            (json!([one(0, json!([1])), one(1, json!([1])), one(2, json!([1]))]), "another number"),
            (json!([one(1, json!([1])), one(0, json!([1]))]), "another order"),
            (json!([one(0, json!([1])), one(0, json!([1]))]), "another order"),
            (json!([one(0, json!([1])), one(1, json!([1, 2]))]), "one length"),
            (json!([one(0, json!([])), one(1, json!([]))]), "one length"),
            (json!([one(0, json!([1e300])), one(1, json!([1]))]), "no vectors"),
            (json!([one(0, json!("AACAPw==")), one(1, json!("AACAPw=="))]), "no vectors"),
            (json!([one(0, json!([null])), one(1, json!([null]))]), "no vectors"),
        ] {
            let fault = of(&json!({ "data": data }), 2).unwrap_err();
            assert!(fault.contains(said), "{data}: {fault}");
        }
        assert!(of(&json!({"choices": []}), 1).unwrap_err().contains("no vectors"));
    }

    #[test]
    fn an_answer_has_at_most_so_many_bytes() {
        let answer = json!({"data": [{"embedding": [1]}]}).to_string();
        for (bytes, fits) in [(ANSWER_BYTES_MAX - 1, true), (ANSWER_BYTES_MAX, true), (ANSWER_BYTES_MAX + 1, false)] {
            let padded = answer.clone() + &" ".repeat(bytes - answer.len());
            assert_eq!(vectors(padded.as_bytes(), 1).is_ok(), fits, "{bytes}");
        }
    }

    /// What comes of asking a server that answers so, for two texts.
    async fn asked(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Result<Vectors> {
        let server = Server::responding(move |_, request| answer(request));
        let endpoint = Endpoint {
            whose: Whose::Operators,
            name: "p".into(),
            base_url: format!("http://{}/v1", server.address),
            api_key: None,
            headers: Vec::new(),
            dialect: Dialect::default(),
            heard: Default::default(),
        };
        let texts = Texts { dimensions: Some(1), ..texts(2) };
        Upstreams::new(&Options::default()).unwrap().embed(&endpoint, &texts).await
    }

    #[tokio::test]
    async fn floats_are_asked_for_and_nothing_else_is_sent() {
        let made = asked(|request| {
            let (head, body) = request.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with("POST /v1/embeddings HTTP/1.1\r\n"), "{head}");
            let expected = json!({"model": "m", "input": ["a", "a"], "dimensions": 1, "encoding_format": "float"});
            assert_eq!(serde_json::from_str::<Value>(body).unwrap(), expected);
            let answer = json!({"data": [{"embedding": [1]}, {"embedding": [2]}]}).to_string();
            format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{answer}", answer.len())
        });
        assert_eq!(made.await.unwrap().vectors, [[1.0], [2.0]]);
    }

    #[tokio::test]
    async fn a_refusal_and_an_answer_of_no_use_are_told_in_words_of_ours() {
        let refused = asked(|_| "HTTP/1.1 500 No\r\ncontent-length: 4\r\n\r\nsk-1".into()).await.unwrap_err();
        assert_eq!(refused.public_text(), "the provider p failed with status 500: try again");
        let one = asked(|_| "HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n{\"data\":[]}".into()).await.unwrap_err();
        assert_eq!(one.public_text(), "the provider p sent another number of vectors than there were texts");
    }
}
