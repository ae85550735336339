//! Responses: OpenAI's newer API, in which the server keeps the conversation.
//!
//! Rule: a response is a turn and a chain of them is a session (`store/responses.rs`); what is streamed, answered and read later comes
//! from one wire (`responses_wire.rs`).

mod create; // POST
mod edit; // cancel, delete, input items
mod entries; // the input, by who said what
mod id; // ids, in other words
mod input; // the items of a request
pub mod item; // the items of a reply
pub mod object; // the object's keys
mod reader; // one reader of a running response
mod references; // items that a request names
mod request; // the body
mod retrieve; // GET
mod stored; // what is stored, told again
mod stored_input; // what was asked, as items

pub use self::{
    create::create,
    edit::{cancel, delete, input_items},
    entries::messages_of,
    id::CONVERSATION,
    retrieve::retrieve,
};
