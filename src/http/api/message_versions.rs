//! Versions of a message: what stood in its place before, and stands again if somebody wants it to.

use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
    types::Example,
};

use super::{
    messages::{Message, PAGE_BYTES_MAX, check_page_size, json_text, read_page, write_message},
    tags::Tag,
};
use crate::{
    error::Result,
    http::{
        auth::{Caller, Chat, ReadOrChat},
        body::JsonBody,
        wire::{
            data::{Data, Items, ItemsWriter, write_json},
            envelope::ApiError,
        },
    },
    store::{
        Org,
        messages::{self as stored, MessagePage, PageEnd},
    },
    turn::answers,
};

/// A message that stands in a place of a history, or stood there.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase")]
struct MessageVersion {
    #[oai(flatten)]
    message: Message,
    /// The id of the turn that replaced it; `null`: it stands.
    #[oai(nullable)]
    replaced_by: Option<String>,
}

/// Which version is to stand again.
#[derive(Debug, Object)]
#[oai(example)]
struct RestoreRequest {
    /// One of `GET …/versions`, from 1.
    version: i64,
}

impl Example for RestoreRequest {
    fn example() -> Self {
        RestoreRequest { version: 1 }
    }
}

/// The operations.
#[derive(Default)]
pub struct MessageVersions;

#[OpenApi(tag = "Tag::Sessions")]
impl MessageVersions {
    /// List what stood in a message's place, oldest first
    ///
    /// An edited question and a reply that was given again are kept. Any id that a message had there finds them all.
    #[oai(path = "/sessions/:id/messages/:message_id/versions", method = "get", operation_id = "list_message_versions")]
    async fn list_message_versions(
        &self,
        caller: Caller<ReadOrChat>,
        /// The session's id.
        id: Path<String>,
        /// The id of a message in that place, now or before.
        message_id: Path<String>,
        /// The `nextCursor` of the previous page.
        cursor: Query<Option<String>>,
        /// 1 to 500. Default 100.
        #[oai(name = "pageSize")]
        page_size: Query<Option<i64>>,
    ) -> Result<Data<Items<MessageVersion>>, ApiError> {
        let page_size = check_page_size(page_size.0)?;
        let (id, message_id, cursor) = (id.0, message_id.0, cursor.0);
        let page = move |org: &Org<'_>, oversize| {
            let (cursor, bytes_max) = (cursor.as_deref(), Some(PAGE_BYTES_MAX));
            let page = MessagePage { cursor, page_size, newest_first: false, bytes_max, oversize };
            write_versions(org, &id, &message_id, &page)
        };
        Ok(read_page(&caller, page_size, page).await?)
    }

    /// Let a version stand again
    ///
    /// With what was said before and after it at that time, as new messages under their old ids. What stands there now is kept as
    /// another version. Refused while a reply is being written.
    #[oai(
        path = "/sessions/:id/messages/:message_id/restore",
        method = "post",
        operation_id = "restore_message_version"
    )]
    async fn restore_message_version(
        &self,
        caller: Caller<Chat>,
        /// The session's id.
        id: Path<String>,
        /// The id of a message in that place, now or before.
        message_id: Path<String>,
        body: JsonBody<RestoreRequest>,
    ) -> Result<Data<Message>, ApiError> {
        let org = caller.org();
        let restored = org.restore_version(id.0.clone(), message_id.0, body.0.version, answers::closed);
        let (message, versions) = restored.await?;
        if message.parts.len() <= PAGE_BYTES_MAX {
            return Ok(standing(&id, &message, versions));
        }
        Ok(caller.large(move |_| Ok(standing(&id, &message, versions))).await?)
    }
}

fn standing(session_id: &str, message: &stored::Message, versions: i64) -> Data<Message> {
    Data::written(|out| write_message(out, &json_text(session_id), &message.as_deref(), versions))
}

/// A page of versions; none if the first is too large to be read here.
fn write_versions(
    org: &Org<'_>,
    session_id: &str,
    message_id: &str,
    page: &MessagePage<'_>,
) -> Result<Option<Data<Items<MessageVersion>>>> {
    let session_json = json_text(session_id);
    Data::try_written(|out| {
        let mut items = ItemsWriter::new(out);
        let end = org.versions(session_id, message_id, page, |message, versions, replaced_by| {
            let cursor = message.place.version.to_string();
            items.next(&cursor, |out| {
                write_message(out, &session_json, &message, versions);
                out.pop();
                out.extend_from_slice(br#","replacedBy":"#);
                write_json(out, &replaced_by);
                out.push(b'}');
            });
        })?;
        Ok((end != PageEnd::TooLarge).then(|| items.end(end == PageEnd::More)))
    })
}
