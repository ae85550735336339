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

use crate::{fake_model::FakeModel, operator::Operator, person::Person, server::Server};

/// Between two words of the model.
const WORD_MS_MAX: u64 = 4;
/// So many chats as these people begin are no abuse.
const FLAGS: [&str; 2] = ["--chat-rate", "1000000"];
/// How long a moment is waited for.
const MOMENT_PATIENCE: Duration = Duration::from_millis(500);

/// Something after which a kill hurts most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Someone heard `[DONE]`.
    Done,
    /// Someone heard that a tool is about to run.
    ToolCall,
}

/// When a life ends.
#[derive(Debug, Clone, Copy)]
pub enum End {
    After(Duration),
    /// At the first of these moments after so long.
    At(Moment, Duration),
}

/// A life as those who use the server see it.
pub struct Life {
    pub url: String,
    over: AtomicBool,
    moments: Sender<Moment>,
}

impl Life {
    /// Whether the server has been killed.
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Tells that a moment has come.
    pub fn tell(&self, moment: Moment) {
        // Nobody minds once the server is dead.
        let _nobody = self.moments.send(moment);
    }
}

impl End {
    pub fn draw(rng: &mut StdRng) -> Self {
        let mut ms = |range| Duration::from_millis(rng.random_range(range));
        let (short, long) = (ms(5..400), ms(400..2_500));
        match rng.random_range(0..10) {
            0 => End::After(long),
            1 | 2 => End::At(Moment::Done, short),
            3 | 4 => End::At(Moment::ToolCall, short),
            _ => End::After(short),
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
        wait_for(end, &told);
        server.kill();
        life.over.store(true, Ordering::Relaxed);
        drop(alive);
    });
}

fn wait_for(end: End, told: &Receiver<Moment>) {
    let (after, wanted) = match end {
        End::After(after) => (after, None),
        End::At(moment, after) => (after, Some(moment)),
    };
    let from = Instant::now() + after;
    let until = wanted.map_or(from, |_| from + MOMENT_PATIENCE);
    while let Ok(moment) = told.recv_timeout(until.saturating_duration_since(Instant::now())) {
        if Some(moment) == wanted && Instant::now() >= from {
            return;
        }
    }
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
