//! Someone who uses the server until it goes away, and remembers what it acknowledged.

use alm::id;
use rand::{RngExt, rngs::StdRng};
use serde_json::{Value, json};
use ureq::{Body, http::Response};

use crate::{
    heard::{Ear, Gone, Heard},
    life::{Life, Moment},
    once::Keyed,
    support::client::Client,
    talk::{Doubt, Known, Talk, Turn},
};

/// Sessions that a person talks in at a time.
const TALKS_MAX: usize = 3;
/// Messages after which a session is left alone.
const MESSAGES_MAX: usize = 14;
/// Words of a long question: enough of them make SQLite move its log into the file in the middle of a life.
const LONG_WORDS: usize = 20_000;

/// What a person saw and did.
#[derive(Debug, Default, Clone, Copy)]
pub struct Counts {
    /// Answers heard to their `[DONE]`.
    pub answers: usize,
    /// Answers that were cut off by the end of a server.
    pub cut: usize,
    /// Answers that replaced others: edits, and the same question again.
    pub replaced: usize,
    /// Answers that went on: after an interruption, or with the output of a client's tool.
    pub continued: usize,
    /// Replies that were left in the middle and heard again from their start.
    pub rejoined: usize,
    /// Writes that are not answers: sessions and appended messages.
    pub writes: usize,
    /// Requests with an `Idempotency-Key` that were sent again after a restart.
    pub repeated: usize,
    /// Calls that were allowed or denied.
    pub calls_answered: usize,
    /// Calls that waited for an answer when a server was there again.
    pub calls_still_waiting: usize,
    /// Histories compared with what they must be.
    pub compared: usize,
}

pub struct Person {
    pub client: Client,
    pub rng: StdRng,
    pub talks: Vec<Talk>,
    left_alone: Vec<Talk>,
    /// What was asked last with an `Idempotency-Key`.
    pub keyed: Option<Keyed>,
    /// What answers cost, as their ends said: the answer's id, microcents.
    pub bills: Vec<(String, i64)>,
    pub counts: Counts,
}

/// How long a person listens. Numbers are chunks.
#[derive(Clone, Copy)]
enum Patience {
    ToTheEnd,
    StopsAfter(usize),
    LeavesAfter(usize),
}

impl Person {
    pub fn new(client: Client, rng: StdRng) -> Self {
        let (talks, left_alone, bills) = Default::default();
        Person { client, rng, talks, left_alone, keyed: None, bills, counts: Counts::default() }
    }

    /// Uses the server until it goes away.
    pub fn live(&mut self, life: &Life) {
        self.client = self.client.at(&life.url);
        let mut lived = self.repeat(life);
        while lived.is_ok() && !life.is_over() {
            lived = self.act(life);
        }
        assert!(lived.is_ok() || life.is_over(), "a server that nobody killed went away");
        self.counts.cut += self.talks.iter().filter(|talk| matches!(talk.doubt, Some(Doubt::Turn(_)))).count();
    }

    /// Compares what the server has with what it acknowledged: sessions that were touched, or every one.
    pub fn check(&mut self, url: &str, all: bool) {
        self.client = self.client.at(url);
        let talks = self.talks.iter_mut().chain(&mut self.left_alone);
        for talk in talks.filter(|talk| all || talk.touched) {
            let reply = self.client.get(&path_of(talk));
            let served = (reply.status != 404).then(|| reply.ok(200)["items"].as_array().unwrap().clone());
            talk.compare(served.as_deref()).unwrap_or_else(|what| panic!("{what}"));
            self.counts.compared += 1;
            self.counts.calls_still_waiting += talk.asks().len();
        }
        // One that a chat would have made, and did not, is nothing to talk in.
        self.talks.retain(|talk| talk.made);
    }

    fn act(&mut self, life: &Life) -> Result<(), Gone> {
        if self.talks.len() < TALKS_MAX {
            return self.begin(life);
        }
        let at = self.rng.random_range(..TALKS_MAX);
        let talk = &self.talks[at];
        if talk.history.len() >= MESSAGES_MAX {
            let done = self.talks.swap_remove(at);
            self.left_alone.push(done);
            return Ok(());
        }
        let last = talk.history.last();
        let (asks, is_open) = (!talk.asks().is_empty(), talk.is_open());
        match self.rng.random_range(0..100) {
            _ if !talk.made => self.submit(life, at),
            _ if talk.answered => self.answer_calls(life, at),
            0..65 if asks => self.answer_calls(life, at),
            0..15 if !is_open => self.append(at, Known::question(id::generate(), "A note.".into())),
            15..30 if last.is_some() => self.regenerate(life, at),
            30..40 if last.is_some() => self.edit(life, at),
            40..50 if !asks && !is_open => self.answer_own_tool(life, at),
            40..80 if !asks && last.is_some_and(|last| last.is_interrupted() || last.role == "user") => {
                self.resume(life, at)
            }
            80..90 => self.ask_once(life, at),
            _ => self.submit(life, at),
        }
    }

    /// A session of one kind or the other: made by itself, or by the first chat in it.
    fn begin(&mut self, life: &Life) -> Result<(), Gone> {
        if self.rng.random() {
            self.talks.push(Talk::new(id::generate(), false));
            return Ok(());
        }
        self.make_once(life)
    }

    fn append(&mut self, at: usize, message: Known) -> Result<(), Gone> {
        let body = match message.parts.as_slice() {
            [] => json!({ "id": message.id, "role": message.role, "content": message.content }),
            parts => json!({ "id": message.id, "role": message.role, "parts": parts }),
        };
        let path = format!("/sessions/{}/messages", self.talks[at].id);
        self.talks[at].touched = true;
        self.talks[at].doubt = Some(Doubt::Append(message));
        let (status, answer) = self.post(&path, &body)?;
        assert_eq!(status, 201, "{answer}");
        self.talks[at].settle();
        self.counts.writes += 1;
        Ok(())
    }

    fn submit(&mut self, life: &Life, at: usize) -> Result<(), Gone> {
        let words = if self.rng.random_ratio(1, 100) { LONG_WORDS } else { 3 };
        let question = Known::question(id::generate(), "What then? ".repeat(words));
        let keep = self.talks[at].history.len();
        self.ask(life, at, keep, question)
    }

    /// The same question in other words: what followed makes way.
    fn edit(&mut self, life: &Life, at: usize) -> Result<(), Gone> {
        let history = &self.talks[at].history;
        let questions: Vec<_> = (0..history.len()).filter(|n| history[*n].role == "user").collect();
        let Some(keep) = questions.get(self.rng.random_range(..questions.len().max(1))) else { return Ok(()) };
        let question = Known::question(history[*keep].id.clone(), format!("Edited {}.", id::generate()));
        self.ask(life, at, *keep, question)
    }

    fn ask(&mut self, life: &Life, at: usize, keep: usize, question: Known) -> Result<(), Gone> {
        let message =
            json!({ "id": question.id, "role": "user", "parts": [{ "type": "text", "text": question.content }] });
        let body = json!({ "id": self.talks[at].id, "model": self.model(), "messages": [message] });
        let turn = Turn { keep, question: Some(question), continues: None, heard: Heard::default() };
        self.post_turn(life, at, "/chat", &body, turn)
    }

    fn regenerate(&mut self, life: &Life, at: usize) -> Result<(), Gone> {
        let talk = &self.talks[at];
        let from = self.rng.random_range(..talk.history.len());
        let keep = from + usize::from(talk.history[from].role == "user");
        let body = json!({
            "id": talk.id, "model": self.model(), "trigger": "regenerate-message", "messageId": self.talks[at].history[from].id,
        });
        let turn = Turn { keep, question: None, continues: None, heard: Heard::default() };
        self.post_turn(life, at, "/chat", &body, turn)
    }

    /// An answer with a call of the client's own tool, which then goes on with the tool's output.
    fn answer_own_tool(&mut self, life: &Life, at: usize) -> Result<(), Gone> {
        let (id, call_id) = (id::generate(), id::generate());
        let words = json!({ "type": "text", "text": "Where are you? " });
        let mut call = json!({ "type": "tool-locate", "toolCallId": call_id, "state": "input-available", "input": { "exact": true } });
        let parts = |call: &Value| vec![words.clone(), call.clone()];
        let open = Known { id, role: "assistant", content: "Where are you? ".into(), parts: parts(&call), shown: None };
        self.append(at, open.clone())?;
        call["state"] = json!("output-available");
        call["output"] = json!({ "city": "Ghent" });
        let answered = Known { parts: parts(&call), ..open };
        let message = json!({ "id": answered.id, "role": "assistant", "parts": answered.parts });
        let body = json!({ "id": self.talks[at].id, "model": self.model(), "messages": [message] });
        let keep = self.talks[at].history.len() - 1;
        let turn = Turn { keep, question: None, continues: Some(answered), heard: Heard::default() };
        self.post_turn(life, at, "/chat", &body, turn)
    }

    fn resume(&mut self, life: &Life, at: usize) -> Result<(), Gone> {
        let talk = &self.talks[at];
        let continues = talk.history.last().filter(|last| last.role == "assistant");
        let continues = continues.map(|last| Known { shown: None, ..last.clone() });
        let keep = talk.history.len() - usize::from(continues.is_some());
        let path = format!("/chat/{}/resume", talk.id);
        self.post_turn(life, at, &path, &json!({}), Turn { keep, question: None, continues, heard: Heard::default() })
    }

    fn post_turn(&mut self, life: &Life, at: usize, path: &str, body: &Value, turn: Turn) -> Result<(), Gone> {
        self.turn(life, at, turn, |client| client.attempt("POST", path, Some(&body.to_string()))).map(drop)
    }

    /// Asks for an answer and listens to it in one way or another. Says whether there was one.
    pub fn turn(
        &mut self,
        life: &Life,
        at: usize,
        turn: Turn,
        ask: impl FnOnce(&Client) -> Result<Response<Body>, ureq::Error>,
    ) -> Result<bool, Gone> {
        let talk = &mut self.talks[at];
        talk.touched = true;
        talk.doubt = Some(Doubt::Turn(Box::new(turn)));
        let response = ask(&self.client).map_err(|_| Gone)?;
        match response.status().as_u16() {
            200 => {}
            402 | 502 => {
                talk.refused();
                return Ok(false);
            }
            status => panic!("{status} {}", response.into_body().read_to_string().unwrap_or_default()),
        }
        (talk.turn().heard.begun, talk.made) = (true, true);
        self.listen(life, at, Ear::new(response))?;
        life.tell(Moment::Done);
        let talk = &mut self.talks[at];
        let (messages, turn) = (talk.history.len(), talk.turn());
        self.counts.answers += usize::from(turn.heard.done);
        self.counts.continued += usize::from(turn.continues.is_some());
        self.counts.replaced += usize::from(turn.continues.is_none() && turn.keep < messages);
        self.bills.extend(turn.heard.message_id.clone().zip(turn.heard.cost));
        if !talk.settle() {
            self.look(at)?;
        }
        Ok(true)
    }

    fn listen(&mut self, life: &Life, at: usize, mut ear: Ear) -> Result<(), Gone> {
        let patience = self.patience();
        let heard = &mut self.talks[at].turn().heard;
        let mut chunks = 0;
        while let Some(chunk) = ear.next(heard)? {
            chunks += 1;
            if chunk["type"] == "tool-input-available" {
                life.tell(Moment::ToolCall);
            }
            match patience {
                Patience::StopsAfter(some) if some == chunks => {
                    let stop = format!("/chat/{}/stop", self.talks[at].id);
                    let (status, answer) = self.post(&stop, &json!({}))?;
                    assert_eq!(status, 200, "{answer}");
                    self.talks[at].turn().heard.committed |= answer["data"]["stopped"] == true;
                    return self.listen_on(at, ear);
                }
                Patience::LeavesAfter(some) if some == chunks => return self.join(at),
                _ => {}
            }
        }
        Ok(())
    }

    fn listen_on(&mut self, at: usize, mut ear: Ear) -> Result<(), Gone> {
        while ear.next(&mut self.talks[at].turn().heard)?.is_some() {}
        Ok(())
    }

    /// Comes back to a reply that was left in the middle: hears all of it again, or finds it finished.
    fn join(&mut self, at: usize) -> Result<(), Gone> {
        let path = format!("/chat/{}/stream", self.talks[at].id);
        let response = self.client.attempt("GET", &path, None).map_err(|_| Gone)?;
        let Turn { heard, continues, .. } = self.talks[at].turn();
        if response.status().as_u16() == 204 {
            heard.committed = true;
            return Ok(());
        }
        let (mut ear, mut again) = (Ear::new(response), Heard { begun: true, ..Heard::default() });
        let ended = loop {
            match ear.next(&mut again) {
                Ok(Some(_)) => {}
                other => break other.map(drop),
            }
        };
        self.counts.rejoined += 1;
        // Whoever joins an answer that goes on is told first what it had before.
        let before = continues.as_ref().map_or("", |known| &known.content);
        let told = format!("{before}{}", heard.text);
        let agrees = again.text.starts_with(&told) || !again.whole && told.starts_with(&again.text);
        assert!(agrees, "{told:?} was heard, and then {again:?}");
        again.text.drain(..before.len().min(again.text.len()));
        if again.text.len() >= heard.text.len() {
            *heard = Heard { message_id: again.message_id.clone().or(heard.message_id.take()), ..again };
        }
        ended
    }

    /// Asks for a history that is not known for certain.
    pub fn look(&mut self, at: usize) -> Result<(), Gone> {
        let (_, page) = heard_whole(self.client.attempt("GET", &path_of(&self.talks[at]), None))?;
        let served = page["data"]["items"].as_array().unwrap_or_else(|| panic!("{page}"));
        self.talks[at].compare(Some(served)).unwrap_or_else(|what| panic!("{what}"));
        Ok(())
    }

    pub fn post(&self, path: &str, body: &Value) -> Result<(u16, Value), Gone> {
        heard_whole(self.client.attempt("POST", path, Some(&body.to_string())))
    }

    pub fn model(&mut self) -> &'static str {
        match self.rng.random_range(0..20) {
            0..9 => "up/free",
            9..18 => "up/paid",
            _ => "demo/ala",
        }
    }

    fn patience(&mut self) -> Patience {
        let chunks = self.rng.random_range(1..12);
        match self.rng.random_range(0..20) {
            0..3 => Patience::StopsAfter(chunks),
            3..6 => Patience::LeavesAfter(chunks),
            _ => Patience::ToTheEnd,
        }
    }
}

fn path_of(talk: &Talk) -> String {
    format!("/sessions/{}/messages?pageSize=500", talk.id)
}

/// The status and the JSON of an answer that came whole.
pub fn heard_whole(response: Result<Response<Body>, ureq::Error>) -> Result<(u16, Value), Gone> {
    let mut response = response.map_err(|_| Gone)?;
    let json = response.body_mut().read_to_vec().map_err(|_| Gone)?;
    Ok((response.status().as_u16(), serde_json::from_slice(&json).unwrap()))
}
