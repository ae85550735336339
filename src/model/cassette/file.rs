//! A cassette as it is read.
//!
//! Rule: reading ends. What is no file is not waited for, and a file is read up to its bounds and no further.
//! Rule: a last line that was not finished is passed over; whoever wrote it was ended in the middle. Any other line that is not as
//! it should be is refused with its number.

use std::{
    fs::{File, OpenOptions},
    io::Read,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use rustix::fs::OFlags;
use serde_json::Value;

use super::{
    keys::Keys,
    line::{Exchange, FORMAT, Header, Line, Piece, ToolExchange},
};

/// Bytes of a line without its end.
pub const CASSETTE_LINE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of a file.
pub const CASSETTE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Exchanges of a file.
pub const EXCHANGES_MAX: usize = 10_000;

/// The result of reading; a failure is a sentence that names the file, and the line if it is one.
pub type Result<T, E = String> = std::result::Result<T, E>;

/// A cassette that was read whole.
#[derive(Debug)]
pub struct Cassette {
    /// Its file's name, without its folder.
    pub name: String,
    pub header: Header,
    /// Exchanges with models, in the order of the file.
    pub exchanges: Vec<Recorded>,
    /// Exchanges with tools, in the order of the file.
    pub tools: Vec<ToolExchange>,
    /// Bytes up to the end of its last whole line.
    pub bytes: usize,
}

/// An exchange and what it is known by.
#[derive(Debug)]
pub struct Recorded {
    /// The number of its line.
    pub line: usize,
    pub exchange: Exchange,
    pub keys: Keys,
}

impl Cassette {
    /// The models that answer, by name.
    pub fn models(&self) -> Vec<&str> {
        let mut models: Vec<_> = self.exchanges.iter().map(|recorded| &*recorded.exchange.model).collect();
        models.sort_unstable();
        models.dedup();
        models
    }

    /// How many exchanges it has.
    pub fn len(&self) -> usize {
        self.exchanges.len() + self.tools.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The highest number of an exchange.
    pub fn last_id(&self) -> u64 {
        let models = self.exchanges.iter().map(|recorded| recorded.exchange.id);
        models.chain(self.tools.iter().map(|tool| tool.id)).max().unwrap_or(0)
    }
}

/// Reads a cassette.
pub fn read(path: &Path) -> Result<Cassette> {
    let name = name_of(path);
    let file = open(path, OpenOptions::new().read(true)).map_err(|wrong| format!("{name}: {wrong}"))?;
    let bytes = read_bytes(&file, &name)?;
    parse(&name, &bytes)
}

/// A file's name, as sentences have it.
pub fn name_of(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// Opens what must be a file; what is a pipe is not waited for.
pub(super) fn open(path: &Path, options: &mut OpenOptions) -> Result<File> {
    let file = options.custom_flags(OFlags::NONBLOCK.bits() as i32).open(path);
    let file = file.map_err(|error| error.to_string())?;
    match file.metadata() {
        Ok(facts) if facts.is_file() => Ok(file),
        Ok(_) => Err("is not a file".into()),
        Err(error) => Err(error.to_string()),
    }
}

/// The bytes of a file, up to what one may have.
pub(super) fn read_bytes(file: &File, name: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = file.take(CASSETTE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|error| format!("{name}: {error}"))?;
    match bytes.len() > CASSETTE_BYTES_MAX {
        true => Err(format!("{name} is longer than {} MiB: record less into one file", CASSETTE_BYTES_MAX >> 20)),
        false => Ok(bytes),
    }
}

/// Reads the bytes of a cassette of that name.
pub fn parse(name: &str, bytes: &[u8]) -> Result<Cassette> {
    let mut lines = Lines { bytes, at: 0 };
    let header = lines.next().map(|line| header(name, line)).transpose()?;
    let header = header.flatten().ok_or_else(|| format!("{name} is empty: it is no cassette"))?;
    let (mut exchanges, mut tools) = (Vec::new(), Vec::new());
    let mut whole = lines.at;
    let mut number = 1;
    while let Some((text, is_ended)) = lines.next() {
        number += 1;
        let wrong = |wrong: String| format!("{name}, line {number}: {wrong}");
        if text.len() > CASSETTE_LINE_BYTES_MAX {
            return Err(wrong(format!("longer than {} MiB", CASSETTE_LINE_BYTES_MAX >> 20)));
        }
        if text.trim_ascii().is_empty() {
            whole = lines.at;
            continue;
        }
        match serde_json::from_slice::<Line>(text).map_err(|error| error.to_string()).and_then(checked) {
            Ok(Line::Model(exchange)) => {
                // What was compared is not needed any more, and it is much of what a file holds.
                let keys = Keys { request: Value::Null, ..Keys::read(&exchange) };
                exchanges.push(Recorded { line: number, exchange: Exchange { request: None, ..exchange }, keys });
            }
            Ok(Line::Tool(tool)) => tools.push(tool),
            Err(_) if !is_ended => break,
            Err(fault) => return Err(wrong(fault)),
        }
        whole = lines.at;
        if exchanges.len() + tools.len() > EXCHANGES_MAX {
            return Err(format!("{name} has more than {EXCHANGES_MAX} exchanges: record less into one file"));
        }
    }
    Ok(Cassette { name: name.to_owned(), header, exchanges, tools, bytes: whole })
}

/// The first line; none if it was not finished.
fn header(name: &str, (text, is_ended): (&[u8], bool)) -> Result<Option<Header>> {
    let no_cassette =
        || format!("{name} is no cassette: its first line does not begin with {{\"almCassette\":{FORMAT}");
    if text.len() > CASSETTE_LINE_BYTES_MAX {
        return Err(no_cassette());
    }
    // A later format may have another header.
    let format = match serde_json::from_slice::<Value>(text) {
        Ok(header) => header["almCassette"].as_u64().ok_or_else(no_cassette)?,
        Err(_) if !is_ended => return Ok(None),
        Err(_) => return Err(no_cassette()),
    };
    match format {
        FORMAT => serde_json::from_slice(text).map(Some).map_err(|_| no_cassette()),
        newer if newer > FORMAT => {
            Err(format!("{name} is cassette format {newer}, this alm knows {FORMAT}: use a newer alm"))
        }
        _ => Err(no_cassette()),
    }
}

/// A line as it has to be beyond its form.
fn checked(line: Line) -> Result<Line> {
    if let Line::Model(exchange) = &line {
        if exchange.model.is_empty() {
            return Err("its model has no name".into());
        }
        if exchange.body.iter().any(|(_, piece)| matches!(piece, Piece::Bytes { .. }) && piece.bytes().is_none()) {
            return Err("a piece of its body is no base64".into());
        }
    }
    if let Line::Tool(ToolExchange { output: None, error: None, .. }) = &line {
        return Err("it has neither an output nor an error".into());
    }
    Ok(line)
}

/// The lines of bytes, each with whether its end is there.
struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Lines<'a> {
    type Item = (&'a [u8], bool);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = &self.bytes[self.at..];
        if rest.is_empty() {
            return None;
        }
        let end = rest.iter().position(|byte| *byte == b'\n');
        let line = &rest[..end.unwrap_or(rest.len())];
        self.at += end.map_or(rest.len(), |end| end + 1);
        Some((line, end.is_some()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "{\"almCassette\":1,\"made\":\"2026-11-30T02:40:00Z\",\"by\":\"alm\"}\n";
    const ONE: &str = "{\"kind\":\"model\",\"id\":1,\"model\":\"m\",\"asked\":\"Hi\",\"body\":[[0,\"x\"]]}\n";
    const TOOL: &str = "{\"kind\":\"tool\",\"id\":2,\"name\":\"weather\",\"input\":{},\"output\":4}\n";

    fn of(text: &str) -> Result<Cassette> {
        parse("tour.jsonl", text.as_bytes())
    }

    #[test]
    fn a_file_is_read_with_its_models_and_what_was_not_finished_is_passed_over() {
        let whole = [HEADER, ONE, "\n", TOOL].concat();
        for cut in 0..ONE.len() - 2 {
            let read = of(&[&whole, &ONE[..cut]].concat()).unwrap_or_else(|error| panic!("{cut}: {error}"));
            assert_eq!((read.exchanges.len(), read.tools.len(), read.bytes), (1, 1, whole.len()), "{cut}");
        }
        let read = of(&[&whole, ONE.trim_end()].concat()).unwrap();
        assert_eq!((read.models(), read.len(), read.last_id()), (vec!["m"], 3, 2));
        assert_eq!((read.exchanges[1].line, &*read.exchanges[0].exchange.asked), (5, "Hi"));
    }

    #[test]
    fn what_is_no_cassette_is_refused_in_words() {
        let newer = "tour.jsonl is cassette format 2, this alm knows 1: use a newer alm";
        let no = "tour.jsonl is no cassette: its first line does not begin with {\"almCassette\":1";
        for (text, expected) in [
            ("", "tour.jsonl is empty: it is no cassette"),
            ("{\"almCassette\"", "tour.jsonl is empty: it is no cassette"),
            ("{\"almCassette\":2,\"made\":7}\n?", newer),
            ("{\"almCassette\":0}\n", no),
            ("{}\n", no),
            ("\u{7f}ELF\n", no),
            ("[1]\n", no),
        ] {
            assert_eq!(of(text).unwrap_err(), expected, "{text}");
        }
    }

    #[test]
    fn a_bad_line_is_refused_with_its_number() {
        let byte = "{\"kind\":\"model\",\"model\":\"m\",\"body\":[[0,{\"b64\":\"?\"}]]}";
        for (line, expected) in [
            ("{", "line 3: EOF"),
            ("{\"kind\":\"film\"}", "line 3: unknown variant `film`, expected `model` or `tool`"),
            ("{\"model\":\"m\"}", "line 3: missing field `kind`"),
            ("{\"kind\":\"model\"}", "line 3: missing field `model`"),
            ("{\"kind\":\"model\",\"model\":\"\"}", "line 3: its model has no name"),
            ("{\"kind\":\"tool\",\"name\":\"t\"}", "line 3: it has neither an output nor an error"),
            (byte, "line 3: a piece of its body is no base64"),
        ] {
            let error = of(&[HEADER, ONE, line, "\n", ONE].concat()).unwrap_err();
            assert!(error.starts_with("tour.jsonl, ") && error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_file_has_so_many_exchanges_lines_so_many_bytes() {
        for count in [EXCHANGES_MAX - 1, EXCHANGES_MAX, EXCHANGES_MAX + 1] {
            let read = of(&[HEADER, &TOOL.repeat(count)].concat());
            assert_eq!(read.is_ok(), count <= EXCHANGES_MAX, "{count}");
        }
        for bytes in [CASSETTE_LINE_BYTES_MAX - 1, CASSETTE_LINE_BYTES_MAX, CASSETTE_LINE_BYTES_MAX + 1] {
            let line = format!("{}{}", TOOL.trim_end(), " ".repeat(bytes - TOOL.trim_end().len()));
            let read = of(&[HEADER, &line, "\n"].concat());
            assert_eq!(
                read.map_err(|error| error.contains("line 2: longer than 4 MiB")).is_ok(),
                bytes <= CASSETTE_LINE_BYTES_MAX
            );
        }
    }

    #[test]
    fn a_file_is_read_up_to_its_bytes_and_what_is_no_file_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tour.jsonl");
        for bytes in [CASSETTE_BYTES_MAX - 1, CASSETTE_BYTES_MAX, CASSETTE_BYTES_MAX + 1] {
            std::fs::write(&path, HEADER).unwrap();
            OpenOptions::new().write(true).open(&path).unwrap().set_len(bytes as u64).unwrap();
            let read = read_bytes(&File::open(&path).unwrap(), "tour.jsonl");
            assert_eq!(read.is_ok(), bytes <= CASSETTE_BYTES_MAX, "{bytes}");
        }
        let pipe = folder.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
        for (path, expected) in [
            (pipe.as_path(), "pipe: is not a file"),
            (folder.path(), "is not a file"),
            (Path::new("/dev/null"), "null: is not a file"),
            (&folder.path().join("none"), "none: No such file"),
        ] {
            let error = read(path).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
