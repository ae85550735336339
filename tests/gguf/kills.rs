//! The child and the server, killed again and again at moments drawn from a seed: in a load, a prompt, an answer.
//!
//! After every kill no process is left, no socket blocks, nothing that was acknowledged is lost, and the next chat answers.
//! `ALM_CRASH_CHILD_KILLS` and `ALM_CRASH_SEED` choose. A server whose child is killed a second time lets a second pass before
//! it starts another, so a child dies at most twice in its life.

use std::{
    env,
    sync::mpsc::{Sender, channel},
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::json;

use crate::{
    llama_server::{LlamaServer, signal},
    people::{begin, crash, failed, reaches, says_in, whole},
    proof,
    support::{
        client::{Client, Listening},
        harness::{App, PATIENCE, until},
    },
    system::{run, runs},
};

/// Kills of a plain `cargo test`; the suite `tests/run crash` asks for hundreds.
const KILLS_DEFAULT: usize = 9;
/// How long a child may outlive its server.
const GONE_WITHIN: Duration = Duration::from_secs(10);
/// From a moment until its kill.
const LINGERS_MS: std::ops::Range<u64> = 0..30;

/// What a child is doing when it, or its server, is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    Load,
    Prompt,
    Answer,
    Idle,
}

/// A world in which there is killing.
struct World {
    llama: LlamaServer,
    app: App,
    owner: Client,
    /// Who stops and starts it.
    browser: Client,
    rng: StdRng,
    kills: usize,
    /// What was heard to its end, and in which session.
    heard: Vec<(String, String)>,
    /// Nobody says anything to it: it ends a wait by time.
    silence: (Sender<()>, std::sync::mpsc::Receiver<()>),
}

impl World {
    fn new(seed: u64) -> Self {
        let llama = LlamaServer::new();
        let app = begin(&llama, &[]);
        let (owner, browser) = (app.org("acme"), app.browser("acme"));
        let rng = StdRng::seed_from_u64(seed);
        World { llama, app, owner, browser, rng, kills: 0, heard: Vec::new(), silence: channel() }
    }

    /// A session of this kill's.
    fn session(&self) -> String {
        format!("s{}", self.kills)
    }

    fn linger(&mut self) {
        let ms = self.rng.random_range(LINGERS_MS);
        assert!(self.silence.1.recv_timeout(Duration::from_millis(ms)).is_err());
    }

    /// Brings a child to that moment; who asked it, if anyone has. The gate of this kill holds it there.
    fn bring(&mut self, moment: Moment) -> Option<Listening> {
        let (session, gate) = (self.session(), self.session());
        match moment {
            Moment::Idle => {
                reaches(&self.app, "ready");
                None
            }
            Moment::Load => {
                self.browser.post("/local-models/tiny/stop", json!({})).ok(200);
                reaches(&self.app, "idle");
                self.llama.plan(json!({ "loads": gate }));
                let mut heard = self.owner.listen(says_in(&session, "Hi"));
                heard.until("data-model");
                reaches(&self.app, "loading");
                self.llama.plan(json!({}));
                Some(heard)
            }
            Moment::Prompt => {
                let before = self.llama.count("reads");
                let mut heard = self.owner.listen(says_in(&session, &format!("Hi reads={gate}")));
                heard.until("start");
                self.llama.until("reads", before + 1);
                Some(heard)
            }
            Moment::Answer => {
                let mut heard = self.owner.listen(says_in(&session, &format!("Hi words=9 waits={gate}")));
                heard.until("text-delta");
                Some(heard)
            }
        }
    }

    fn kill_child(&mut self, moment: Moment) {
        let (session, heard) = (self.session(), self.bring(moment));
        let pid = self.llama.pid();
        self.linger();
        signal(&pid, "KILL");
        until("the child to be gone", || (!runs(&pid)).then_some(()));
        self.llama.open(&session);
        match (moment, heard) {
            (Moment::Answer, Some(heard)) => {
                let stream = heard.rest();
                assert!(failed(&stream).starts_with("the local model ended (signal 9)"), "{}", stream.raw);
                self.heard.push((session.clone(), stream.text()));
                self.check(&session);
                self.heard.pop();
                whole(&self.owner.resume(&session));
            }
            // Whoever has heard nothing is answered all the same.
            (_, Some(heard)) => self.heard.push((session, whole(&heard.rest()))),
            (_, None) => {}
        }
    }

    fn kill_server(&mut self, moment: Moment) {
        let (session, heard) = (self.session(), self.bring(moment));
        self.linger();
        self.app.signal("KILL");
        let killed = Instant::now();
        until("the child to go with its server", || run(&self.llama.program()).is_empty().then_some(()));
        assert!(killed.elapsed() < GONE_WITHIN, "{:?}", killed.elapsed());
        self.llama.open(&session);
        self.app = crash(&self.app, &self.llama);
        self.owner = self.owner.at(self.app.url());
        self.browser = self.browser.at(self.app.url()).on_a_page();
        if heard.is_some() {
            let history = self.owner.history(&session);
            assert_eq!(history[0].0, "user", "what was acknowledged is there");
            let status = self.owner.get(&format!("/sessions/{session}")).ok(200)["status"].clone();
            assert_eq!(status, "interrupted");
            whole(&self.owner.resume(&session));
        }
    }

    /// What is kept of a session is what was heard.
    fn check(&self, session: &str) {
        let (_, heard) = self.heard.iter().find(|(name, _)| name == session).unwrap();
        assert_eq!(self.owner.history(session).last().unwrap().1, *heard, "{session}");
    }

    /// Everything that must hold after a kill.
    fn goes_on(&mut self) {
        let session = format!("after{}", self.kills);
        let text = whole(&self.owner.chat(says_in(&session, "Hi")));
        self.heard.push((session, text));
        let own = run(&self.llama.program());
        assert_eq!(own, [self.llama.pid()], "one child, and it is the last that was started");
        let some = self.rng.random_range(0..self.heard.len());
        self.check(&self.heard[some].0.clone());
    }
}

/// A setting of the environment.
fn setting(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is to be a number, not {text}")))
}

#[test]
fn whoever_is_killed_and_whenever_no_child_is_left_and_the_next_chat_answers() {
    let wanted = setting("ALM_CRASH_CHILD_KILLS").map_or(KILLS_DEFAULT, |kills| kills as usize);
    let seed = setting("ALM_CRASH_SEED").unwrap_or_else(|| rand::random::<u32>().into());
    println!("gguf: {wanted} kills from ALM_CRASH_SEED={seed}");
    let mut world = World::new(seed);
    let mut counts = std::collections::BTreeMap::new();
    while world.kills < wanted {
        let children = world.rng.random_range(0..=2);
        for round in 0..=children {
            let moments = [Moment::Load, Moment::Prompt, Moment::Answer, Moment::Idle];
            let moment = moments[world.rng.random_range(0..moments.len())];
            let whose = if round < children { "child" } else { "server" };
            match whose {
                "child" => world.kill_child(moment),
                _ => world.kill_server(moment),
            }
            world.kills += 1;
            world.goes_on();
            *counts.entry((whose, moment)).or_insert(0) += 1;
        }
    }
    for (session, _) in world.heard.clone() {
        world.check(&session);
    }
    assert!(!world.app.output().contains("panicked") && PATIENCE > GONE_WITHIN);
    proof("seed", seed);
    proof("kills", world.kills);
    for ((whose, moment), count) in counts {
        proof(&format!("kills_of_{whose}_in_{}", format!("{moment:?}").to_lowercase()), count);
    }
}
