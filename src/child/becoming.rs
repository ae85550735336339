//! What `alm __child` does: it ties itself to its parent, steps out of its session, and becomes the command.
//!
//! Rule: it starts nothing and leaves nothing open; what it returns is why it is still `alm`.

use std::{ffi::OsString, io, os::unix::process::CommandExt, path::Path};

use rustix::{
    io::Errno,
    process::{self, Resource, Rlimit},
};

use super::leftovers;

/// Files that a command may have open until it raises the limit itself, as after a sign-in. The server's own limit is
/// far higher, which programs that close or select on all descriptors do not bear.
const CHILD_FILES: u64 = 1_024;

/// Becomes the command, whose first word is a path, once its mark is in that file. It returns only if that failed.
pub fn become_command(parent: u32, mark: Option<&Path>, nice: Option<i32>, command: &[OsString]) -> io::Error {
    let Some((program, arguments)) = command.split_first() else {
        return io::Error::new(io::ErrorKind::InvalidInput, "there is no command");
    };
    // From here on it dies with its parent, so that nothing is started by it without a mark.
    let marked = |()| mark.map_or(Ok(()), |file| leftovers::mark(file, parent));
    match prepare(parent, nice).and_then(marked) {
        Ok(()) => std::process::Command::new(program).args(arguments).exec(),
        Err(error) => error,
    }
}

fn prepare(parent: u32, nice: Option<i32>) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    process::set_parent_process_death_signal(Some(process::Signal::KILL))?;
    // Whoever died before that sends nothing.
    if process::getppid().is_none_or(|now| u32::try_from(now.as_raw_nonzero().get()) != Ok(parent)) {
        return Err(io::Error::other(format!("process {parent} is not its parent any more")));
    }
    match process::setsid() {
        // It leads a group already: somebody has run it by hand.
        Ok(_) | Err(Errno::PERM) => {}
        Err(error) => return Err(error.into()),
    }
    process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    let files = process::getrlimit(Resource::Nofile);
    let current = files.maximum.map_or(CHILD_FILES, |most| most.min(CHILD_FILES));
    process::setrlimit(Resource::Nofile, Rlimit { current: Some(current), ..files })?;
    if let Some(nice) = nice {
        process::nice(nice)?;
    }
    Ok(())
}
