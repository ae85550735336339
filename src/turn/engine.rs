//! The turns that run: begun, found, stopped, drained.
//!
//! Rule: at most one turn runs in a session; the file refuses a second one, and the map here only finds the first.

mod answered; // conversations that go on with answers
mod begun; // what is written down before a turn runs, and what it runs with
pub mod embed; // vectors for texts
mod responses; // turns of responses, by their rows

pub use self::responses::RESPONSE_KEEP;

use std::{
    collections::HashMap,
    panic::AssertUnwindSafe,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::FutureExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::{
    ask::Ask,
    bill::Bill,
    chunk::Chunk,
    recovery, replay,
    resolve::resolve,
    run::Run,
    running::{Life, RunningTurn, Stop},
    services::{Services, TOOL_PLACES},
    stats::Stats,
    stored::now_or_later,
    window::Window,
};
use crate::{
    catalog::Catalog,
    error::{Error, Result},
    model::upstream::Heard,
    store::{Store, Tenant, TurnRow, requests::Noted, turns::Begun},
    time::Timestamp,
    tools::Tools,
};

/// Turns that may run at once.
const TURNS_MAX: usize = 4_096;
/// How long the client of one more is asked to wait.
const TURNS_FULL_RETRY: Duration = Duration::from_secs(2);
/// How long a response waits for the model's first sign of life. What fails by then leaves no trace; what fails later
/// is an `error` chunk.
const HEAD_WAIT: Duration = Duration::from_secs(2);
/// How long a drain waits for interrupted turns to be stored; after it they are recovered at the next start.
const INTERRUPT_WAIT: Duration = Duration::from_secs(2);
/// How long a stop waits for the partial message to be stored.
const STOP_WAIT: Duration = Duration::from_secs(10);

/// Everything turns need, and the turns that run.
pub struct Engine {
    services: Arc<Services>,
    slots: Arc<Semaphore>,
    running: Mutex<HashMap<SessionKey, Running>>,
    /// How long a response is kept after the last turn of its session.
    responses_keep: Duration,
}

/// An organization and a session of it.
type SessionKey = (String, String);

/// A turn that runs, as others find it.
#[derive(Clone)]
struct Running {
    /// The turn's row number.
    row: TurnRow,
    message_id: String,
    turn: Arc<RunningTurn>,
    /// The key that asked.
    key_id: Option<String>,
}

/// A turn that has begun.
pub struct Started {
    pub turn: Arc<RunningTurn>,
    /// Of one that is not stored, nor to be done once: it ends with this.
    pub life: Option<Life>,
    /// The turn's id; absent if an earlier request began it.
    pub turn_id: Option<String>,
    /// The session's id; empty: it is not stored.
    pub session_id: String,
    /// Whether the session was created for it.
    pub session_is_new: bool,
    /// The model that answers: `provider/model`; absent if an earlier request began it.
    pub model: Option<String>,
    /// Whether a test key's paid model was replaced by the built-in one.
    pub test_mode: bool,
}

impl Engine {
    /// An engine without turns.
    pub fn new(store: Store, catalog: Arc<Catalog>, tools: Arc<Tools>, responses_keep: Duration) -> Arc<Self> {
        Arc::new(Engine {
            services: Arc::new(Services {
                store,
                catalog,
                tools,
                stats: Stats::default(),
                tool_places: Semaphore::new(TOOL_PLACES),
            }),
            slots: Arc::new(Semaphore::new(TURNS_MAX)),
            running: Mutex::default(),
            responses_keep,
        })
    }

    /// Begins a turn of its own; returns once its model replies, or after [`HEAD_WAIT`].
    ///
    /// It runs in a task of its own, so that a caller who leaves in the middle leaves nothing half begun. A turn that is not stored
    /// is stopped then: nobody will ever read it.
    async fn begin_new(self: &Arc<Self>, ask: Ask) -> Result<Started> {
        let (_stays, left) = oneshot::channel();
        tokio::spawn(self.clone().begin_owned(ask, left)).await.map_err(Error::internal)?
    }

    /// Whether the model that is asked for, by the chat, its agent or its organization, may have come since its provider was last
    /// asked what it has.
    async fn is_new(&self, ask: &Ask) -> bool {
        self.services.catalog.ask_again_for(&ask.asker.tenant, ask.model.as_deref()).await
    }

    /// A place for one more turn.
    fn slot(&self) -> Result<OwnedSemaphorePermit> {
        let message = "this server runs as many turns as it can: try again in a moment";
        let retry_after = TURNS_FULL_RETRY;
        self.slots.clone().try_acquire_owned().map_err(|_| Error::Unavailable { message: message.into(), retry_after })
    }

    async fn begin_owned(self: Arc<Self>, mut ask: Ask, left: oneshot::Receiver<()>) -> Result<Started> {
        let slot = self.slot()?;
        let resolved = match resolve(&self.services, &ask) {
            Err(Error::UnknownModel(_)) if self.is_new(&ask).await => resolve(&self.services, &ask)?,
            resolved => resolved?,
        };
        let window = Window::new(resolved.model.context_window, &resolved.source.facts(), Timestamp::now());
        let caps = [ask.sampling.output_tokens_max, resolved.settings.output_tokens_max];
        let cap = caps.into_iter().flatten().min().unwrap_or_else(|| window.output_tokens());
        let mut bill = Bill::new(resolved.model.pricing, cap);
        let (asker, asked) = (ask.asker.clone(), ask.split());
        let is_background = ask.response.as_ref().is_some_and(|response| response.is_background);
        let begun = match &asked.given {
            Some(given) => self.commit_unstored(&asker, given, &asked.tools, &resolved, &bill).await?,
            None => self.commit(ask, &asked, &resolved, &bill).await?,
        };
        bill.add_hold(begun.held);
        // What is to be done once outlives its client, who may come again for it.
        let ends_with_it = begun.session.is_none() && asker.claim.is_none();
        let (head, failed_early) = oneshot::channel();
        // Nobody waits for one in the background: it fails like one that has begun.
        let failed_early = (!is_background).then_some(failed_early);
        let (test_mode, model) = (resolved.test_mode, Some(resolved.model.id.clone()));
        let run = self.prepare(asker.clone(), asked, resolved, begun.clone(), bill, head)?;
        let heard = run.resolved.source.heard();
        let turn = self.spawn(run, slot);
        if let Some(failed_early) = failed_early {
            let mut headed = pin!(self.await_head(&asker.tenant, &begun, &turn, failed_early, &heard));
            tokio::select! {
                headed = &mut headed => headed?,
                // It is waited for all the same: what fails now is undone by it.
                Err(_) = left, if ends_with_it => {
                    turn.stop(Stop::Requested);
                    headed.await?;
                }
            }
        }
        let life = ends_with_it.then(|| Life::of(&turn));
        let (session_id, session_is_new) = (begun.session_id().to_owned(), begun.session_is_new);
        let turn_id = Some(begun.turn_id);
        Ok(Started { turn, life, turn_id, session_id, session_is_new, model, test_mode })
    }

    /// Runs the turn in a task that no connection owns.
    fn spawn(self: &Arc<Self>, run: Run, slot: OwnedSemaphorePermit) -> Arc<RunningTurn> {
        let (engine, row, turn) = (self.clone(), run.begun.turn, run.out.turn().clone());
        // A turn that is not stored is found by nobody, but stopped with its key and at the end like any other.
        let session_id = run.begun.session.as_ref().map_or(&run.begun.turn_id, |session| &session.id);
        let key = (run.asker.tenant.org_id.clone(), session_id.clone());
        let running = Running {
            row,
            message_id: run.begun.message_id.clone(),
            turn: turn.clone(),
            key_id: run.asker.key_id.clone(),
        };
        self.running().insert(key.clone(), running.clone());
        tokio::spawn(async move {
            let panicked = AssertUnwindSafe(run.run()).catch_unwind().await.is_err();
            engine.forget(&key, row);
            if panicked {
                tracing::error!(turn = %row, "a turn panicked: it is ended as after a crash");
                engine.recover_turn(row).await;
                running.turn.journal().end(&[]);
            }
            drop(slot);
        });
        turn
    }

    /// The next turn of the session may have begun already: only this one is removed.
    fn forget(&self, key: &SessionKey, row: TurnRow) {
        let mut running = self.running();
        if running.get(key).is_some_and(|running| running.row == row) {
            running.remove(key);
        }
    }

    /// Waits for the model's first sign of life. What fails before it is undone, so that a retry is clean.
    async fn await_head(
        &self,
        tenant: &Tenant,
        begun: &Begun,
        turn: &RunningTurn,
        mut failed: oneshot::Receiver<Error>,
        heard: &Heard,
    ) -> Result<()> {
        let early = match tokio::time::timeout(HEAD_WAIT, &mut failed).await {
            Ok(failed) => failed.ok(),
            Err(_) => {
                // From here on a failure is part of the stream; one that was just sent still counts.
                failed.close();
                failed.try_recv().ok()
            }
        };
        let Some(error) = early else { return Ok(()) };
        let (store, tenant, begun) = (self.services.store.clone(), tenant.clone(), begun.clone());
        // Of what is not stored no word is kept, theirs neither.
        let said = heard.take().filter(|_| begun.session.is_some());
        let noted = Noted { code: Some(error.code().as_str()), said, ..Noted::default() };
        let withdraw = move || {
            let (store, tenant, begun, noted) = (store.clone(), tenant.clone(), begun.clone(), noted.clone());
            async move { store.org(&tenant).withdraw_turn(begun, noted).await }
        };
        let withdrawn = now_or_later("a turn that failed early was undone", withdraw).await;
        // Someone may have found the turn by its session meanwhile.
        turn.journal().end(&[Chunk::Abort]);
        withdrawn.and(Err(error))
    }

    /// Ends what an earlier process left running. For the start, before the first turn.
    pub async fn recover(&self) -> Result<()> {
        recovery::recover(&self.services, |_| true).await
    }

    /// The same for one turn that panicked.
    async fn recover_turn(&self, panicked: TurnRow) {
        if let Err(error) = recovery::recover(&self.services, |row| row == panicked).await {
            tracing::error!(%error, turn = %panicked, "a turn that panicked could not be read: the next start ends it");
        }
    }

    /// The turn that runs in a session, if the tenant may see the session and one does.
    pub fn running_turn(&self, tenant: &Tenant, session_id: &str) -> Option<Arc<RunningTurn>> {
        self.find(tenant, session_id).map(|running| running.turn)
    }

    /// The stream of a turn that is over, and the session it is in.
    pub fn replay(&self, tenant: &Tenant, turn: TurnRow, request_id: &str) -> Result<(String, Vec<u8>)> {
        let stored = self.services.store.org(tenant).stored_turn(turn)?.ok_or(Error::NotFound("turn"))?;
        let Some(outcome) = stored.outcome else {
            return Err(Error::Conflict("this reply is still being written: try again in a moment".into()));
        };
        Ok((stored.session_id.clone(), replay::replay(&stored, outcome, request_id)?))
    }

    /// Stops the turn that runs in a session, and waits until what it said is stored; returns the id of its message.
    /// `None`: nothing runs there.
    pub async fn stop(&self, tenant: &Tenant, session_id: &str) -> Option<String> {
        let running = self.find(tenant, session_id)?;
        running.turn.stop(Stop::Requested);
        if tokio::time::timeout(STOP_WAIT, running.turn.ended()).await.is_err() {
            tracing::warn!(turn = %running.row, "a stopped turn takes long to be stored");
        }
        Some(running.message_id)
    }

    fn find(&self, tenant: &Tenant, session_id: &str) -> Option<Running> {
        // The organization is part of the key, so another's session is simply not there.
        let visible = self.services.store.org(tenant).session(session_id).is_ok();
        let key = (tenant.org_id.clone(), session_id.to_owned());
        // One that is over may still be here for a moment; a client that has read its end must not find it again.
        self.running().get(&key).filter(|running| visible && !running.turn.journal().is_over()).cloned()
    }

    /// Waits for running turns to end; those that have not after `patience` are interrupted, their text kept.
    pub async fn drain(&self, patience: Duration) {
        let all = TURNS_MAX as u32;
        if tokio::time::timeout(patience, self.slots.acquire_many(all)).await.is_err() {
            self.interrupt();
            if tokio::time::timeout(INTERRUPT_WAIT, self.slots.acquire_many(all)).await.is_err() {
                let turns = self.turns_running();
                tracing::error!(turns, "turns could not be stored: the next start ends them, as after a crash");
            }
        }
    }

    /// Ends every running turn, without waiting until it is stored as interrupted.
    pub fn interrupt(&self) {
        self.running().values().for_each(|running| running.turn.stop(Stop::Draining));
    }

    /// The keys whose turns run.
    pub fn asking_keys(&self) -> Vec<String> {
        self.running().values().filter_map(|running| running.key_id.clone()).collect()
    }

    /// Stops every turn that this key has asked for.
    pub fn stop_asked_by(&self, key_id: &str) {
        let running = self.running();
        let theirs = running.values().filter(|running| running.key_id.as_deref() == Some(key_id));
        theirs.for_each(|running| running.turn.stop(Stop::Requested));
    }

    /// How many turns run.
    pub fn turns_running(&self) -> usize {
        TURNS_MAX - self.slots.available_permits()
    }

    /// What turns did so far.
    pub fn stats(&self) -> &Stats {
        &self.services.stats
    }

    fn running(&self) -> MutexGuard<'_, HashMap<SessionKey, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
