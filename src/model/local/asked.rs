//! A local model is asked: whoever has a place asks it as any server, once more if its process ends before it has said a word, and
//! learns why if it ends later.

use std::{pin::Pin, sync::Arc, time::Duration};

use tokio::time::{Instant, timeout, timeout_at};

use super::{local_model::LocalModel, ticket::Ticket};
use crate::{
    error::{Error, Result},
    model::{
        Delta, Ending, Request,
        upstream::{Endpoint, Reply},
        waiting::OnWaiting,
    },
};

/// How long it may take to be known that a process has ended, once its connection has broken: its last words are read first.
const LOST_WAIT: Duration = Duration::from_secs(5);

/// A running reply of a local model. Dropping it ends it at once, and gives its place back.
pub struct LocalReply {
    reply: Reply,
    /// When its process is gone, and why.
    lost: Pin<Box<dyn Future<Output = Error> + Send>>,
    ticket: Ticket,
    /// What came before anybody read it.
    first: Option<(Vec<Delta>, Option<Ending>)>,
    /// It broke, and until then it is waited for the reason.
    broken: Option<(Vec<Delta>, Ending, Instant)>,
}

/// What came of asking once.
enum Begun {
    Replies(Box<LocalReply>),
    /// The process has ended without a word.
    Lost(Ticket, Error),
}

impl LocalModel {
    /// Asks at its endpoint, and waits for the first word.
    pub async fn ask(
        self: &Arc<Self>,
        endpoint: &Endpoint,
        person: &str,
        request: &Request,
        waiting: OnWaiting<'_>,
    ) -> Result<Box<LocalReply>> {
        let ticket = self.enter(person, &mut *waiting).await?;
        let ticket = match self.ask_once(endpoint, ticket, request, &mut *waiting).await? {
            Begun::Replies(reply) => return Ok(reply),
            Begun::Lost(ticket, _) => ticket.again(&mut *waiting).await?,
        };
        match self.ask_once(endpoint, ticket, request, waiting).await? {
            Begun::Replies(reply) => Ok(reply),
            Begun::Lost(_, why) => Err(why),
        }
    }

    async fn ask_once(
        &self,
        endpoint: &Endpoint,
        mut ticket: Ticket,
        request: &Request,
        waiting: OnWaiting<'_>,
    ) -> Result<Begun> {
        let mut lost: Pin<Box<dyn Future<Output = Error> + Send>> = Box::pin(ticket.lost());
        let first = tokio::select! {
            biased;
            first = self.first_word(endpoint, &ticket, request, waiting) => first,
            why = &mut lost => return Ok(Begun::Lost(ticket, why)),
        };
        let is_broken = match &first {
            Ok((reply, deltas, _)) => reply.is_cut() && deltas.iter().all(|delta| matches!(delta, Delta::Fault(_))),
            Err(error) => matches!(error, Error::ModelUnavailable(_)),
        };
        if is_broken && let Ok(why) = timeout(LOST_WAIT, &mut lost).await {
            return Ok(Begun::Lost(ticket, why));
        }
        let (reply, deltas, ending) = first?;
        ticket.spoke();
        let first = Some((deltas, ending));
        Ok(Begun::Replies(Box::new(LocalReply { reply, lost, ticket, first, broken: None })))
    }

    /// The reply, and what came first of it.
    async fn first_word(
        &self,
        endpoint: &Endpoint,
        ticket: &Ticket,
        request: &Request,
        waiting: OnWaiting<'_>,
    ) -> Result<(Reply, Vec<Delta>, Option<Ending>)> {
        let mut reply = self.around.upstreams.start(endpoint, self.known(), request, waiting).await?;
        ticket.heard();
        let mut deltas = Vec::new();
        loop {
            let ending = reply.next(&mut deltas).await;
            if ending.is_some() || !deltas.is_empty() {
                return Ok((reply, deltas, ending));
            }
        }
    }
}

impl LocalReply {
    /// Fields of the request that the model was not sent.
    pub fn omitted(&self) -> &[String] {
        self.reply.omitted()
    }

    /// Waits until something has arrived and appends it to `deltas`; the ending when the reply is over.
    pub async fn next(&mut self, deltas: &mut Vec<Delta>) -> Option<Ending> {
        if let Some((first, ending)) = self.first.take() {
            deltas.extend(first);
            return ending.inspect(|ending| self.note_end(ending));
        }
        if self.broken.is_none() {
            let known = deltas.len();
            let ending = tokio::select! {
                biased;
                ending = self.reply.next(deltas) => ending?,
                why = &mut self.lost => return Some(self.reply.cut(why.public_text(), deltas)),
            };
            if !self.reply.is_cut() {
                self.note_end(&ending);
                return Some(ending);
            }
            // The words before it may be read meanwhile.
            let said = deltas[known..].iter().position(|delta| matches!(delta, Delta::Fault(_)));
            let fault = said.map(|at| deltas.split_off(known + at)).unwrap_or_default();
            self.broken = Some((fault, ending, Instant::now() + LOST_WAIT));
        }
        let until = self.broken.as_ref().map(|(_, _, until)| *until)?;
        let why = timeout_at(until, &mut self.lost).await;
        let (mut fault, ending, _) = self.broken.take()?;
        match why {
            Ok(why) => fault.iter_mut().for_each(|delta| *delta = Delta::Fault(why.public_text())),
            Err(_) => self.note_end(&ending),
        }
        deltas.extend(fault);
        Some(ending)
    }

    /// It has ended by itself.
    fn note_end(&mut self, ending: &Ending) {
        self.ticket.done(ending.usage.map(|usage| usage.output_tokens));
    }
}
