//! `POST /v1/messages`: Anthropic's shapes, for Claude Code and whatever else speaks them.

mod content; // what messages hold
mod request; // all that is asked

use poem::Response;
use serde_json::json;

use self::request::MessagesRequest;
use super::{
    Call, Fault, begin,
    messages_wire::{Head, MessagesWire},
    models::{self, Asked},
};
use crate::{
    http::{
        auth::{Caller, Chat},
        wire::data::{JSON, json_of},
    },
    tools::Tool,
    turn::{
        ask::{Ask, By, Given},
        history,
    },
};

/// Answers a conversation that its client keeps.
pub(super) async fn create(mut call: Call<Chat>) -> Result<Response, Fault> {
    let (request, input_tokens) = read(&mut call).await?;
    let caller = &call.caller;
    let asked = models::find(caller, &request.model).await?;
    if matches!(asked, Asked::Agent(_)) && request.conversation.ends_with_assistant() {
        return Err(Fault::invalid_value("messages", "an agent goes on with nobody's words: end with another role"));
    }
    let MessagesRequest { model, stream, conversation, sampling, tools, ignored } = request;
    let head = Head { model, input_tokens, request_id: caller.request_id.as_str().to_owned() };
    let wire = match stream {
        true => MessagesWire::streamed(head),
        false => MessagesWire::whole(head),
    };
    let (system, messages) = conversation.finish();
    let ask = Ask {
        system,
        sampling,
        tools: tools.finish(),
        is_whole: true,
        given: Some(Given { messages, wire: Box::new(wire) }),
        ..begin::ask(caller, &asked, By::Completions)
    };
    begin::begin(caller, ask, ignored, stream).await
}

/// Counts the tokens of a conversation, as they are estimated.
pub(super) async fn count_tokens(mut call: Call<Chat>) -> Result<Response, Fault> {
    let (request, tokens) = read(&mut call).await?;
    let tokens = tokens + of_agent(&call.caller, &models::find(&call.caller, &request.model).await?)?;
    Ok(Response::builder().content_type(JSON).body(json_of(&json!({ "input_tokens": tokens }))))
}

/// The request, and what its words are taken for, in tokens.
async fn read(call: &mut Call<Chat>) -> Result<(MessagesRequest, u64), Fault> {
    let read = |body| {
        let request = request::decode(body)?;
        let tokens = tokens_of(&request);
        Ok::<_, Fault>((request, tokens))
    };
    call.body().await?.into(read).await
}

fn tokens_of(request: &MessagesRequest) -> u64 {
    let tools: Vec<_> = request.tools.all().iter().map(Tool::spec).collect();
    request.conversation.tokens() + history::tokens_of_tools(&tools, history::TOKEN_BYTES as f64)
}

/// What an agent adds to a prompt.
fn of_agent(caller: &Caller<Chat>, asked: &Asked) -> Result<u64, Fault> {
    match asked {
        Asked::Agent(id) => Ok(history::tokens_of_text(&caller.org().agent(id)?.system_prompt)),
        Asked::Raw(_) => Ok(0),
    }
}
