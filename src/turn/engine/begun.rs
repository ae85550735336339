//! How a turn begins: what is written down before it runs, and what it runs with.

use std::sync::Arc;

use futures_util::FutureExt;
use tokio::sync::oneshot;

use super::Engine;
use crate::{
    error::{Error, Result},
    id,
    model::Message,
    store::{
        sessions::NewSession,
        turns::{Begun, NewTurn},
        unstored::{NewUnstored, TurnKind},
    },
    time::Timestamp,
    tools::{
        Tool,
        call::{Agents, Call},
    },
    turn::{
        ask::{Ask, Asked, Asker, SessionRef, Trigger},
        bill::Bill,
        errand::Errands,
        fold::{self, Fold},
        history, plan,
        progress::Progress,
        resolve::Resolved,
        run::Run,
        running::RunningTurn,
        scribe::Scribe,
    },
};

impl Engine {
    /// Question, turn and hold, durable when this returns. What was posted moves into the writer's job.
    pub(super) async fn commit(&self, ask: Ask, asked: &Asked, resolved: &Resolved, bill: &Bill) -> Result<Begun> {
        let Asker { tenant, claim, .. } = &ask.asker;
        let org = self.services.store.org(tenant).once(claim.as_ref());
        let prompt_bytes = match (&resolved.session, resolved.model.is_free()) {
            // Of a history that becomes what is posted, what is posted counts.
            (Some(session), false) if ask.trigger != Trigger::Replace => org.content_bytes(session.seq)?,
            _ => 0,
        };
        let posted_bytes = ask.messages.iter().map(|message| fold::content_bytes(&message.parts)).sum::<usize>();
        let stored = resolved.session.as_ref().map_or(0, |session| session.message_count.unsigned_abs());
        let prompt_tokens = history::tokens_at_most(
            prompt_bytes + posted_bytes as u64 + resolved.system.len() as u64,
            stored + ask.messages.len() as u64 + 1,
        );
        let prompt_tokens = prompt_tokens + tokens_of(&asked.tools);
        let keep = self.responses_keep;
        let new = NewTurn {
            id: id::generate(),
            session: NewSession {
                id: match &ask.session {
                    SessionRef::Existing(id) | SessionRef::Client(id) => Some(id.clone()),
                    SessionRef::After(_) | SessionRef::New => None,
                },
                agent_id: resolved.agent_id().map(str::to_owned),
                project_id: resolved.project_id.clone(),
                label: ask.label(),
                metadata: ask.metadata.or(ask.asker.by.metadata()),
                origin: Some(ask.asker.by.origin()),
                kept_until: ask.response.as_ref().map(|_| Timestamp::now().plus(keep)),
            },
            agent_id: resolved.agent_id().map(str::to_owned),
            project_id: resolved.project_id.clone(),
            key_id: ask.asker.key_id.clone(),
            came: ask.asker.came(),
            model: resolved.model.id.clone(),
            message_id: id::generate(),
            hold: bill.hold_for(prompt_tokens),
            decider: ask.asker.decider.clone(),
            response: ask.response.clone(),
            keep,
        };
        let decider = ask.asker.decider.clone();
        org.begin_turn(new, move |history| plan::plan(ask.messages, &ask.trigger, &decider, history)).await
    }

    /// Turn and hold alone, durable when this returns.
    pub(super) async fn commit_unstored(
        &self,
        asker: &Asker,
        given: &[Message],
        tools: &[Tool],
        resolved: &Resolved,
        bill: &Bill,
    ) -> Result<Begun> {
        let prompt_tokens =
            history::tokens_of_prompt(given) + history::tokens_of_text(&resolved.system) + tokens_of(tools);
        // A client knows the reply by its turn's id: the bill is found by it.
        let id = id::generate();
        let new = NewUnstored {
            id: id.clone(),
            agent_id: resolved.agent_id().map(str::to_owned),
            project_id: resolved.project_id.clone(),
            key_id: asker.key_id.clone(),
            came: asker.came(),
            model: resolved.model.id.clone(),
            message_id: id,
            kind: TurnKind::Chat,
            input_tokens: prompt_tokens,
            hold: bill.hold_for(prompt_tokens),
        };
        self.services.store.org(&asker.tenant).once(asker.claim.as_ref()).begin_unstored(new).await
    }

    pub(super) fn prepare(
        self: &Arc<Self>,
        asker: Asker,
        mut asked: Asked,
        mut resolved: Resolved,
        begun: Begun,
        bill: Bill,
        head: oneshot::Sender<Error>,
    ) -> Result<Run> {
        let fold = Fold::with_parts(fold::stored_parts(begun.continued_parts.as_deref())?);
        let turn = asked.wire.take().map_or_else(RunningTurn::new, RunningTurn::in_wire);
        let (store, tenant) = (self.services.store.clone(), asker.tenant.clone());
        let (session_id, agents) = (begun.session_id().to_owned(), self.errands(&asker, &resolved, &begun));
        // Where nothing is kept, a person is what requests have in common.
        let asking = begun.session.as_ref().map_or(&*asker.tenant.user_id, |_| begun.session_id());
        resolved.source.asked_in(asking);
        let call = Call { store: store.clone(), tenant: tenant.clone(), session_id, id: String::new(), agents };
        Ok(Run {
            call,
            services: self.services.clone(),
            asker,
            out: Scribe::new(turn, fold, store, tenant, begun.turn, begun.session.is_some()),
            begun,
            resolved,
            bill,
            progress: Progress::new(head),
            asked,
        })
    }

    /// What the agent of a turn may ask others.
    fn errands(self: &Arc<Self>, asker: &Asker, resolved: &Resolved, begun: &Begun) -> Option<Arc<dyn Agents>> {
        let (session, agent) = (begun.session.as_ref()?, resolved.agent.as_ref()?);
        let engine = self.clone();
        let begin = move |ask| {
            let engine = engine.clone();
            async move { engine.begin(ask).await.map(|started| (started.session_id, started.turn)) }.boxed()
        };
        Some(Arc::new(Errands {
            begin: Box::new(begin),
            store: self.services.store.clone(),
            asker: asker.clone(),
            session_id: session.id.clone(),
            project_id: resolved.project_id.clone(),
            agent_id: agent.id.clone(),
            one: Default::default(),
        }))
    }
}

/// What tools are taken for, in tokens.
fn tokens_of(tools: &[Tool]) -> u64 {
    let specs: Vec<_> = tools.iter().map(Tool::spec).collect();
    history::tokens_of_tools(&specs, history::TOKEN_BYTES as f64)
}
