//! What a command does to its own process: the limit on open files, and signals. A library does neither.

use std::{future::poll_fn, task::Poll};

use tokio::signal::unix::{Signal, SignalKind, signal as listen};

use super::log;

/// This program, whatever lies at its path by now: what starts commands.
pub(super) const THIS_PROGRAM: &str = "/proc/self/exe";
/// The exit code of a server that was told twice.
const TOLD_TWICE: i32 = 130;
/// A write would make a file larger than `ulimit -f` allows.
const SIGXFSZ: SignalKind = SignalKind::from_raw(25);

/// Raises the limit on open files as far as it goes: each connection and each provider's socket takes one.
pub(super) fn raise_nofile_limit() {
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!(%error, "the limit on open files stays as it is");
    }
}

/// Keeps this process's memory, which holds keys, from core files and from other processes of its user.
pub(super) fn keep_memory_private() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "this process can be dumped");
    }
}

/// Makes a write past the limit on a file's size fail like one to a full disk. The signal would end the process.
pub(super) fn take_file_size_signal() {
    // The handler stays when the runtime has gone.
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else { return };
    let _inside = runtime.enter();
    drop(listen(SIGXFSZ));
}

/// The first order to go, listened for from now on. A second one ends the process at once: the file is safe at any moment.
pub(super) fn signal() -> impl Future<Output = ()> {
    signal_or(std::future::pending())
}

/// The same, where something else may be the first order.
pub(super) fn signal_or(other: impl Future<Output = ()>) -> impl Future<Output = ()> {
    let mut orders = Orders::new(&ignored());
    async move {
        tokio::select! {
            _ = orders.next() => {}
            () = other => {}
        }
        tokio::spawn(async move {
            while orders.next().await == SignalKind::hangup() && orders.terminal_has_gone() {}
            log::finish();
            std::process::exit(TOLD_TWICE);
        });
    }
}

/// The signals by which a server is told to go: by its supervisor, at the keyboard, by a terminal that is closed.
struct Orders {
    signals: Vec<(SignalKind, Signal)>,
    had_terminal: bool,
}

impl Orders {
    /// What was `ignored` at the start stays so: `nohup` means it, and so does a shell that puts a command into the
    /// background. SIGTERM always counts.
    fn new(ignored: &[SignalKind]) -> Self {
        let kinds = [SignalKind::interrupt(), SignalKind::hangup(), SignalKind::quit()];
        let kinds = kinds.into_iter().filter(|kind| !ignored.contains(kind)).chain([SignalKind::terminate()]);
        let signals = kinds.filter_map(|kind| Some((kind, listen(kind).ok()?))).collect();
        Orders { signals, had_terminal: has_terminal() }
    }

    /// Waits for one.
    async fn next(&mut self) -> SignalKind {
        poll_fn(|context| {
            let mut ask =
                |(kind, signal): &mut (SignalKind, Signal)| signal.poll_recv(context).is_ready().then_some(*kind);
            // All are asked, so that each of them wakes. A hang-up says least.
            let heard: Vec<_> = self.signals.iter_mut().filter_map(&mut ask).collect();
            let said = heard.iter().find(|kind| **kind != SignalKind::hangup()).or(heard.first());
            said.map_or(Poll::Pending, |kind| Poll::Ready(*kind))
        })
        .await
    }

    /// Whether the hang-up is that of a terminal: then the shell and the kernel each tell it, and twice is once.
    fn terminal_has_gone(&self) -> bool {
        self.had_terminal && !has_terminal()
    }
}

fn has_terminal() -> bool {
    std::fs::File::open("/dev/tty").is_ok()
}

/// Signals that this process was started to ignore. Where the system does not say, there are none.
fn ignored() -> Vec<SignalKind> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignored_in(&status)
}

/// Signal 1 is the lowest bit.
fn ignored_in(status: &str) -> Vec<SignalKind> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    (1..=64).filter(|number| mask >> (number - 1) & 1 == 1).map(SignalKind::from_raw).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_open_file_limit_is_raised_to_the_hard_one() {
        raise_nofile_limit();
        let (soft, hard) = rlimit::Resource::NOFILE.get().unwrap();
        assert_eq!(soft, hard);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn no_core_file_is_left() {
        use rustix::process::{DumpableBehavior, dumpable_behavior};
        keep_memory_private();
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    }

    #[test]
    fn what_was_ignored_at_the_start_is_read_off_the_mask() {
        let status = "Name:\talm\nSigBlk:\tffffffffffffffff\nSigIgn:\t0000000000001001\nSigCgt:\t0\n";
        assert_eq!(ignored_in(status), [SignalKind::hangup(), SignalKind::pipe()]);
        for nothing in ["", "SigIgn:\t0000000000000000", "SigIgn:\tx"] {
            assert_eq!(ignored_in(nothing), []);
        }
        // The Rust runtime itself ignores SIGPIPE.
        assert!(ignored().contains(&SignalKind::pipe()));
    }
}
