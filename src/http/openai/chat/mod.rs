//! Chat completions: decoded, asked, and written in their own wire.

mod kept; // a reply that is kept
pub mod messages; // what was said so far
mod reader; // one reader of such a reply
pub mod request; // all that is asked

use poem::Response;

use self::request::ChatRequest;
use super::{
    Call, Fault, begin,
    chat_wire::{ChatWire, Head},
    models, sampling,
};
use crate::{
    http::auth::Chat,
    turn::{
        ask::{Ask, By, Given},
        wire::Wire,
    },
};

/// Answers a conversation that its client keeps.
pub(super) async fn create(mut call: Call<Chat>) -> Result<Response, Fault> {
    let mut request: ChatRequest = call.body().await?.into(request::decode).await?;
    let asked = models::find(&call.caller, &request.model).await?;
    let is_raw = asked.is_raw();
    if !is_raw && request.conversation.ends_with_assistant() {
        return Err(Fault::invalid_value("messages", "an agent goes on with nobody's words: end with another role"));
    }
    let rest = std::mem::take(&mut request.rest);
    request.sampling.extra = sampling::extra(rest, is_raw, asked.is_free(), &mut request.ignored);
    if let Some(session) = kept::session(call.header(kept::HEADER), &request)? {
        return kept::create(&call.caller, request, &asked, session).await;
    }
    let ChatRequest { model, stream, include_usage, conversation, sampling, tools, ignored, .. } = request;
    let head = Head { model, ..Head::now(String::new()) };
    let wire: Box<dyn Wire> = match stream {
        true => Box::new(ChatWire::stream(head, include_usage)),
        false => Box::new(ChatWire::whole(head)),
    };
    let (system, messages) = conversation.finish();
    let ask = Ask {
        system,
        sampling,
        tools: tools.finish(),
        is_whole: true,
        given: Some(Given { messages, wire }),
        ..begin::ask(&call.caller, &asked, By::Completions)
    };
    begin::begin(&call.caller, ask, ignored, stream).await
}
