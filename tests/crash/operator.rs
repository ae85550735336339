//! The operator, who works beside the server with the command line: money in, keys made and revoked, calls that wait answered.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::{
    life::{Life, Moment},
    support::{
        client::Client,
        harness::{Ran, alm},
    },
};

/// Microcents of one deposit, and how the command is told.
pub const DEPOSIT: (i64, &str) = (20_000, "0.02");

pub struct Operator {
    folder: PathBuf,
    orgs: Vec<String>,
    turn: usize,
    /// Notes of the deposits that were acknowledged.
    pub deposits: Vec<String>,
    keys: Vec<Key>,
    /// The clients of the organizations, in which the operator asks as well.
    clients: Vec<Client>,
    /// The calls that were answered, and whether they were allowed.
    pub answered: Vec<(String, bool)>,
}

/// The session in which the operator asks, which is nobody else's.
const DESK: &str = "desk";

struct Key {
    org: String,
    id: String,
    text: String,
    revoked: bool,
}

impl Operator {
    pub fn new(folder: PathBuf, orgs: Vec<String>) -> Self {
        let (deposits, keys, clients, answered) = Default::default();
        Operator { folder, orgs, turn: 0, deposits, keys, clients, answered }
    }

    /// Makes an organization whose chats are answered by a model there; answers a key of its owner's.
    pub fn set_up(&mut self, org: &str, usd: &str, base_url: &str) -> String {
        let (email, password) = (format!("owner@{org}.example"), self.folder.join("password"));
        std::fs::write(&password, "correct horse battery staple").unwrap();
        self.run(&["org", "create", org, "--owner", &email, "--password-file", password.to_str().unwrap()]);
        let add = ["providers", "add", "--org", org, "--slug", "up", "--base-url", base_url];
        self.run(&[&add[..], &["--model", "paid", "--price", "1/1", "--model", "free"]].concat());
        self.run(&["org", "set", org, "--default-model", "up/paid"]);
        self.run(&["deposit", "--org", org, "--usd", usd]);
        let key = self.run(&["keys", "create", "--org", org, "--name", "first"])["key"].as_str().unwrap().to_owned();
        self.clients.push(Client::new("", Some(key.clone())));
        key
    }

    /// Does one thing after the other, whether or not there is a server.
    pub fn live(&mut self, life: &Life) {
        while !life.is_over() {
            self.turn += 1;
            let at = self.turn % self.orgs.len();
            let org = self.orgs[at].clone();
            match self.turn % 5 {
                0 => self.revoke(),
                1 => self.make_key(org),
                2 => self.answer_or_ask(life, at),
                _ => self.deposit(&org),
            }
        }
    }

    /// Keys that were made.
    pub fn keys(&self) -> usize {
        self.keys.len()
    }

    /// Keys that were revoked.
    pub fn revoked(&self) -> usize {
        self.keys.iter().filter(|key| key.revoked).count()
    }

    /// Tries the newest key, or every key that works: whoever tries many that do not is turned away.
    pub fn check(&self, url: &str, all: bool) {
        for key in self.keys.iter().filter(|key| all && !key.revoked).chain(self.keys.last()) {
            let status = Client::new(url, Some(key.text.clone())).get("/agents").status;
            assert_eq!(status, if key.revoked { 401 } else { 200 }, "the key {}", key.id);
        }
    }

    fn deposit(&mut self, org: &str) {
        let note = format!("deposit {}", self.turn);
        self.run(&["deposit", "--org", org, "--usd", DEPOSIT.1, "--note", &note]);
        self.deposits.push(note);
    }

    fn make_key(&mut self, org: String) {
        let made = self.run(&["keys", "create", "--org", &org, "--name", "crash"]);
        let text = |field: &str| made[field].as_str().unwrap().to_owned();
        self.keys.push(Key { id: text("id"), text: text("key"), org, revoked: false });
    }

    fn revoke(&mut self) {
        let Some(key) = self.keys.last().filter(|key| !key.revoked) else { return };
        self.run(&["keys", "revoke", "--org", &key.org, &key.id]);
        self.keys.last_mut().unwrap().revoked = true;
    }

    /// Answers the calls of the desk that wait; where none does, a question makes some.
    fn answer_or_ask(&mut self, life: &Life, at: usize) {
        let org = self.orgs[at].clone();
        let waiting = self.run(&["approvals", "list", "--org", &org]);
        let own = waiting.as_array().unwrap().iter().filter(|call| call["sessionId"] == DESK);
        let ids: Vec<_> = own.map(|call| call["approvalId"].as_str().unwrap().to_owned()).collect();
        if ids.is_empty() {
            let body = json!({ "id": DESK, "model": "up/free", "messages": [{ "role": "user", "content": "Go on" }] });
            // However it ends: what is asked then is in the file.
            let asked = self.clients[at].at(&life.url).attempt("POST", "/chat", Some(&body.to_string()));
            drop(asked.map(|response| response.into_body().read_to_string()));
        }
        for id in ids {
            let is_allowed = !self.turn.is_multiple_of(3);
            self.run(&["approvals", if is_allowed { "allow" } else { "deny" }, "--org", &org, &id]);
            life.tell(Moment::Answers);
            self.answered.push((id, is_allowed));
        }
    }

    /// What a command says.
    pub fn run(&self, arguments: &[&str]) -> Value {
        // What stands after -- is another command's.
        let (own, more) =
            arguments.split_at(arguments.iter().position(|word| *word == "--").unwrap_or(arguments.len()));
        Ran::of(alm(own).arg("--json").args(more).env("ALM_DATA_DIR", &self.folder)).json()
    }
}
