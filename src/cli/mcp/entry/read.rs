//! From a file to its entries.

use std::{path::PathBuf, time::Duration};

use serde_json::{Map, Value};

use super::{
    declared::{Entry, Input, Left, Way, World},
    jsonc,
    text::{Texts, slug_of},
    timeout::Program,
};
use crate::tools::secrets::{NewSecret, is_variable};

/// What an entry may hold beside what is taken over, without a word about it: texts for people, and what another program does.
const PASSED_OVER: [&str; 6] = ["description", "gallery", "version", "icon", "dev", "$schema"];

/// A file that was read: its entries by name, and what it asks for.
#[derive(Debug)]
pub struct File {
    program: Program,
    entries: Vec<(String, Value)>,
    inputs: Vec<Input>,
    answers: Vec<(String, String)>,
}

/// Reads a whole file of that program; or says why it is none.
pub fn read(text: &str, program: Program) -> Result<File, String> {
    let root: Value =
        serde_json::from_str(&jsonc::to_json(text)).map_err(|error| format!("it is not JSON: {error}"))?;
    let servers = ["mcpServers", "servers"].iter().find_map(|key| root[key].as_object());
    let Some(servers) = servers else { return Err("it has neither `mcpServers` nor `servers`".to_owned()) };
    let entries = servers.iter().map(|(name, entry)| (name.clone(), entry.clone())).collect();
    let inputs = root["inputs"].as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(File { program, entries, inputs: inputs.iter().filter_map(input).collect(), answers: Vec::new() })
}

fn input(value: &Value) -> Option<Input> {
    let text = |key: &str| value[key].as_str().map(str::to_owned);
    let id = text("id")?;
    // An option is a text, or one with a label.
    let option = |option: &Value| option.as_str().or_else(|| option["value"].as_str()).map(str::to_owned);
    Some(Input {
        description: text("description").unwrap_or_else(|| id.clone()),
        is_secret: value["password"] == true,
        default: text("default"),
        options: value["options"].as_array().into_iter().flatten().filter_map(option).collect(),
        id,
    })
}

impl File {
    /// A file of one entry, as `add-json` takes it.
    pub fn of_one(name: &str, text: &str) -> Result<File, String> {
        let entry = serde_json::from_str(&jsonc::to_json(text)).map_err(|error| format!("it is not JSON: {error}"))?;
        let entries = vec![(name.to_owned(), entry)];
        Ok(File { program: Program::Other, entries, inputs: Vec::new(), answers: Vec::new() })
    }

    /// The names of its entries, in their order.
    pub fn names(&self) -> Vec<String> {
        self.entries.iter().map(|(name, _)| name.clone()).collect()
    }

    /// What an entry means; or why it is not taken over.
    pub fn entry(&mut self, name: &str, world: &mut impl World) -> Result<Entry, Left> {
        let entry = self.entries.iter().find(|(known, _)| known == name).map(|(_, entry)| entry);
        let entry = entry.and_then(Value::as_object).ok_or("it is no object")?;
        // Their words for the tools that are not asked about.
        let is_clines = ["autoApprove", "alwaysAllow"].iter().any(|key| entry.contains_key(*key));
        let mut reader = Reader {
            program: if is_clines { Program::Cline } else { self.program },
            entry,
            notes: Vec::new(),
            texts: Texts { world, inputs: &self.inputs, answers: &mut self.answers },
        };
        reader.read(name)
    }
}

/// Reads one entry.
struct Reader<'a, W> {
    program: Program,
    entry: &'a Map<String, Value>,
    texts: Texts<'a, W>,
    notes: Vec<String>,
}

impl<W: World> Reader<'_, W> {
    fn read(&mut self, name: &str) -> Result<Entry, Left> {
        let slug = slug_of(name).ok_or("its name has no letter a-z and no digit: give it another")?;
        let way = match self.kind()? {
            Kind::Command => self.command()?,
            Kind::Url(url) => self.http(&url)?,
        };
        if slug != name {
            self.notes.push(format!("called {slug} here"));
        }
        let timeout = self.timeout();
        let approved = ["autoApprove", "alwaysAllow"].iter().flat_map(|key| self.texts_of(key)).collect();
        self.note_what_is_left();
        let off = self.entry.get("disabled").is_some_and(|off| *off == true)
            || self.entry.get("enabled").is_some_and(|on| *on == false);
        let notes = std::mem::take(&mut self.notes);
        Ok(Entry { slug, name: name.to_owned(), way, is_active: !off, timeout, approved, notes })
    }

    /// What it says of itself, or what it has.
    fn kind(&self) -> Result<Kind, Left> {
        let said = ["type", "transport"].iter().find_map(|key| self.text(key)).unwrap_or_default();
        let url = ["httpUrl", "url", "serverUrl"].iter().find_map(|key| self.text(key));
        match (&*said.to_lowercase().replace(['-', '_'], ""), url) {
            ("sse", _) => {
                let why = "SSE is deprecated and not spoken here: give the server's Streamable HTTP address, type http";
                Err(Left::Skipped(why.into()))
            }
            ("stdio", _) | ("", None) if self.entry.contains_key("command") => Ok(Kind::Command),
            ("http" | "streamablehttp" | "", Some(url)) => Ok(Kind::Url(url.to_owned())),
            ("stdio" | "http" | "streamablehttp", _) => {
                Err(format!("its type is {said}, and it has no {}", if said == "stdio" { "command" } else { "url" })
                    .into())
            }
            ("", None) => Err("it has neither a command nor a url".into()),
            _ => Err(format!("its type {said} is not known: stdio and http are").into()),
        }
    }

    fn command(&mut self) -> Result<Way, Left> {
        let command = self.text("command").ok_or("its command is no text")?.to_owned();
        let mut env = self.secrets("env")?;
        if let Some(file) = self.text("envFile").map(str::to_owned) {
            let file = self.texts.plain("envFile", &file, &[])?;
            let told: Vec<_> = env.iter().map(|(name, _)| name.clone()).collect();
            let more = variables(&self.texts.world.file(&file)?)?;
            env.extend(more.into_iter().filter(|(name, _)| !told.contains(name)));
        }
        if let Some((name, _)) = env.iter().find(|(name, _)| !is_variable(name)) {
            return Err(format!("env: {name} cannot be the name of a variable").into());
        }
        let own: Vec<_> = env.iter().map(|(name, _)| name.clone()).collect();
        let command = self.texts.plain("command", &command, &[])?;
        let args = match self.entry.get("args") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(args)) => {
                let texts = args
                    .iter()
                    .map(|arg| scalar(arg).ok_or("args: each must be a text"))
                    .collect::<Result<Vec<_>, _>>()?;
                texts.iter().map(|arg| self.texts.plain("args", arg, &own)).collect::<Result<_, _>>()?
            }
            Some(_) => return Err("args must be a list".into()),
        };
        let cwd = self.text("cwd").map(str::to_owned);
        let cwd = cwd.map(|cwd| self.texts.plain("cwd", &cwd, &[])).transpose()?;
        let cwd: Option<PathBuf> = cwd.map(|cwd| self.texts.world.absolute(&cwd));
        Ok(Way::Command { command, args, env, cwd })
    }

    fn http(&mut self, url: &str) -> Result<Way, Left> {
        let url = self.texts.plain("url", url, &[])?;
        Ok(Way::Http { url, headers: self.secrets("headers")? })
    }

    /// An object of texts.
    fn secrets(&mut self, key: &str) -> Result<Vec<(String, NewSecret)>, Left> {
        let values = match self.entry.get(key) {
            None | Some(Value::Null) => return Ok(Vec::new()),
            Some(Value::Object(values)) => values,
            Some(_) => return Err(format!("{key} must be an object").into()),
        };
        let mut secrets = Vec::new();
        for (name, value) in values {
            // What is null is not set.
            if value.is_null() {
                continue;
            }
            let text = scalar(value).ok_or_else(|| format!("{key}: {name} must be a text"))?;
            let secret = self.texts.secret(&text).map_err(|left| left.at(&format!("{key}: {name}")))?;
            secrets.push((name.clone(), secret));
        }
        Ok(secrets)
    }

    fn timeout(&mut self) -> Option<Duration> {
        let number = self.entry.get("timeout")?.as_u64().filter(|number| *number > 0)?;
        let (timeout, said) = self.program.timeout(number);
        self.notes.extend(said);
        timeout
    }

    fn note_what_is_left(&mut self) {
        const TAKEN: [&str; 17] = [
            "type",
            "transport",
            "command",
            "args",
            "env",
            "envFile",
            "cwd",
            "url",
            "serverUrl",
            "httpUrl",
            "headers",
            "timeout",
            "disabled",
            "enabled",
            "autoApprove",
            "alwaysAllow",
            "name",
        ];
        let known = |key: &&String| !TAKEN.contains(&key.as_str()) && !PASSED_OVER.contains(&key.as_str());
        let left: Vec<_> = self.entry.keys().filter(known).map(String::as_str).collect();
        if !left.is_empty() {
            self.notes.push(format!("not taken over: {}", left.join(", ")));
        }
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.entry.get(key)?.as_str()
    }

    fn texts_of(&self, key: &str) -> Vec<String> {
        let list = self.entry.get(key).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    }
}

enum Kind {
    Command,
    Url(String),
}

/// A text, or what somebody wrote in its place.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

/// The variables of a file of lines `NAME=value`.
pub fn variables(text: &str) -> Result<Vec<(String, NewSecret)>, String> {
    let lines = text.trim_start_matches('\u{feff}').lines().enumerate();
    let lines =
        lines.map(|(at, line)| (at, line.trim())).filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let read = lines.map(|(at, line)| {
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        let name = name.trim();
        if !is_variable(name) || !line.contains('=') {
            return Err(format!("line {} is not NAME=value", at + 1));
        }
        let value = value.trim();
        let quoted = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
        Ok((name.to_owned(), NewSecret::Text(crate::secret::Secret::new(quoted.unwrap_or(value)))))
    });
    read.collect()
}
