//! The tools that read: agents, what was said, and where.
//!
//! Rule: a program is shown what its person may see, and of it the texts alone. A failure is a sentence for whoever reads it.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    error::{Error, Result},
    http::auth::{Caller, Program},
    store::{
        Org,
        messages::{MessagePage, Oversize, PageEnd},
    },
};

/// Messages that one `read_session` shows at most, and unless it is told.
pub const MESSAGES_MAX: usize = 100;
pub const MESSAGES_DEFAULT: usize = 20;
/// The same of what one `search_history` finds.
pub const HITS_MAX: usize = 20;
pub const HITS_DEFAULT: usize = 5;
/// Agents that are listed.
const AGENTS_MAX: usize = 100;
/// Characters of a search.
const QUERY_CHARS_MAX: usize = 500;
/// Where a page of messages ends early, in bytes as they are stored.
const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes that are shown of one message's text.
pub const TEXT_BYTES_MAX: usize = 64 * 1024;

/// Nothing.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListAgents {}

/// Words to look for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchHistory {
    query: String,
    limit: Option<usize>,
}

/// A page of a conversation.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReadSession {
    session_id: String,
    cursor: Option<String>,
    limit: Option<usize>,
}

impl ListAgents {
    /// The agents that can be asked.
    pub fn run(self, caller: &Caller<Program>) -> Result<Value> {
        let page = caller.org().agents(AGENTS_MAX, None)?;
        let active = page.items.into_iter().filter(|agent| agent.is_active);
        let agents: Vec<_> = active
            .map(|agent| json!({ "agent": agent.slug, "name": agent.name, "description": agent.description }))
            .collect();
        Ok(json!({ "agents": agents, "hasMore": page.next_cursor.is_some() }))
    }
}

impl SearchHistory {
    /// The messages that fit best.
    pub async fn run(self, caller: &Caller<Program>) -> Result<Value> {
        check_query(&self.query)?;
        let limit = within("limit", self.limit, HITS_DEFAULT, HITS_MAX)?;
        let found = caller.scan(move |org| org.search_messages(&self.query, "", limit)).await?;
        let hits: Vec<_> = found
            .into_iter()
            .map(|hit| {
                json!({
                    "sessionId": hit.session_id, "session": hit.session_label, "role": hit.role.as_str(), "text": hit.snippet,
                    "createdAt": hit.created_at.to_string(),
                })
            })
            .collect();
        Ok(json!({ "hits": hits }))
    }
}

impl ReadSession {
    /// The messages of a page.
    pub async fn run(self, caller: &Caller<Program>) -> Result<Value> {
        let limit = within("limit", self.limit, MESSAGES_DEFAULT, MESSAGES_MAX)?;
        caller.scan(move |org| self.page(&org, limit)).await
    }

    fn page(&self, org: &Org<'_>, page_size: usize) -> Result<Value> {
        let session = org.session(&self.session_id)?;
        let (mut messages, mut last) = (Vec::new(), None);
        let page = MessagePage {
            cursor: self.cursor.as_deref(),
            page_size,
            newest_first: false,
            bytes_max: Some(PAGE_BYTES_MAX),
            oversize: Oversize::Shown,
        };
        let end = org.messages(&self.session_id, &page, |message, _| {
            last = Some(message.id.to_owned());
            messages.push(json!({
                "id": message.id, "role": message.role.as_str(), "text": shortened(message.content, TEXT_BYTES_MAX),
                "status": message.status.as_str(), "createdAt": message.created_at.to_string(),
            }));
        })?;
        let more = end == PageEnd::More;
        Ok(json!({
            "sessionId": session.id, "session": session.label, "status": session.status.as_str(), "messages": messages,
            "nextCursor": last.filter(|_| more),
        }))
    }
}

fn check_query(query: &str) -> Result<()> {
    match (1..=QUERY_CHARS_MAX).contains(&query.chars().count()) {
        true => Ok(()),
        false => Err(Error::invalid("query", format!("must be 1 to {QUERY_CHARS_MAX} characters"))),
    }
}

fn within(field: &str, asked: Option<usize>, default: usize, max: usize) -> Result<usize> {
    let asked = asked.unwrap_or(default);
    match (1..=max).contains(&asked) {
        true => Ok(asked),
        false => Err(Error::invalid(field, format!("must be 1 to {max}"))),
    }
}

/// A text, or its beginning and how much of it is left out.
pub fn shortened(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let end = (0..=bytes_max).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
    let kept = &text[..end];
    format!("{kept}\n[… {} of {} bytes left out …]", text.len() - kept.len(), text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_past_the_bound_says_what_is_left_out() {
        for bytes in [TEXT_BYTES_MAX - 1, TEXT_BYTES_MAX] {
            assert_eq!(shortened(&"x".repeat(bytes), TEXT_BYTES_MAX).len(), bytes);
        }
        let long = shortened(&"x".repeat(TEXT_BYTES_MAX + 1), TEXT_BYTES_MAX);
        assert!(long.ends_with("\n[… 1 of 65537 bytes left out …]"), "{}", &long[TEXT_BYTES_MAX..]);
        assert!(shortened("aü", 2).starts_with("a\n"), "between characters");
    }

    #[test]
    fn words_to_look_for_are_not_a_book() {
        for (chars, taken) in
            [(0, false), (1, true), (QUERY_CHARS_MAX - 1, true), (QUERY_CHARS_MAX, true), (QUERY_CHARS_MAX + 1, false)]
        {
            assert_eq!(check_query(&"ü".repeat(chars)).is_ok(), taken, "{chars}");
        }
    }

    #[test]
    fn a_number_of_rows_is_taken_up_to_its_bound() {
        for (max, default) in [(HITS_MAX, HITS_DEFAULT), (MESSAGES_MAX, MESSAGES_DEFAULT)] {
            let of = |asked| within("limit", asked, default, max).ok();
            assert_eq!(of(None), Some(default));
            assert_eq!([of(Some(0)), of(Some(1))], [None, Some(1)]);
            assert_eq!([of(Some(max - 1)), of(Some(max)), of(Some(max + 1))], [Some(max - 1), Some(max), None]);
        }
    }
}
