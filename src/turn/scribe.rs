//! Writes a turn down as it happens: for its readers, for its final message, and for the time after a crash.

use std::{pin::Pin, sync::Arc};

use tokio::{
    sync::oneshot::error::TryRecvError,
    time::{Duration, Instant, Sleep, sleep},
};

use super::{calls::clients::Clients, chunk::Chunk, fold::Fold, running::RunningTurn};
use crate::{
    model::Usage,
    store::{Answered, Store, Tenant, TurnRow, tool_calls::EndedCall, turns::Outcome, unstored::Counts},
    tools::Toolbox,
};

/// Time between two checkpoints of a turn: what a crash may cost at most.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(1);

/// The writer of one turn.
pub struct Scribe {
    turn: Arc<RunningTurn>,
    /// The message so far, of a turn that is kept.
    fold: Fold,
    store: Store,
    tenant: Tenant,
    /// The turn's row number.
    row: TurnRow,
    /// When the first piece of the reply came.
    first_piece: Option<Instant>,
    checkpoint: Pin<Box<Sleep>>,
    checkpoints: i64,
    /// How much of the stream is in the file.
    journaled_bytes: usize,
    /// The checkpoint on its way, how much will be in the file with it, and how many of the ended calls.
    journaling: Option<(usize, usize, Answered<()>)>,
    /// Calls that ended and are not known to have in the file.
    ended: Vec<EndedCall>,
    /// Whether what is said may reach the file.
    is_kept: bool,
    /// The count on its way to the file.
    counting: Option<Answered<()>>,
    /// Whose its calls are.
    clients: Clients,
}

impl Scribe {
    /// For the turn of that row; `fold` holds what the message has already. Of one that is not kept no word reaches the file.
    pub fn new(turn: Arc<RunningTurn>, fold: Fold, store: Store, tenant: Tenant, row: TurnRow, is_kept: bool) -> Self {
        Scribe {
            turn,
            fold,
            store,
            tenant,
            row,
            first_piece: None,
            checkpoint: Box::pin(sleep(CHECKPOINT_INTERVAL)),
            checkpoints: 0,
            journaled_bytes: 0,
            journaling: None,
            ended: Vec::new(),
            is_kept,
            counting: None,
            clients: Clients::default(),
        }
    }

    /// The turn it writes.
    pub fn turn(&self) -> &Arc<RunningTurn> {
        &self.turn
    }

    /// Writes the first chunk; `before` is what the message has already, for those who do not hold it.
    pub fn begin(&mut self, start: &Chunk, before: &[Chunk]) {
        self.fold.apply(start);
        self.turn.journal().begin(start, before);
    }

    /// Takes down the tools of a step; `any`: whoever asks brought some.
    pub fn offered(&mut self, toolbox: &Toolbox, any: bool) {
        self.clients.offered(toolbox, any);
    }

    /// Whose its calls are.
    pub fn clients(&self) -> &Clients {
        &self.clients
    }

    /// Writes chunks, the same for everyone. Who keeps a conversation is shown the calls that they run, and none of ours.
    pub fn write(&mut self, chunks: &[Chunk]) {
        if chunks.is_empty() {
            return;
        }
        if self.is_kept {
            chunks.iter().for_each(|chunk| self.fold.apply(chunk));
            return self.turn.journal().push(chunks);
        }
        let clients = &mut self.clients;
        self.turn.journal().push(chunks.iter().filter(|chunk| clients.see(chunk)));
    }

    /// Writes the last chunks, after the turn was stored; the fold is done by then.
    pub fn end(&self, chunks: &[Chunk], usage: &Usage) {
        self.turn.journal().end_with(chunks, usage);
    }

    /// Notes that a piece of the reply came.
    pub fn note_piece(&mut self) {
        self.first_piece.get_or_insert_with(Instant::now);
    }

    /// When the first piece of the reply came.
    pub fn first_piece(&self) -> Option<Instant> {
        self.first_piece
    }

    /// Bytes streamed so far.
    pub fn bytes(&self) -> usize {
        self.turn.journal().len()
    }

    /// Whether the reply has streamed as much as it may: `max`, or less where all replies together keep too much.
    pub fn is_full(&self, max: usize) -> bool {
        self.bytes() > max || self.turn.journal().must_end()
    }

    /// Waits until it is time for a checkpoint. A timer of its own, and not a look at the clock with each chunk: words
    /// that a long silence follows are worth as much.
    pub async fn checkpoint_due(&mut self) {
        self.checkpoint.as_mut().await;
    }

    /// Puts what was written since the last time into the file, with the next commit. Nobody waits for it.
    ///
    /// What the file did not take goes with the next one, so a journal has no gaps. One is on its way at a time: a disk
    /// that stalls is not sent the same again.
    pub fn checkpoint(&mut self) {
        if !self.is_kept {
            return;
        }
        self.checkpoint.as_mut().reset(Instant::now() + CHECKPOINT_INTERVAL);
        if let Some((bytes, calls, mut answered)) = self.journaling.take() {
            match answered.try_recv() {
                Err(TryRecvError::Empty) => return self.journaling = Some((bytes, calls, answered)),
                Ok(Ok(())) => {
                    self.journaled_bytes = bytes;
                    self.ended.drain(..calls);
                }
                Ok(Err(_)) | Err(TryRecvError::Closed) => {}
            }
        }
        let frames = self.turn.journal().since(self.journaled_bytes);
        if frames.is_empty() {
            return;
        }
        self.checkpoints += 1;
        let bytes = self.journaled_bytes + frames.len();
        // A full queue is a failure like another: the next one brings it.
        let (ended, calls) = (self.ended.clone(), self.ended.len());
        let answered = self.store.org(&self.tenant).journal(self.row, self.checkpoints, frames, ended);
        self.journaling = answered.ok().map(|answered| (bytes, calls, answered));
    }

    /// Puts what a turn that is not kept took so far into the file, with the next commit.
    pub fn count(&mut self, usage: &Usage) {
        self.checkpoint.as_mut().reset(Instant::now() + CHECKPOINT_INTERVAL);
        if let Some(counting) = &mut self.counting
            && matches!(counting.try_recv(), Err(TryRecvError::Empty))
        {
            return;
        }
        let counts = Counts {
            input_tokens: usage.input_tokens,
            cache_read_tokens: usage.cache_read_tokens,
            output_tokens: usage.output_tokens,
        };
        // A full queue is a failure like another: the next one brings it.
        self.counting = self.store.org(&self.tenant).count_turn(self.row, counts).ok();
    }

    /// Notes that a call ended, and how it is shown.
    pub fn end_call(&mut self, ended: EndedCall, chunks: &[Chunk]) {
        self.write(chunks);
        self.ended.push(ended);
        self.checkpoint();
    }

    /// The calls that ended and are not known to have in the file.
    pub fn take_ended(&mut self) -> Vec<EndedCall> {
        std::mem::take(&mut self.ended)
    }

    /// Lets an interrupted turn leave these calls open.
    pub fn keep_open(&mut self, call_ids: impl IntoIterator<Item = String>) {
        self.fold.keep_open(call_ids);
    }

    /// The message as it is by now.
    pub fn so_far(&self) -> &[serde_json::Value] {
        self.fold.parts()
    }

    /// Whether words or thoughts have begun and not ended.
    pub fn is_open(&self) -> bool {
        self.fold.is_open()
    }

    /// The parts of the message that a turn which ended so leaves.
    pub fn parts(&mut self, outcome: Outcome) -> Vec<serde_json::Value> {
        let mut fold = std::mem::take(&mut self.fold);
        fold.close(outcome);
        fold.into_parts()
    }
}
