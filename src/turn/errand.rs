//! What one agent asks another: a turn of its own in a session of its own, with its own hold and bill.
//!
//! Rule: agents ask no agent that waits for them, and only so deep. Nobody sits in front of such a turn, so a call of it that needs a
//! person is denied. Whoever stops asking stops the reply.

use std::{pin::Pin, sync::Arc};

use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::{
    ask::{Ask, Asker, Asking, By, Posted},
    parts,
    running::{RunningTurn, Stop},
    whole::Whole,
};
use crate::{
    error::{Error, Result},
    store::{
        Store,
        agents::Agent,
        messages::{Role, Status},
    },
    tools::call::{Agents, Ended},
};

/// How many agents may wait for one another below the one that a person asked.
const AGENT_DEPTH_MAX: usize = 2;
/// Agents that are named to a model that asks for one that is not there.
const NAMED_MAX: usize = 20;

/// Begins a turn; its session, and the turn.
pub(super) type Begin = Box<dyn Fn(Ask) -> BoxFuture<'static, Result<(String, Arc<RunningTurn>)>> + Send + Sync>;

/// What the agent of one turn may ask others.
pub(super) struct Errands {
    pub begin: Begin,
    pub store: Store,
    pub asker: Asker,
    /// The session that asks, and its project: what is asked from a private one stays there.
    pub session_id: String,
    pub project_id: Option<String>,
    /// The agent that asks.
    pub agent_id: String,
    /// One at a time.
    pub one: Mutex<()>,
}

impl Agents for Errands {
    fn ask(&self, agent: String, message: String) -> Pin<Box<dyn Future<Output = Ended> + Send + '_>> {
        Box::pin(async move { self.errand(&agent, &message).await.map_or_else(Ended::Failed, Ended::done) })
    }
}

impl Errands {
    /// The reply, or a sentence for the model that asked.
    async fn errand(&self, agent: &str, message: &str) -> Result<Value, String> {
        if message.trim().is_empty() {
            return Err("The message is empty: say what the agent is to do.".into());
        }
        let waiting = self.waiting();
        if waiting.len() > AGENT_DEPTH_MAX {
            return Err(format!("Agents ask one another at most {AGENT_DEPTH_MAX} deep: do this yourself."));
        }
        let agent = self.find(agent)?;
        if waiting.contains(&agent.id) {
            return Err(format!("{} is you or waits for you: ask another agent.", agent.name));
        }
        let _one = self.one.lock().await;
        let asked = self.question(&agent, message, waiting);
        let (session_id, turn) = (self.begin)(asked).await.map_err(|error| sentence(&error))?;
        let _stopped = StoppedOnDrop(turn.clone());
        let whole = Whole::of(&self.store, &self.asker.tenant, session_id, turn, |_| ()).await;
        told(&agent, whole.map_err(|error| sentence(&error))?)
    }

    /// The agents that wait, the one that asks last.
    fn waiting(&self) -> Vec<String> {
        let mut ids = match &self.asker.by {
            By::Agent(asking) => asking.agent_ids.clone(),
            By::Chat | By::TryOut | By::Mcp | By::Responses | By::Completions => Vec::new(),
        };
        ids.push(self.agent_id.clone());
        ids
    }

    fn find(&self, agent: &str) -> Result<Agent, String> {
        let org = self.store.org(&self.asker.tenant);
        match org.agent(agent) {
            Ok(agent) => Ok(agent),
            Err(Error::NotFound(_)) => {
                let page = org.agents(NAMED_MAX, None).map_err(|error| sentence(&error))?;
                let others = page.items.iter().filter(|other| other.is_active && other.id != self.agent_id);
                let names: Vec<_> = others.map(|agent| agent.slug.as_str()).collect();
                Err(format!("There is no agent called {agent}. There are: {}.", names.join(", ")))
            }
            Err(error) => Err(sentence(&error)),
        }
    }

    fn question(&self, agent: &Agent, message: &str, agent_ids: Vec<String>) -> Ask {
        let by = By::Agent(Asking { session_id: self.session_id.clone(), agent_ids });
        let message = Posted { id: None, role: Role::User, parts: parts::of_text(message) };
        Ask {
            agent: Some(agent.id.clone()),
            project: self.project_id.clone(),
            messages: vec![message],
            ..Ask::new(Asker { by, claim: None, ..self.asker.clone() })
        }
    }
}

/// What the model that asked is told of a reply.
fn told(agent: &Agent, whole: Whole) -> Result<Value, String> {
    match (whole.error, whole.status) {
        (Some(error), _) => Err(format!("{} could not answer: {error}.", agent.name)),
        (None, Status::Stopped) => Err(format!("The reply of {} was stopped.", agent.name)),
        (None, _) => Ok(json!({
            "text": whole.text, "sessionId": whole.session_id, "costMicrocents": whole.metadata["costMicrocents"],
        })),
    }
}

/// What a model reads of a failure; a cause of ours is for the log.
fn sentence(error: &Error) -> String {
    if let cause @ (Error::Failed { .. } | Error::Internal(_)) = error {
        tracing::error!(%cause, "ask_agent");
    }
    error.public_text()
}

/// Ends a turn when nobody waits for it any more; one that is over does not hear it.
struct StoppedOnDrop(Arc<RunningTurn>);

impl Drop for StoppedOnDrop {
    fn drop(&mut self) {
        self.0.stop(Stop::Requested);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex as Kept;

    use futures_util::FutureExt;
    use tempfile::TempDir;

    use super::*;
    use crate::{turn::ask::SessionRef, turn::chunk::Chunk};

    /// Errands of Ala's, asked by whom; the questions that were begun.
    struct Asked {
        errands: Errands,
        begun: Arc<Kept<Vec<Ask>>>,
        turn: Arc<RunningTurn>,
        _folder: TempDir,
    }

    async fn asked(waiting: usize) -> Asked {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), 2).unwrap();
        let tenant = store.create_org("acme", "a@example.com", None).unwrap().tenant();
        let org = store.org(&tenant);
        let ala = org.agent("ala").unwrap();
        for slug in ["cook", "baker"] {
            let new = Agent { id: slug.into(), slug: slug.into(), is_builtin: false, ..ala.clone() };
            org.create_agent(new).await.unwrap();
        }
        let session_id = org.create_session(Default::default()).await.unwrap().id;
        let turn = RunningTurn::new();
        turn.journal().begin(&Chunk::Start { message_id: "m".into(), message_metadata: json!({}) }, &[]);
        let begun = Arc::new(Kept::<Vec<Ask>>::default());
        let begin: Begin = {
            let (begun, turn, session_id) = (begun.clone(), turn.clone(), session_id.clone());
            Box::new(move |ask| {
                begun.lock().unwrap().push(ask);
                std::future::ready(Ok((session_id.clone(), turn.clone()))).boxed()
            })
        };
        let mut asker = Asker::new(tenant, "r");
        if waiting > 0 {
            let agent_ids = (0..waiting).map(|n| if n == 0 { "baker".to_owned() } else { n.to_string() }).collect();
            asker.by = By::Agent(Asking { session_id: "above".into(), agent_ids });
        }
        let (agent_id, project_id, one) = (ala.id, None, Mutex::default());
        Asked {
            errands: Errands { begin, store, asker, session_id, project_id, agent_id, one },
            begun,
            turn,
            _folder: folder,
        }
    }

    async fn refusal(asked: &Asked, agent: &str) -> String {
        asked.errands.errand(agent, "Hi").await.unwrap_err()
    }

    #[tokio::test]
    async fn an_agent_asks_neither_itself_nor_who_waits_for_it() {
        let asked = asked(1).await;
        assert_eq!(refusal(&asked, "ala").await, "Ala is you or waits for you: ask another agent.");
        assert!(refusal(&asked, "baker").await.contains("waits for you"));
        assert_eq!(refusal(&asked, "nobody").await, "There is no agent called nobody. There are: baker, cook.");
        assert!(asked.errands.errand("cook", " ").await.unwrap_err().contains("empty"));
        assert!(asked.begun.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn agents_ask_one_another_only_so_deep() {
        for waiting in [AGENT_DEPTH_MAX - 1, AGENT_DEPTH_MAX, AGENT_DEPTH_MAX + 1] {
            let asked = asked(waiting).await;
            asked.turn.journal().end(&[]);
            let may = waiting < AGENT_DEPTH_MAX;
            assert_eq!(asked.errands.errand("cook", "Hi").await.is_ok(), may, "{waiting}");
            assert_eq!(asked.begun.lock().unwrap().len(), usize::from(may));
        }
    }

    #[tokio::test]
    async fn a_question_is_a_turn_of_its_own_and_ends_with_who_asks() {
        let asked = asked(0).await;
        let asking = asked.errands.errand("cook", "What is for dinner?").now_or_never();
        assert!(asking.is_none(), "the turn is running");
        assert_eq!(asked.turn.stopped().await, Stop::Requested);
        let begun = asked.begun.lock().unwrap();
        let Ask { session, agent, asker, .. } = &begun[0];
        assert_eq!((session, agent.as_deref()), (&SessionRef::New, Some("cook")));
        let By::Agent(Asking { session_id, agent_ids }) = &asker.by else { panic!("{asker:?}") };
        assert_eq!(
            (session_id, agent_ids.as_slice()),
            (&asked.errands.session_id, &[asked.errands.agent_id.clone()][..])
        );
    }

    #[tokio::test]
    async fn agents_that_are_named_are_not_all() {
        let asked = asked(0).await;
        let org = asked.errands.store.org(&asked.errands.asker.tenant);
        let cook = org.agent("cook").unwrap();
        for n in 3..=NAMED_MAX + 1 {
            let named = refusal(&asked, "nobody").await.matches(", ").count() + 1;
            // Ala is none of them: she asks.
            assert_eq!(named, (n - 1).min(NAMED_MAX - 1));
            let id = format!("cook-{n}");
            org.create_agent(Agent { slug: id.clone(), id, ..cook.clone() }).await.unwrap();
        }
        assert_eq!(refusal(&asked, "nobody").await.matches(", ").count() + 1, NAMED_MAX - 1);
    }
}
