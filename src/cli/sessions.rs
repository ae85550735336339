//! `alm sessions`: an organization's conversations, as its owner sees them.

use serde_json::{Value, json};

use super::{
    globals::Globals,
    text::{clean, shortened, table},
};
use crate::{
    error::{Error, Result},
    store::{
        messages::{Message, MessagePage},
        sessions::{Session, SessionFilter},
    },
};

/// Most sessions, or messages, that are shown.
const SHOWN_MAX: usize = 1_000;
/// How much of a label a list has room for, in characters.
const LABEL_CHARS: usize = 60;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Sessions {
    /// List the latest conversations
    List {
        /// The organization's slug
        #[arg(long)]
        org: String,
        /// Words to find in labels and messages
        #[arg(long, value_name = "WORDS")]
        search: Option<String>,
        /// How many, 1 to 1000
        #[arg(long, default_value_t = 20)]
        limit: usize,
    },
    /// Show the latest messages of a conversation
    Show {
        /// The organization's slug
        #[arg(long)]
        org: String,
        /// Its id
        session: String,
        /// How many, 1 to 1000
        #[arg(long, default_value_t = 20)]
        limit: usize,
    },
}

impl Sessions {
    pub(super) fn run(self, globals: &Globals) -> Result<()> {
        let store = globals.store()?;
        match self {
            Sessions::List { org, search, limit } => {
                let tenant = globals.tenant(&store, &org)?;
                let filter = SessionFilter { search, ..SessionFilter::default() };
                let sessions = store.org(&tenant).sessions(&filter, checked(limit)?, None)?.items;
                globals.print(|| sessions.iter().map(to_json).collect(), || to_table(&sessions))
            }
            Sessions::Show { org, session, limit } => {
                let tenant = globals.tenant(&store, &org)?;
                let org = store.org(&tenant);
                let session = org.session(&session)?;
                let page = MessagePage { page_size: checked(limit)?, newest_first: true, ..MessagePage::default() };
                let (mut texts, mut rows) = (Vec::new(), Vec::new());
                org.messages(&session.id, &page, |message, _| {
                    texts.push(message_text(&message));
                    rows.push(message_json(&message));
                })?;
                texts.reverse();
                rows.reverse();
                let mut json = to_json(&session);
                json["messages"] = rows.into();
                globals.print(|| json, || clean(&format!("{}\n\n{}", session.label, texts.join("\n\n"))))
            }
        }
    }
}

fn checked(limit: usize) -> Result<usize> {
    match limit {
        1..=SHOWN_MAX => Ok(limit),
        _ => Err(Error::invalid("--limit", format!("must be 1 to {SHOWN_MAX}"))),
    }
}

fn to_json(session: &Session) -> Value {
    json!({
        "id": session.id, "label": session.label, "status": session.status.as_str(), "agentId": session.agent_id,
        "agentName": session.agent_name, "messageCount": session.message_count,
        "createdAt": session.created_at.to_string(), "updatedAt": session.updated_at.to_string(),
    })
}

fn to_table(sessions: &[Session]) -> String {
    let row = |session: &Session| {
        vec![
            session.id.clone(),
            session.updated_at.to_string(),
            clean(session.agent_name.as_deref().unwrap_or("-")),
            session.message_count.to_string(),
            session.status.as_str().to_owned(),
            clean(&shortened(&session.label, LABEL_CHARS)),
        ]
    };
    let head = ["ID", "UPDATED", "AGENT", "MESSAGES", "STATUS", "LABEL"];
    table(&head, &sessions.iter().map(row).collect::<Vec<_>>())
}

fn message_json(message: &Message<&str>) -> Value {
    json!({
        "id": message.id, "role": message.role.as_str(), "status": message.status.as_str(), "content": message.content,
        "createdAt": message.created_at.to_string(),
    })
}

fn message_text(message: &Message<&str>) -> String {
    format!("{} · {}\n{}", message.role.as_str(), message.created_at, message.content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_are_shown_and_not_one_more() {
        for (limit, fits) in [(0, false), (1, true), (SHOWN_MAX - 1, true), (SHOWN_MAX, true), (SHOWN_MAX + 1, false)] {
            assert_eq!(checked(limit).is_ok(), fits, "{limit}");
        }
    }
}
