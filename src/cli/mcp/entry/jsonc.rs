//! JSON as editors write it: with comments, with a comma after the last element, with a mark at its start.

/// The same as JSON. Line and column of everything stay as they are.
pub fn to_json(text: &str) -> String {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut plain = without_comments(text).into_bytes();
    let mut comma = None;
    let mut in_text = false;
    let mut at = 0;
    while at < plain.len() {
        match plain[at] {
            b'\\' if in_text => at += 1,
            b'"' => (in_text, comma) = (!in_text, None),
            _ if in_text => {}
            b',' => comma = Some(at),
            b'}' | b']' => {
                if let Some(comma) = comma.take() {
                    plain[comma] = b' ';
                }
            }
            byte if byte.is_ascii_whitespace() => {}
            _ => comma = None,
        }
        at += 1;
    }
    // Only ASCII was put in the place of ASCII.
    String::from_utf8_lossy(&plain).into_owned()
}

/// Comments become spaces; their line breaks stay.
fn without_comments(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let end = match next {
            '"' => text_end(rest),
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            _ => next.len_utf8(),
        };
        let (piece, after) = rest.split_at(end);
        if piece.starts_with("//") || piece.starts_with("/*") {
            plain.extend(piece.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        } else {
            plain.push_str(piece);
        }
        rest = after;
    }
    plain
}

/// Where the text ends that begins here.
fn text_end(rest: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in rest.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn comments_and_last_commas_are_no_part_of_it_and_texts_stay() {
        let text = "\u{feff}// first\n{ /* a\n b */ \"u\": \"http://x/*y*/\", // ü\n \"q\": \"a\\\",]//\", \"l\": [1, 2,\n ], }\n// end";
        let read: Value = serde_json::from_str(&to_json(text)).unwrap();
        assert_eq!(read, json!({ "u": "http://x/*y*/", "q": "a\",]//", "l": [1, 2] }));
    }

    #[test]
    fn what_is_wrong_is_wrong_at_its_place() {
        let error = serde_json::from_str::<Value>(&to_json("{ // one\n /* two\n three */ \"a\": ? }")).unwrap_err();
        assert_eq!((error.line(), error.column()), (3, 16));
        for text in ["{,}x", "[1,,]", "\"open", "/* open", "{\"a\":\"\\", ""] {
            assert!(serde_json::from_str::<Value>(&to_json(text)).is_err(), "{text}");
        }
    }
}
