//! `alm record`: asks a model these questions, and writes a cassette of its answers.
//!
//! Rule: it is the server that records, on a free port of loopback, and asks itself; so what is recorded is what a client would hear.
//! Its key may chat, and ends with the command, at the latest after [`KEY_LIFE`].

use std::{
    io::{self, Write},
    path::PathBuf,
    time::Duration,
};

use serde_json::{Value, json};

use super::{
    globals::Globals,
    output::Patient,
    process::{THIS_PROGRAM, signal},
    quickstart::client::{Call, Client, Streamed},
    text::{as_flags, count_text, read_text, shell_word},
};
use crate::{
    error::{Error, Result},
    id,
    key::{self, Env, Scope},
    model::cassette::read,
    server::{self, Server},
    store::keys::{KeyTerms, KeysOf},
    time::Timestamp,
};

/// How long a key of this command is good for.
const KEY_LIFE: Duration = Duration::from_secs(24 * 60 * 60);
/// How long one reply may take: as long as a turn.
const REPLY_TIMEOUT: Duration = Duration::from_secs(30 * 60);
/// Nobody asks but this command, and it knows what it asks.
const CHATS_PER_MINUTE: u32 = 1_000_000;
const DRAIN: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub(super) struct Record {
    /// The cassette, which is made if it is missing
    file: PathBuf,
    /// The organization's slug
    #[arg(long)]
    org: String,
    /// The agent that is asked, by its slug or its id
    #[arg(long, default_value = "ala")]
    agent: String,
    /// The model, as provider/name; the agent's by default
    #[arg(long, value_name = "ID")]
    model: Option<String>,
    /// Allow the tools that ask first
    #[arg(long)]
    yes: bool,
    /// A file with a question on each line; an empty line begins another conversation
    #[arg(long, value_name = "FILE", conflicts_with = "questions")]
    prompts: Option<PathBuf>,
    /// Questions of one conversation, in order
    #[arg(value_name = "PROMPT", required_unless_present = "prompts")]
    questions: Vec<String>,
}

impl Record {
    pub(super) fn run(self, globals: &Globals) -> Result<()> {
        let talks = self.talks()?;
        let before = read(&self.file).map_or(0, |cassette| cassette.len());
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Error::internal)?;
        runtime.block_on(self.record(globals, talks))?;
        let (file, after) = (self.file.display().to_string(), read(&self.file).map_err(Error::failed)?.len());
        let kept = after.saturating_sub(before) as u64;
        if kept == 0 {
            return Err(Error::failed(
                "nothing was recorded: the built-in model answers anywhere, so choose another with --model".to_owned(),
            ));
        }
        globals.report(
            || json!({ "file": file, "exchanges": kept }),
            || format!("{} in {file}\nnext: alm cassette check {}", count_text(kept, "exchange"), shell_word(&file)),
        );
        Ok(())
    }

    /// The questions of each conversation.
    fn talks(&self) -> Result<Vec<Vec<String>>> {
        let Some(file) = &self.prompts else { return Ok(vec![self.questions.clone()]) };
        let text = read_text(file)?;
        let lines: Vec<_> = text.lines().map(str::trim).collect();
        let talks = lines.split(|line| line.is_empty()).filter(|talk| !talk.is_empty());
        let talks: Vec<Vec<_>> = talks.map(|talk| talk.iter().map(|line| (*line).to_owned()).collect()).collect();
        if talks.is_empty() {
            return Err(Error::failed(format!("{} has no questions: write one on each line", file.display())));
        }
        Ok(talks)
    }

    async fn record(&self, globals: &Globals, talks: Vec<Vec<String>>) -> Result<()> {
        let store = globals.store()?;
        let tenant = globals.tenant(&store, &self.org)?;
        let builder = Server::builder()
            .data_dir(globals.folder()?)
            .secret_key_file(globals.key_file()?)
            .chats_per_minute(CHATS_PER_MINUTE)
            .variables(|name| std::env::var(name).ok())
            .proxy_from_env()
            .program(THIS_PROGRAM)
            .drain(DRAIN)
            .record(&self.file);
        let server = builder.build().await.map_err(|error| as_flags(error.into_inner()))?;
        let new = key::generate(Env::Live)?;
        let until = Timestamp::now().plus(KEY_LIFE);
        let org = store.org(&tenant);
        let terms = KeyTerms { expires_at: Some(until), ..KeyTerms::live("alm record", vec![Scope::Chat]) };
        let row = org.create_key(&new, terms).await?;
        let asker = Asker {
            url: server.url().unwrap_or_default().to_owned(),
            key: new.text,
            org: self.org.clone(),
            agent: self.agent.clone(),
            model: self.model.clone(),
            may_allow: self.yes,
        };
        let handle = server.handle();
        let asking = tokio::task::spawn_blocking(move || {
            let asked = talks.iter().try_for_each(|talk| asker.talk(talk));
            handle.stop();
            asked
        });
        let served = server.run(signal()).await.map_err(server::Error::into_inner);
        org.revoke_key(row.id, KeysOf::Own).await?;
        served?;
        // Whoever interrupts it has what was said so far, and the asking ends with its server.
        asking.await.map_err(Error::internal)?
    }
}

/// Who asks the server.
struct Asker {
    url: String,
    key: String,
    org: String,
    agent: String,
    model: Option<String>,
    may_allow: bool,
}

impl Asker {
    /// Asks the questions of one conversation.
    fn talk(&self, questions: &[String]) -> Result<()> {
        let session = id::generate();
        for question in questions {
            tell(&format!("> {question}\n"));
            let mut body = json!({
                "id": session, "agentId": self.agent, "messages": [{ "role": "user", "content": question }],
            });
            body.as_object_mut().into_iter().for_each(|body| {
                body.extend(self.model.iter().map(|model| ("model".to_owned(), json!(model))));
            });
            let mut streamed = self.ask("/api/v1/chat", body)?;
            while let Some(allowed) = approvals(&streamed) {
                if !self.may_allow {
                    let tool =
                        streamed.of_tool("tool-input-available").map_or(Value::Null, |call| call["toolName"].clone());
                    let tool = tool.as_str().unwrap_or("a tool").to_owned();
                    return Err(Error::failed(format!("{tool} asks a person first: repeat with --yes to allow it")));
                }
                streamed = self.ask(&format!("/api/v1/chat/{session}/resume"), json!({ "approvals": allowed }))?;
            }
        }
        Ok(())
    }

    fn ask(&self, path: &str, body: Value) -> Result<Streamed> {
        let client = Client::with_patience(&self.url, &self.key, &self.org, REPLY_TIMEOUT);
        let streamed = client.stream(&Call { path, body: Some(body), is_stream: true }, |text| {
            tell(text);
            Ok(())
        });
        tell("\n\n");
        streamed.map_err(Error::failed)
    }
}

/// Words of a conversation go where nothing reads results.
fn tell(text: &str) {
    // Who does not read them has the file.
    Patient(io::stderr()).write_all(text.as_bytes()).unwrap_or_default();
}

/// A yes to each call that waits for one.
fn approvals(streamed: &Streamed) -> Option<Value> {
    let asked = streamed.of_tools.iter().filter(|chunk| chunk["type"] == "tool-approval-request");
    let yes: Vec<_> = asked.map(|chunk| json!({ "approvalId": chunk["approvalId"], "approved": true })).collect();
    (!yes.is_empty()).then(|| yes.into())
}
