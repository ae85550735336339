//! Conversations that go on with the answers to their calls.
//!
//! Rule: answers are acted on by one turn. The same answers again, in whatever way they come, find that turn.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use super::{Engine, SessionKey, Started};
use crate::{
    error::{Error, Result},
    id,
    store::{
        decisions::{Answered, Decision},
        messages::Role,
        tool_calls::CallStatus,
        turns::Outcome,
    },
    turn::{
        answers::Answers,
        ask::{Ask, Asker, SessionRef, Trigger},
        replay,
        running::RunningTurn,
    },
};

/// How often answers are looked for that were given elsewhere: at the command line, or by the inbox right before a crash.
const ANSWERS_INTERVAL: Duration = Duration::from_secs(2);
/// How long a conversation that cannot go on waits at most until it is tried again.
const ANSWERS_WAIT_MAX: Duration = Duration::from_secs(300);

/// A conversation that could not go on with its answers.
#[derive(Default)]
struct Refused {
    times: u32,
    /// When it is tried again.
    next: Option<Instant>,
}

/// Answers to calls that a request brings.
struct Given {
    asker: Asker,
    session_id: String,
    approvals: Vec<Decision>,
}

impl Given {
    fn of(ask: &Ask) -> Option<Self> {
        let approvals = match &ask.trigger {
            Trigger::Resume(answers) => answers.approvals.clone(),
            Trigger::Submit => {
                let last = ask.messages.last().filter(|last| last.role == Role::Assistant)?;
                Answers::of_parts(&last.parts).approvals
            }
            Trigger::Regenerate { .. } | Trigger::Respond(_) | Trigger::Replace => return None,
        };
        let (SessionRef::Existing(session_id) | SessionRef::Client(session_id)) = &ask.session else { return None };
        let session_id = session_id.clone();
        (!approvals.is_empty()).then(|| Given { asker: ask.asker.clone(), session_id, approvals })
    }
}

impl Refused {
    /// Says so once, unless it was over at the second look.
    fn note(&mut self, session: &str, error: &Error) {
        self.times += 1;
        self.next = Some(Instant::now() + wait_after(self.times));
        match self.times {
            2 => {
                tracing::warn!(%error, session, "a conversation cannot go on with the answers to its calls: it is tried again")
            }
            _ => tracing::debug!(%error, session, "a conversation cannot go on yet"),
        }
    }
}

/// How long a conversation waits that was refused so often: twice as long each time.
fn wait_after(times: u32) -> Duration {
    ANSWERS_INTERVAL.saturating_mul(2_u32.saturating_pow(times.saturating_sub(1))).min(ANSWERS_WAIT_MAX)
}

impl Engine {
    /// Begins a turn; returns once its model replies, or after two seconds. Answers that were given already find the turn that acts on
    /// them.
    pub async fn begin(self: &Arc<Self>, ask: Ask) -> Result<Started> {
        let given = Given::of(&ask);
        if let Some(again) = given.as_ref().map_or(Ok(None), |given| self.again(given))? {
            return Ok(again);
        }
        let begun = self.begin_new(ask).await;
        match (begun, given) {
            // Somebody gave the same answers at the same time.
            (Err(error @ Error::Conflict(_)), Some(given)) => self.again(&given)?.ok_or(error),
            (begun, _) => begun,
        }
    }

    /// The turn that acts on answers that were given before, from its start.
    fn again(&self, given: &Given) -> Result<Option<Started>> {
        let org = self.services.store.org(&given.asker.tenant);
        let Some(session) = org.session_if_any(&given.session_id)? else { return Ok(None) };
        let ids: Vec<_> = given.approvals.iter().map(|approval| approval.id.clone()).collect();
        let calls = org.decided_calls(session.seq, &ids)?;
        let turns: Vec<_> = calls.iter().filter_map(|call| call.decided_turn).collect();
        let Some(turn) = turns.first().copied().filter(|_| turns.len() == ids.len()) else { return Ok(None) };
        for (call, answer) in calls.iter().zip(&given.approvals) {
            if let Some(error) = call.refuse(answer.approved, &given.asker.decider) {
                return Err(error);
            }
        }
        let session_id = session.id.clone();
        let started = |turn| Started {
            turn,
            life: None,
            turn_id: None,
            session_id,
            session_is_new: false,
            model: None,
            test_mode: false,
        };
        if let Some(running) = self.find(&given.asker.tenant, &session.id).filter(|running| running.row == turn) {
            return Ok(Some(started(running.turn)));
        }
        let Some(stored) = org.stored_turn(turn)? else { return Ok(None) };
        let Some(outcome) = stored.outcome else { return Ok(None) };
        // A restart came before an allowed call was made: the same answer makes it.
        if outcome == Outcome::Interrupted && calls.iter().any(|call| call.status == CallStatus::Approved) {
            return Ok(None);
        }
        let chunks = replay::chunks(&stored, outcome, &given.asker.request_id)?;
        Ok(Some(started(RunningTurn::over(&chunks))))
    }

    /// Begins the turns of conversations whose waiting calls were all answered elsewhere, as long as the process lives.
    pub async fn watch_answers(self: Arc<Self>) {
        let mut refused = HashMap::new();
        loop {
            tokio::time::sleep(ANSWERS_INTERVAL).await;
            match self.services.store.answered() {
                Ok(answered) => self.go_on_with(answered, &mut refused).await,
                Err(error) => tracing::warn!(%error, "answers to calls could not be read"),
            }
        }
    }

    /// Tries each of them, but for those that were refused a moment ago.
    async fn go_on_with(self: &Arc<Self>, answered: Vec<Answered>, refused: &mut HashMap<SessionKey, Refused>) {
        let key = |answered: &Answered| (answered.tenant.org_id.clone(), answered.session_id.clone());
        let keys: HashSet<_> = answered.iter().map(key).collect();
        refused.retain(|key, _| keys.contains(key));
        for answered in answered {
            let (key, session) = (key(&answered), answered.session_id.clone());
            if refused.get(&key).and_then(|refused| refused.next).is_some_and(|next| next > Instant::now()) {
                continue;
            }
            match self.go_on(answered).await {
                Ok(_) => tracing::info!(session, "a conversation goes on with the answers to its calls"),
                Err(error) => refused.entry(key).or_default().note(&session, &error),
            }
        }
    }

    /// Begins the turn of a conversation whose waiting calls were all answered.
    pub async fn go_on(self: &Arc<Self>, answered: Answered) -> Result<Started> {
        let (test, key_id) = (answered.is_test, answered.key_id);
        let asker = Asker { test, key_id, ..Asker::new(answered.tenant, id::generate()) };
        let (session, trigger) = (SessionRef::Existing(answered.session_id), Trigger::Resume(Answers::default()));
        self.begin(Ask { session, trigger, model: Some(answered.model), ..Ask::new(asker) }).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_that_cannot_go_on_is_tried_ever_more_rarely() {
        let waits: Vec<_> = (1..=9).map(|times| wait_after(times).as_secs()).collect();
        assert_eq!(waits, [2, 4, 8, 16, 32, 64, 128, 256, 300]);
        assert_eq!(wait_after(u32::MAX), ANSWERS_WAIT_MAX);
    }
}
