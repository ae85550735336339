//! Chat completions: decoded, asked, and written in their own wire.

pub mod messages; // what was said so far
pub mod request; // all that is asked

use poem::Response;

use self::request::ChatRequest;
use super::{
    Call, Fault, begin,
    chat_wire::{ChatWire, Head},
    models::{self, Asked},
    sampling,
};
use crate::{
    http::auth::Chat,
    time::Timestamp,
    turn::{
        ask::{Ask, By, Given},
        wire::Wire,
    },
};

/// Answers a conversation that its client keeps.
pub(super) async fn create(mut call: Call<Chat>) -> Result<Response, Fault> {
    let request: ChatRequest = call.body().await?.into(request::decode).await?;
    let asked = models::find(&call.caller, &request.model)?;
    let is_raw = matches!(asked, Asked::Raw(_));
    if !is_raw && request.conversation.ends_with_assistant() {
        return Err(Fault::invalid_value("messages", "an agent goes on with nobody's words: end with another role"));
    }
    let ChatRequest { model, stream, include_usage, conversation, mut sampling, tools, mut ignored, rest } = request;
    sampling.extra = sampling::extra(rest, is_raw, begin::is_free(&call.caller, &asked)?, &mut ignored);
    let head = Head { id: String::new(), created: Timestamp::now().as_millis() / 1000, model };
    let wire: Box<dyn Wire> = match stream {
        true => Box::new(ChatWire::stream(head, include_usage)),
        false => Box::new(ChatWire::whole(head)),
    };
    let (system, messages) = conversation.finish();
    let ask = Ask {
        system,
        sampling,
        tools: tools.finish(),
        given: Some(Given { messages, wire }),
        ..begin::ask(&call.caller, &asked, By::Completions)
    };
    begin::begin(&call.caller, ask, ignored, stream).await
}
