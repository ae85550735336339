//! Vectors for texts: a turn that asks once, and is not stored.
//!
//! Rule: held for before the model is asked, and settled by what it took. What fails leaves no trace. Where nobody waits for the
//! answer any more the asking ends, and what was asked is charged.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::oneshot;

use super::{Engine, Running, SessionKey};
use crate::{
    catalog::ResolvedModel,
    error::{Error, Result},
    id,
    model::{
        Usage,
        upstream::embeddings::{Texts, Vectors},
    },
    store::{
        TurnRow,
        requests::Noted,
        turns::{Begun, EndedTurn, Outcome},
        unstored::{NewUnstored, TurnKind},
    },
    turn::{
        ask::Asker,
        bill::Bill,
        running::{RunningTurn, Stop},
        stored::{STORE_RETRY, now_or_later, until_stored},
    },
};

/// Texts that somebody wants the vectors of.
#[derive(Debug)]
pub struct Embed {
    pub asker: Asker,
    pub model: Box<ResolvedModel>,
    /// Texts, or the tokens of texts.
    pub input: Vec<Value>,
    /// How many tokens they are taken for.
    pub tokens: u64,
    /// The length of the vectors; the model's own when absent.
    pub dimensions: Option<u32>,
}

/// Their vectors.
#[derive(Debug)]
pub struct Embedded {
    pub vectors: Vec<Vec<f32>>,
    /// As the upstream counted them, or as they are estimated.
    pub input_tokens: u64,
}

/// A turn that is found by nobody and stopped like any other, until this is dropped.
struct Listed<'a> {
    engine: &'a Engine,
    key: SessionKey,
    row: TurnRow,
    turn: Arc<RunningTurn>,
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        self.engine.forget(&self.key, self.row);
    }
}

fn going_away() -> Error {
    let message = "the server is shutting down: try again in a few seconds".into();
    Error::Unavailable { message, retry_after: STORE_RETRY }
}

impl Engine {
    /// Makes the vectors of texts. Dropping the wait ends the asking.
    ///
    /// It runs in a task of its own, so that a caller who leaves in the middle leaves nothing held.
    pub async fn embed(self: &Arc<Self>, ask: Embed) -> Result<Embedded> {
        let slot = self.slot()?;
        let (answer, answered) = oneshot::channel();
        let engine = self.clone();
        tokio::spawn(async move {
            let mut answer = answer;
            let made = engine.make(ask, &mut answer).await;
            drop(slot);
            // Whoever waited may have left.
            let _ = answer.send(made);
        });
        answered.await.map_err(Error::internal)?
    }

    async fn make(&self, ask: Embed, answer: &mut oneshot::Sender<Result<Embedded>>) -> Result<Embedded> {
        let Embed { asker, model, input, tokens, dimensions } = ask;
        let ResolvedModel { model, source } = *model;
        let mut bill = Bill::new(model.pricing, 0);
        let new = NewUnstored {
            id: id::generate(),
            agent_id: None,
            project_id: None,
            key_id: asker.key_id.clone(),
            came: asker.came(),
            model: model.id.clone(),
            message_id: id::generate(),
            kind: TurnKind::Embedding,
            // What nobody heard of is not paid.
            input_tokens: 0,
            hold: bill.hold_for(tokens),
        };
        let org = self.services.store.org(&asker.tenant).once(asker.claim.as_ref());
        let begun = org.begin_unstored(new).await?;
        bill.add_hold(begun.held);
        let texts = Texts { model: model.name, input, dimensions };
        let listed = self.list(&asker, &begun);
        let made = tokio::select! {
            made = source.embed(&texts) => made.map(Ok),
            () = answer.closed() => Ok(Err(Stop::Requested)),
            why = listed.turn.stopped() => Ok(Err(why)),
        };
        match made {
            Err(error) => {
                self.withdraw(asker, begun, error.code().as_str()).await?;
                Err(error)
            }
            Ok(Err(why)) => {
                bill.add(None, tokens, "");
                let (outcome, error) = match why {
                    Stop::Requested => (Outcome::Stopped, Error::internal("nobody waits for these vectors")),
                    Stop::Draining => (Outcome::Interrupted, going_away()),
                };
                self.settle(&asker, &begun, &bill, outcome).await?;
                Err(error)
            }
            Ok(Ok(Vectors { vectors, input_tokens })) => {
                let counted = input_tokens.map(|input_tokens| Usage { input_tokens, ..Usage::default() });
                bill.add(counted, tokens, "");
                self.settle(&asker, &begun, &bill, Outcome::Complete).await?;
                Ok(Embedded { vectors, input_tokens: bill.usage().input_tokens })
            }
        }
    }

    /// Lists a turn among those that run, so that it is stopped with its key and at the end.
    fn list(&self, asker: &Asker, begun: &Begun) -> Listed<'_> {
        let key = (asker.tenant.org_id.clone(), begun.turn_id.clone());
        let (row, turn) = (begun.turn, RunningTurn::new());
        let (message_id, key_id) = (begun.message_id.clone(), asker.key_id.clone());
        self.running().insert(key.clone(), Running { row, message_id, turn: turn.clone(), key_id });
        Listed { engine: self, key, row, turn }
    }

    async fn withdraw(&self, asker: Asker, begun: Begun, code: &'static str) -> Result<()> {
        let store = self.services.store.clone();
        let withdraw = move || {
            let (store, tenant, begun) = (store.clone(), asker.tenant.clone(), begun.clone());
            let noted = Noted { code: Some(code), ..Noted::default() };
            async move { store.org(&tenant).withdraw_turn(begun, noted).await }
        };
        now_or_later("a turn of vectors that failed was undone", withdraw).await
    }

    async fn settle(&self, asker: &Asker, begun: &Begun, bill: &Bill, outcome: Outcome) -> Result<()> {
        let usage = bill.usage();
        self.services.stats.count(outcome, &usage);
        let ended = EndedTurn {
            turn: begun.turn,
            turn_id: begun.turn_id.clone(),
            session: None,
            outcome,
            message: None,
            input_tokens: usage.input_tokens,
            cache_read_tokens: 0,
            output_tokens: 0,
            cost: bill.charge(),
            cut: None,
            calls: Vec::new(),
            ending: None,
            noted: Default::default(),
        };
        let org = self.services.store.org(&asker.tenant);
        until_stored(|| org.end_turn(ended.clone())).await
    }
}
