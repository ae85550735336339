//! One answer, from message to stored reply.
//!
//! Rule: a turn belongs to the server. It begins in one commit (question, turn, hold), runs in a task of its own that no
//! connection owns, and ends in another (answer, bill, status).
//! Reading order: this file, `run.rs`, `live.rs`; the plain files in any order.

use std::{
    collections::HashMap,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::FutureExt;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::Instant,
};

use crate::{
    catalog::{self, Catalog, ResolvedModel},
    error::{Error, Result},
    id,
    model::upstream::Upstreams,
    store::{
        Store, Tenant,
        agents::{ALA_SLUG, Agent},
        sessions::{NewSession, Session},
        turns::{Begun, NewTurn},
    },
};

pub mod ask; // what is asked
pub mod bill; // what it may cost
pub mod calls; // a model's calls, checked
pub mod chunk; // what is streamed
pub mod fold; // chunks → parts of the stored message
pub mod history; // the stored history → what a model gets
pub mod live; // the journal of a running turn, and its readers
pub mod parts; // what a client may put into a message
pub mod plan; // what a posted history means for the stored one
mod recovery; // what a crash left behind
mod replay; // a turn that is over, told again
mod run; // the turn itself
mod scribe; // writes a turn down as it happens
pub mod stats; // what turns did so far
pub mod step; // deltas of one model call → chunks
mod stored; // writes that are tried until the file takes them
pub mod tools; // what a model may do besides talk

use ask::{Ask, AskedSession};
use bill::Bill;
use chunk::Chunk;
use fold::Fold;
use live::{Live, Stop};
use run::Run;
use scribe::Scribe;
use stats::Stats;
use stored::now_or_later;

/// Turns that may run at once.
const TURNS_MAX: usize = 4_096;
/// What one more is told to wait.
const TURNS_FULL_RETRY: Duration = Duration::from_secs(2);
/// How long a response waits for the model's first sign of life. What fails by then leaves no trace; what fails later
/// is an `error` chunk.
const HEAD_WAIT: Duration = Duration::from_secs(2);
/// How long a drain waits for interrupted turns to be stored; after it they are recovered at the next start.
const INTERRUPT_WAIT: Duration = Duration::from_secs(2);
/// How long a stop waits for the partial answer to be stored.
const STOP_WAIT: Duration = Duration::from_secs(10);
/// Characters of a first message that name its session.
const LABEL_CHARS_MAX: usize = 80;

/// Everything turns need, and the turns that run.
pub struct Engine {
    store: Store,
    catalog: Arc<Catalog>,
    upstreams: Arc<Upstreams>,
    places: Arc<Semaphore>,
    running: Mutex<HashMap<SessionKey, Running>>,
    stats: Stats,
}

/// An organization and a session of it. At most one turn runs there.
type SessionKey = (String, String);

/// A turn that runs, as others find it.
#[derive(Clone)]
struct Running {
    /// The turn's row number.
    turn: i64,
    message_id: String,
    live: Arc<Live>,
}

/// A turn that answers.
pub struct Started {
    pub live: Arc<Live>,
    pub session_id: String,
    /// Whether the session was made for it.
    pub session_is_new: bool,
    /// Whether a test key's paid model was replaced by the built-in one.
    pub test_mode: bool,
}

/// What was looked up before a turn may begin.
struct Resolved {
    session: Option<Session>,
    agent: Agent,
    project_id: Option<String>,
    system: String,
    model: ResolvedModel,
    test_mode: bool,
}

impl Engine {
    /// An engine without turns.
    pub fn new(store: Store, catalog: Arc<Catalog>, upstreams: Arc<Upstreams>) -> Arc<Self> {
        let places = Arc::new(Semaphore::new(TURNS_MAX));
        Arc::new(Engine { store, catalog, upstreams, places, running: Mutex::default(), stats: Stats::default() })
    }

    /// Begins a turn and answers once its model does, or after [`HEAD_WAIT`].
    ///
    /// It runs in a task of its own, so that a caller who goes away in the middle leaves nothing half begun.
    pub async fn begin(self: &Arc<Self>, ask: Ask) -> Result<Started> {
        tokio::spawn(self.clone().begin_owned(ask)).await.map_err(Error::internal)?
    }

    async fn begin_owned(self: Arc<Self>, ask: Ask) -> Result<Started> {
        let place = self.places.clone().try_acquire_owned().map_err(|_| Error::Unavailable {
            message: "as many turns are running as this server takes: try again in a moment",
            retry_after: TURNS_FULL_RETRY,
        })?;
        let resolved = self.resolve(&ask)?;
        let mut bill = Bill::new(resolved.model.model.pricing, resolved.agent.settings.output_tokens_max);
        let begun = self.commit(&ask, &resolved, &bill).await?;
        bill.add_hold(begun.held);
        let (head, failed_early) = oneshot::channel();
        let test_mode = resolved.test_mode;
        let run = self.prepare(&ask, resolved, begun.clone(), bill, head)?;
        let live = self.set_going(run, place);
        self.await_head(&ask.tenant, &begun, &live, failed_early).await?;
        Ok(Started { live, session_id: begun.session.id, session_is_new: begun.session_is_new, test_mode })
    }

    /// Looks up whom and what the question names.
    fn resolve(&self, ask: &Ask) -> Result<Resolved> {
        let org = self.store.org(&ask.tenant);
        let session = match &ask.session {
            AskedSession::Known(id) => Some(org.session(id)?),
            AskedSession::Client(id) => org.session_if_any(id)?,
            AskedSession::New => None,
        };
        let bound = session.as_ref();
        let own_agent = bound.and_then(|session| session.agent_id.as_deref());
        let agent = org.agent(ask.agent.as_deref().or(own_agent).unwrap_or(ALA_SLUG))?;
        refuse_other("agent", own_agent, &agent.id)?;
        if !agent.is_active {
            return Err(Error::Conflict("this agent is not active: activate it, or choose another".into()));
        }
        let own_project = bound.and_then(|session| session.project_id.as_deref());
        let project = match (ask.project.as_deref(), own_project) {
            (Some(asked), _) => Some(org.project(asked)?),
            // One that was deleted since has no prompt any more; the conversation goes on.
            (None, Some(own)) => org.project_if_any(own)?,
            (None, None) => None,
        };
        if let Some(project) = &project {
            refuse_other("project", own_project, &project.id)?;
        }
        let model_id = match ask.model.clone().or_else(|| agent.model.clone()) {
            Some(id) => id,
            None => org.itself()?.default_model.unwrap_or_else(|| catalog::DEMO_MODEL.into()),
        };
        let mut model = self.catalog.resolve(&ask.tenant, &model_id)?;
        let test_mode = ask.test && !model.model.is_free();
        if test_mode {
            model = self.catalog.resolve(&ask.tenant, catalog::DEMO_MODEL)?;
        }
        let prompts = [project.as_ref().map_or("", |project| &project.prompt), &agent.system_prompt];
        let system = prompts.into_iter().filter(|prompt| !prompt.is_empty()).collect::<Vec<_>>().join("\n\n");
        Ok(Resolved { session, agent, project_id: project.map(|project| project.id), system, model, test_mode })
    }

    /// Question, turn and hold, durable when this returns.
    async fn commit(&self, ask: &Ask, resolved: &Resolved, bill: &Bill) -> Result<Begun> {
        let org = self.store.org(&ask.tenant).once(ask.claim.as_ref());
        let prompt_bytes = match (&resolved.session, resolved.model.model.is_free()) {
            (Some(session), false) => org.content_bytes(session.seq)?,
            _ => 0,
        };
        let posted_bytes = ask.messages.iter().map(|message| fold::content(&message.parts).len()).sum::<usize>();
        let stored = resolved.session.as_ref().map_or(0, |session| session.message_count.unsigned_abs());
        let prompt_tokens = history::tokens_at_most(
            prompt_bytes + posted_bytes as u64 + resolved.system.len() as u64,
            stored + ask.messages.len() as u64 + 1,
        );
        let new = NewTurn {
            id: id::generate(),
            session: NewSession {
                id: match &ask.session {
                    AskedSession::Known(id) | AskedSession::Client(id) => Some(id.clone()),
                    AskedSession::New => None,
                },
                agent_id: Some(resolved.agent.id.clone()),
                project_id: resolved.project_id.clone(),
                label: label_of(ask),
                metadata: None,
            },
            agent_id: resolved.agent.id.clone(),
            project_id: resolved.project_id.clone(),
            model: resolved.model.model.id.clone(),
            message_id: id::generate(),
            hold: bill.hold_for(prompt_tokens),
        };
        let (posted, trigger) = (ask.messages.clone(), ask.trigger.clone());
        org.begin_turn(new, move |known| plan::plan(&posted, &trigger, known)).await
    }

    fn prepare(
        self: &Arc<Self>,
        ask: &Ask,
        resolved: Resolved,
        begun: Begun,
        bill: Bill,
        head: oneshot::Sender<Error>,
    ) -> Result<Run> {
        let live = Live::new();
        let fold = Fold::with_parts(fold::stored_parts(begun.continued_parts.as_deref())?);
        let (store, tenant) = (self.store.clone(), ask.tenant.clone());
        let scribe = Scribe::new(live.clone(), fold, store, tenant, begun.turn);
        Ok(Run {
            engine: self.clone(),
            tenant: ask.tenant.clone(),
            request_id: ask.request_id.clone(),
            begun,
            agent: resolved.agent,
            system: resolved.system,
            model: resolved.model.model,
            source: resolved.model.source,
            bill,
            live,
            scribe,
            call: None,
            dropped: 0,
            fault: None,
            head: Some(head),
            started: Instant::now(),
        })
    }

    /// Lets the turn run in a task that no connection owns.
    fn set_going(self: &Arc<Self>, run: Run, place: OwnedSemaphorePermit) -> Arc<Live> {
        let (engine, turn, live) = (self.clone(), run.begun.turn, run.live.clone());
        let key = (run.tenant.org_id.clone(), run.begun.session.id.clone());
        let running = Running { turn, message_id: run.begun.message_id.clone(), live: live.clone() };
        self.running().insert(key.clone(), running.clone());
        tokio::spawn(async move {
            let panicked = AssertUnwindSafe(run.run()).catch_unwind().await.is_err();
            engine.forget(&key, turn);
            if panicked {
                tracing::error!(turn, "a turn panicked: it is ended as after a crash");
                engine.recover_turn(turn).await;
                running.live.end(&[]);
            }
            drop(place);
        });
        live
    }

    /// The next turn of the session may have begun already: it is only ours that goes.
    fn forget(&self, key: &SessionKey, turn: i64) {
        let mut running = self.running();
        if running.get(key).is_some_and(|running| running.turn == turn) {
            running.remove(key);
        }
    }

    /// Waits for the model's first sign of life. What fails before it is undone, so that a retry is clean.
    async fn await_head(
        &self,
        tenant: &Tenant,
        begun: &Begun,
        live: &Live,
        mut failed: oneshot::Receiver<Error>,
    ) -> Result<()> {
        let early = match tokio::time::timeout(HEAD_WAIT, &mut failed).await {
            Ok(failed) => failed.ok(),
            Err(_) => {
                // From here on a failure is told in the stream; one that was just sent still counts.
                failed.close();
                failed.try_recv().ok()
            }
        };
        let Some(error) = early else { return Ok(()) };
        let (store, tenant, begun) = (self.store.clone(), tenant.clone(), begun.clone());
        let withdraw = move || {
            let (store, tenant, begun) = (store.clone(), tenant.clone(), begun.clone());
            async move { store.org(&tenant).withdraw_turn(begun).await }
        };
        let withdrawn = now_or_later("a turn that failed early was undone", withdraw).await;
        // Someone may have found the turn by its session meanwhile.
        live.end(&[Chunk::Abort]);
        withdrawn.and(Err(error))
    }

    /// Ends what a process that is gone left running. For the start, before the first turn.
    pub async fn recover(&self) -> Result<()> {
        recovery::recover(&self.store, &self.catalog, |_| true).await
    }

    /// The same for one turn that panicked.
    async fn recover_turn(&self, panicked: i64) {
        if let Err(error) = recovery::recover(&self.store, &self.catalog, |turn| turn == panicked).await {
            tracing::error!(%error, turn = panicked, "a turn that panicked could not be read: the next start ends it");
        }
    }

    /// The turn that runs in a session, if one does. Whose session it is decides who can ask.
    pub fn live(&self, tenant: &Tenant, session_id: &str) -> Option<Arc<Live>> {
        self.find(tenant, session_id).map(|running| running.live)
    }

    /// The stream of a turn that is over, and the session it is in.
    pub fn replay(&self, tenant: &Tenant, turn: i64, request_id: &str) -> Result<(String, Vec<u8>)> {
        let stored = self.store.org(tenant).stored_turn(turn)?.ok_or(Error::NotFound("turn"))?;
        let Some(outcome) = stored.outcome else {
            return Err(Error::Conflict("this reply is still being written: ask again in a moment".into()));
        };
        Ok((stored.session_id.clone(), replay::replay(&stored, outcome, request_id)?))
    }

    /// Stops the turn that runs in a session, and waits until what it said is stored; answers the id of its answer. Where
    /// nothing runs there is nothing to stop.
    pub async fn stop(&self, tenant: &Tenant, session_id: &str) -> Option<String> {
        let running = self.find(tenant, session_id)?;
        running.live.stop(Stop::Asked);
        if tokio::time::timeout(STOP_WAIT, running.live.ended()).await.is_err() {
            tracing::warn!(turn = running.turn, "a stopped turn takes long to be stored");
        }
        Some(running.message_id)
    }

    fn find(&self, tenant: &Tenant, session_id: &str) -> Option<Running> {
        // The organization is part of the key, so another's session is simply not there.
        let visible = self.store.org(tenant).session(session_id).is_ok();
        let key = (tenant.org_id.clone(), session_id.to_owned());
        // One that is over may still lie there for a moment; who has heard its end must not meet it again.
        self.running().get(&key).filter(|running| visible && !running.live.is_over()).cloned()
    }

    /// Waits for running turns to end; those that have not after `patience` are interrupted, their text kept.
    pub async fn drain(&self, patience: Duration) {
        let all = TURNS_MAX as u32;
        if tokio::time::timeout(patience, self.places.acquire_many(all)).await.is_err() {
            self.running().values().for_each(|running| running.live.stop(Stop::Draining));
            if tokio::time::timeout(INTERRUPT_WAIT, self.places.acquire_many(all)).await.is_err() {
                let turns = self.turns_running();
                tracing::error!(turns, "turns could not be stored: the next start ends them, as after a crash");
            }
        }
    }

    /// How many turns run.
    pub fn turns_running(&self) -> usize {
        TURNS_MAX - self.places.available_permits()
    }

    /// What turns did so far.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    fn running(&self) -> MutexGuard<'_, HashMap<SessionKey, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session keeps the agent and the project of its first turn.
fn refuse_other(what: &str, own: Option<&str>, asked: &str) -> Result<()> {
    match own {
        Some(own) if own != asked => Err(Error::Conflict(format!(
            "this session belongs to another {what}: leave {what}Id out, or begin another session"
        ))),
        _ => Ok(()),
    }
}

/// A session that a chat makes is called by its first words.
fn label_of(ask: &Ask) -> Option<String> {
    let said = ask.messages.iter().map(|message| fold::content(&message.parts)).find(|text| !text.trim().is_empty())?;
    let line = said.split_whitespace().collect::<Vec<_>>().join(" ");
    Some(line.chars().take(LABEL_CHARS_MAX).collect())
}
