//! Messages: what was said in a session.
//!
//! Rule: a page is written while SQLite hands out its rows; parts and metadata are stored as the JSON they are sent as,
//! and nothing is decoded on the way.

use std::io::Write;

use poem_openapi::{
    Enum, Object, OpenApi,
    param::{Path, Query},
    registry::{MetaSchema, MetaSchemaRef, Registry},
    types::{Example, Type},
};
use serde::Serialize;
use serde_json::Value;

use super::tags::Tag;
use crate::{
    error::{Error, Result},
    http::{
        auth::{Caller, Chat, ReadOrChat},
        body::HistoryBody,
        wire::{
            check::{Checks, metadata_text},
            data::{CreatedOrExisting, Data, Items, ItemsWriter, Shape, write_json},
            envelope::ApiError,
            moment::{Moment, StoredJson},
        },
    },
    id,
    store::{
        Org,
        messages::{self as stored, MessagePage, NewMessage, Oversize, PageEnd, Role},
    },
    turn::{fold, parts},
};

const PAGE_SIZE_DEFAULT: i64 = 100;
const PAGE_SIZE_MAX: i64 = 500;
/// A page of more messages than this is read off the threads of the requests.
const PAGE_SIZE_INLINE_MAX: usize = 200;
/// Where a page ends early: messages may hold whole files. One that is larger is a page of its own, and is written off those threads.
pub(super) const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What surrounds the texts of a message, in bytes: its id, its session's, and the names of its fields.
const MESSAGE_FRAME_BYTES: usize = 512;

/// A message.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub(super) struct Message {
    id: String,
    session_id: String,
    role: MessageRole,
    /// The text of its parts.
    content: String,
    /// AI SDK v6 UIMessage parts.
    parts: Vec<StoredJson>,
    /// For a reply: `error` (`code` and `message`: why it broke off), `model`, `agentId`, `finishReason`, `usage`, `costMicrocents`, `durationMs`, `timeToFirstTokenMs`.
    metadata: StoredJson,
    status: MessageStatus,
    created_at: Moment,
    /// Which of the messages that stood in its place it is, from 1. Absent: the only one.
    version: Option<i64>,
    /// How many stood there. Absent: 1.
    versions: Option<i64>,
}

/// Who wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename_all = "lowercase")]
pub(super) enum MessageRole {
    System,
    User,
    Assistant,
}

impl From<MessageRole> for Role {
    fn from(role: MessageRole) -> Self {
        match role {
            MessageRole::System => Role::System,
            MessageRole::User => Role::User,
            MessageRole::Assistant => Role::Assistant,
        }
    }
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename_all = "lowercase")]
enum MessageStatus {
    Complete,
    Stopped,
    Interrupted,
    Error,
}

/// The order of a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename_all = "lowercase")]
enum Order {
    /// From the oldest on.
    Asc,
    /// From the newest back.
    Desc,
}

/// A page of messages that has one of them in its middle.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase")]
struct MessagesAround {
    items: Vec<Message>,
    /// The last message's id, if later ones follow.
    #[oai(nullable)]
    next_cursor: Option<String>,
    has_more: bool,
    /// The first message's id, if there are earlier ones: the `cursor` of a page with `order=desc`.
    #[oai(nullable)]
    previous_cursor: Option<String>,
}

/// A number of messages.
#[derive(Debug, Object, Serialize)]
struct Count {
    count: i64,
}

/// A page of messages, with `around` one around a message, or with `countOnly` their number.
struct MessagesOrCount;

impl Shape for MessagesOrCount {
    fn data_schema() -> MetaSchemaRef {
        let one_of = vec![Items::<Message>::data_schema(), MessagesAround::schema_ref(), Count::schema_ref()];
        MetaSchemaRef::Inline(Box::new(MetaSchema { one_of, ..MetaSchema::ANY }))
    }

    fn register_schemas(registry: &mut Registry) {
        Message::register(registry);
        MessagesAround::register(registry);
        Count::register(registry);
    }
}

/// The role of an appended message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename_all = "lowercase")]
enum AppendedRole {
    User,
    Assistant,
}

/// A message to append: `content` or `parts`.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none, example)]
struct MessageRequest {
    role: AppendedRole,
    /// Plain text.
    content: Option<String>,
    /// AI SDK v6 UIMessage parts, instead of `content`.
    parts: Option<Vec<Value>>,
    /// An id chosen by the client, unique in the session: 1 to 128 of `A-Z a-z 0-9 _ - . :`.
    id: Option<String>,
    /// Any object, at most 16 KiB.
    metadata: Option<Value>,
}

impl Example for MessageRequest {
    fn example() -> Self {
        MessageRequest {
            role: AppendedRole::User,
            content: Some("Noble gases are my favourites.".into()),
            parts: None,
            id: None,
            metadata: None,
        }
    }
}

/// The operations.
#[derive(Default)]
pub struct Messages;

#[OpenApi(tag = "Tag::Sessions")]
impl Messages {
    /// List a session's messages, oldest first
    ///
    /// A reply that is still running is not in the list until it ends.
    #[oai(path = "/sessions/:id/messages", method = "get", operation_id = "list_messages")]
    #[allow(clippy::too_many_arguments)] // one for each parameter of the query
    async fn list_messages(
        &self,
        caller: Caller<ReadOrChat>,
        id: Path<String>,
        /// The id of the previous page's last message.
        cursor: Query<Option<String>>,
        /// 1 to 500. Default 100.
        #[oai(name = "pageSize")]
        page_size: Query<Option<i64>>,
        /// `desc` lists the newest first.
        order: Query<Option<Order>>,
        /// Return only the number of messages.
        #[oai(name = "countOnly")]
        count_only: Query<Option<bool>>,
        /// A message's id: the page has it in its middle, the oldest first, and says with `previousCursor` whether there are
        /// earlier ones.
        around: Query<Option<String>>,
    ) -> Result<Data<MessagesOrCount>, ApiError> {
        if count_only.0 == Some(true) {
            let count = caller.org().session(&id)?.message_count;
            return Ok(Data::written(|out| write_json(out, &Count { count })));
        }
        let page_size = check_page_size(page_size.0)?;
        let (id, cursor, newest_first) = (id.0, cursor.0, order.0 == Some(Order::Desc));
        if around.0.is_some() && (cursor.is_some() || order.0.is_some()) {
            return Err(Error::invalid("around", "cannot be combined with cursor or order").into());
        }
        let page = move |org: &Org<'_>, oversize| {
            let (cursor, bytes_max) = (cursor.as_deref(), Some(PAGE_BYTES_MAX));
            let page = MessagePage { cursor, page_size, newest_first, bytes_max, oversize };
            match &around.0 {
                Some(middle) => write_around(org, &id, middle, &page),
                None => write_page(org, &id, &page),
            }
        };
        Ok(read_page(&caller, page_size, page).await?)
    }

    /// Append a message without a reply
    ///
    /// If a message with this id exists, it is returned unchanged with status 200.
    #[oai(path = "/sessions/:id/messages", method = "post", operation_id = "create_message")]
    async fn create_message(
        &self,
        caller: Caller<Chat>,
        id: Path<String>,
        body: HistoryBody<MessageRequest>,
    ) -> Result<CreatedOrExisting<Message>, ApiError> {
        let new = body.into(MessageRequest::into_new).await?;
        let (message, is_new) = caller.org().append_message(id.0.clone(), new).await?;
        if message.parts.len() <= PAGE_BYTES_MAX {
            return Ok(appended(&id, &message, is_new));
        }
        Ok(caller.large(move |_| Ok(appended(&id, &message, is_new))).await?)
    }
}

fn appended(session_id: &str, message: &stored::Message, is_new: bool) -> CreatedOrExisting<Message> {
    let write = |out: &mut Vec<u8>| write_message(out, &json_text(session_id), &message.as_deref(), 1);
    match is_new {
        true => CreatedOrExisting::Created(Data::written(write)),
        false => CreatedOrExisting::Existing(Data::written(write)),
    }
}

/// Reads a page where one of its size is read: what is too large for there, `None`, among the few that are in memory at once.
pub(super) async fn read_page<T: Send + 'static>(
    caller: &Caller<ReadOrChat>,
    page_size: usize,
    read: impl Fn(&Org<'_>, Oversize) -> Result<Option<T>> + Clone + Send + 'static,
) -> Result<T> {
    let at_once = read.clone();
    let page = match page_size > PAGE_SIZE_INLINE_MAX {
        true => caller.scan(move |org| at_once(&org, Oversize::Left)).await?,
        false => at_once(&caller.org(), Oversize::Left)?,
    };
    if let Some(page) = page {
        return Ok(page);
    }
    let page = caller.large(move |org| read(&org, Oversize::Shown)).await?;
    page.ok_or_else(|| Error::internal("a page was not read"))
}

pub(super) fn check_page_size(page_size: Option<i64>) -> Result<usize> {
    let page_size = page_size.unwrap_or(PAGE_SIZE_DEFAULT);
    let mut checks = Checks::default();
    checks.range("pageSize", page_size, 1..=PAGE_SIZE_MAX);
    checks.done().map(|()| page_size as usize)
}

/// A page; none if its first message is too large to be read here.
fn write_page(org: &Org<'_>, session_id: &str, page: &MessagePage<'_>) -> Result<Option<Data<MessagesOrCount>>> {
    let session_json = json_text(session_id);
    Data::try_written(|out| {
        let mut items = ItemsWriter::new(out);
        let end = org.messages(session_id, page, |message, versions| {
            items.next(message.id, |out| write_message(out, &session_json, &message, versions));
        })?;
        Ok((end != PageEnd::TooLarge).then(|| items.end(end == PageEnd::More)))
    })
}

/// The same with a message in its middle.
fn write_around(
    org: &Org<'_>,
    session_id: &str,
    middle: &str,
    page: &MessagePage<'_>,
) -> Result<Option<Data<MessagesOrCount>>> {
    let session_json = json_text(session_id);
    Data::try_written(|out| {
        let (mut items, mut first) = (ItemsWriter::new(out), None);
        let ends = org.messages_around(session_id, middle, page, |message, versions| {
            first.get_or_insert_with(|| message.id.to_owned());
            items.next(message.id, |out| write_message(out, &session_json, &message, versions));
        })?;
        let Some(ends) = ends else { return Ok(None) };
        items.end(ends.has_later);
        out.pop();
        out.extend_from_slice(br#","previousCursor":"#);
        write_json(out, &first.filter(|_| ends.has_earlier));
        out.push(b'}');
        Ok(Some(()))
    })
}

/// Appends one message, of which there are so many versions. Parts and metadata are JSON already.
pub(super) fn write_message(out: &mut Vec<u8>, session_json: &[u8], message: &stored::Message<&str>, versions: i64) {
    let created_at = message.created_at;
    // At once, for growing step by step takes twice as much; only quotes and control characters can want more.
    out.reserve(message.content.len() + message.parts.len() + message.metadata.len() + MESSAGE_FRAME_BYTES);
    out.extend_from_slice(br#"{"id":"#);
    write_json(out, message.id);
    out.extend_from_slice(br#","sessionId":"#);
    out.extend_from_slice(session_json);
    out.extend_from_slice(br#","role":""#);
    out.extend_from_slice(message.role.as_str().as_bytes());
    out.extend_from_slice(br#"","content":"#);
    write_json(out, message.content);
    out.extend_from_slice(br#","parts":"#);
    out.extend_from_slice(message.parts.as_bytes());
    out.extend_from_slice(br#","metadata":"#);
    out.extend_from_slice(message.metadata.as_bytes());
    out.extend_from_slice(br#","status":""#);
    out.extend_from_slice(message.status.as_str().as_bytes());
    write!(out, r#"","createdAt":"{created_at}""#).expect("a Vec takes every write");
    if versions > 1 {
        let version = message.place.version;
        write!(out, r#","version":{version},"versions":{versions}"#).expect("a Vec takes every write");
    }
    out.push(b'}');
}

pub(super) fn json_text(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    write_json(&mut out, text);
    out
}

impl MessageRequest {
    fn into_new(self) -> Result<NewMessage> {
        let role = match self.role {
            AppendedRole::User => Role::User,
            AppendedRole::Assistant => Role::Assistant,
        };
        let said = match (self.parts, self.content) {
            (Some(said), _) => parts::accept(said, role, "parts")?,
            (None, Some(text)) => parts::of_text(&text),
            (None, None) => return Err(Error::BadRequest("content: content or parts is required".into())),
        };
        let mut checks = Checks::default();
        checks.also(self.id.as_deref().map_or(Ok(()), |id| id::check_client_id("id", id)))?;
        checks.done()?;
        let new = NewMessage::new(role, fold::content(&said), Value::Array(said).to_string());
        Ok(NewMessage {
            id: self.id.unwrap_or_else(|| new.id.clone()),
            metadata: self.metadata.map(metadata_text).transpose()?.unwrap_or_else(|| new.metadata.clone()),
            ..new
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    #[test]
    fn a_message_is_written_as_the_json_its_schema_promises() {
        let message = stored::Message {
            seq: 1,
            id: "a\"b",
            role: Role::User,
            status: stored::Status::Complete,
            created_at: Timestamp::from_millis(0),
            metadata: r#"{"k":1}"#,
            content: "line\nline",
            parts: r#"[{"type":"text","text":"line\nline"}]"#,
            place: stored::Place { first: Some(1), version: 2 },
        };
        let mut out = Vec::new();
        write_message(&mut out, br#""s""#, &message, 3);
        let json: Value = serde_json::from_slice(&out).unwrap();
        let keys: Vec<_> = json.as_object().unwrap().keys().collect();
        assert_eq!(keys[..8], ["id", "sessionId", "role", "content", "parts", "metadata", "status", "createdAt"]);
        assert_eq!((&json["version"], &json["versions"]), (&2.into(), &3.into()));
        assert_eq!(json["id"], "a\"b");
        assert_eq!(json["parts"][0]["text"], json["content"]);
    }
}
