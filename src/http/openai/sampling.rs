//! How a client wants its reply made, in the fields that the routes share.

use serde_json::{Map, Value};

use super::{error::Fault, fields::Fields, ignored::Ignored};
use crate::model::sampling::Sampling;

/// Texts that end a reply.
pub const STOP_MAX: usize = 16;
/// Bytes of a schema that a reply is to fit.
pub const FORMAT_BYTES_MAX: usize = 256 * 1024;
/// How hard a model may be asked to think.
const EFFORTS: [&str; 7] = ["none", "minimal", "low", "medium", "high", "xhigh", "max"];
/// Fields of an end user and of a provider's own service: nobody's business upstream.
const PRIVATE: [&str; 5] = ["user", "safety_identifier", "service_tier", "prediction", "moderation"];
/// How more of them begin.
const PRIVATE_BEGINNING: &str = "prompt_cache_";
/// Fields that only a provider's own model is sent, since an agent decides them itself.
const RAW: [&str; 13] = [
    "logit_bias",
    "verbosity",
    "options",
    "keep_alive",
    "chat_template_kwargs",
    "thinking",
    "enable_thinking",
    "reasoning",
    "top_k",
    "min_p",
    "typical_p",
    "repetition_penalty",
    "grammar",
];

/// Takes `temperature`, `top_p`, `stop`, `seed`, the penalties and `parallel_tool_calls`.
pub fn take(fields: &mut Fields) -> Result<Sampling, Fault> {
    Ok(Sampling {
        temperature: ranged(fields, "temperature", 0.0, 2.0)?,
        top_p: ranged(fields, "top_p", 0.0, 1.0)?,
        stop: stop(fields)?,
        seed: fields.integer("seed")?,
        presence_penalty: ranged(fields, "presence_penalty", -2.0, 2.0)?,
        frequency_penalty: ranged(fields, "frequency_penalty", -2.0, 2.0)?,
        parallel_tool_calls: fields.boolean("parallel_tool_calls")?,
        ..Sampling::default()
    })
}

/// A number within bounds.
pub fn ranged(fields: &mut Fields, name: &str, least: f64, most: f64) -> Result<Option<f64>, Fault> {
    match fields.number(name)? {
        Some(number) if !(least..=most).contains(&number) => {
            Err(Fault::invalid_value(fields.path(name), &format!("must be {least} to {most}")))
        }
        number => Ok(number),
    }
}

fn stop(fields: &mut Fields) -> Result<Vec<String>, Fault> {
    let path = fields.path("stop");
    let stop: Vec<_> = match fields.take("stop") {
        None => return Ok(Vec::new()),
        Some(Value::Array(texts)) => texts,
        Some(text) => vec![text],
    };
    if stop.len() > STOP_MAX {
        return Err(Fault::invalid_value(path, &format!("must hold at most {STOP_MAX} texts")));
    }
    let texts = stop.into_iter().map(|text| match text {
        Value::String(text) => Ok(text),
        _ => Err(Fault::invalid_type(path.as_str(), "expected a string or an array of strings")),
    });
    texts.filter(|text| text.as_ref().map_or(true, |text| !text.is_empty())).collect()
}

/// Takes how hard the model is to think.
pub fn effort(fields: &mut Fields, name: &str) -> Result<Option<String>, Fault> {
    let effort = fields.text(name)?;
    match &effort {
        Some(effort) if !EFFORTS.contains(&&**effort) => {
            Err(Fault::invalid_value(fields.path(name), &format!("must be one of {}", EFFORTS.join(", "))))
        }
        _ => Ok(effort),
    }
}

/// Takes the most tokens of a reply: the smallest of these fields. `-1` says nothing.
pub fn output_tokens(fields: &mut Fields, names: &[&str]) -> Result<Option<u32>, Fault> {
    let mut least: Option<u32> = None;
    for name in names {
        let Some(tokens) = fields.integer(name)?.filter(|tokens| *tokens != -1) else { continue };
        if tokens < 1 {
            return Err(Fault::invalid_value(fields.path(name), "must be at least 1"));
        }
        let tokens = u32::try_from(tokens).unwrap_or(u32::MAX);
        least = Some(least.map_or(tokens, |least| least.min(tokens)));
    }
    Ok(least)
}

/// Takes whether a stream ends with what it took.
pub fn include_usage(fields: &mut Fields) -> Result<bool, Fault> {
    match fields.object("stream_options")? {
        Some(mut options) => Ok(options.boolean("include_usage")?.unwrap_or(false)),
        None => Ok(false),
    }
}

/// What a reply is to look like: `text`, `json_object`, or a schema, as it was given.
pub fn format(format: Value, path: &str) -> Result<Value, Fault> {
    let fields = format.as_object().ok_or_else(|| Fault::invalid_type(path, "expected an object"))?;
    let kind = fields.get("type").and_then(Value::as_str);
    if !kind.is_some_and(|kind| ["text", "json_object", "json_schema"].contains(&kind)) {
        return Err(Fault::invalid_value(format!("{path}.type"), "must be text, json_object or json_schema"));
    }
    if format.to_string().len() > FORMAT_BYTES_MAX {
        return Err(Fault::invalid_value(path, &format!("must have at most {} KiB", FORMAT_BYTES_MAX / 1024)));
    }
    Ok(format)
}

/// Takes the fields that go nowhere, silently or by name.
pub fn drop_private(fields: &mut Fields, ignored: &mut Ignored) {
    PRIVATE.iter().for_each(|name| drop(fields.take(name)));
    if fields.take("web_search_options").is_some() {
        ignored.add("web_search_options");
    }
}

/// What of the fields that nobody knows is sent on. `is_raw`: a provider's own model is asked; `is_free`: and nothing can be
/// charged for what they change.
pub fn extra(rest: Map<String, Value>, is_raw: bool, is_free: bool, ignored: &mut Ignored) -> Map<String, Value> {
    let rest = rest.into_iter().filter(|(name, _)| !name.starts_with(PRIVATE_BEGINNING));
    let is_sent = |name: &str| is_raw && (is_free || RAW.contains(&name) || name.starts_with("guided_"));
    let (sent, left): (Map<_, _>, Map<_, _>) = rest.partition(|(name, _)| is_sent(name));
    left.keys().for_each(|name| ignored.add(name));
    sent
}
