//! Standard output and standard error, whatever they are: a pipe, a terminal, a full disk, a reader that has gone.
//!
//! Rule: no output may panic, so nothing here or beside it uses `println!`. A reader that has gone, such as `head`, ends
//! a command quietly. What cannot be printed otherwise is an error where it is the result, and a line on standard
//! error where the work is done without it.

use std::{
    io::{self, ErrorKind, Write},
    os::fd::AsFd,
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
};

use crate::error::{Error, Result};

/// A stream that takes what it is given as soon as it can, also one that does not block by itself.
pub struct Patient<F>(pub F);

impl<F: AsFd> Write for Patient<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match rustix::io::write(&self.0, bytes) {
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => match poll(&mut [PollFd::new(&self.0, PollFlags::OUT)], None) {
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                },
                written => return Ok(written?),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Prints what a command is for.
pub fn print(text: &str) -> Result<()> {
    printed(Patient(io::stdout()).write_all(text.as_bytes()))
}

/// Prints what a command has done, which stays done if nobody hears of it.
pub fn report(text: &str) {
    if let Err(error) = print(text) {
        complain(&error.to_string());
    }
}

/// Says something on standard error, if that takes it.
pub fn complain(text: &str) {
    // There is nowhere else to say that it did not.
    drop(Patient(io::stderr()).write_all(format!("alm: {text}\n").as_bytes()));
}

/// Puts a question to whoever sits at the terminal.
pub fn ask(question: &str) {
    // Who cannot read it gives no answer.
    drop(Patient(io::stderr()).write_all(question.as_bytes()));
}

/// Whoever stops reading has read enough.
pub fn printed(written: io::Result<()>) -> Result<()> {
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Error::failed(format!("cannot print the result: {error}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        io::{Read, pipe},
        thread,
    };

    use rustix::fs::{OFlags, fcntl_setfl};

    use super::*;

    #[test]
    fn a_pipe_that_does_not_block_gets_every_byte() {
        let (mut reader, writer) = pipe().unwrap();
        fcntl_setfl(&writer, OFlags::NONBLOCK).unwrap();
        // More than a pipe holds.
        let text = "line\n".repeat(100_000);
        let sent = text.clone();
        let written = thread::spawn(move || Patient(writer).write_all(sent.as_bytes()));
        let mut heard = String::new();
        reader.read_to_string(&mut heard).unwrap();
        written.join().unwrap().unwrap();
        assert!(heard == text);
    }

    #[test]
    fn a_reader_that_has_gone_is_no_error_and_a_full_disk_is_one() {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        printed(Patient(writer).write_all(b"x")).unwrap();
        let full = File::options().write(true).open("/dev/full").unwrap();
        let error = printed(Patient(full).write_all(b"x")).unwrap_err().to_string();
        assert!(error.starts_with("cannot print the result: No space left"), "{error}");
        printed(Patient(File::open("/dev/null").unwrap()).write_all(b"x")).unwrap_err();
    }
}
