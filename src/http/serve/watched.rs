//! The socket and the responses of one connection, which tell its [`Life`] what they see.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use hyper::body::{Body, Frame, SizeHint};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::life::Life;

/// What is read ahead of a client whose work ends with it; past that it is looked at no further.
pub(super) const AHEAD_BYTES_MAX: usize = 64 * 1024;
/// What is read at once of that.
const AHEAD_PIECE_BYTES: usize = 1024;

/// A socket that is watched.
pub(super) struct Socket {
    tcp: TcpStream,
    life: Arc<Life>,
    /// Bytes that came while nobody wanted them.
    ahead: VecDeque<u8>,
    /// How the client's bytes ended, if they did behind those.
    ended: Option<io::Result<()>>,
}

impl Socket {
    pub(super) fn new(tcp: TcpStream, life: Arc<Life>) -> Self {
        Socket { tcp, life, ahead: VecDeque::new(), ended: None }
    }

    /// Looks for the client's end while work is bound to it. hyper reads nothing of a connection that it answers, so what comes is
    /// kept for it.
    fn look_ahead(&mut self, context: &mut Context<'_>) {
        while self.ended.is_none() && self.ahead.len() < AHEAD_BYTES_MAX && self.life.is_bound() {
            let mut piece = [0; AHEAD_PIECE_BYTES];
            let mut into = ReadBuf::new(&mut piece);
            match Pin::new(&mut self.tcp).poll_read(context, &mut into) {
                Poll::Pending => return,
                Poll::Ready(Ok(())) if !into.filled().is_empty() => self.ahead.extend(into.filled()),
                Poll::Ready(end) => {
                    self.ended = Some(end);
                    self.life.leave();
                }
            }
            // Whoever waited for these bytes is to look again.
            context.waker().wake_by_ref();
        }
    }

    /// The same where no byte can be written, for then nobody flushes.
    fn look_ahead_of(&mut self, written: &Poll<io::Result<usize>>, context: &mut Context<'_>) {
        if written.is_pending() {
            self.look_ahead(context);
        }
    }

    /// What was read ahead, if anything was.
    fn take_ahead(&mut self, into: &mut ReadBuf<'_>) -> Option<io::Result<()>> {
        if self.ahead.is_empty() {
            return self.ended.take();
        }
        let piece = self.ahead.as_slices().0;
        let bytes = piece.len().min(into.remaining());
        into.put_slice(&piece[..bytes]);
        self.ahead.drain(..bytes);
        Some(Ok(()))
    }

    fn wrote(&self, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Pending => self.life.wrote(None),
            Poll::Ready(Ok(bytes)) => self.life.wrote(Some(*bytes)),
            Poll::Ready(Err(_)) => {}
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        if let Some(ahead) = self.take_ahead(into) {
            if into.filled().len() > before {
                self.life.read();
            }
            return Poll::Ready(ahead);
        }
        ready!(Pin::new(&mut self.tcp).poll_read(context, into))?;
        if into.filled().len() > before {
            self.life.read();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write(context, bytes);
        self.wrote(&written);
        self.look_ahead_of(&written, context);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write_vectored(context, slices);
        self.wrote(&written);
        self.look_ahead_of(&written, context);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Whenever a connection is looked at, it is flushed.
        self.look_ahead(context);
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }
}

/// A request that is being answered, until it is dropped.
pub(super) struct Running {
    life: Arc<Life>,
    /// Whether it waits for us.
    ours: bool,
}

impl Running {
    pub(super) fn begin(life: &Arc<Life>, http2: bool) -> Self {
        life.begin(http2);
        Running { life: life.clone(), ours: true }
    }

    /// It waits for us from now on, or for the peer.
    fn wait_for_us(&mut self, ours: bool) {
        if self.ours != ours {
            self.ours = ours;
            self.life.turn_over(ours);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.life.end(self.ours);
    }
}

/// The body of a response. Whoever sends it asks for a frame once the peer has room for one.
pub(super) struct Watched<B> {
    body: B,
    running: Running,
}

impl<B> Watched<B> {
    pub(super) fn new(body: B, mut running: Running) -> Self {
        running.wait_for_us(false);
        Watched { body, running }
    }
}

impl<B: Body + Unpin> Body for Watched<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        self.running.wait_for_us(frame.is_pending());
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
