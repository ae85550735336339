//! What is asked with an `Idempotency-Key` and asked again in the next life: done once, no matter who heard what of it.
//!
//! Rule: what is asked carries a word that nothing else carries, so that doing it twice would show.

use alm::id;
use serde_json::{Value, json};

use crate::{
    heard::{Ear, Gone, Heard},
    life::{Life, Moment},
    person::{Person, heard_whole},
    support::client::Client,
    talk::{Doubt, Known, Talk, Turn},
};

const HEADER: &str = "idempotency-key";

/// A request that may be asked again.
pub struct Keyed {
    key: String,
    /// What nothing else carries.
    word: String,
    asked: Asked,
    /// Whether anything of an answer was heard: then it was done.
    done: bool,
}

enum Asked {
    Session,
    Question { session: String, body: Value },
}

impl Person {
    /// Makes a session.
    pub fn make_once(&mut self, life: &Life) -> Result<(), Gone> {
        let word = id::generate().replace('-', "");
        self.keyed = Some(Keyed { key: id::generate(), word, asked: Asked::Session, done: false });
        self.make(life)
    }

    /// Asks something that has no id of its own.
    pub fn ask_once(&mut self, life: &Life, at: usize) -> Result<(), Gone> {
        let (word, session) = (id::generate(), self.talks[at].id.clone());
        let body = json!({ "id": session, "model": self.model(), "messages": [{ "role": "user", "content": word }] });
        self.keyed = Some(Keyed { key: id::generate(), word, asked: Asked::Question { session, body }, done: false });
        self.ask_keyed(life, at)
    }

    /// Asks again what was asked last.
    pub fn repeat(&mut self, life: &Life) -> Result<(), Gone> {
        let Some(keyed) = &self.keyed else { return Ok(()) };
        match &keyed.asked {
            Asked::Session => self.make(life)?,
            Asked::Question { session, .. } => {
                // A session that is left alone, or was never made, is nothing to ask in.
                let Some(at) = self.talks.iter().position(|talk| talk.id == *session) else { return Ok(()) };
                self.ask_keyed(life, at)?;
            }
        }
        self.counts.repeated += 1;
        self.keyed = None;
        Ok(())
    }

    fn make(&mut self, life: &Life) -> Result<(), Gone> {
        let Keyed { key, word, done, .. } = self.keyed.as_mut().unwrap();
        let body = json!({ "label": word }).to_string();
        let once = self.client.header(HEADER, key);
        life.tell(Moment::Asks);
        let (status, answer) = heard_whole(once.attempt("POST", "/sessions", Some(&body)))?;
        let path = format!("/sessions?q={word}");
        let (_, found) = heard_whole(self.client.attempt("GET", &path, None))?;
        assert_eq!(found["data"]["items"].as_array().map(Vec::len), Some(1), "{word} is a session once: {found}");
        // One that was made when nobody heard of it any more.
        let id = found["data"]["items"][0]["id"].as_str().unwrap().to_owned();
        assert!(status == 201 && answer["data"]["id"] == *id || status == 409 && !*done, "{status} {answer}");
        if !std::mem::replace(done, true) {
            self.talks.push(Talk::new(id, true));
            self.counts.writes += 1;
        }
        Ok(())
    }

    fn ask_keyed(&mut self, life: &Life, at: usize) -> Result<(), Gone> {
        let Some(Keyed { key, word, asked: Asked::Question { body, .. }, done }) = &self.keyed else { return Ok(()) };
        let (key, body, known) = (key.clone(), body.to_string(), &self.talks[at].history);
        let ask = |client: &Client| client.header(HEADER, &key).attempt("POST", "/chat", Some(&body));
        let there = known.iter().filter(|message| message.content == *word).count();
        assert!(there <= 1, "{word} is asked twice: {:#?}", self.talks[at]);
        if *done || there == 1 {
            let response = ask(&self.client).map_err(|_| Gone)?;
            assert_eq!(response.status(), 200);
            let (mut ear, mut heard) = (Ear::new(response), Heard::default());
            while ear.next(&mut heard)?.is_some() {}
            // Nothing is in doubt, so the history must be what it was.
            return self.look(at);
        }
        let question = Known::question(String::new(), word.clone());
        let turn = Turn { keep: known.len(), question: Some(question), continues: None, heard: Heard::default() };
        life.tell(Moment::Asks);
        let answered = self.turn(life, at, turn, ask);
        let begun = matches!(&self.talks[at].doubt, Some(Doubt::Turn(turn)) if turn.heard.begun);
        if let Some(keyed) = &mut self.keyed {
            keyed.done = begun || matches!(answered, Ok(true));
        }
        if answered? { self.look(at) } else { Ok(()) }
    }
}
