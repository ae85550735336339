//! What starts a local model's process, waits for its end, and starts it again.
//!
//! Rule: it decides nothing. It does what `Life::step` says, and stops doing it when that changes.

use std::{fs, pin::pin, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt},
    task::JoinHandle,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{
    cgroup,
    ended::{self, Ended},
    life::Step,
    local_model::LocalModel,
    look::Ready,
    said::Lines,
};
use crate::{child, model::facts::Said, time::Timestamp};

/// How often a process that loads is asked whether it has.
const HEALTH_INTERVAL: Duration = Duration::from_millis(50);
/// How long a process may take to end when it is asked to.
pub const CHILD_TERM_WAIT: Duration = Duration::from_secs(5);
/// How long its last words may take to be read.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// What is read of its words at once.
const READ_BYTES: usize = 8 << 10;

/// What those read whose process does not give up an answer that nobody wants any more.
const STUCK: &str = "the local model did not stop an answer and is starting again";
/// What those read whose process is ended because nobody asks it; there can hardly be any.
const IDLE: &str = "the local model rests: ask again to start it";

struct Keeper {
    model: Arc<LocalModel>,
    ready: Option<Ready>,
    running: Option<Running>,
}

struct Running {
    process: child::Process,
    words: Vec<JoinHandle<()>>,
    /// How many the system had killed for want of memory before.
    kills: Option<u64>,
}

/// Keeps a local model until the server ends.
pub(super) async fn keep(model: Arc<LocalModel>) {
    let mut keeper = Keeper { model, ready: None, running: None };
    while keeper.do_next().await {}
}

impl Keeper {
    /// Does what is to be done now; whether there will be more.
    async fn do_next(&mut self) -> bool {
        let model = self.model.clone();
        let step = model.look_at(|core| core.life.step(Instant::now()));
        let changes = model.until(|core| core.life.step(Instant::now()) != step);
        let mut changes = pin!(changes);
        match step {
            Step::Leave => return false,
            Step::Rest => changes.await,
            Step::Pause(until) => tokio::select! {
                () = sleep_until(until) => {}
                () = changes => {}
            },
            Step::Check => tokio::select! {
                seen = model.look_around() => self.checked(seen),
                () = changes => {}
            },
            Step::Start => self.start().await,
            Step::Load | Step::Run => {
                let Some(process) = self.running.as_ref().map(|running| running.process.clone()) else {
                    self.ended(child::Exit::Unknown).await;
                    return true;
                };
                tokio::select! {
                    exit = process.ended() => self.ended(exit).await,
                    () = &mut changes => {}
                    () = self.load(), if step == Step::Load => {}
                    () = self.wait_for_rest(), if step == Step::Run => {}
                }
            }
            Step::Stop | Step::Kill => self.stop(step == Step::Kill).await,
        }
        true
    }

    fn checked(&mut self, seen: Result<Ready, String>) {
        let name = self.model.name();
        let can = match seen {
            Ok(ready) => {
                if let Some(note) = &ready.found.note {
                    tracing::warn!(model = name, "{note}");
                }
                self.model.change(|core| {
                    core.header = ready.header.clone();
                    core.found = ready.found.clone();
                    core.queue.set_slots(ready.plan.slots as usize);
                });
                // A prompt is made before the process can say so.
                let tools = (!ready.header.may_use_tools()).then_some(false);
                let now = Timestamp::now().as_millis();
                let said = Said { at: now, context_window: Some(ready.plan.context), tools, images: None };
                self.model.known().change(|facts| facts.read = Some(said));
                self.ready = Some(ready);
                Ok(())
            }
            Err(why) => {
                tracing::error!(model = name, "the local model does not start: {why}");
                Err(self.model.shown(&why))
            }
        };
        self.model.change(|core| core.life.checked(can));
    }

    async fn start(&mut self) {
        let model = self.model.clone();
        let Some(ready) = &self.ready else { return };
        let command = model.command(&ready.program, ready.plan.arguments(), model.name());
        let kills = cgroup::kills();
        match model.around.children.start(&command).await {
            Ok(child) => {
                tracing::info!(
                    model = model.name(),
                    pid = child.process.pid(),
                    context = ready.plan.context,
                    "a local model is starting"
                );
                drop(child.stdin);
                let words = vec![
                    tokio::spawn(listen(model.clone(), child.stdout)),
                    tokio::spawn(listen(model.clone(), child.stderr)),
                ];
                model.around.sockets.set(model.name(), &ready.plan.socket);
                self.running = Some(Running { process: child.process.clone(), words, kills });
                model.change(|core| {
                    core.process = Some(child.process);
                    core.life.started();
                });
            }
            Err(why) => {
                tracing::error!(model = model.name(), "the local model does not start: {why}");
                let reason = model.shown(&why);
                model.change(|core| core.life.ended(Ended { reason, is_for_good: false }, Instant::now()));
            }
        }
    }

    /// Waits until the process answers, and reads what it says of itself.
    async fn load(&self) {
        let model = &self.model;
        let endpoint = model.endpoint();
        while !model.around.upstreams.is_healthy(&endpoint).await {
            sleep(HEALTH_INTERVAL).await;
        }
        let told = model.around.upstreams.read_models(&endpoint, || ()).await.unwrap_or_default();
        let said = told.into_iter().next().map_or_else(Said::default, |model| model.said);
        let context = self.ready.as_ref().map(|ready| ready.plan.context);
        let said = Said { at: Timestamp::now().as_millis(), context_window: said.context_window.or(context), ..said };
        let state = model.look_at(|core| core.life.waited(Instant::now()));
        tracing::info!(
            model = model.name(),
            window = said.context_window,
            tools = said.tools,
            ms = state.as_millis() as u64,
            "a local model is ready"
        );
        model.known().change(|facts| facts.read = Some(said.clone()));
        model.change(|core| {
            (core.window, core.tools) = (said.context_window, said.tools);
            core.life.loaded(Instant::now());
        });
    }

    /// Waits until nobody has asked for so long that the process is ended, or it is stuck.
    async fn wait_for_rest(&self) {
        let model = &self.model;
        let idle = Some(model.settings.idle).filter(|idle| !idle.is_zero());
        let mut changed = model.changes();
        loop {
            changed.borrow_and_update();
            let (rest_at, stuck_at) = model.look_at(|core| {
                let since =
                    core.queue.empty_since().max(core.life.ready_at()).filter(|_| core.queue.empty_since().is_some());
                (since.zip(idle).map(|(since, idle)| since + idle), core.queue.stuck_at())
            });
            let is_stuck = stuck_at.is_some_and(|at| rest_at.is_none_or(|rest_at| at <= rest_at));
            let Some(until) = stuck_at.into_iter().chain(rest_at).min() else {
                drop(changed.changed().await);
                continue;
            };
            tokio::select! {
                () = sleep_until(until) => {}
                _ = changed.changed() => continue,
            }
            if is_stuck {
                tracing::warn!(
                    model = model.name(),
                    "a local model did not stop an answer: it is killed and started again"
                );
            }
            return model.change(|core| if is_stuck { core.life.stuck(STUCK) } else { core.life.stop(IDLE) });
        }
    }

    /// Ends the process as its life says.
    async fn stop(&mut self, kill: bool) {
        let model = self.model.clone();
        // It does not end while somebody is connected.
        model.around.sockets.close(model.name());
        if let Some(running) = &self.running {
            match kill {
                true => running.process.kill().await,
                false => running.process.terminate(CHILD_TERM_WAIT).await,
            }
        }
        self.clear_away().await;
        model.change(|core| core.life.stopped(Instant::now()));
    }

    /// The process ended by itself.
    async fn ended(&mut self, exit: child::Exit) {
        let model = self.model.clone();
        let was_ready = model.look_at(|core| core.life.answers().is_some());
        let kills = self.running.as_ref().and_then(|running| running.kills);
        self.clear_away().await;
        let lines = model.last_lines();
        let (file, build) = (model.file_name(), model.look_at(|core| core.found.build));
        let process = ended::Process {
            file: &file,
            build,
            args: &model.settings.args,
            lines: &lines,
            too_large: self.ready.as_ref().map_or("", |ready| &ready.too_large),
            was_killed_for_memory: kills.zip(cgroup::kills()).is_some_and(|(before, now)| now > before),
        };
        let ended = if was_ready { process.after_ready(exit) } else { process.before_ready(exit) };
        tracing::warn!(model = model.name(), %exit, "{}", ended.reason);
        model.change(|core| core.life.ended(ended, Instant::now()));
    }

    /// Reads the last words of a process that is gone, and removes what it leaves.
    async fn clear_away(&mut self) {
        let model = &self.model;
        model.around.sockets.close(model.name());
        if let Some(running) = self.running.take() {
            for mut words in running.words {
                if timeout(LAST_WORDS, &mut words).await.is_err() {
                    words.abort();
                }
            }
        }
        if let Some(ready) = &self.ready {
            // There is none if the process has not come so far.
            drop(fs::remove_file(&ready.plan.socket));
        }
        model.change(|core| {
            core.process = None;
            core.queue.clear(Instant::now());
        });
    }
}

/// Keeps what a process says: the last lines, and the log of those who want to read all of it.
async fn listen(model: Arc<LocalModel>, mut from: impl AsyncRead + Unpin) {
    let (mut lines, mut piece) = (Lines::default(), vec![0; READ_BYTES]);
    let keep = |line: &[u8]| {
        let line = model.keep_line(line);
        tracing::debug!(model = model.name(), "{line}");
    };
    while let Ok(bytes @ 1..) = from.read(&mut piece).await {
        lines.feed(&piece[..bytes], keep);
    }
    lines.finish(keep);
}
