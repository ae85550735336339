//! A server on the user's own machine as a client sees it: what it tells of itself, its states, and its refusals.
//!
//! It is llama.cpp's server without a model (one slot, whose cache is counted as the real one counts it), and Ollama's refusal
//! of tools. The suite `local` holds the real program to the same behaviour. Rule: it decides by what it is asked; it keeps
//! what it was asked ([`FakeModel::chats`]), and [`FakeModel::go`] lets it on where it waits.

use std::{
    sync::{Mutex, OnceLock},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    asked::Asked,
    fake_model::{Answer, FakeModel, delta, finish},
};

/// What it calls its only model.
pub const MODEL: &str = "local";
/// The window of a model, unless told otherwise.
const WINDOW_DEFAULT: usize = 8_192;
/// What a token of text takes, unless told otherwise.
const TOKEN_BYTES_DEFAULT: f64 = 4.0;
/// Characters of a call's id that Mistral Nemo's template takes, and no other number.
const NEMO_ID_CHARS: usize = 9;

/// A server that is to be started.
pub struct LocalServer {
    window: usize,
    token_bytes: f64,
    says: String,
    template: Template,
    refuses_tools: bool,
    refuses_images: Option<u16>,
    loads: Duration,
    reads: Reads,
    breaks: bool,
}

/// Which order of messages is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Template {
    /// Any.
    Any,
    /// User and assistant in turn, the user first; calls and outputs count as an assistant's, so no output is taken.
    Gemma2,
    /// User and assistant in turn; calls and outputs do not count, so a user may not follow an output.
    Ministral,
    /// The same, and a call's id has 9 letters or digits.
    Nemo,
}

/// What is heard while the prompt is read, between the head and the first token.
#[derive(Clone, Copy)]
enum Reads {
    AtOnce,
    /// Nothing, until it is let on.
    Silently,
    /// A comment each time so much has passed, until it is let on.
    WithPings(Duration),
}

impl LocalServer {
    /// One that is ready, takes everything, and says a few words.
    pub fn new() -> Self {
        LocalServer {
            window: WINDOW_DEFAULT,
            token_bytes: TOKEN_BYTES_DEFAULT,
            says: "A few words of a model.".into(),
            template: Template::Any,
            refuses_tools: false,
            refuses_images: None,
            loads: Duration::ZERO,
            reads: Reads::AtOnce,
            breaks: false,
        }
    }

    /// With so many tokens of context: a longer prompt is refused, and an answer that fills it ends.
    pub fn window(self, window: usize) -> Self {
        LocalServer { window, ..self }
    }

    /// Whose text takes so many bytes a token.
    pub fn token_bytes(self, token_bytes: f64) -> Self {
        LocalServer { token_bytes, ..self }
    }

    /// That says this, a token a word.
    pub fn saying(self, text: &str) -> Self {
        LocalServer { says: text.into(), ..self }
    }

    /// Whose template refuses some orders of messages.
    pub fn template(self, template: Template) -> Self {
        LocalServer { template, ..self }
    }

    /// That refuses tools, as Ollama does for a model without.
    pub fn without_tools(self) -> Self {
        LocalServer { refuses_tools: true, ..self }
    }

    /// That refuses images with this status: llama.cpp's is 500.
    pub fn without_images(self, status: u16) -> Self {
        LocalServer { refuses_images: Some(status), ..self }
    }

    /// That loads for so long from the moment it is asked anything.
    pub fn loading(self, loads: Duration) -> Self {
        LocalServer { loads, ..self }
    }

    /// That reads each prompt until it is let on, without a word.
    pub fn reading_silently(self) -> Self {
        LocalServer { reads: Reads::Silently, ..self }
    }

    /// The same, with a comment each time so much has passed.
    pub fn reading_with_pings(self, interval: Duration) -> Self {
        LocalServer { reads: Reads::WithPings(interval), ..self }
    }

    /// Whose answers end in an error within the stream, as where its parser cannot read the model's output.
    pub fn breaking(self) -> Self {
        LocalServer { breaks: true, ..self }
    }

    /// Starts it.
    pub fn start(self) -> FakeModel {
        let (asked_first, slot) = (OnceLock::new(), Mutex::new(String::new()));
        FakeModel::deciding(move |_, asked| {
            if asked_first.get_or_init(Instant::now).elapsed() < self.loads {
                refusal(503, "unavailable_error", "Loading model")
            } else {
                self.answer(&slot, asked)
            }
        })
    }

    fn answer(&self, slot: &Mutex<String>, asked: &Asked) -> Answer {
        match &*asked.path {
            "/health" | "/v1/health" => Answer::json(200, &json!({ "status": "ok" })),
            "/v1/models" => Answer::json(200, &self.models()),
            "/props" => Answer::json(200, &self.props()),
            _ if asked.is_chat() => self.refusal(&asked.json).unwrap_or_else(|| self.reply(slot, &asked.json)),
            _ => refusal(404, "not_found_error", "File Not Found"),
        }
    }

    fn models(&self) -> Value {
        let meta = json!({ "n_ctx": self.window, "n_ctx_train": self.window * 4, "n_params": 134_515_008, "size": 98_362_432 });
        let modalities = if self.refuses_images.is_some() { json!(["text"]) } else { json!(["text", "image"]) };
        let architecture = json!({ "input_modalities": modalities, "output_modalities": ["text"] });
        let model = json!({ "id": MODEL, "object": "model", "owned_by": "llamacpp", "meta": meta, "architecture": architecture });
        json!({ "object": "list", "data": [model] })
    }

    fn props(&self) -> Value {
        json!({
            "default_generation_settings": { "n_ctx": self.window },
            "total_slots": 1,
            "model_alias": MODEL,
            "chat_template_caps": { "supports_tools": !self.refuses_tools, "supports_tool_calls": !self.refuses_tools },
            "is_sleeping": false,
        })
    }

    /// Why it takes this request not, if it does not.
    fn refusal(&self, chat: &Value) -> Option<Answer> {
        if self.refuses_tools && chat["tools"].is_array() {
            let words = format!("registry.ollama.ai/library/{MODEL}:latest does not support tools");
            return Some(refusal(400, "api_error", &words));
        }
        if let Some(status) = self.refuses_images.filter(|_| has_image(chat)) {
            let words =
                "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj";
            return Some(refusal(status, if status == 400 { "invalid_request_error" } else { "server_error" }, words));
        }
        if let Some(words) = self.template.complaint(messages(chat)) {
            return Some(refusal(500, "server_error", &format!("Jinja Exception: {words}")));
        }
        let (tokens, window) = (self.tokens(&prompt(chat)), self.window);
        let words = format!(
            "request ({tokens} tokens) exceeds the available context size ({window} tokens), try increasing it"
        );
        let error = json!({ "code": 400, "message": words, "type": "exceed_context_size_error", "n_prompt_tokens": tokens, "n_ctx": window });
        (tokens >= window).then(|| Answer::json(400, &json!({ "error": error })))
    }

    /// A reply as far as the window and the caller's cap let it go.
    fn reply(&self, slot: &Mutex<String>, chat: &Value) -> Answer {
        let prompt = prompt(chat);
        let tokens = self.tokens(&prompt);
        let mut kept = slot.lock().unwrap();
        let same = prompt.bytes().zip(kept.bytes()).take_while(|(new, old)| new == old).count();
        // At least one token is read, as the answer comes from reading it.
        let cached = ((same as f64 / self.token_bytes) as usize).min(tokens - 1);
        let cap = ["max_tokens", "max_completion_tokens"].iter().find_map(|name| chat[*name].as_u64());
        let room = (self.window - tokens).min(cap.map_or(usize::MAX, |cap| cap as usize));
        let words: Vec<_> = self.says.split_inclusive(' ').collect();
        let said = &words[..words.len().min(room)];
        *kept = format!("{prompt}{}", said.concat());
        // A piece before the wait: what waits first would have no head either.
        let mut answer = match self.reads {
            Reads::AtOnce => Answer::empty(),
            Reads::Silently => Answer::empty().raw("").wait(),
            Reads::WithPings(interval) => Answer::empty().raw("").pings(interval),
        };
        answer = answer.chunk(delta(json!({ "role": "assistant", "content": null })));
        answer = said.iter().fold(answer, |answer, word| answer.chunk(delta(json!({ "content": word }))));
        if self.breaks {
            let error = json!({ "code": 500, "message": "The model produced output that does not match the expected format", "type": "server_error" });
            return answer.chunk(json!({ "error": error }));
        }
        let mut last = finish(if said.len() < words.len() { "length" } else { "stop" });
        let usage = json!({
            "prompt_tokens": tokens, "completion_tokens": said.len(), "total_tokens": tokens + said.len(),
            "prompt_tokens_details": { "cached_tokens": cached },
        });
        let timings = json!({ "cache_n": cached, "prompt_n": tokens - cached, "prompt_ms": 1.0, "predicted_n": said.len(), "predicted_ms": 1.0 });
        // The usage has a chunk of its own where it is asked for.
        let counts = json!({ "choices": [], "usage": usage, "timings": timings.clone() });
        last["timings"] = timings;
        let wanted = chat["stream_options"]["include_usage"] == true;
        answer = answer.chunk(last);
        if wanted { answer.chunk(counts).done() } else { answer.done() }
    }

    fn tokens(&self, text: &str) -> usize {
        ((text.len() as f64 / self.token_bytes).ceil() as usize).max(1)
    }
}

impl Template {
    /// What it says of messages that it refuses.
    fn complaint(self, messages: &[Value]) -> Option<&'static str> {
        let is = |message: &Value, role: &str| message["role"] == role;
        let calls = |message: &Value| message["tool_calls"].is_array();
        let in_turn = |counts: &dyn Fn(&Value) -> bool| {
            let talk = messages.iter().filter(|message| !is(message, "system") && counts(message));
            talk.enumerate().all(|(n, message)| is(message, "user") == (n % 2 == 0))
        };
        let talks = |message: &Value| !is(message, "tool") && !calls(message);
        let nine = |id: &Value| {
            id.as_str()
                .is_some_and(|id| id.len() == NEMO_ID_CHARS && id.bytes().all(|byte| byte.is_ascii_alphanumeric()))
        };
        let ids = messages.iter().flat_map(|message| {
            let made = message["tool_calls"].as_array().into_iter().flatten().map(|call| &call["id"]);
            made.chain(is(message, "tool").then(|| &message["tool_call_id"]))
        });
        match self {
            Template::Gemma2 if !in_turn(&|_| true) => {
                Some("Conversation roles must alternate user/assistant/user/assistant/...")
            }
            Template::Ministral if !in_turn(&talks) => Some(
                "After the optional system message, conversation roles must alternate user and assistant roles except for tool calls and results.",
            ),
            Template::Nemo if !in_turn(&talks) => Some(
                "After the optional system message, conversation roles must alternate user/assistant/user/assistant/...",
            ),
            Template::Nemo if !ids.clone().all(nine) => {
                Some("Tool call IDs should be alphanumeric strings with length 9!")
            }
            _ => None,
        }
    }
}

fn refusal(status: u16, kind: &str, words: &str) -> Answer {
    Answer::json(status, &json!({ "error": { "code": status, "message": words, "type": kind } }))
}

fn messages(chat: &Value) -> &[Value] {
    chat["messages"].as_array().map_or(&[], Vec::as_slice)
}

fn has_image(chat: &Value) -> bool {
    let parts = messages(chat).iter().filter_map(|message| message["content"].as_array()).flatten();
    parts.into_iter().any(|part| part["type"] == "image_url")
}

/// What the model reads: the tools, then every message, as ChatML writes them.
fn prompt(chat: &Value) -> String {
    let tools = chat["tools"].as_array().map_or(String::new(), |tools| json!(tools).to_string());
    let turns = messages(chat).iter().map(|message| {
        let content = message["content"].as_str().map_or_else(|| message["content"].to_string(), str::to_owned);
        let calls = message["tool_calls"].as_array().map_or(String::new(), |calls| json!(calls).to_string());
        format!("<|im_start|>{}\n{content}{calls}<|im_end|>\n", message["role"].as_str().unwrap_or_default())
    });
    format!("{tools}{}<|im_start|>assistant\n", turns.collect::<String>())
}
