//! Text for people: numbers, tables, and what is wrong with a flag; and what people write: secrets, prices, durations.

use std::{
    fs::File,
    io::{IsTerminal, Read, stdin},
    path::Path,
    time::Duration,
};

use super::terminal::answered;
use crate::{
    error::{Error, Invalid, Result},
    money::Pricing,
    secret::trimmed,
    store::file::OpenFolder,
};

/// What is wrong with a field, said of the flag that it came from: `baseUrl` and `base_url` are `--base-url`.
pub fn as_flags(error: Error) -> Error {
    let Error::Invalid(mut fields) = error else { return error };
    for Invalid { field, message } in &mut fields {
        // Where one field's words point to another.
        *message = message.replace("apiKey", "--api-key-file");
        let words = field.replace('_', "-");
        let words =
            words.chars().flat_map(|c| c.is_ascii_uppercase().then_some('-').into_iter().chain(c.to_lowercase()));
        *field = format!("--{}", words.collect::<String>());
    }
    Error::Invalid(fields)
}

/// Longest file with a secret, in bytes: a pipe or a device may have no end.
const SECRET_FILE_BYTES_MAX: u64 = 64 * 1_024;

/// The secret in a file, without the mark at its start and the line end that editors leave. `-` is standard input, where a person is
/// asked, and sees nothing of what is typed.
pub fn read_secret(file: &Path) -> Result<String> {
    let mut text = String::new();
    let from = stdin();
    let read = match file.to_str() {
        Some("-") if from.is_terminal() => {
            text = answered("Password or key (not shown): ", true).unwrap_or_default();
            Ok(text.len())
        }
        Some("-") => from.take(SECRET_FILE_BYTES_MAX + 1).read_to_string(&mut text),
        _ => File::open(file).and_then(|file| file.take(SECRET_FILE_BYTES_MAX + 1).read_to_string(&mut text)),
    };
    let bytes = read.map_err(|error| Error::failed(format!("cannot read {}: {error}", file.display())))?;
    if bytes as u64 > SECRET_FILE_BYTES_MAX {
        return Err(Error::failed(format!("{} is longer than {SECRET_FILE_BYTES_MAX} bytes", file.display())));
    }
    match text.trim_start_matches('\u{feff}').trim_end_matches(['\r', '\n']) {
        "" => Err(Error::failed(format!("{} is empty", file.display()))),
        secret => Ok(secret.to_owned()),
    }
}

/// Longest file that is read whole, in bytes.
const TEXT_FILE_BYTES_MAX: u64 = 4 * 1_024 * 1_024;

/// The text of a file; `-` is standard input.
pub fn read_text(file: &Path) -> Result<String> {
    let mut text = String::new();
    let read = match file.to_str() {
        Some("-") => std::io::stdin().take(TEXT_FILE_BYTES_MAX + 1).read_to_string(&mut text),
        _ => File::open(file).and_then(|file| file.take(TEXT_FILE_BYTES_MAX + 1).read_to_string(&mut text)),
    };
    let bytes = read.map_err(|error| Error::failed(format!("cannot read {}: {error}", file.display())))?;
    if bytes as u64 > TEXT_FILE_BYTES_MAX {
        return Err(Error::failed(format!("{} is longer than {TEXT_FILE_BYTES_MAX} bytes", file.display())));
    }
    Ok(text)
}

/// A text on one line, with at most so many characters.
pub fn shortened(text: &str, chars_max: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(chars_max) {
        Some((at, _)) => format!("{}…", line[..at].trim_end()),
        None => line,
    }
}

/// What is wrong with a folder that others may write to.
pub fn others_may_write(open: &OpenFolder) -> String {
    let folder = open.path.display();
    match open.owner {
        None => format!(
            "other users can write to {folder}, and put another database or key there: run `chmod go-w {folder}`"
        ),
        Some(owner) => format!(
            "{folder} belongs to user {owner}, who can put another database or key there: choose another folder, or change its owner with chown"
        ),
    }
}

/// Whether a terminal obeys it, or shows what follows in another order.
pub fn is_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text that a terminal shows and does not obey.
pub fn clean(text: &str) -> String {
    text.chars().map(|c| if is_control(c) && !matches!(c, '\n' | '\t') { '·' } else { c }).collect()
}

/// The key in a file, without what surrounds it.
pub fn read_key(file: &Path) -> Result<String> {
    let text = read_secret(file)?;
    match trimmed(&text) {
        "" => Err(Error::failed(format!("{} is empty", file.display()))),
        key => Ok(key.to_owned()),
    }
}

/// A price in US dollars per million tokens: `IN/OUT`.
pub fn parse_price(text: &str) -> Result<Pricing> {
    let parse = |text: &str| text.parse().map_err(|error| Error::invalid("--price", format!("{error}")));
    let (input, output) =
        text.split_once('/').ok_or_else(|| Error::invalid("--price", "must be IN/OUT, such as 0.15/0.60"))?;
    Ok(Pricing { input: parse(input)?, output: parse(output)?, cached_input: None })
}

/// How long, as people write it.
pub fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text.trim()).map_err(|_| "must be a duration, such as 90d, 12h or 30s".to_owned())
}

/// A word as a shell takes it.
pub fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A number of bytes, for people.
pub fn size_text(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    let (mut size, mut unit) = (bytes as f64 / 1e3, 0);
    while size >= 1e3 && unit + 1 < UNITS.len() {
        (size, unit) = (size / 1e3, unit + 1);
    }
    format!("{size:.1} {}", UNITS[unit])
}

/// How many there are of something, for people.
pub fn count_text(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Rows in columns, for people.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([head[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let body = rows.iter().map(|row| line(row.iter().map(String::as_str).collect()));
    std::iter::once(line(head.to_vec())).chain(body).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        for (bytes, text) in
            [(0, "0.0 kB"), (999_900, "999.9 kB"), (302_518_272, "302.5 MB"), (u64::MAX, "18446744.1 TB")]
        {
            assert_eq!(size_text(bytes), text);
        }
        assert_eq!((count_text(1, "turn"), count_text(0, "turn")), ("1 turn".into(), "0 turns".into()));
    }

    #[test]
    fn a_secret_is_what_an_editor_leaves_of_its_file_and_no_longer_than_its_bound() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        let read = |text: &str| {
            std::fs::write(&file, text).unwrap();
            read_secret(&file).map_err(|error| error.to_string())
        };
        for text in ["pass word", "pass word\n", "pass word\r\n", "\u{feff}pass word\n\n"] {
            assert_eq!(read(text).unwrap(), "pass word");
        }
        for text in ["", "\r\n", "\u{feff}\n"] {
            assert!(read(text).unwrap_err().ends_with("is empty"));
        }
        let max = SECRET_FILE_BYTES_MAX as usize;
        assert!(read(&"x".repeat(max - 1)).is_ok() && read(&"x".repeat(max)).is_ok());
        assert!(read(&"x".repeat(max + 1)).unwrap_err().contains("longer"));
        assert!(read_secret(Path::new("/dev/zero")).is_err());
    }

    #[test]
    fn a_file_is_read_up_to_its_bound() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        for (bytes, fits) in
            [(TEXT_FILE_BYTES_MAX - 1, true), (TEXT_FILE_BYTES_MAX, true), (TEXT_FILE_BYTES_MAX + 1, false)]
        {
            std::fs::write(&file, "x".repeat(bytes as usize)).unwrap();
            assert_eq!(read_text(&file).is_ok(), fits, "{bytes}");
        }
        assert!(read_text(&folder.path().join("none")).unwrap_err().to_string().contains("none"));
    }

    #[test]
    fn a_duration_is_read_as_people_write_it_or_refused_with_an_example() {
        assert_eq!(duration(" 90d").unwrap(), Duration::from_secs(90 * 24 * 60 * 60));
        for wrong in ["never", "", "90", "-1d", "90 d d"] {
            assert_eq!(duration(wrong).unwrap_err(), "must be a duration, such as 90d, 12h or 30s", "{wrong}");
        }
    }

    #[test]
    fn a_word_is_quoted_where_a_shell_would_change_it() {
        for (text, word) in [
            ("/srv/alm", "/srv/alm"),
            ("/my data", "'/my data'"),
            ("it's $HOME", r"'it'\''s $HOME'"),
            ("", "''"),
            ("ä", "'ä'"),
        ] {
            assert_eq!(shell_word(text), word);
        }
    }

    #[test]
    fn a_text_is_shortened_to_a_line() {
        for (text, short) in
            [("a\n  b", "a b"), ("abcd", "abcd"), ("abcde", "abcd…"), ("abc de", "abc…"), ("ééééé", "éééé…"), ("", "")]
        {
            assert_eq!(shortened(text, 4), short);
        }
    }

    #[test]
    fn a_table_lines_up() {
        let rows = [vec!["a".into(), "long cell".into()], vec!["bcd".into(), "x".into()]];
        assert_eq!(table(&["K", "V"], &rows), "K    V\na    long cell\nbcd  x");
    }
}
