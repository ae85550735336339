//! URLs with places for a call's input: `{name}` in path segments and query values, `{?a,b}` and `{&a,b}` for pairs of a query.
//!
//! Rule: what is filled in is percent-encoded, all but the unreserved characters, so it never leaves its segment or value; and a
//! segment never becomes `.`, `..` or empty, which would be another path. Scheme, host and port have no places: where a request goes
//! is its owner's to say, and never a model's.

use std::fmt::Write;

use serde_json::{Map, Value};

/// Longest name of a place, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// A URL with places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// Scheme, host and port.
    origin: String,
    /// What lies between the slashes of the path, from the first slash on.
    segments: Vec<Vec<Piece>>,
    query: Vec<Pair>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Place(String),
}

/// One pair of a query, or what stands in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Pair {
    /// As it is written; nothing in it is filled in.
    Text(String),
    /// `key=…` with places in its value.
    Value { key: String, value: Vec<Piece> },
    /// `{?a}`: a pair if there is a value, else nothing.
    Optional(String),
}

impl Template {
    /// Reads a template; the error says what it must be.
    pub fn parse(text: &str) -> Result<Self, String> {
        let behind_scheme = text.find("://").map(|at| at + 3).ok_or("must be an http:// or https:// URL")?;
        // `{?` begins a query as well, and may stand right behind the host.
        let ends = ["/", "?", "{?"].map(|end| text[behind_scheme..].find(end));
        let ends_at = ends.into_iter().flatten().min().map_or(text.len(), |at| behind_scheme + at);
        let (origin, rest) = text.split_at(ends_at);
        if origin.contains(['{', '}']) {
            return Err("must have its scheme, host and port fixed: places are for paths and queries".into());
        }
        let query_at = [rest.find('?'), rest.find("{?")].into_iter().flatten().min().unwrap_or(rest.len());
        let (path, query) = rest.split_at(query_at);
        let segments = path.split('/').skip(1).map(pieces).collect::<Result<_, _>>()?;
        Ok(Template { origin: origin.to_owned(), segments, query: pairs(query)? })
    }

    /// The names of its places.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let in_path = self.segments.iter().flatten().filter_map(Piece::place);
        let in_query = self.query.iter().flat_map(|pair| match pair {
            Pair::Text(_) => Vec::new(),
            Pair::Value { value, .. } => value.iter().filter_map(Piece::place).collect(),
            Pair::Optional(name) => vec![name.as_str()],
        });
        in_path.chain(in_query)
    }

    /// The URL for an input, with further pairs behind its query; the error names what of the input does not fit.
    pub fn expand(&self, input: &Map<String, Value>, further: &[(&str, &Value)]) -> Result<String, String> {
        let mut url = self.origin.clone();
        for segment in &self.segments {
            url.push('/');
            url.push_str(&filled_segment(segment, input)?);
        }
        let mut query = Vec::new();
        for pair in &self.query {
            match pair {
                Pair::Text(text) => query.push(text.clone()),
                Pair::Value { key, value } => filled_pairs(&mut query, key, value, input)?,
                Pair::Optional(name) => push_pairs(&mut query, name, input.get(name))?,
            }
        }
        for (name, value) in further {
            push_pairs(&mut query, name, Some(value))?;
        }
        if !query.is_empty() {
            url.push('?');
            url.push_str(&query.join("&"));
        }
        Ok(url)
    }
}

impl Piece {
    fn place(&self) -> Option<&str> {
        match self {
            Piece::Text(_) => None,
            Piece::Place(name) => Some(name),
        }
    }
}

/// Pairs as a form holds them; the error names what does not fit.
pub fn form(pairs: &[(&str, &Value)]) -> Result<String, String> {
    let mut form = Vec::new();
    for (name, value) in pairs {
        push_pairs(&mut form, name, Some(value))?;
    }
    Ok(form.join("&"))
}

/// A text with `{name}` in it.
fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    let (mut pieces, mut rest) = (Vec::new(), text);
    while let Some((before, behind)) = rest.split_once('{') {
        let (name, behind) = behind.split_once('}').ok_or_else(|| format!("has a {{ without }} in {text}"))?;
        push_text(&mut pieces, before)?;
        pieces.push(Piece::Place(place(name)?));
        rest = behind;
    }
    push_text(&mut pieces, rest)?;
    Ok(pieces)
}

fn push_text(pieces: &mut Vec<Piece>, text: &str) -> Result<(), String> {
    if text.contains('}') {
        return Err(format!("has a }} without {{ in {text}"));
    }
    if !text.is_empty() {
        pieces.push(Piece::Text(text.to_owned()));
    }
    Ok(())
}

fn place(name: &str) -> Result<String, String> {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    match (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(known) {
        true => Ok(name.to_owned()),
        false => Err(format!("has {{{name}}}: places are {{name}}, and in queries {{?a,b}} and {{&a,b}}")),
    }
}

/// What follows the path: `?…` or `{?…}`, then pairs.
fn pairs(text: &str) -> Result<Vec<Pair>, String> {
    let mut pairs = Vec::new();
    let mut rest = match text.strip_prefix("{?") {
        Some(list) => optional_pairs(&mut pairs, list)?,
        None => text.strip_prefix('?').unwrap_or(text),
    };
    while !rest.is_empty() {
        if let Some(list) = rest.strip_prefix("{&") {
            rest = optional_pairs(&mut pairs, list)?;
            continue;
        }
        let pair;
        rest = rest.strip_prefix('&').unwrap_or(rest);
        (pair, rest) = rest.split_at(pair_bytes(rest));
        if !pair.is_empty() {
            pairs.push(pair_of(pair)?);
        }
    }
    Ok(pairs)
}

/// The names of `{?…}` or `{&…}` behind its beginning; returns what follows.
fn optional_pairs<'a>(pairs: &mut Vec<Pair>, list: &'a str) -> Result<&'a str, String> {
    let (names, rest) = list.split_once('}').ok_or("has a { without }")?;
    for name in names.split(',') {
        pairs.push(Pair::Optional(place(name)?));
    }
    Ok(rest)
}

/// Where the first pair ends: at a `&` that is in no place, or before `{&`.
fn pair_bytes(text: &str) -> usize {
    let mut is_inside = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' if text[at..].starts_with("{&") => return at,
            b'&' if !is_inside => return at,
            b'{' => is_inside = true,
            b'}' => is_inside = false,
            _ => {}
        }
    }
    text.len()
}

fn pair_of(text: &str) -> Result<Pair, String> {
    let Some((key, value)) = text.split_once('=').filter(|(_, value)| value.contains(['{', '}'])) else {
        if text.contains(['{', '}']) {
            return Err(format!("has a place in {text}, which is no value: write key={{name}} or {{&name}}"));
        }
        return Ok(Pair::Text(text.to_owned()));
    };
    if key.contains(['{', '}']) {
        return Err(format!("has a place in the name of {text}: places are for values"));
    }
    Ok(Pair::Value { key: key.to_owned(), value: pieces(value)? })
}

fn filled_segment(segment: &[Piece], input: &Map<String, Value>) -> Result<String, String> {
    let mut filled = String::new();
    for piece in segment {
        match piece {
            Piece::Text(text) => filled.push_str(text),
            Piece::Place(name) => {
                let value = input.get(name).filter(|value| !value.is_null());
                let value = value.ok_or_else(|| format!("{name}: is required in the URL"))?;
                filled.push_str(&encoded(&scalar(name, value)?));
            }
        }
    }
    let names = || segment.iter().filter_map(Piece::place).collect::<Vec<_>>().join(", ");
    // What servers read as dots: an encoded one is one to many.
    match filled.to_ascii_lowercase().replace("%2e", ".").as_str() {
        "" | "." | ".." if !names().is_empty() => Err(format!("{}: must not be empty, \".\" or \"..\"", names())),
        _ => Ok(filled),
    }
}

/// `key=…` with places; where a place is all of the value, a list makes a pair of each of its values.
fn filled_pairs(query: &mut Vec<String>, key: &str, value: &[Piece], input: &Map<String, Value>) -> Result<(), String> {
    if let [Piece::Place(name)] = value
        && let Some(Value::Array(values)) = input.get(name)
    {
        for value in values {
            query.push(format!("{key}={}", encoded(&scalar(name, value)?)));
        }
        return Ok(());
    }
    let mut filled = format!("{key}=");
    for piece in value {
        match piece {
            Piece::Text(text) => filled.push_str(text),
            Piece::Place(name) => {
                if let Some(value) = input.get(name).filter(|value| !value.is_null()) {
                    filled.push_str(&encoded(&scalar(name, value)?));
                }
            }
        }
    }
    query.push(filled);
    Ok(())
}

/// A pair for a value, one for each value of a list, none for nothing.
fn push_pairs(pairs: &mut Vec<String>, name: &str, value: Option<&Value>) -> Result<(), String> {
    let values = match value {
        None | Some(Value::Null) => &[],
        Some(Value::Array(values)) => values.as_slice(),
        Some(value) => std::slice::from_ref(value),
    };
    for value in values {
        pairs.push(format!("{}={}", encoded(name), encoded(&scalar(name, value)?)));
    }
    Ok(())
}

fn scalar(name: &str, value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(is) => Ok(is.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            Err(format!("{name}: must be a string, a number or a boolean here"))
        }
    }
}

/// Everything but unreserved characters as `%XX`.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut encoded, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(byte as char),
            _ => write!(encoded, "%{byte:02X}").expect("a string takes what is written"),
        }
        encoded
    })
}

#[cfg(test)]
mod tests;
