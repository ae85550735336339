//! A server by its command, as the library takes it: one message a line, over the two pipes.
//!
//! Rule: what cannot be read is passed over. `child` gives whole lines that may be messages, and says when it dropped one.

use std::{io, sync::Arc};

use rmcp::{
    RoleClient,
    model::{ClientJsonRpcMessage, ClientRequest, RequestId, ServerJsonRpcMessage},
    transport::Transport,
};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    sync::Mutex,
};

use super::{
    envelope,
    questions::{Questions, is_answer},
};

/// The pipes of a running command.
pub(super) struct Lines<R, W> {
    reader: BufReader<R>,
    /// A line whose end has not come yet.
    line: Vec<u8>,
    writer: Arc<Mutex<W>>,
    /// Requests of the handshake, whose answers the library reads itself. It takes the answer to the last one alone: a server that
    /// starts slowly answers the question for its era when it is asked the next one.
    handshake: Vec<RequestId>,
    questions: Questions,
}

impl<R: AsyncRead, W: AsyncWrite> Lines<R, W> {
    pub(super) fn new(stdout: R, stdin: W) -> Self {
        Lines {
            reader: BufReader::new(stdout),
            line: Vec::new(),
            writer: Arc::new(Mutex::new(stdin)),
            handshake: Vec::new(),
            questions: Questions::default(),
        }
    }
}

impl<R, W> Lines<R, W> {
    fn read(&self, line: &[u8]) -> Option<ServerJsonRpcMessage> {
        let message: Value = serde_json::from_slice(line).ok()?;
        let is_of = |id: &RequestId| serde_json::to_value(id).is_ok_and(|id| message["id"] == id);
        let message = match self.handshake.iter().rposition(is_of) {
            Some(at) if at + 1 < self.handshake.len() && message.get("method").is_none() => return None,
            Some(_) => message,
            None => envelope::close(message, None),
        };
        serde_json::from_value(message).ok().filter(|message| self.questions.admits(message))
    }
}

impl<R, W> Transport<RoleClient> for Lines<R, W>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    type Error = io::Error;

    fn send(&mut self, message: ClientJsonRpcMessage) -> impl Future<Output = io::Result<()>> + Send + 'static {
        if let ClientJsonRpcMessage::Request(request) = &message
            && matches!(request.request, ClientRequest::InitializeRequest(_) | ClientRequest::DiscoverRequest(_))
        {
            self.handshake.push(request.id.clone());
        }
        let (writer, questions) = (self.writer.clone(), self.questions.clone());
        async move {
            let mut line = serde_json::to_vec(&message)?;
            line.push(b'\n');
            let mut writer = writer.lock().await;
            writer.write_all(&line).await?;
            questions.sent(is_answer(&message));
            writer.flush().await
        }
    }

    async fn receive(&mut self) -> Option<ServerJsonRpcMessage> {
        loop {
            // What it has read stays in `line` if this is dropped.
            let read = self.reader.read_until(b'\n', &mut self.line).await;
            let line = std::mem::take(&mut self.line);
            if let Some(message) = self.read(&line) {
                return Some(message);
            }
            if !matches!(read, Ok(1..)) {
                return None;
            }
        }
    }

    async fn close(&mut self) -> io::Result<()> {
        self.writer.lock().await.shutdown().await
    }
}
