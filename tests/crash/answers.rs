//! What a person says to the calls that a reply waits for: yes or no, in each of the ways there are.
//!
//! Rule: an answer is always the same, so it may be given again by whoever does not know whether it was heard.

use serde_json::{Value, json};

use crate::{
    heard::{Ear, Gone, Heard},
    life::{Life, Moment},
    person::{Person, heard_whole},
    talk::{Known, Turn},
};

impl Person {
    /// Answers the calls of a talk's last message.
    pub fn answer_calls(&mut self, life: &Life, at: usize) -> Result<(), Gone> {
        life.tell(Moment::Answers);
        match rand::RngExt::random_range(&mut self.rng, 0..3) {
            // It may go on by itself, so only the same answers will do.
            _ if self.talks[at].answered => self.answer_again(at),
            0 => self.answer_one_by_one(life, at),
            1 => {
                let (path, body) = (format!("/chat/{}/resume", self.talks[at].id), self.answers(at));
                self.go_on(life, at, &path, &body)
            }
            _ => {
                let message = self.answered_message(at);
                let body = json!({ "id": self.talks[at].id, "model": self.model(), "messages": [message] });
                self.go_on(life, at, "/chat", &body)
            }
        }
    }

    /// All answers in one request, which is a turn.
    fn go_on(&mut self, life: &Life, at: usize, path: &str, body: &Value) -> Result<(), Gone> {
        let talk = &self.talks[at];
        let before = talk.history.last().map(|last| Known { shown: None, ..last.clone() });
        let turn = Turn { keep: talk.history.len() - 1, question: None, continues: before, heard: Heard::default() };
        let calls = talk.asks().len();
        if self.turn(life, at, turn, |client| client.attempt("POST", path, Some(&body.to_string())))? {
            self.counts.calls_answered += calls;
        }
        Ok(())
    }

    /// The inbox: with the last answer the server goes on by itself, now or when it is there again.
    fn answer_one_by_one(&mut self, life: &Life, at: usize) -> Result<(), Gone> {
        let asks = self.talks[at].asks();
        (self.talks[at].answered, self.talks[at].touched) = (true, true);
        for id in &asks {
            let (status, told) = self.post(&format!("/approvals/{id}"), &answer(id))?;
            assert_eq!(status, 200, "{told}");
            self.counts.calls_answered += 1;
            life.tell(Moment::Answers);
        }
        self.look(at)
    }

    /// The same answers again: the turn that acts on them begins, is joined, or is told once more.
    fn answer_again(&mut self, at: usize) -> Result<(), Gone> {
        let (path, body) = (format!("/chat/{}/resume", self.talks[at].id), self.answers(at).to_string());
        self.talks[at].touched = true;
        let response = self.client.attempt("POST", &path, Some(&body)).map_err(|_| Gone)?;
        match response.status().as_u16() {
            200 => {
                let (mut ear, mut heard) = (Ear::new(response), Heard::default());
                while ear.next(&mut heard)?.is_some() {}
            }
            402 => {}
            _ => panic!("{:?}", heard_whole(Ok(response))),
        }
        self.look(at)
    }

    fn answers(&self, at: usize) -> Value {
        let asks = self.talks[at].asks();
        let one = |id: &String| {
            let mut answer = answer(id);
            answer["approvalId"] = json!(id);
            answer
        };
        json!({ "approvals": asks.iter().map(one).collect::<Vec<_>>() })
    }

    /// The message as the SDK posts it.
    fn answered_message(&self, at: usize) -> Value {
        let last = self.talks[at].history.last().unwrap();
        let mut parts = last.parts.clone();
        for part in parts.iter_mut().filter(|part| part["state"] == "approval-requested") {
            let id = part["approval"]["id"].as_str().unwrap().to_owned();
            part["state"] = "approval-responded".into();
            part["approval"]["approved"] = answer(&id)["approved"].clone();
        }
        json!({ "id": last.id, "role": "assistant", "parts": parts })
    }
}

/// Two of three are allowed.
fn answer(id: &str) -> Value {
    match id.bytes().last().unwrap() % 3 {
        0 => json!({ "approved": false, "reason": "Not today." }),
        _ => json!({ "approved": true }),
    }
}
