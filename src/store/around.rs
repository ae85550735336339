//! The messages around one of a history, which a search found or a link names.

use super::{
    Org,
    message::Message,
    messages::{self, MessagePage, Oversize, PageEnd},
    sessions,
};
use crate::error::{Error, Result};

/// Whether a history goes on before and after what was shown of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    pub has_earlier: bool,
    pub has_later: bool,
}

impl Org<'_> {
    /// Shows `each` a page that has the message of that id in its middle, oldest first; none if that one alone is too large for the
    /// reader.
    pub fn messages_around(
        &self,
        session_id: &str,
        id: &str,
        page: &MessagePage<'_>,
        mut each: impl FnMut(Message<&str>, i64),
    ) -> Result<Option<Ends>> {
        self.read(|c| {
            let session = sessions::find(c, self.tenant, session_id)?.ok_or(Error::NotFound("session"))?.seq;
            let c = &c.unchecked_transaction()?;
            let middle = messages::seq_of(c, session, id)?;
            let middle =
                middle.ok_or_else(|| Error::invalid("around", "must be the id of a message of this session"))?;
            let unfinished = messages::running_answer(c, session)?;
            let org_id = &self.tenant.org_id;
            let mut earlier = Vec::new();
            let half = MessagePage {
                page_size: page.page_size / 2,
                newest_first: true,
                bytes_max: page.bytes_max.map(|bytes| bytes / 2),
                oversize: Oversize::Left,
                ..MessagePage::default()
            };
            let before = messages::read_after(c, org_id, session, Some(middle), &half, &mut |message, versions| {
                earlier.push((message.to_owned(), versions));
            })?;
            let mut shown = |message: Message<&str>, versions| {
                if Some(message.id) != unfinished.as_deref() {
                    each(message, versions);
                }
            };
            let rest = MessagePage {
                page_size: page.page_size - earlier.len(),
                newest_first: false,
                bytes_max: half.bytes_max,
                ..page.clone()
            };
            earlier.iter().rev().for_each(|(message, versions)| shown(message.as_deref(), *versions));
            let after = messages::read_after(c, org_id, session, Some(middle - 1), &rest, &mut shown)?;
            let ends = Ends { has_earlier: before != PageEnd::Last, has_later: after != PageEnd::Last };
            Ok((after != PageEnd::TooLarge).then_some(ends))
        })
    }
}
