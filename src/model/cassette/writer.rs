//! A cassette as it is written.
//!
//! Rule: one writer a file. Rule: a line is whole or not there: it is appended and synced before it counts, and what a write that
//! failed left behind is cut off.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use super::{
    file::{CASSETTE_BYTES_MAX, CASSETTE_LINE_BYTES_MAX, EXCHANGES_MAX, name_of, open, parse, read_bytes},
    line::{FORMAT, Header, Line},
};
use crate::{
    error::{Error, Result},
    time::Timestamp,
};

/// A file that is written.
#[derive(Debug)]
pub struct Writer {
    file: File,
    name: String,
    /// Bytes of whole lines.
    bytes: usize,
    exchanges: usize,
    last_id: u64,
}

/// What became of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Appended {
    /// It is in the file, under this number.
    Kept(u64),
    /// It is too long; others may follow.
    TooLong(String),
    /// The file takes no more.
    Full(String),
}

impl Writer {
    /// Opens a cassette to be gone on with, or begins one, under these terms.
    pub fn open(path: &Path, licence: Option<&str>) -> Result<Writer> {
        let refused = |wrong: String| Error::failed(format!("{}: {wrong}", path.display()));
        let file = open(path, OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600));
        let file = file.map_err(refused)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(refused("another alm writes it: choose another file".into()));
            }
            Err(TryLockError::Error(error)) => return Err(refused(error.to_string())),
        }
        let name = name_of(path);
        let bytes = read_bytes(&file, &name).map_err(Error::failed)?;
        let mut writer = Writer { file, name, bytes: 0, exchanges: 0, last_id: 0 };
        // Of a file that was only just begun not even the first line may be whole.
        if bytes.contains(&b'\n') {
            let read = parse(&writer.name, &bytes).map_err(Error::failed)?;
            (writer.bytes, writer.exchanges, writer.last_id) = (read.bytes, read.len(), read.last_id());
            if bytes[..writer.bytes].ends_with(b"\n") {
                writer.cut_back()?;
            } else {
                writer.write(b"\n")?;
            }
        } else if bytes.is_empty() || bytes.starts_with(b"{\"almCassette\"") {
            let header = Header {
                format: FORMAT,
                made: Some(Timestamp::now().to_string()),
                by: Some(concat!("alm ", env!("CARGO_PKG_VERSION")).into()),
                licence: licence.map(str::to_owned),
            };
            writer.write(&line_of(&header)?)?;
        } else {
            return Err(refused("is no cassette: choose another file".into()));
        }
        Ok(writer)
    }

    /// Appends a line under the next number, and waits until it is on the disk.
    pub fn append(&mut self, mut line: Line) -> Result<Appended> {
        let id = self.next_id();
        if self.exchanges >= EXCHANGES_MAX {
            return Ok(Appended::Full(format!(
                "{} has {EXCHANGES_MAX} exchanges and takes no more: record into another file.",
                self.name
            )));
        }
        line.number(id);
        let bytes = line_of(&line)?;
        if bytes.len() - 1 > CASSETTE_LINE_BYTES_MAX {
            let most = CASSETTE_LINE_BYTES_MAX >> 20;
            return Ok(Appended::TooLong(format!("Exchange {id} was not kept: it is longer than {most} MiB.")));
        }
        if self.bytes + bytes.len() > CASSETTE_BYTES_MAX {
            let most = CASSETTE_BYTES_MAX >> 20;
            return Ok(Appended::Full(format!(
                "{} has {most} MiB and takes no more: record into another file.",
                self.name
            )));
        }
        self.write(&bytes)?;
        self.exchanges += 1;
        self.last_id = id;
        Ok(Appended::Kept(id))
    }

    /// The number that the next line gets.
    pub fn next_id(&self) -> u64 {
        self.last_id + 1
    }

    /// Its file's name, without its folder.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many exchanges it has.
    pub fn exchanges(&self) -> usize {
        self.exchanges
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.cut_back()?;
        let written = self.file.write_all(bytes).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // If this fails too, the next write begins with it, and a reader passes over what is there.
            self.cut_back().ok();
            return Err(Error::failed(format!("{}: {error}", self.name)));
        }
        self.bytes += bytes.len();
        Ok(())
    }

    /// Goes to the end of what is whole, and drops the rest.
    fn cut_back(&mut self) -> Result<()> {
        let cut =
            self.file.set_len(self.bytes as u64).and_then(|()| self.file.seek(SeekFrom::Start(self.bytes as u64)));
        cut.map(drop).map_err(|error| Error::failed(format!("{}: {error}", self.name)))
    }
}

fn line_of(value: &impl serde::Serialize) -> Result<Vec<u8>> {
    let mut line = serde_json::to_vec(value).map_err(|error| Error::internal(error.to_string()))?;
    line.push(b'\n');
    Ok(line)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;
    use crate::model::cassette::{
        file::read,
        line::{Exchange, ToolExchange},
    };

    fn exchange(asked: &str) -> Line {
        Line::Model(Exchange { model: "m".into(), asked: asked.into(), ..Exchange::default() })
    }

    #[test]
    fn a_file_is_begun_gone_on_with_and_read_by_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tour.jsonl");
        let mut writer = Writer::open(&path, Some("CC0")).unwrap();
        assert_eq!(writer.append(exchange("one")).unwrap(), Appended::Kept(1));
        let other = Writer::open(&path, None).unwrap_err().to_string();
        assert!(other.contains("another alm writes it"), "{other}");
        drop(writer);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let mut writer = Writer::open(&path, None).unwrap();
        assert_eq!(
            writer.append(Line::Tool(ToolExchange { output: Some(1.into()), ..Default::default() })).unwrap(),
            Appended::Kept(2)
        );
        let read = read(&path).unwrap();
        assert_eq!((read.len(), read.header.licence.as_deref(), read.exchanges[0].exchange.id), (2, Some("CC0"), 1));
        assert!(read.header.made.is_some() && read.header.by.is_some_and(|by| by.starts_with("alm ")));
    }

    #[test]
    fn wherever_a_writer_was_ended_what_was_whole_stays_and_the_next_one_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tour.jsonl");
        let mut writer = Writer::open(&path, None).unwrap();
        let header = fs::read(&path).unwrap().len();
        writer.append(exchange("one")).unwrap();
        let one = fs::read(&path).unwrap().len();
        writer.append(exchange("two")).unwrap();
        drop(writer);
        let whole = fs::read(&path).unwrap();
        for cut in (0..whole.len()).filter(|cut| *cut == 0 || *cut >= header - 1) {
            fs::write(&path, &whole[..cut]).unwrap();
            let mut writer = Writer::open(&path, None).unwrap();
            writer.append(exchange("three")).unwrap();
            let asked: Vec<_> = read(&path).unwrap().exchanges.into_iter().map(|one| one.exchange.asked).collect();
            let expected: &[&str] = match cut {
                // A line is whole without its end too.
                cut if cut < one - 1 => &["three"],
                cut if cut < whole.len() - 1 => &["one", "three"],
                _ => &["one", "two", "three"],
            };
            assert_eq!(asked, expected, "{cut}");
        }
    }

    #[test]
    fn what_is_something_else_is_refused_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.txt");
        for (text, expected) in [
            ("Buy tea.", "is no cassette"),
            ("Buy tea.\n", "is no cassette"),
            ("{\"almCassette\":2}\n", "use a newer alm"),
            ("{\"almCassette\":1}\nx\n", "line 2"),
        ] {
            fs::write(&path, text).unwrap();
            let error = Writer::open(&path, None).unwrap_err().to_string();
            assert!(error.contains("notes.txt") && error.contains(expected), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert!(Writer::open(folder.path(), None).is_err());
    }

    #[test]
    fn a_line_of_so_many_bytes_is_kept_and_a_longer_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = Writer::open(&folder.path().join("tour.jsonl"), None).unwrap();
        let bare = line_of(&exchange("")).unwrap().len() - 1;
        for bytes in [CASSETTE_LINE_BYTES_MAX - 1, CASSETTE_LINE_BYTES_MAX, CASSETTE_LINE_BYTES_MAX + 1] {
            let appended = writer.append(exchange(&"x".repeat(bytes - bare))).unwrap();
            assert_eq!(
                matches!(appended, Appended::Kept(_)),
                bytes <= CASSETTE_LINE_BYTES_MAX,
                "{bytes}: {appended:?}"
            );
        }
        assert_eq!(writer.append(exchange("short")).unwrap(), Appended::Kept(3));
    }

    #[test]
    fn a_file_takes_so_many_bytes_and_exchanges() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tour.jsonl");
        let line = line_of(&exchange("")).unwrap().len();
        for bytes in [CASSETTE_BYTES_MAX - 1, CASSETTE_BYTES_MAX, CASSETTE_BYTES_MAX + 1] {
            let mut writer = Writer::open(&path, None).unwrap();
            writer.bytes = bytes - line;
            let is_kept = matches!(writer.append(exchange("")).unwrap(), Appended::Kept(1));
            assert_eq!(is_kept, bytes <= CASSETTE_BYTES_MAX, "{bytes}");
            drop(writer);
            fs::remove_file(&path).unwrap();
        }
        for exchanges in [EXCHANGES_MAX - 1, EXCHANGES_MAX, EXCHANGES_MAX + 1] {
            let mut writer = Writer::open(&path, None).unwrap();
            writer.exchanges = exchanges - 1;
            let appended = writer.append(exchange("")).unwrap();
            assert_eq!(matches!(appended, Appended::Full(_)), exchanges > EXCHANGES_MAX, "{exchanges}: {appended:?}");
        }
    }
}
