//! `POST /v1/completions`: a provider's model goes on with a text. For editors, which write into the middle of a file.
//!
//! Rule: what is asked goes to the upstream's own route of that name, since a chat's template would make another text of it.

use poem::{Response, http::StatusCode};
use serde_json::{Map, Value};

use super::{
    begin,
    call::Call,
    completions_wire::{CompletionsWire, Form},
    error::{Fault, INVALID_REQUEST},
    fields::Fields,
    ignored::Ignored,
    models, sampling,
};
use crate::{
    http::auth::Chat,
    model::{Content, Legacy, Message, sampling::Sampling},
    time::Timestamp,
    turn::ask::{Ask, By, Given},
};

/// All that is asked.
#[derive(Debug)]
struct CompletionRequest {
    /// As it was written.
    model: String,
    stream: bool,
    /// Whether a stream ends with its usage.
    include_usage: bool,
    text: Legacy,
    sampling: Sampling,
    ignored: Ignored,
    /// The fields that nobody here knows.
    rest: Map<String, Value>,
}

/// Lets a model go on with a text.
pub(super) async fn create(mut call: Call<Chat>) -> Result<Response, Fault> {
    let request = call.body().await?.into(decode).await?;
    let CompletionRequest { model, stream, include_usage, text, mut sampling, mut ignored, rest } = request;
    let asked = models::find(&call.caller, &model).await?;
    if asked.clone().of_provider().is_none() {
        let what = format!("{model} answers chats: use /v1/chat/completions");
        return Err(Fault::new(StatusCode::BAD_REQUEST, INVALID_REQUEST, "unsupported_model", what).param("model"));
    }
    sampling.extra = sampling::extra(rest, true, asked.is_free(), &mut ignored);
    let form = if stream { Form::Stream { usage: include_usage } } else { Form::Whole(String::new()) };
    let wire = CompletionsWire::new(model, Timestamp::now().as_millis() / 1000, form);
    let messages = vec![Message::User(vec![Content::Text(text.prompt.clone())])];
    let ask = Ask {
        sampling,
        is_whole: true,
        given: Some(Given { messages, wire: Box::new(wire) }),
        legacy: Some(text),
        ..begin::ask(&call.caller, &asked, By::Completions)
    };
    begin::begin(&call.caller, ask, ignored, stream).await
}

fn decode(body: Map<String, Value>) -> Result<CompletionRequest, Fault> {
    let mut fields = Fields::new(body);
    let model = fields.model()?;
    refuse(&mut fields)?;
    let prompt = match fields.need("prompt")? {
        Value::String(text) => text,
        Value::Array(texts) => match <[Value; 1]>::try_from(texts) {
            Ok([Value::String(text)]) => text,
            _ => return Err(Fault::unsupported_value("prompt", "only one text is served")),
        },
        _ => return Err(Fault::invalid_type("prompt", "expected a string")),
    };
    let text = Legacy { prompt, suffix: fields.text("suffix")?.filter(|suffix| !suffix.is_empty()) };
    let stream = fields.boolean("stream")?.unwrap_or(false);
    let include_usage = sampling::include_usage(&mut fields)?;
    let mut sampling = sampling::take(&mut fields)?;
    sampling.parallel_tool_calls = None;
    sampling.output_tokens_max = sampling::output_tokens(&mut fields, &["max_tokens"])?;
    let mut ignored = Ignored::default();
    sampling::drop_private(&mut fields, &mut ignored);
    Ok(CompletionRequest { model, stream, include_usage, text, sampling, ignored, rest: fields.rest() })
}

/// Refuses what no answer of ours would be right for.
fn refuse(fields: &mut Fields) -> Result<(), Fault> {
    for name in ["n", "best_of"] {
        if fields.integer(name)?.is_some_and(|n| n != 1) {
            return Err(Fault::unsupported_value(name, "only 1 is served"));
        }
    }
    if fields.boolean("echo")? == Some(true) {
        return Err(Fault::unsupported_parameter("echo", "is not served"));
    }
    if fields.take("logprobs").is_some() {
        return Err(Fault::unsupported_parameter("logprobs", "are not served"));
    }
    Ok(())
}
