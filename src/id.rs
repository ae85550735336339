//! Names of things: UUIDv7 text for ours, bounded visible text for the client's.
//!
//! Rule: an id says nothing about who may see the thing. Scope is the store's business.

use unicode_normalization::UnicodeNormalization;

use crate::error::{Error, Result};

/// Longest id a client may make up, in characters.
pub const CLIENT_ID_CHARS_MAX: usize = 128;
/// Longest slug, in characters.
pub const SLUG_CHARS_MAX: usize = 64;
/// Longest e-mail address, in bytes.
pub const EMAIL_BYTES_MAX: usize = 254;

/// First words of the server's own paths: an organization's pages live below its slug.
const RESERVED_SLUGS: [&str; 31] = [
    "admin",
    "alm",
    "api",
    "app",
    "assets",
    "auth",
    "chat",
    "completions",
    "docs",
    "embeddings",
    "favicon",
    "health",
    "healthz",
    "help",
    "invite",
    "livez",
    "login",
    "logout",
    "mcp",
    "metrics",
    "models",
    "new",
    "openapi",
    "page",
    "pages",
    "readyz",
    "responses",
    "robots",
    "setup",
    "static",
    "v1",
];

/// A new id. Later ids sort after earlier ones, so they are kind to an index.
pub fn generate() -> String {
    uuid::Uuid::now_v7().to_string()
}

/// Accepts an id the client made up, as `useChat` does for chats and messages.
pub fn check_client_id(field: &str, id: &str) -> Result<()> {
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
    if (1..=CLIENT_ID_CHARS_MAX).contains(&id.chars().count()) && id.chars().all(known) {
        return Ok(());
    }
    Err(Error::invalid(field, "must be 1 to 128 characters out of A-Z a-z 0-9 _ - . :"))
}

/// Accepts a slug: lower-case words joined by single hyphens.
pub fn check_slug(field: &str, slug: &str) -> Result<()> {
    let word = |w: &str| !w.is_empty() && w.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if is_uuid(slug) {
        return Err(Error::invalid(field, "must not be a UUID, which is an id"));
    }
    if slug.len() <= SLUG_CHARS_MAX && slug.split('-').all(word) {
        return Ok(());
    }
    Err(Error::invalid(
        field,
        "must be 1 to 64 characters: lower-case letters and digits, words joined by single hyphens",
    ))
}

/// Whether a text is an id as we make them. What is called so could be taken for another thing.
fn is_uuid(text: &str) -> bool {
    uuid::Uuid::try_parse(text).is_ok()
}

/// Accepts a slug that an organization may have. Every way to create one comes through here.
pub fn check_org_slug(field: &str, slug: &str) -> Result<()> {
    check_slug(field, slug)?;
    if RESERVED_SLUGS.contains(&slug) {
        return Err(Error::invalid(field, format!("{slug} is reserved for the server's own pages: choose another")));
    }
    Ok(())
}

/// Accepts what could be an e-mail address. Only a letter to it could show whether it is one.
pub fn check_email(field: &str, email: &str) -> Result<()> {
    let has_both = email.split_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty());
    if has_both && email.len() <= EMAIL_BYTES_MAX && !email.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Ok(());
    }
    Err(Error::invalid(field, "must be an e-mail address of at most 254 bytes"))
}

/// An e-mail address as it is kept and looked for: without the white space around it, and in one form, however it was typed.
pub fn plain_email(email: &str) -> String {
    email.trim().nfc().collect()
}

/// The same as it may be kept in a file of before: in that form, as it was typed, or with its accents apart.
pub fn forms_of_email(email: &str) -> [String; 3] {
    [plain_email(email), email.to_owned(), email.trim().nfd().collect()]
}

/// The slug a name suggests; `fallback` where the name holds nothing a slug can.
pub fn slug_from_name(name: &str, fallback: &str) -> String {
    let lower = name.nfc().collect::<String>().to_lowercase();
    let words: Vec<&str> = lower.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty()).collect();
    let mut slug = words.join("-");
    if is_uuid(&slug) {
        slug = format!("{fallback}-{slug}");
    }
    let slug: String = slug.chars().take(SLUG_CHARS_MAX).collect();
    match slug.trim_end_matches('-') {
        "" => fallback.to_owned(),
        slug => slug.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_comes_from_the_name_and_passes_its_own_check() {
        for (name, slug) in [("My  Agent!", "my-agent"), ("Größe 2", "gr-e-2"), ("日本", "agent"), ("--a--", "a")] {
            assert_eq!(slug_from_name(name, "agent"), slug);
            check_slug("slug", slug).unwrap();
        }
        check_slug("slug", &slug_from_name(&"ab ".repeat(90), "x")).unwrap();
    }

    #[test]
    fn no_slug_is_an_id() {
        let id = generate();
        for slug in [&id[..], &id.replace('-', ""), "00000000-0000-0000-0000-000000000000"] {
            check_slug("slug", slug).unwrap_err();
            check_org_slug("slug", slug).unwrap_err();
            let named = slug_from_name(&slug.to_uppercase(), "agent");
            assert_eq!(named, format!("agent-{slug}"));
            check_slug("slug", &named).unwrap();
        }
        check_slug("slug", &id[1..]).unwrap();
    }

    #[test]
    fn an_organization_has_no_reserved_slug() {
        check_org_slug("slug", "acme").unwrap();
        for bad in RESERVED_SLUGS.into_iter().chain(["-", "A"]) {
            check_org_slug("slug", bad).unwrap_err();
        }
    }

    #[test]
    fn an_address_has_two_sides_and_no_space() {
        for good in ["a@b", "you+tag@example.com"] {
            check_email("email", good).unwrap();
        }
        for bad in ["", "a", "@b", "a@", "a b@c", "a@b\n"] {
            check_email("email", bad).unwrap_err();
        }
        taken_up_to(EMAIL_BYTES_MAX, |bytes| check_email("email", &format!("ü@{}", "x".repeat(bytes - 3))));
    }

    #[test]
    fn what_is_typed_in_another_form_is_the_same() {
        let (composed, decomposed) = ("caf\u{e9}@example.com", " cafe\u{301}@example.com ");
        assert_eq!(plain_email(decomposed), composed);
        assert_eq!(forms_of_email(composed)[2], decomposed.trim());
        assert_eq!(slug_from_name("Cafe\u{301} 2", "x"), slug_from_name("Caf\u{e9} 2", "x"));
    }

    #[test]
    fn ids_of_clients_are_bounded_and_visible() {
        for good in ["a", "msg-1.2:3_x"] {
            check_client_id("id", good).unwrap();
        }
        for bad in ["", "a b", "ä", "a/b"] {
            check_client_id("id", bad).unwrap_err();
        }
        taken_up_to(CLIENT_ID_CHARS_MAX, |chars| check_client_id("id", &"x".repeat(chars)));
    }

    #[test]
    fn a_slug_is_of_short_words_and_has_a_bound() {
        for good in ["a", "my-agent", "2"] {
            check_slug("slug", good).unwrap();
        }
        for bad in ["", "-a", "a-", "a--b", "A", "ä", "a_b"] {
            check_slug("slug", bad).unwrap_err();
        }
        taken_up_to(SLUG_CHARS_MAX, |chars| check_slug("slug", &"x".repeat(chars)));
        for chars in [SLUG_CHARS_MAX - 1, SLUG_CHARS_MAX, SLUG_CHARS_MAX + 1] {
            assert_eq!(slug_from_name(&"x".repeat(chars), "x").len(), chars.min(SLUG_CHARS_MAX));
        }
    }

    /// One under and at the bound is taken, one over is not.
    #[track_caller]
    fn taken_up_to(max: usize, check: impl Fn(usize) -> Result<()>) {
        assert!(check(max - 1).is_ok() && check(max).is_ok());
        check(max + 1).unwrap_err();
    }
}
