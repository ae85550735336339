//! The secrets of a tool or of an MCP server: values of headers, or of variables of a command's environment.
//!
//! A value is sealed, or only named: then the server's own environment holds it. A sealed text may itself name variables, as
//! files of MCP servers do (`postgres://${USER}:${PASSWORD}@db`); they are filled in when it is opened.
//! Rule: a value is opened where it is sent. What is shown of it are names.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use crate::{
    error::{Error, Result},
    seal::Sealer,
    secret::Secret,
};

/// Longest value, in bytes: a longer one is refused when it comes in.
pub const VALUE_BYTES_MAX: usize = 8_192;
/// Longest name of a variable, in bytes.
const VARIABLE_BYTES_MAX: usize = 128;
/// What may stand before a variable's value without being sealed: how a header says of what kind the credential is.
const SCHEMES: [&str; 4] = ["", "Bearer ", "Basic ", "Token "];

/// A secret as it comes in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewSecret {
    /// Here, word for word; it will be sealed.
    Text(Secret),
    /// Here, with `${NAME}` or `${NAME:-otherwise}` in it for variables of the server's environment.
    Template(Secret),
    /// In that variable of the server's environment; nothing is stored.
    Variable(String),
    /// The same, with `Bearer ` before it.
    Bearer(String),
}

/// A secret as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// Sealed; with `variables`, its text names them.
    Sealed { text: Vec<u8>, variables: Vec<String> },
    /// Not here: in that variable, behind these words.
    Variable { name: String, before: String },
}

/// Secrets by the names of their headers or variables, in the order they came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Secrets(Vec<(String, Kept)>);

/// Why a secret is not to be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Shut {
    /// The server's environment lacks it.
    #[error("the variable {0} is not set where alm runs")]
    NotSet(String),
    /// Another key sealed it.
    #[error("{0} cannot be opened: was the key file replaced? Give it again")]
    OtherKey(String),
}

impl Secrets {
    /// What is kept of secrets that came in. `place` is the row's: `tool/<id>` or `mcp/<id>`.
    pub fn keep(new: Vec<(String, NewSecret)>, sealer: &Sealer, place: &str) -> Result<Self> {
        let mut secrets = Secrets::default();
        for (name, secret) in new {
            let kept = keep(&name, secret, sealer, &context(place, &name))?;
            secrets.insert(name, kept);
        }
        Ok(secrets)
    }

    /// Puts one in, in the place of an older one of its name.
    pub fn insert(&mut self, name: String, kept: Kept) {
        self.remove(&name);
        self.0.push((name, kept));
    }

    /// Takes one out.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(known, _)| known != name);
    }

    /// As a row of the file holds them; none if that is not so.
    pub fn from_json(text: &str) -> Option<Self> {
        let read: Map<String, Value> = serde_json::from_str(text).ok()?;
        let each = read.into_iter().map(|(name, kept)| Some((name, Kept::from_json(&kept)?)));
        Some(Secrets(each.collect::<Option<_>>()?))
    }

    /// For a row of the file.
    pub fn to_json(&self) -> String {
        let each = self.0.iter().map(|(name, kept)| (name.clone(), kept.to_json()));
        Value::Object(each.collect()).to_string()
    }

    /// The names of the headers or variables.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// Each by its name, as it is kept.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Kept)> {
        self.0.iter().map(|(name, kept)| (name.as_str(), kept))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Opens all of them. `place` is what [`Secrets::keep`] was told, `variable` reads the server's environment.
    pub fn open(
        &self,
        sealer: &Sealer,
        place: &str,
        variable: impl Fn(&str) -> Option<Secret>,
    ) -> Result<Vec<(String, Secret)>, Shut> {
        self.0.iter().map(|(name, kept)| Ok((name.clone(), kept.open(name, sealer, place, &variable)?))).collect()
    }

    /// What of them can be opened, without names.
    pub fn known(&self, sealer: &Sealer, place: &str, variable: impl Fn(&str) -> Option<Secret>) -> Vec<Secret> {
        self.0.iter().filter_map(|(name, kept)| kept.open(name, sealer, place, &variable).ok()).collect()
    }
}

impl Kept {
    fn open(
        &self,
        name: &str,
        sealer: &Sealer,
        place: &str,
        variable: &impl Fn(&str) -> Option<Secret>,
    ) -> Result<Secret, Shut> {
        match self {
            Kept::Variable { name: of, before } => {
                let value = variable(of).ok_or_else(|| Shut::NotSet(of.clone()))?;
                Ok(Secret::new(format!("{before}{}", value.expose())))
            }
            Kept::Sealed { text, variables } => {
                let text = sealer.unseal(text, &context(place, name)).map_err(|_| Shut::OtherKey(name.to_owned()))?;
                if variables.is_empty() { Ok(text) } else { fill(text.expose(), variable) }
            }
        }
    }

    fn from_json(kept: &Value) -> Option<Self> {
        if let Some(name) = kept["env"].as_str() {
            let before = kept["before"].as_str().unwrap_or_default();
            return Some(Kept::Variable { name: name.to_owned(), before: before.to_owned() });
        }
        let names = kept["names"].as_array().map(Vec::as_slice).unwrap_or_default();
        let variables = names.iter().map(|name| Some(name.as_str()?.to_owned())).collect::<Option<_>>()?;
        Some(Kept::Sealed { text: STANDARD.decode(kept["sealed"].as_str()?).ok()?, variables })
    }

    fn to_json(&self) -> Value {
        match self {
            Kept::Variable { name, before } if before.is_empty() => json!({ "env": name }),
            Kept::Variable { name, before } => json!({ "env": name, "before": before }),
            Kept::Sealed { text, variables } if variables.is_empty() => json!({ "sealed": STANDARD.encode(text) }),
            Kept::Sealed { text, variables } => json!({ "sealed": STANDARD.encode(text), "names": variables }),
        }
    }

    /// The variables of the server's environment that it is made of.
    pub fn variables(&self) -> &[String] {
        match self {
            Kept::Sealed { variables, .. } => variables,
            Kept::Variable { name, .. } => std::slice::from_ref(name),
        }
    }
}

/// What it is made of, without a value.
impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kept::Variable { name, before } => write!(f, "{before}${{{name}}}"),
            Kept::Sealed { variables, .. } if variables.is_empty() => f.write_str("sealed"),
            Kept::Sealed { variables, .. } => write!(f, "sealed, with ${{{}}}", variables.join("}, ${")),
        }
    }
}

/// What a value is sealed for: its name in its row.
pub fn context(place: &str, name: &str) -> String {
    format!("{place}/{name}")
}

/// What is kept of one. What is wrong with it is said of its name.
fn keep(name: &str, new: NewSecret, sealer: &Sealer, context: &str) -> Result<Kept> {
    let seal = |text: &Secret, variables: Vec<String>| {
        let text = text.expose();
        if text.len() > VALUE_BYTES_MAX {
            return Err(Error::invalid(name, format!("must be at most {VALUE_BYTES_MAX} bytes long")));
        }
        if text.contains('\0') {
            return Err(Error::invalid(name, "must be text without NUL"));
        }
        Ok(Kept::Sealed { text: sealer.seal(text, context)?, variables })
    };
    match new {
        NewSecret::Text(text) => seal(&text, Vec::new()),
        NewSecret::Variable(of) => Ok(Kept::Variable { name: checked(name, of)?, before: String::new() }),
        NewSecret::Bearer(of) => Ok(Kept::Variable { name: checked(name, of)?, before: "Bearer ".into() }),
        NewSecret::Template(text) => {
            let references = references(text.expose());
            if let [one] = &*references
                && one.otherwise.is_none()
                && one.end == text.expose().len()
                && SCHEMES.contains(&&text.expose()[..one.start])
            {
                let before = text.expose()[..one.start].to_owned();
                return Ok(Kept::Variable { name: checked(name, one.name.to_owned())?, before });
            }
            let mut variables: Vec<String> = Vec::new();
            for reference in references {
                if !variables.iter().any(|known| known == reference.name) {
                    variables.push(checked(name, reference.name.to_owned())?);
                }
            }
            seal(&text, variables)
        }
    }
}

fn checked(field: &str, variable: String) -> Result<String> {
    if is_variable(&variable) && variable.len() <= VARIABLE_BYTES_MAX {
        return Ok(variable);
    }
    Err(Error::invalid(field, "must be the name of an environment variable"))
}

/// Whether a variable can be called so.
pub fn is_variable(name: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !name.is_empty() && !name.as_bytes()[0].is_ascii_digit() && name.bytes().all(known)
}

/// `${NAME}` or `${NAME:-otherwise}` in a text.
#[derive(Debug, PartialEq, Eq)]
struct Reference<'a> {
    start: usize,
    /// After its brace.
    end: usize,
    name: &'a str,
    otherwise: Option<&'a str>,
}

/// What a text names. What only looks like a reference is text.
fn references(text: &str) -> Vec<Reference<'_>> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(at) = text[from..].find("${").map(|at| from + at) {
        from = at + 2;
        let Some(length) = text[from..].find('}') else { break };
        let inside = &text[from..from + length];
        let (name, otherwise) = match inside.split_once(":-") {
            Some((name, otherwise)) => (name, Some(otherwise)),
            None => (inside, None),
        };
        if is_variable(name) {
            from += length + 1;
            found.push(Reference { start: at, end: from, name, otherwise });
        }
    }
    found
}

/// A text with its variables filled in.
fn fill(text: &str, variable: impl Fn(&str) -> Option<Secret>) -> Result<Secret, Shut> {
    let (mut filled, mut from) = (String::new(), 0);
    for reference in references(text) {
        filled.push_str(&text[from..reference.start]);
        match (variable(reference.name), reference.otherwise) {
            (Some(value), _) => filled.push_str(value.expose()),
            (None, Some(otherwise)) => filled.push_str(otherwise),
            (None, None) => return Err(Shut::NotSet(reference.name.to_owned())),
        }
        from = reference.end;
    }
    filled.push_str(&text[from..]);
    Ok(Secret::new(filled))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer() -> Sealer {
        let folder = tempfile::tempdir().unwrap();
        Sealer::open(&folder.path().join("key")).unwrap()
    }

    fn environment(name: &str) -> Option<Secret> {
        ["USER", "PASSWORD", "TOKEN"].contains(&name).then(|| Secret::new(format!("<{name}>")))
    }

    fn text(text: &str) -> NewSecret {
        NewSecret::Text(Secret::new(text))
    }

    fn template(text: &str) -> NewSecret {
        NewSecret::Template(Secret::new(text))
    }

    #[test]
    fn secrets_open_as_they_came_in_after_a_row_of_the_file() {
        let sealer = sealer();
        let cases = [
            (text("p$s ${TOKEN}"), "p$s ${TOKEN}", "sealed"),
            (text(""), "", "sealed"),
            (template("no reference"), "no reference", "sealed"),
            (template("${TOKEN}"), "<TOKEN>", "${TOKEN}"),
            (template("Bearer ${TOKEN}"), "Bearer <TOKEN>", "Bearer ${TOKEN}"),
            (
                template("db://${USER}:${PASSWORD}@h/${USER}"),
                "db://<USER>:<PASSWORD>@h/<USER>",
                "sealed, with ${USER}, ${PASSWORD}",
            ),
            (template("${NOWHERE:-a:-b}${}${a b}${"), "a:-b${}${a b}${", "sealed, with ${NOWHERE}"),
            (template("x${TOKEN}"), "x<TOKEN>", "sealed, with ${TOKEN}"),
            (NewSecret::Variable("USER".into()), "<USER>", "${USER}"),
            (NewSecret::Bearer("TOKEN".into()), "Bearer <TOKEN>", "Bearer ${TOKEN}"),
        ];
        let new = cases.iter().enumerate().map(|(at, (new, ..))| (format!("h{at}"), new.clone()));
        let kept = Secrets::keep(new.collect(), &sealer, "mcp/1").unwrap();
        let row = kept.to_json();
        for (value, shown) in [("<USER>", "db:"), ("p$s", "x${TOKEN}")] {
            assert!(!row.contains(value) && !row.contains(shown), "{row}");
        }
        let read = Secrets::from_json(&row).unwrap();
        assert_eq!(read, kept);
        let opened = read.open(&sealer, "mcp/1", environment).unwrap();
        for ((at, (_, value, shown)), ((name, secret), (_, kept))) in
            cases.iter().enumerate().zip(opened.iter().zip(read.iter()))
        {
            assert_eq!((secret.expose(), &*kept.to_string(), name), (*value, *shown, &format!("h{at}")));
        }
        assert_eq!(read.names().count(), cases.len());
    }

    #[test]
    fn a_secret_opens_in_its_row_under_its_name_and_nowhere_else() {
        let (sealer, other) = (sealer(), self::sealer());
        let kept = Secrets::keep(vec![("a".into(), text("x"))], &sealer, "tool/1").unwrap();
        let shut = Err(Shut::OtherKey("a".into()));
        assert_eq!(kept.open(&sealer, "tool/2", environment), shut);
        assert_eq!(kept.open(&other, "tool/1", environment), shut);
        let moved = Secrets::from_json(&kept.to_json().replace("\"a\"", "\"b\"")).unwrap();
        assert_eq!(moved.open(&sealer, "tool/1", environment), Err(Shut::OtherKey("b".into())));
    }

    #[test]
    fn a_variable_that_is_not_set_is_named() {
        let sealer = sealer();
        for new in [NewSecret::Variable("NOWHERE".into()), template("a ${USER} ${NOWHERE}"), template("${NOWHERE}")] {
            let kept = Secrets::keep(vec![("a".into(), new)], &sealer, "tool/1").unwrap();
            let error = kept.open(&sealer, "tool/1", environment).unwrap_err();
            assert_eq!(error, Shut::NotSet("NOWHERE".into()));
        }
    }

    #[test]
    fn of_equal_names_the_last_stands_and_a_row_that_is_no_such_thing_is_none() {
        let sealer = sealer();
        let new = vec![("a".into(), text("1")), ("b".into(), text("2")), ("a".into(), text("3"))];
        let mut kept = Secrets::keep(new, &sealer, "tool/1").unwrap();
        assert_eq!(kept.names().collect::<Vec<_>>(), ["b", "a"]);
        assert_eq!(kept.open(&sealer, "tool/1", environment).unwrap()[1].1.expose(), "3");
        kept.remove("a");
        kept.remove("b");
        assert!(kept.is_empty() && Secrets::from_json("{}") == Some(kept));
        for row in ["", "[]", r#"{"a":1}"#, r#"{"a":{"sealed":"?"}}"#, r#"{"a":{"sealed":"AA==","names":[1]}}"#] {
            assert_eq!(Secrets::from_json(row), None, "{row}");
        }
    }

    #[test]
    fn values_and_names_are_kept_up_to_their_bounds() {
        let sealer = sealer();
        let fits = |new: NewSecret| Secrets::keep(vec![("a".into(), new)], &sealer, "tool/1").is_ok();
        for (length, expected) in [(VALUE_BYTES_MAX - 1, true), (VALUE_BYTES_MAX, true), (VALUE_BYTES_MAX + 1, false)] {
            assert_eq!(fits(text(&"x".repeat(length))), expected, "{length}");
        }
        let name = |length: usize| NewSecret::Variable("V".repeat(length));
        for (length, expected) in
            [(1, true), (VARIABLE_BYTES_MAX - 1, true), (VARIABLE_BYTES_MAX, true), (VARIABLE_BYTES_MAX + 1, false)]
        {
            assert_eq!(fits(name(length)), expected, "{length}");
        }
        for wrong in ["", "1A", "A-B", "Ä"] {
            assert!(!fits(NewSecret::Variable(wrong.into())), "{wrong}");
        }
        assert!(!fits(text("a\0b")));
    }
}
