//! Turns whose conversation is given whole: their reply is in their own wire, and no word of them is in the file.

use serde_json::Value;

use super::*;
use crate::{
    model::{Content, Message, Usage, sampling::Sampling},
    turn::{
        ask::{Asker, By, Given},
        running::Stop,
        wire::Wire,
    },
};

/// Words as they are, an end with what they took, and what the agent left out.
#[derive(Debug)]
struct Plain;

impl Wire for Plain {
    fn chunk(&mut self, chunk: &Chunk, frames: &mut Vec<u8>) {
        match chunk {
            Chunk::TextDelta { delta, .. } => frames.extend_from_slice(delta.as_bytes()),
            Chunk::Abort => frames.extend_from_slice(b"<abort>"),
            _ => {}
        }
    }

    fn end(&mut self, usage: &Usage, frames: &mut Vec<u8>) {
        frames.extend_from_slice(format!("<{}>", usage.output_tokens).as_bytes());
    }

    fn heartbeat(&mut self) -> Vec<u8> {
        b"<beat>".to_vec()
    }
}

impl Asking {
    fn given(&self, model: &str, question: &str) -> Ask {
        let messages = vec![Message::User(vec![Content::Text(question.into())])];
        let given = Some(Given { messages, wire: Box::new(Plain) });
        let asker = Asker { by: By::Completions, ..Asker::new(self.tenant.clone(), "r") };
        Ask { model: Some(model.into()), raw: true, given, ..Ask::new(asker) }
    }

    /// Every byte of the data folder.
    fn file(&self) -> Vec<u8> {
        let files = std::fs::read_dir(self._folder.path()).unwrap().map(|entry| entry.unwrap().path());
        files.filter(|path| path.is_file()).flat_map(|path| std::fs::read(path).unwrap()).collect()
    }
}

fn holds(bytes: &[u8], word: &str) -> bool {
    bytes.windows(word.len()).any(|window| window == word.as_bytes())
}

#[tokio::test]
async fn a_reply_that_is_not_stored_is_in_its_own_wire_and_leaves_its_bill_alone() {
    let (asking, (server, _was_asked, say)) = (Asking::new(), server());
    asking.connect(&server).await;
    say.send("head").unwrap();
    let started = asking.engine.begin(asking.given("up/x", "quokka?")).await.unwrap();
    assert_eq!((&*started.session_id, started.model.as_deref()), ("", Some("up/x")));
    say.send("wombat").unwrap();
    streamed(&started.turn, |len| len >= "wombat".len()).await;
    started.turn.stop(Stop::Requested);
    started.turn.ended().await;
    assert_eq!(started.turn.journal().since(0), b"wombat<abort><2>");
    assert!(asking.engine.services.store.audit().unwrap().is_sound());
    let file = asking.file();
    assert!(holds(&file, "up/x") && !holds(&file, "quokka") && !holds(&file, "wombat"));
}

#[tokio::test]
async fn what_the_caller_asks_of_the_reply_is_more_than_its_agent_says() {
    let (asked, was_asked) = mpsc::channel();
    let asked = Mutex::new(asked);
    let server = Server::responding(move |_, request| {
        let body = request.split_once("\r\n\r\n").unwrap().1;
        asked.lock().unwrap().send(serde_json::from_str::<Value>(body).unwrap()).unwrap();
        let reply =
            "data: {\"choices\":[{\"delta\":{\"content\":\"yes\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{reply}", reply.len())
    });
    let asking = Asking::new();
    asking.connect(&server).await;
    for (raw, tools) in [(true, false), (false, true)] {
        let sampling = Sampling { temperature: Some(0.25), output_tokens_max: Some(7), ..Sampling::default() };
        let ask = Ask { sampling, raw, system: "Be brief.".into(), ..asking.given("up/x", "hi") };
        let started = asking.engine.begin(ask).await.unwrap();
        started.turn.ended().await;
        assert!(holds(&started.turn.journal().since(0), "yes<"));
        let body = was_asked.recv().unwrap();
        assert_eq!((&body["temperature"], &body["max_tokens"]), (&0.25.into(), &7.into()));
        let system = body["messages"][0]["content"].as_str().unwrap();
        assert_eq!((system == "Be brief.", system.ends_with("Be brief.")), (raw, true), "{system}");
        assert_eq!(body["tools"].is_array(), tools);
        assert!(started.turn.ignored().is_empty());
    }
}

#[tokio::test]
async fn a_conversation_that_is_given_whole_is_refused_when_it_is_too_long() {
    let refusal = r#"{"error":{"message":"maximum context length exceeded"}}"#;
    let (asked, was_asked) = mpsc::channel();
    let asked = Mutex::new(asked);
    let server = Server::responding(move |_, _| {
        asked.lock().unwrap().send(()).unwrap();
        format!("HTTP/1.1 400 No\r\ncontent-length: {}\r\n\r\n{refusal}", refusal.len())
    });
    let asking = Asking::new();
    asking.connect(&server).await;
    let refused = asking.engine.begin(asking.given("up/x", "hi")).await.map(drop);
    assert!(matches!(refused, Err(Error::TooLong { .. })), "{refused:?}");
    assert_eq!(was_asked.try_iter().count(), 1);
}
