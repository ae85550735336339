//! `alm chat`: a conversation in the terminal, or one question of a script.
//!
//! Rule: it speaks HTTP, as anybody would. Without a terminal standard output is the answer's text alone, and 1 is the exit code of
//! whatever went wrong; Ctrl-C stops the reply, and not before the second time the program.

mod api; // the server, from outside
mod door; // which server, and whose key
mod prompt; // a person at a terminal
mod reply; // one reply
mod running; // what Ctrl-C stops
mod view; // what is shown

use std::{
    io::{IsTerminal, Read, stdin, stdout},
    os::fd::AsFd,
    path::PathBuf,
    process,
    sync::Arc,
    thread,
    time::Duration,
};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use serde_json::json;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

use self::{
    api::{Api, segment},
    door::{Door, Wish},
    prompt::{Prompt, Wanted},
    reply::Talk,
    running::{Interrupt, Running},
    view::{How, View},
};
use super::{globals::Globals, log, output::Patient, quickstart::Style, terminal::agrees, text::as_flags};
use crate::{
    error::{Error, Result},
    id, server,
};

/// Longest message that is read from standard input, in bytes.
const MESSAGE_BYTES_MAX: u64 = 4 * 1_024 * 1_024;
/// The exit code of what Ctrl-C ended.
const INTERRUPTED: i32 = 130;
/// How often a stop is said again to a reply that has not begun.
const STOPS_MAX: u32 = 50;
const STOP_INTERVAL: Duration = Duration::from_millis(100);

#[derive(Debug, clap::Args)]
pub(super) struct Chat {
    /// A message, whose answer is all; without one, a conversation at the terminal, or standard input
    #[arg(value_name = "MESSAGE")]
    words: Vec<String>,
    /// The organization's slug; needed where there are several
    #[arg(long)]
    org: Option<String>,
    /// Where the server is; by default the one that uses the data folder, or one for this run
    #[arg(long)]
    url: Option<String>,
    /// A file with the API key; by default `ALM_KEY`, or a key for this run
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Certificate authorities (PEM or DER) to trust for the server at `--url`, instead of the public ones
    #[arg(long, value_name = "FILE", requires = "url")]
    ca_file: Option<PathBuf>,
    /// The agent that answers, by its slug or its id
    #[arg(long)]
    agent: Option<String>,
    /// The model, as provider/name; the agent's by default
    #[arg(long, value_name = "ID")]
    model: Option<String>,
    /// Go on with a session
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// Go on with the latest session
    #[arg(long = "continue", conflicts_with = "session")]
    continues: bool,
}

/// How it is asked.
enum Manner {
    /// Somebody sits at the terminal.
    Conversation,
    /// One message, or none: then what runs in the session is read.
    Once(String),
}

/// How a chat ended.
enum Ended {
    Done(Result<()>),
    /// By Ctrl-C or another signal.
    Told,
}

impl Chat {
    pub(super) fn run(self, globals: &Globals) -> Result<()> {
        let manner = self.manner(globals.json)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Error::internal)?;
        // Standard input may be a pipe: then there is nothing to put back.
        let terminal = tcgetattr(stdin().as_fd()).ok();
        let ended = runtime.block_on(self.serve(globals, manner));
        // Whoever was reading the terminal may have left it as an editor needs it.
        restore(terminal.as_ref());
        match ended? {
            Ended::Done(done) => {
                runtime.shutdown_background();
                done
            }
            Ended::Told => {
                log::finish();
                process::exit(INTERRUPTED);
            }
        }
    }

    fn manner(&self, json: bool) -> Result<Manner> {
        let (is_asked, shows) = (stdin().is_terminal(), stdout().is_terminal());
        let words = self.words.join(" ");
        if !is_asked {
            let piped = piped(&mut stdin(), MESSAGE_BYTES_MAX)?;
            let parts = [words.trim(), piped.trim_end()];
            let message = parts.into_iter().filter(|text| !text.trim().is_empty()).collect::<Vec<_>>().join("\n\n");
            return Ok(Manner::Once(message));
        }
        match (words.trim(), shows && !json) {
            ("", true) => Ok(Manner::Conversation),
            (words, _) => Ok(Manner::Once(words.to_owned())),
        }
    }

    async fn serve(self, globals: &Globals, manner: Manner) -> Result<Ended> {
        let wish = Wish { url: self.url.clone(), key_file: self.key_file.clone(), org: self.org.clone() };
        let door = Door::open(wish, globals).await?;
        let api = Api::new(&door.url, door.key.clone(), door.org.clone(), self.ca_file.as_deref());
        let api = Arc::new(api.map_err(as_flags)?);
        let running = Arc::new(Running::default());
        let style = Style::of_stdout();
        let how = match (globals.json, stdout().is_terminal()) {
            (true, _) => How::Json,
            (false, true) => How::Person(style),
            (false, false) => How::Text,
        };
        let view = View::new(Patient(stdout()), how);
        let talk = Talk { api: api.clone(), running: running.clone(), view };
        let (tell, done) = oneshot::channel();
        let told = told(api, running.clone())?;
        thread::Builder::new()
            .name("chat".into())
            .spawn(move || {
                // Whoever was told to go does not listen any more.
                drop(tell.send(self.talk(talk, manner, style)));
            })
            .map_err(Error::internal)?;
        let chat = async {
            tokio::select! {
                done = done => Ended::Done(done.unwrap_or_else(|_| Err(Error::failed("the chat broke off")))),
                () = told => Ended::Told,
            }
        };
        let mut ended = None;
        match door.server {
            Some(server) => server.run(async { ended = Some(chat.await) }).await.map_err(server::Error::into_inner)?,
            None => ended = Some(chat.await),
        }
        if let Some(lent) = door.lent {
            lent.give_back().await?;
        }
        Ok(ended.unwrap_or(Ended::Told))
    }

    /// The chat itself, on a thread that may wait.
    fn talk<W: std::io::Write>(self, mut talk: Talk<W>, manner: Manner, style: Style) -> Result<()> {
        let session = self.chosen(&talk.api)?;
        let wanted = Wanted { session, agent: self.agent, model: self.model };
        let message = match manner {
            Manner::Conversation => return Prompt::new(talk, wanted, style)?.run(),
            Manner::Once(message) => message,
        };
        let mut agrees = |question: &str| Some(agrees(question.trim_end_matches(" [y/N] ")));
        let answers: Option<reply::Answers> = if stdin().is_terminal() { Some(&mut agrees) } else { None };
        let done = match (&wanted.session, message.as_str()) {
            (Some(session), "") => match talk.join(session, answers)? {
                true => Ok(()),
                false => Err(Error::failed("nothing is being written there: write a message, or pipe one in")),
            },
            (None, "") => Err(Error::failed("there is nothing to ask: write a message, or pipe one in")),
            (session, message) => {
                let session = session.clone().unwrap_or_else(id::generate);
                talk.ask(&session, &wanted.body(&session, Some(message)), answers)
            }
        };
        if talk.running.was_stopped() {
            log::finish();
            return Err(Error::failed("stopped"));
        }
        done
    }

    /// The session to go on with, which is there.
    fn chosen(&self, api: &Api) -> Result<Option<String>> {
        let found = match (&self.session, self.continues) {
            (Some(id), _) => Some(api.get(&format!("/api/v1/sessions/{}", segment(id)))?),
            (None, true) => {
                let page = api.get("/api/v1/sessions?limit=1")?;
                let latest = page["items"].get(0).cloned();
                Some(latest.ok_or_else(|| Error::failed("there is no session to go on with"))?)
            }
            (None, false) => None,
        };
        Ok(found.and_then(|session| session["id"].as_str().map(str::to_owned)))
    }
}

/// Standard input, whole.
fn piped(from: &mut impl Read, bytes_max: u64) -> Result<String> {
    let mut text = String::new();
    match from.take(bytes_max + 1).read_to_string(&mut text) {
        Err(error) => Err(Error::failed(format!("cannot read standard input: {error}"))),
        Ok(bytes) if bytes as u64 > bytes_max => {
            Err(Error::failed(format!("standard input is longer than {bytes_max} bytes")))
        }
        Ok(_) => Ok(text),
    }
}

/// Ready once the program is to end: at Ctrl-C where nothing runs, or the second time, or at another signal. Until then Ctrl-C
/// stops the reply that runs.
fn told(api: Arc<Api>, running: Arc<Running>) -> Result<impl Future<Output = ()>> {
    let listen = |kind| signal(kind).map_err(Error::internal);
    let (mut keys, mut ends, mut gone) =
        (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?, listen(SignalKind::hangup())?);
    Ok(async move {
        loop {
            tokio::select! {
                _ = ends.recv() => return,
                _ = gone.recv() => return,
                _ = keys.recv() => match running.interrupt() {
                    Interrupt::Leave => return,
                    Interrupt::Stop(session) => {
                        let (api, running) = (api.clone(), running.clone());
                        tokio::task::spawn_blocking(move || stop(&api, &running, &session));
                    }
                },
            }
        }
    })
}

/// Stops a reply, which may be about to begin.
fn stop(api: &Api, running: &Running, session: &str) {
    for _ in 0..STOPS_MAX {
        let stopped = api.post(&format!("/api/v1/chat/{}/stop", segment(session)), &json!({}));
        if !running.is_stopping() || stopped.is_ok_and(|answer| answer["stopped"] == true) {
            return;
        }
        thread::park_timeout(STOP_INTERVAL);
    }
}

fn restore(terminal: Option<&Termios>) {
    if let Some(terminal) = terminal {
        // A terminal that has gone needs nothing.
        tcsetattr(stdin().as_fd(), OptionalActions::Now, terminal).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_is_said_again_for_seconds_and_not_for_ever() {
        assert_eq!(STOP_INTERVAL * STOPS_MAX, Duration::from_secs(5));
    }

    #[test]
    fn standard_input_is_read_up_to_its_bound() {
        const { assert!(MESSAGE_BYTES_MAX == 4 << 20) };
        for (bytes, fits) in [(3, true), (4, true), (5, false)] {
            assert_eq!(piped(&mut "x".repeat(bytes).as_bytes(), 4).is_ok(), fits, "{bytes}");
        }
        assert!(piped(&mut &b"\xff"[..], 4).unwrap_err().to_string().starts_with("cannot read standard input"));
    }
}
