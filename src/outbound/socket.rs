//! One connection, and who uses it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::io::unix::AsyncFd;

/// The holder of a socket that no call uses.
pub(super) const NO_CALL: u64 = 0;

/// One connection, by TCP or to a socket of this machine, registered with tokio once for all its life: a registration for each
/// request would race with the pool.
pub(super) struct Socket {
    pub(super) io: AsyncFd<socket2::Socket>,
    pub(super) usage: Mutex<Usage>,
}

/// Who uses a socket, and how.
#[derive(Default)]
pub(super) struct Usage {
    /// The call that uses the socket, or [`NO_CALL`].
    pub(super) holder: u64,
    /// A body is being read: the socket is non-blocking.
    pub(super) streaming: bool,
    /// It was given back by an earlier request.
    pub(super) reused: bool,
    /// What arrived since something was last sent.
    pub(super) received_bytes: usize,
}

/// The lock of what no panic leaves half done.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
