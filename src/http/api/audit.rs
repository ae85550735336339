//! The audit: who changed keys, money, providers, tools and people, and who signed in.

use poem_openapi::{Enum, Object, OpenApi, param::Query};
use serde::Serialize;

use super::tags::Tag;
use crate::{
    error::{Error, Result},
    http::{
        auth::{Caller, Owner},
        wire::{
            check::{moment, page_limit},
            data::{Data, Items},
            envelope::ApiError,
            moment::Moment,
        },
    },
    store::{
        audit::{AuditEntry, AuditFilter, Kind},
        via,
    },
};

/// Something that was done.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
struct AuditItem {
    id: String,
    at: Moment,
    /// Who did it; `null`: whoever runs the machine, by a command.
    #[oai(nullable)]
    user_id: Option<String>,
    #[oai(nullable)]
    email: Option<String>,
    via: Via,
    /// Such as `key.created`. The word before the dot is its family: `key`, `money`, `provider`, `tool`, `person` or `sign_in`.
    kind: String,
    /// What it was done to.
    target: String,
}

/// The way by which something was asked for.
#[derive(Debug, Clone, Copy, Enum, Serialize)]
#[oai(rename = "AuditVia", rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
enum Via {
    Browser,
    Key,
    /// A command on the machine.
    Cli,
}

/// The operations.
#[derive(Default)]
pub struct AuditApi;

#[OpenApi(tag = "Tag::People")]
impl AuditApi {
    /// List what was changed and who signed in, newest first
    ///
    /// Calls of tools are at `/tool-calls`. Requires the owner, signed in with a browser.
    #[oai(path = "/audit", method = "get", operation_id = "list_audit")]
    #[allow(clippy::too_many_arguments)] // the query's parameters
    async fn list_audit(
        &self,
        caller: Caller<Owner>,
        /// A kind such as `key.created`, or a family such as `key`.
        kind: Query<Option<String>>,
        /// Whoever did it.
        #[oai(name = "userId")]
        user_id: Query<Option<String>>,
        /// RFC 3339, inclusive.
        from: Query<Option<String>>,
        /// RFC 3339, exclusive.
        to: Query<Option<String>>,
        /// 1 to 100. Default 50.
        limit: Query<Option<i64>>,
        /// The `nextCursor` of the previous page.
        cursor: Query<Option<String>>,
    ) -> Result<Data<Items<AuditItem>>, ApiError> {
        let limit = page_limit(limit.0)?;
        let filter = AuditFilter {
            kind: kind.0.map(known).transpose()?,
            user_id: user_id.0,
            from: moment("from", from.0)?,
            to: moment("to", to.0)?,
        };
        let page = caller.scan(move |org| org.audit_entries(&filter, limit, cursor.0.as_deref())).await?;
        Ok(Data::of(&Items::page(page, AuditItem::from)))
    }
}

fn known(kind: String) -> Result<String> {
    if AuditFilter::knows(&kind) {
        return Ok(kind);
    }
    let words = Kind::ALL.map(Kind::as_str).join(", ");
    Err(Error::invalid("kind", format!("must be one of {words}, or the word before a dot")))
}

impl From<AuditEntry> for AuditItem {
    fn from(entry: AuditEntry) -> Self {
        AuditItem {
            id: entry.id,
            at: entry.at.into(),
            user_id: entry.user_id,
            email: entry.email,
            via: match entry.via {
                via::Via::Browser => Via::Browser,
                via::Via::Key => Via::Key,
                via::Via::Cli => Via::Cli,
            },
            kind: entry.kind.as_str().to_owned(),
            target: entry.target,
        }
    }
}
