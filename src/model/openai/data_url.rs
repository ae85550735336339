//! Files that travel inside their URL.
//!
//! Rule: what cannot be read is none; the caller says so to the model.

/// The payload of a `data:` URL and whether it is base64.
fn payload(url: &str) -> Option<(&str, bool)> {
    let (head, payload) = url.strip_prefix("data:")?.split_once(',')?;
    Some((payload, head.ends_with(";base64")))
}

/// The payload of a base64 `data:` URL, still in base64.
pub(super) fn base64(url: &str) -> Option<&str> {
    payload(url).and_then(|(payload, is_base64)| is_base64.then_some(payload))
}

/// The text in a `data:` URL.
pub(super) fn text(url: &str) -> Option<String> {
    let (payload, is_base64) = payload(url)?;
    let bytes = if is_base64 { decode_base64(payload)? } else { decode_percent(payload) };
    String::from_utf8(bytes).ok()
}

/// Both alphabets, padded or not: clients send either.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 3);
    let (mut bits, mut count) = (0u32, 0);
    for digit in text.trim_end_matches('=').bytes().filter(|byte| !byte.is_ascii_whitespace()) {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        (bits, count) = (bits << 6 | u32::from(value), count + 6);
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    Some(bytes)
}

fn decode_percent(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let escaped = (first == b'%').then(|| tail.get(..2)).flatten();
        let byte = escaped.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(byte.unwrap_or(first));
        rest = if byte.is_some() { &tail[2..] } else { tail };
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_from_base64_and_from_percent_escapes() {
        for (url, expected) in [
            ("data:text/plain;base64,aMOpISE=", Some("hé!!")),
            ("data:text/plain;base64,aMOpISE", Some("hé!!")),
            ("data:text/plain;charset=utf-8;base64,Pz8-Pw==", Some("??>?")),
            ("data:,a%20b%C3%A9%zz", Some("a bé%zz")),
            ("data:text/plain;base64,/w==", None),
            ("data:text/plain;base64,a*b", None),
            ("https://example.com/a.txt", None),
        ] {
            assert_eq!(text(url).as_deref(), expected, "{url}");
        }
    }
}
