//! How many turns run, and how long what waits for them waits.
//!
//! Rule: the clock stands still and is moved by the test. A thread that waits keeps it from running ahead while a socket or
//! the file is waited for.

mod unstored; // turns whose conversation is given

use std::{io, sync::mpsc};

use futures_util::StreamExt;
use tempfile::TempDir;
use tokio::{
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    task::{JoinHandle, spawn_blocking, yield_now},
    time::advance,
};

use super::*;
use crate::{
    model::{
        scripted::{Peer, Server},
        upstream::Upstreams,
    },
    outbound,
    seal::{self, Sealer},
    store::{
        messages::{NewMessage, Role},
        providers::{Provider, ProviderModel},
        sessions::NewSession,
    },
    turn::{
        ask::{Asker, Posted, SessionRef},
        parts, run,
    },
};

const MILLISECOND: Duration = Duration::from_millis(1);

/// An engine, and an organization that asks it.
struct Asking {
    engine: Arc<Engine>,
    tenant: Tenant,
    _folder: TempDir,
}

impl Asking {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), 2).unwrap();
        let tenant = store.create_org("acme", "a@example.com", None).unwrap().tenant();
        let sealer = Sealer::open(&folder.path().join(seal::FILE_NAME)).unwrap();
        // A body may be silent for longer than a turn.
        let options = outbound::Options { idle_timeout: 2 * run::TURN_TIME_MAX, ..outbound::Options::default() };
        let upstreams = Upstreams::new(&options).unwrap();
        let clients = Arc::new(outbound::ToolClients::new(&options).unwrap());
        let tools = Tools::new(store.clone(), sealer.clone(), clients);
        let catalog = Arc::new(Catalog::new(store.clone(), sealer, Vec::new(), upstreams));
        Asking { engine: Engine::new(store.clone(), catalog, tools, RESPONSE_KEEP), tenant, _folder: folder }
    }

    /// Connects a provider whose model is `up/x`.
    async fn connect(&self, server: &Server) {
        let model = ProviderModel::named("x");
        let mut provider = Provider::new("up", format!("http://{}/v1", server.address));
        provider.models = vec![model];
        self.engine.services.store.org(&self.tenant).create_provider(provider).await.unwrap();
    }

    fn ask(&self, model: &str) -> Ask {
        let hi = Posted { id: None, role: Role::User, parts: parts::of_text("Hi") };
        let asker = Asker::new(self.tenant.clone(), "r");
        Ask { model: Some(model.into()), messages: vec![hi], ..Ask::new(asker) }
    }
}

/// Keeps a paused clock from running ahead, as long as it lives.
struct Held {
    _release: mpsc::Sender<()>,
}

fn hold_the_clock() -> Held {
    let (release, held) = mpsc::channel::<()>();
    spawn_blocking(move || held.recv());
    Held { _release: release }
}

/// A server that says so when it was asked, and then does what the test says: `head`, or a word.
fn server() -> (Server, UnboundedReceiver<()>, mpsc::Sender<&'static str>) {
    let (asked, was_asked) = unbounded_channel();
    let (say, said) = mpsc::channel::<&str>();
    let said = Mutex::new(said);
    let script = move |_: usize, peer: &mut Peer| {
        peer.request()?;
        let _ = asked.send(());
        for word in said.lock().unwrap().iter() {
            let event = format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{word}\"}}}}]}}\n\n");
            match word {
                "head" => peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")?,
                _ => peer.send(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes())?,
            }
        }
        io::Result::Ok(())
    };
    (Server::start(script), was_asked, say)
}

/// Reads on until a text has come.
async fn read_up_to(reader: &mut super::super::reader::Reader, text: &str) -> String {
    let mut read = String::new();
    while !read.contains(text) {
        let piece = reader.next().await.unwrap_or_else(|| panic!("no {text} in {read}")).unwrap();
        read.push_str(str::from_utf8(&piece).unwrap());
    }
    read
}

/// Whether a task is over, once everything that can run has run.
async fn is_over<T>(task: &JoinHandle<T>) -> bool {
    for _ in 0..100 {
        yield_now().await;
    }
    task.is_finished()
}

#[tokio::test]
async fn one_turn_more_than_may_run_is_told_to_come_back() {
    let asking = Asking::new();
    let engine = &asking.engine;
    let take = |slots: usize| engine.slots.clone().try_acquire_many_owned(slots as u32).unwrap();
    for others in [TURNS_MAX - 2, TURNS_MAX - 1] {
        let slots = take(others);
        let started = engine.begin(asking.ask("demo/ala")).await.unwrap();
        started.turn.ended().await;
        drop(slots);
        drop(engine.slots.clone().acquire_many_owned(TURNS_MAX as u32).await.unwrap());
        assert_eq!(engine.turns_running(), 0);
    }
    let _slots = take(TURNS_MAX);
    assert_eq!(engine.turns_running(), TURNS_MAX);
    let refused = engine.begin(asking.ask("demo/ala")).await.map(drop);
    assert!(matches!(refused, Err(Error::Unavailable { retry_after: TURNS_FULL_RETRY, .. })), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn a_response_waits_for_the_first_sign_of_life_and_no_longer() {
    let _held = hold_the_clock();
    let (asking, (server, mut was_asked, _say)) = (Asking::new(), server());
    asking.connect(&server).await;
    let (engine, ask) = (asking.engine.clone(), asking.ask("up/x"));
    let begun = tokio::spawn(async move { engine.begin(ask).await });
    was_asked.recv().await.unwrap();
    advance(HEAD_WAIT - MILLISECOND).await;
    assert!(!is_over(&begun).await);
    advance(MILLISECOND).await;
    begun.await.unwrap().unwrap();
    assert_eq!(asking.engine.turns_running(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_turn_takes_as_long_as_it_may_and_no_longer() {
    let _held = hold_the_clock();
    let (asking, (server, mut was_asked, say)) = (Asking::new(), server());
    asking.connect(&server).await;
    say.send("head").unwrap();
    let started = asking.engine.begin(asking.ask("up/x")).await.unwrap();
    was_asked.recv().await.unwrap();
    let mut reader = started.turn.reader();
    advance(run::TURN_TIME_MAX - MILLISECOND).await;
    say.send("late").unwrap();
    read_up_to(&mut reader, "late").await;
    advance(MILLISECOND).await;
    let rest = read_up_to(&mut reader, "[DONE]").await;
    assert!(rest.contains("the reply took longer than 30 minutes"), "{rest}");
}

/// Waits until so much has been streamed.
async fn streamed(turn: &RunningTurn, is_there: impl Fn(usize) -> bool) -> usize {
    while !is_there(turn.journal().len()) {
        yield_now().await;
    }
    turn.journal().len()
}

#[tokio::test]
async fn a_reply_ends_where_its_turn_has_streamed_all_it_may() {
    let delta = |text: String| Chunk::TextDelta { id: "x".into(), delta: text };
    let mut frame = Vec::new();
    delta(String::new()).write_to(&mut frame);
    for (bytes, goes_on) in
        [(run::TURN_BYTES_MAX - 1, true), (run::TURN_BYTES_MAX, true), (run::TURN_BYTES_MAX + 1, false)]
    {
        let (asking, (server, _was_asked, say)) = (Asking::new(), server());
        asking.connect(&server).await;
        say.send("head").unwrap();
        let started = asking.engine.begin(asking.ask("up/x")).await.unwrap();
        let turn = &started.turn;
        let mut at = turn.journal().len();
        for word in ["one", "two"] {
            say.send(word).unwrap();
            at = streamed(turn, |len| len > at && turn.journal().since(0).windows(3).any(|has| has == word.as_bytes()))
                .await;
        }
        let word = turn.journal().since(0).rsplit(|byte| *byte == b'\n').nth(2).unwrap().len() + "\n\n".len();
        turn.journal().push(&[delta("x".repeat(bytes - word - at - frame.len()))]);
        say.send("six").unwrap();
        streamed(turn, |len| len >= bytes).await;
        let _ = say.send("end");
        // With it the bound is passed.
        turn.ended().await;
        let rest = String::from_utf8(turn.journal().since(bytes)).unwrap();
        assert_eq!((rest.contains("\"end\""), rest.contains("\"length\"")), (goes_on, true), "{bytes}: {rest}");
    }
}

#[tokio::test]
async fn a_conversation_that_is_too_long_is_shortened_so_often_and_no_more_often() {
    let max = run::OVERFLOW_RETRIES_MAX as usize;
    for (refusals, is_answered) in [(max - 1, true), (max, true), (max + 1, false)] {
        let server = Server::responding(move |n, _| {
            let refusal = r#"{"error":{"message":"the prompt is too long: maximum context length exceeded"}}"#;
            let reply = "data: {\"choices\":[{\"delta\":{\"content\":\"yes\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
            let (status, said) = if n < refusals { ("400 No", refusal) } else { ("200 OK", reply) };
            format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{said}", said.len())
        });
        let asking = Asking::new();
        asking.connect(&server).await;
        let org = asking.engine.services.store.org(&asking.tenant);
        let session = org.create_session(NewSession::default()).await.unwrap().id;
        for role in [Role::User, Role::Assistant].into_iter().cycle().take(16) {
            let part = r#"[{"type":"text","text":"a few words that take some room"}]"#;
            org.append_message(session.clone(), NewMessage::new(role, String::new(), part.into())).await.unwrap();
        }
        let ask = Ask { session: SessionRef::Existing(session), ..asking.ask("up/x") };
        let started = asking.engine.begin(ask).await;
        assert_eq!(started.is_ok(), is_answered, "{refusals}");
    }
}
