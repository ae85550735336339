//! A file of Rust as the checks read it: what is a comment, a text or a test is blanked, and every byte keeps its place.
//!
//! Deliberately absent: a real parser. What is found is found by words, braces and paths.

use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
};

/// A file, below the folder of the package.
#[derive(Debug)]
pub struct Source {
    pub path: PathBuf,
    pub text: String,
    /// Without comments and the insides of texts.
    pub bare: String,
    /// The same without what is compiled for tests alone.
    pub code: String,
}

impl Source {
    pub fn new(path: impl Into<PathBuf>, text: &str) -> Self {
        let bare = blanked(text, true);
        let code = without_tests(&bare, &bare);
        Source { path: path.into(), text: text.to_owned(), bare, code }
    }

    /// Its code with the insides of texts.
    pub fn code_with_texts(&self) -> String {
        without_tests(&blanked(&self.text, false), &self.bare)
    }

    /// What is compiled for tests alone, with the insides of texts.
    pub fn tests(&self) -> String {
        let with_texts = blanked(&self.text, false);
        if self.path.starts_with("tests") || self.path.ends_with("tests.rs") {
            return with_texts;
        }
        let mut out = with_texts.into_bytes();
        let mut from = 0;
        for item in test_items(&self.bare) {
            blank_out(&mut out, from..item.start);
            from = item.end;
        }
        blank_out(&mut out, from..self.text.len());
        String::from_utf8(out).unwrap()
    }

    /// `file:line` of a byte.
    pub fn at(&self, offset: usize) -> String {
        format!("{}:{}", self.path.display(), line_of(&self.text, offset))
    }

    /// `file:line` of each place where a text holds a word.
    pub fn all_at(&self, text: &str, word: &str) -> Vec<String> {
        text.match_indices(word).map(|(offset, _)| self.at(offset)).collect()
    }
}

/// The line of a byte, from 1.
pub fn line_of(text: &str, offset: usize) -> usize {
    text[..offset].matches('\n').count() + 1
}

/// The folder of the package.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file of that extension below folders of the package that are there, by path.
pub fn files(folders: &[&str], extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders: Vec<_> = folders.iter().map(PathBuf::from).filter(|folder| root().join(folder).is_dir()).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).unwrap() {
            let path = folder.join(entry.unwrap().file_name());
            if root().join(&path).is_dir() {
                if !path.ends_with("node_modules") && !path.ends_with("target") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|known| known == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The same, read.
pub fn sources(folders: &[&str]) -> Vec<Source> {
    let read = |path: PathBuf| Source::new(&path, &fs::read_to_string(root().join(&path)).unwrap());
    let read: Vec<_> = files(folders, "rs").into_iter().map(read).collect();
    assert!(!read.is_empty(), "{folders:?} hold no Rust");
    read
}

/// Text whose comments, and texts if `texts`, are spaces.
fn blanked(text: &str, texts: bool) -> String {
    let mut out = text.as_bytes().to_vec();
    let mut at = 0;
    while at < text.len() {
        let (end, blank) = match token(&text[at..], at > 0 && is_word(text.as_bytes()[at - 1])) {
            Token::Comment(length) => (at + length, Some(at..at + length)),
            Token::Text { open, length, close } => (at + length, texts.then(|| at + open..at + length - close)),
            Token::Other(length) => (at + length, None),
        };
        blank_out(&mut out, blank.unwrap_or(0..0));
        at = end;
    }
    String::from_utf8(out).unwrap()
}

fn blank_out(bytes: &mut [u8], range: Range<usize>) {
    for byte in &mut bytes[range] {
        if *byte != b'\n' {
            *byte = b' ';
        }
    }
}

enum Token {
    Comment(usize),
    /// With the lengths of what opens and closes it.
    Text {
        open: usize,
        length: usize,
        close: usize,
    },
    Other(usize),
}

/// What a text begins with; `inside`: a word goes on.
fn token(rest: &str, inside: bool) -> Token {
    let to = |end: &str, from: usize| rest[from..].find(end).map_or(rest.len(), |found| from + found);
    if rest.starts_with("//") {
        return Token::Comment(to("\n", 0));
    }
    if rest.starts_with("/*") {
        return Token::Comment((to("*/", 2) + 2).min(rest.len()));
    }
    let raw = rest.trim_start_matches('b').trim_start_matches('r').trim_start_matches('#');
    let open = rest.len() - raw.len();
    if !inside && rest[..open].contains('r') && raw.starts_with('"') {
        let close = format!("\"{}", "#".repeat(rest[..open].matches('#').count()));
        let length = to(&close, open + 1) + close.len();
        return Token::Text { open: open + 1, length, close: close.len() };
    }
    if rest.starts_with('"') {
        return Token::Text { open: 1, length: quoted(rest, b'"'), close: 1 };
    }
    // A lifetime has no second quote where a character has it.
    let mut chars = rest.chars();
    if chars.next() == Some('\'') && (chars.next() == Some('\\') || chars.next() == Some('\'')) {
        return Token::Text { open: 1, length: quoted(rest, b'\''), close: 1 };
    }
    Token::Other(rest.chars().next().map_or(1, char::len_utf8))
}

/// The length of a text in quotes, both of them counted.
fn quoted(rest: &str, quote: u8) -> usize {
    let bytes = rest.as_bytes();
    let mut at = 1;
    while at < bytes.len() && bytes[at] != quote {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

/// Text without what stands below `#[cfg(test)]`, which is looked for in its bare form.
fn without_tests(text: &str, bare: &str) -> String {
    let mut out = text.as_bytes().to_vec();
    test_items(bare).for_each(|item| blank_out(&mut out, item));
    String::from_utf8(out).unwrap()
}

/// What stands below `#[cfg(test)]`, item by item.
fn test_items(bare: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    bare.match_indices("#[cfg(test)]").map(|(at, gate)| at..item_end(bare, at + gate.len()))
}

/// Where the item ends that begins here: at its `;`, or at the brace that closes it.
pub fn item_end(bare: &str, from: usize) -> usize {
    let mut depth = 0;
    for (at, byte) in bare.bytes().enumerate().skip(from) {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' => depth -= 1,
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            b';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    bare.len()
}

/// Whether a byte can stand in a word.
pub fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

#[test]
fn comments_texts_and_tests_are_no_code_and_lines_stay() {
    let text = concat!(
        "fn f<'a>(x: &'a str) { g('{', \"}\\\"\", r#\"a\"b\"#) } // h()\n",
        "#[cfg(test)]\nuse x::y;\n#[cfg(test)]\nmod tests {\n    fn t() {}\n}\nfn last() {}\n",
    );
    let source = Source::new("x.rs", text);
    assert_eq!(source.code.lines().next().unwrap().trim_end(), "fn f<'a>(x: &'a str) { g(' ', \"   \", r#\"   \"#) }");
    assert_eq!(
        source.code.split_whitespace().skip(8).collect::<Vec<_>>(),
        ["\",", "r#\"", "\"#)", "}", "fn", "last()", "{}"]
    );
    assert_eq!(source.at(source.code.find("last").unwrap()), "x.rs:8");
    let tests = source.tests();
    assert_eq!(
        tests.split_whitespace().collect::<Vec<_>>().join(" "),
        "#[cfg(test)] use x::y; #[cfg(test)] mod tests { fn t() {} }"
    );
    assert_eq!(source.at(tests.find("fn t").unwrap()), "x.rs:6");
    assert!(source.code_with_texts().contains("r#\"a\"b\"#"));
}
