//! The conversation at a terminal: what is typed, and what the commands in it do.

use std::io::Write;

use rustyline::{DefaultEditor, error::ReadlineError};
use serde_json::{Value, json};

use super::{api::segment, reply::Talk};
use crate::{
    cli::{
        output::complain,
        quickstart::Style,
        text::{clean, shortened, table},
    },
    error::{Error, Result},
    id,
};

/// What begins and ends a text of many lines.
const FENCE: &str = "\"\"\"";
/// Sessions that are listed.
const SESSIONS_SHOWN: usize = 20;
/// How much of a session's label is listed, in characters.
const LABEL_CHARS: usize = 60;

const HELP: &str = "\
/new             begin another conversation
/sessions        list the latest conversations
/resume ID       go on with one
/model [ID]      list the models, or choose one
/agent [SLUG]    list the agents, or choose one
/retry           have the last answer written anew
/exit            leave; so do Ctrl-D, and Ctrl-C twice
\"\"\"              begins and ends a text of many lines
Ctrl-C stops an answer. A line that begins with a space is a message, also before a slash.";

/// What the next message is asked with.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    pub session: Option<String>,
    pub agent: Option<String>,
    pub model: Option<String>,
}

impl Wanted {
    /// What is posted: a message, or that the last answer is to be written anew.
    pub fn body(&self, session: &str, message: Option<&str>) -> Value {
        let mut body = json!({ "id": session });
        match message {
            Some(text) => body["messages"] = json!([{ "role": "user", "content": text }]),
            None => body["trigger"] = json!("regenerate-message"),
        }
        for (field, value) in [("agentId", &self.agent), ("model", &self.model)] {
            if let Some(value) = value {
                body[field] = json!(value);
            }
        }
        body
    }
}

/// A line as it is meant.
#[derive(Debug, PartialEq, Eq)]
enum Typed {
    Nothing,
    Message(String),
    /// The first line of a text of many.
    Begins(String),
    Command(String, Option<String>),
}

fn typed(line: &str) -> Typed {
    if line.trim().is_empty() {
        return Typed::Nothing;
    }
    if let Some(rest) = line.trim().strip_prefix(FENCE) {
        return match rest.strip_suffix(FENCE) {
            Some(text) => Typed::Message(text.to_owned()),
            None => Typed::Begins(rest.to_owned()),
        };
    }
    let word = line.trim_end().strip_prefix('/').and_then(|rest| rest.split_whitespace().next());
    match word {
        // A path is no command.
        Some(word) if word.chars().all(|c| c.is_ascii_alphabetic() || c == '?') => {
            let argument = line.trim_end()[1 + word.len()..].trim();
            Typed::Command(word.to_lowercase(), Some(argument.to_owned()).filter(|text| !text.is_empty()))
        }
        _ => Typed::Message(line.trim().to_owned()),
    }
}

/// Somebody at a terminal.
pub struct Prompt<W> {
    talk: Talk<W>,
    wanted: Wanted,
    editor: DefaultEditor,
    style: Style,
}

impl<W: Write> Prompt<W> {
    pub fn new(talk: Talk<W>, wanted: Wanted, style: Style) -> Result<Self> {
        let editor =
            DefaultEditor::new().map_err(|error| Error::failed(format!("cannot use the terminal: {error}")))?;
        Ok(Prompt { talk, wanted, editor, style })
    }

    /// Talks until somebody leaves.
    pub fn run(mut self) -> Result<()> {
        let hello = format!("{} · /help lists commands, Ctrl-D leaves", self.talk.api.url());
        self.tell(&self.style.dim(&hello))?;
        if let Some(session) = self.wanted.session.clone() {
            self.resume(&session)?;
        }
        let mut has_interrupted = false;
        loop {
            let line = match self.editor.readline("> ") {
                Ok(line) => line,
                Err(ReadlineError::Interrupted) if has_interrupted => return Ok(()),
                Err(ReadlineError::Interrupted) => {
                    has_interrupted = true;
                    self.tell(&self.style.dim("Ctrl-C once more leaves"))?;
                    continue;
                }
                Err(ReadlineError::Eof) => return Ok(()),
                Err(error) => return Err(Error::failed(format!("cannot read the terminal: {error}"))),
            };
            has_interrupted = false;
            let done = match typed(&line) {
                Typed::Nothing => continue,
                Typed::Command(word, _) if ["exit", "quit", "bye"].contains(&&*word) => return Ok(()),
                Typed::Command(word, argument) => self.command(&word, argument.as_deref()),
                Typed::Message(text) => self.say(Some(&text)),
                Typed::Begins(first) => match self.more(first)? {
                    Some(text) => self.say(Some(&text)),
                    None => continue,
                },
            };
            // History that is full or the same again is none.
            self.editor.add_history_entry(line.as_str()).unwrap_or_default();
            // A refusal ends nothing: the next message may be another.
            if let Err(error) = done {
                complain(&clean(&error.to_string()));
            }
        }
    }

    /// The rest of a text of many lines; nothing if it was given up.
    fn more(&mut self, first: String) -> Result<Option<String>> {
        let mut text = first;
        loop {
            match self.editor.readline("… ") {
                Ok(line) => match line.trim_end().strip_suffix(FENCE) {
                    Some(last) => return Ok(Some(format!("{text}\n{last}").trim().to_owned())),
                    None => text = format!("{text}\n{line}"),
                },
                Err(ReadlineError::Interrupted | ReadlineError::Eof) => return Ok(None),
                Err(error) => return Err(Error::failed(format!("cannot read the terminal: {error}"))),
            }
        }
    }

    /// Asks, in the session there is, or in a new one.
    fn say(&mut self, message: Option<&str>) -> Result<()> {
        if message.is_some_and(str::is_empty) {
            return Ok(());
        }
        let session = self.wanted.session.get_or_insert_with(id::generate).clone();
        let body = self.wanted.body(&session, message);
        let (talk, editor) = (&mut self.talk, &mut self.editor);
        talk.ask(&session, &body, Some(&mut |question| answer(editor, question)))
    }

    fn command(&mut self, word: &str, argument: Option<&str>) -> Result<()> {
        match (word, argument) {
            ("help" | "?", _) => self.tell(HELP),
            ("new", None) => {
                self.wanted.session = None;
                self.tell(&self.style.dim("a new conversation"))
            }
            ("sessions", None) => self.sessions(),
            ("resume", Some(id)) => self.resume(id),
            ("resume", None) => Err(Error::failed("/resume ID: /sessions lists them")),
            ("retry", None) if self.wanted.session.is_none() => Err(Error::failed("there is no answer yet")),
            ("retry", None) => self.say(None),
            ("model", Some(model)) => {
                let known = self.listed("/api/v1/models")?.iter().any(|item| item["id"] == model);
                if !known {
                    return Err(Error::failed(format!("no such model: {model}; /model lists them")));
                }
                self.wanted.model = Some(model.to_owned());
                self.tell(&self.style.dim(&clean(&format!("{model} answers from now on"))))
            }
            ("model", None) => {
                let rows: Vec<_> = self.listed("/api/v1/models")?.iter().map(|item| vec![field(item, "id")]).collect();
                self.tell(&table(&["MODEL"], &rows))
            }
            ("agent", Some(agent)) => {
                let found = self.talk.api.get(&format!("/api/v1/agents/{}", segment(agent)))?;
                self.wanted.agent = Some(agent.to_owned());
                self.tell(&self.style.dim(&clean(&format!("{} answers from now on", field(&found, "name")))))
            }
            ("agent", None) => {
                let row = |item: &Value| vec![field(item, "slug"), field(item, "name")];
                let rows: Vec<_> = self.listed("/api/v1/agents")?.iter().map(row).collect();
                self.tell(&table(&["SLUG", "NAME"], &rows))
            }
            _ => Err(Error::failed(format!("/{word} is no command here, or takes something else: /help lists them"))),
        }
    }

    fn sessions(&mut self) -> Result<()> {
        let items = self.listed(&format!("/api/v1/sessions?limit={SESSIONS_SHOWN}"))?;
        let row = |item: &Value| {
            let here = if self.wanted.session.as_deref() == item["id"].as_str() { "*" } else { "" };
            let label = shortened(&field(item, "label"), LABEL_CHARS);
            vec![here.to_owned(), field(item, "id"), field(item, "updatedAt"), label]
        };
        let rows: Vec<_> = items.iter().map(row).collect();
        self.tell(&table(&["", "ID", "UPDATED", "LABEL"], &rows))
    }

    /// Goes on with a session, and joins what runs there.
    fn resume(&mut self, id: &str) -> Result<()> {
        let session = self.talk.api.get(&format!("/api/v1/sessions/{}", segment(id)))?;
        let id = field(&session, "id");
        self.wanted.session = Some(id.clone());
        let words = format!("{} · {} messages", field(&session, "label"), session["messageCount"]);
        self.tell(&self.style.dim(&clean(&words)))?;
        let (talk, editor) = (&mut self.talk, &mut self.editor);
        talk.join(&id, Some(&mut |question| answer(editor, question))).map(drop)
    }

    fn listed(&self, path: &str) -> Result<Vec<Value>> {
        Ok(self.talk.api.get(path)?["items"].as_array().cloned().unwrap_or_default())
    }

    fn tell(&mut self, text: &str) -> Result<()> {
        crate::cli::output::printed(self.talk.view.line(text))
    }
}

/// Yes, no, or not now.
fn answer(editor: &mut DefaultEditor, question: &str) -> Option<bool> {
    match editor.readline(question) {
        Ok(line) => Some(["y", "yes"].contains(&&*line.trim().to_lowercase())),
        Err(ReadlineError::Interrupted) => Some(false),
        Err(_) => None,
    }
}

/// A field as a cell: on one line, and nothing that a terminal obeys.
fn field(item: &Value, name: &str) -> String {
    clean(&shortened(item[name].as_str().unwrap_or_default(), usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_message_a_command_or_the_first_of_many() {
        let command = |word: &str, argument: Option<&str>| Typed::Command(word.into(), argument.map(str::to_owned));
        for (line, meant) in [
            ("", Typed::Nothing),
            ("  ", Typed::Nothing),
            (" hi ", Typed::Message("hi".into())),
            ("/etc/passwd: what is it?", Typed::Message("/etc/passwd: what is it?".into())),
            (" /help", Typed::Message("/help".into())),
            ("/", Typed::Message("/".into())),
            ("/help", command("help", None)),
            ("/Model  up/m ", command("model", Some("up/m"))),
            ("\"\"\"a\"\"\"", Typed::Message("a".into())),
            ("\"\"\"a", Typed::Begins("a".into())),
            ("\"\"\"", Typed::Begins(String::new())),
        ] {
            assert_eq!(typed(line), meant, "{line}");
        }
    }

    #[test]
    fn what_is_posted_names_what_was_chosen() {
        let wanted = Wanted { agent: Some("ada".into()), model: Some("up/m".into()), ..Wanted::default() };
        assert_eq!(
            wanted.body("s", Some("hi")),
            json!({ "id": "s", "messages": [{ "role": "user", "content": "hi" }], "agentId": "ada", "model": "up/m" })
        );
        assert_eq!(Wanted::default().body("s", None), json!({ "id": "s", "trigger": "regenerate-message" }));
    }
}
