//! The stored history, read and made a prompt of.
//!
//! Rule: a long one is read where nobody else waits for it: on a thread that serves, all its other requests would.

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    task::block_in_place,
};

use super::history::{self, Fitted, Room};
use crate::{
    error::Result,
    store::{Org, SessionRow, messages::Message},
};

/// Bytes of parts that are read for a prompt; of longer histories the older messages are left out.
const HISTORY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes of a history's parts from which on it is a long one: some milliseconds of work.
const LONG_HISTORY_BYTES: u64 = 1024 * 1024;

/// As much of a session's history as there is room for, once `amend` has put in what the file does not have. What was left out is
/// counted, whatever left it out.
pub(super) fn recall(
    org: &Org<'_>,
    session: SessionRow,
    amend: impl FnOnce(&mut Vec<Message>) -> Result<()>,
    system: &str,
    room: Option<Room>,
    cut: Option<i64>,
) -> Result<Fitted> {
    let read = || {
        let (mut history, left_out) = org.history(session, HISTORY_BYTES_MAX)?;
        amend(&mut history)?;
        let fitted = history::fit(system, &history, room, cut)?;
        Ok(Fitted { dropped: left_out + fitted.dropped, ..fitted })
    };
    let may_step_aside =
        Handle::try_current().is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread);
    if may_step_aside && org.history_bytes(session)? > LONG_HISTORY_BYTES { block_in_place(read) } else { read() }
}
