//! One life of the server: from ready to killed, with everyone using it.

use std::{
    path::Path,
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::{operator::Operator, person::Person, server::Server, support::fake_model::FakeModel};

/// Between two words of the model.
const WORD_MS_MAX: u64 = 4;
/// So many chats as these people begin are no abuse.
const FLAGS: [&str; 2] = ["--chat-rate", "1000000"];
/// How long a moment is waited for.
const MOMENT_PATIENCE: Duration = Duration::from_millis(500);

/// Something after which a kill hurts most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Someone is about to ask for something that is to be done once.
    Asks,
    /// Someone heard that a tool is about to run.
    ToolCall,
    /// Someone answers a call that waits for it.
    Answers,
    /// Someone heard `[DONE]`.
    Done,
}

/// When a life ends.
#[derive(Debug, Clone, Copy)]
struct End {
    after: Duration,
    /// What is waited for when that long is over.
    moment: Option<Moment>,
    /// From then on.
    lingers: Duration,
}

/// A life as those who use the server see it.
pub struct Life {
    pub url: String,
    over: AtomicBool,
    moments: Sender<Moment>,
}

impl Life {
    /// Whether the server is being killed.
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    /// Tells that a moment has come.
    pub fn tell(&self, moment: Moment) {
        // Nobody minds once the server is dead.
        let _nobody = self.moments.send(moment);
    }
}

impl End {
    fn draw(rng: &mut StdRng) -> Self {
        let mut ms = |range| Duration::from_millis(rng.random_range(range));
        let (short, long, lingers) = (ms(5..400), ms(400..2_500), ms(0..8));
        let (after, moment) = match rng.random_range(0..24) {
            0..2 => (long, None),
            2..5 => (short, Some(Moment::Asks)),
            5..10 => (short, Some(Moment::ToolCall)),
            10..13 => (short, Some(Moment::Answers)),
            13..16 => (short, Some(Moment::Done)),
            _ => (short, None),
        };
        End { after, moment, lingers }
    }

    /// Waits for it.
    fn wait(self, told: &Receiver<Moment>) {
        let from = Instant::now() + self.after;
        let mut until = from + self.moment.map_or(Duration::ZERO, |_| MOMENT_PATIENCE);
        let mut waits_for = self.moment;
        while let Ok(moment) = told.recv_timeout(until.saturating_duration_since(Instant::now())) {
            if waits_for == Some(moment) && Instant::now() >= from {
                (waits_for, until) = (None, Instant::now() + self.lingers);
            }
        }
    }
}

/// Lets everyone use a server that is ready, and kills it.
pub fn live(server: &mut Server, people: &mut [Person], operator: &mut Operator, model: &FakeModel, rng: &mut StdRng) {
    let (moments, told) = channel();
    let life = Life { url: server.url().to_owned(), over: AtomicBool::new(false), moments };
    let (end, mut pauses) = (End::draw(rng), StdRng::seed_from_u64(rng.random()));
    thread::scope(|scope| {
        people.iter_mut().for_each(|person| drop(scope.spawn(|| person.live(&life))));
        scope.spawn(|| operator.live(&life));
        let (alive, dies) = channel::<()>();
        // The model says a word now and then, until the server is dead.
        scope.spawn(move || {
            let mut pause = || Duration::from_millis(pauses.random_range(0..=WORD_MS_MAX));
            while dies.recv_timeout(pause()) == Err(RecvTimeoutError::Timeout) {
                model.go();
            }
        });
        end.wait(&told);
        // Before, so that whoever loses the server and finds no kill has found a fault.
        life.over.store(true, Ordering::SeqCst);
        server.kill();
        drop(alive);
    });
}

/// Starts a server for good; now and then some are killed before that, while they start. Answers it, how long it took to
/// be ready, and how many died.
pub fn start(folder: &Path, rng: &mut StdRng, usual: Duration) -> (Server, Duration, usize) {
    let deaths = if rng.random_ratio(1, 5) { rng.random_range(1..4) } else { 0 };
    for _ in 0..deaths {
        Server::spawn(folder, &FLAGS).dies_after(usual.mul_f64(rng.random_range(0.0..1.2)));
    }
    let mut server = Server::spawn(folder, &FLAGS);
    let took = server.ready();
    (server, took, deaths)
}
