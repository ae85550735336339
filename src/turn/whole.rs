//! A whole reply, for those who wait for its end and read no stream: programs, and other agents.
//!
//! Rule: it is read as it was stored. The stream only tells how far it is, and what a failure left no message of.

use std::sync::Arc;

use futures_util::StreamExt;
use serde_json::Value;

use super::{chunk::Chunk, running::RunningTurn};
use crate::{
    error::{Error, Result},
    store::{
        Store, Tenant,
        messages::{Message, Status},
    },
};

/// A reply that is over.
#[derive(Debug)]
pub struct Whole {
    pub session_id: String,
    /// Absent if nothing was said.
    pub message_id: Option<String>,
    pub text: String,
    pub status: Status,
    /// Those of the message; `null` if there is none.
    pub metadata: Value,
    /// Why it failed.
    pub error: Option<String>,
}

/// What the stream told so far.
#[derive(Default)]
struct Heard {
    message_id: String,
    chars: usize,
    aborted: bool,
    error: Option<String>,
}

impl Whole {
    /// Waits for the end of a turn. `told` hears how many characters there are, each time there are more.
    pub async fn of(
        store: &Store,
        tenant: &Tenant,
        session_id: String,
        turn: Arc<RunningTurn>,
        mut told: impl FnMut(usize) + Send,
    ) -> Result<Self> {
        let mut heard = Heard::default();
        // A numbered reader gets whole events.
        let mut reader = turn.numbered_reader(0);
        while let Some(piece) = reader.next().await {
            let before = heard.chars;
            heard.add(&piece.map_err(Error::internal)?);
            if heard.chars > before {
                told(heard.chars);
            }
        }
        let message = store.org(tenant).message(&session_id, &heard.message_id)?;
        Ok(heard.whole(session_id, message))
    }
}

impl Heard {
    fn add(&mut self, events: &[u8]) {
        for data in events.split(|byte| *byte == b'\n').filter_map(|line| line.strip_prefix(b"data: ")) {
            match serde_json::from_slice(data) {
                Ok(Chunk::Start { message_id, .. }) => self.message_id = message_id,
                Ok(Chunk::TextDelta { delta, .. }) => self.chars += delta.chars().count(),
                Ok(Chunk::Error { error_text }) => self.error = Some(error_text),
                Ok(Chunk::Abort) => self.aborted = true,
                // `[DONE]` is no chunk.
                Ok(_) | Err(_) => {}
            }
        }
    }

    fn whole(self, session_id: String, message: Option<Message>) -> Whole {
        let unsaid = match (&self.error, self.aborted) {
            (Some(_), _) => Status::Failed,
            (None, true) => Status::Stopped,
            (None, false) => Status::Complete,
        };
        let Some(message) = message else {
            let (message_id, text, metadata) = (None, String::new(), Value::Null);
            return Whole { session_id, message_id, text, status: unsaid, metadata, error: self.error };
        };
        Whole {
            session_id,
            message_id: Some(message.id),
            text: message.content,
            status: message.status,
            metadata: serde_json::from_str(&message.metadata).unwrap_or_default(),
            error: self.error,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::messages::{NewMessage, Role};

    fn events(chunks: &[Chunk]) -> Vec<u8> {
        let mut events = b": stream-open\n\nid: 1\n".to_vec();
        chunks.iter().for_each(|chunk| chunk.write_to(&mut events));
        events
    }

    #[test]
    fn what_is_heard_is_counted_and_a_failure_kept() {
        let mut heard = Heard::default();
        heard.add(&events(&[
            Chunk::Start { message_id: "m1".into(), message_metadata: json!({}) },
            Chunk::TextDelta { id: "a".into(), delta: "grün".into() },
        ]));
        assert_eq!((&*heard.message_id, heard.chars), ("m1", 4));
        heard.add(&events(&[Chunk::Error { error_text: "gone".into() }]));
        heard.add(b"data: [DONE]\n\n");
        let whole = heard.whole("s1".into(), None);
        assert_eq!((whole.status, whole.error.as_deref(), whole.message_id), (Status::Failed, Some("gone"), None));
    }

    #[tokio::test]
    async fn a_reply_is_what_was_stored_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), 1).unwrap();
        let tenant = store.create_org("acme", "a@example.com", None).unwrap().tenant();
        let session = store.org(&tenant).create_session(Default::default()).await.unwrap().id;
        let said = NewMessage::new(Role::Assistant, "Green.".into(), "[]".into());
        let said = NewMessage { metadata: json!({ "finishReason": "stop" }).to_string(), ..said };
        let id = said.id.clone();
        store.org(&tenant).append_message(session.clone(), said).await.unwrap();
        let turn = RunningTurn::new();
        let start = Chunk::Start { message_id: id.clone(), message_metadata: json!({}) };
        let delta = |text: &str| Chunk::TextDelta { id: "a".into(), delta: text.into() };
        turn.journal().end(&[start, delta("Gre"), delta("en.")]);
        let mut told = Vec::new();
        let whole = Whole::of(&store, &tenant, session, turn, |chars| told.push(chars)).await.unwrap();
        assert_eq!((&*whole.text, whole.message_id, told.last()), ("Green.", Some(id), Some(&6)));
        assert_eq!((whole.status, &whole.metadata["finishReason"]), (Status::Complete, &json!("stop")));
    }
}
