//! Patterns of JSON Schema, which are JavaScript's, as this program's pattern engine reads them.
//!
//! Rule: they run in linear time. What only a slower engine can do (a look around, a reference back) is refused.

use regex::{Regex, RegexBuilder};

/// Bytes that a compiled pattern may take.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// A pattern, ready to match.
pub fn compile(pattern: &str) -> Result<Regex, String> {
    let built = RegexBuilder::new(&translated(pattern)).size_limit(PATTERN_BYTES_MAX).build();
    built.map_err(|_| format!("the pattern {pattern}, which cannot be read"))
}

/// In JavaScript digits and word characters are ASCII, and in a class a bracket or a doubled sign is only itself.
fn translated(pattern: &str) -> String {
    let mut text = String::with_capacity(pattern.len());
    let (mut chars, mut in_class) = (pattern.chars().peekable(), false);
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('d') => text.push_str("[0-9]"),
                Some('D') => text.push_str("[^0-9]"),
                Some('w') => text.push_str("[A-Za-z0-9_]"),
                Some('W') => text.push_str("[^A-Za-z0-9_]"),
                Some('c') => {
                    text.push_str(&chars.next().map(|c| format!("\\x{:02x}", c as u32 & 31)).unwrap_or_default());
                }
                Some('u') if chars.peek() != Some(&'{') => text.push_str("\\u"),
                // A letter that means nothing is refused by the engine; every other sign stands for itself.
                Some(c) => text.extend(['\\', c]),
                None => text.push('\\'),
            },
            '[' if in_class => text.push_str("\\["),
            '&' | '~' if in_class => text.extend(['\\', c]),
            '-' if in_class && chars.peek() == Some(&'-') => text.push_str("\\-"),
            '[' => {
                in_class = true;
                text.push('[');
                if chars.peek() == Some(&'^') {
                    text.extend(chars.next());
                }
            }
            ']' => {
                in_class = false;
                text.push(']');
            }
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_means_what_it_means_in_javascript() {
        for (pattern, text, fits) in [
            (r"^\d+$", "१२", false),
            (r"^\d+$", "12", true),
            (r"^[\w.-]+@[^\W_]+$", "a.b-c@d", true),
            (r"^\w$", "é", false),
            ("^[[&&a]$", "[", true),
            (r"^\/\u00e9\cA$", "/é\u{1}", true),
            ("b", "abc", true),
        ] {
            assert_eq!(compile(pattern).unwrap().is_match(text), fits, "{pattern} {text}");
        }
    }

    #[test]
    fn a_pattern_takes_so_many_bytes() {
        let of = |times: usize| compile(&format!("[a-z]{{{times}}}"));
        assert!(of(1_000).is_ok());
        assert!(of(1_000_000).is_err(), "{PATTERN_BYTES_MAX}");
        assert!(compile("(?:a(?:b").is_err());
    }
}
