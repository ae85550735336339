//! The load: many raw connections on one thread.
//!
//! Rule: a chunk costs one `read` into a buffer that all connections share, and a scan for its stamp.
//! Deliberately absent: TLS, HTTP/2, redirects, retries. What does not come as it should is a failure.

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWriteExt, ReadBuf},
    net::TcpStream,
};

use crate::wire::{Reply, Stamps, now_us};

/// One read takes so much at most.
const READ_BYTES_MAX: usize = 64 * 1024;

thread_local! {
    static SHARED: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES_MAX]);
}

/// A connection that is kept alive from request to request.
pub struct Connection(TcpStream);

/// A streamed reply, as the client saw it.
pub struct Turn {
    /// Whether it was whole, from the first chunk to the ending.
    pub good: bool,
    /// From the sending of the request to the first chunk.
    pub first_us: u64,
    /// From the upstream's sending of the first chunk to its arrival.
    pub first_lag_us: u64,
    /// From the sending of the request to the end.
    pub all_us: u64,
}

impl Connection {
    /// Connects.
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        Ok(Connection(socket))
    }

    /// Sends a request and reads its reply to the end. The status.
    pub async fn exchange(&mut self, request: &[u8], mut body: impl FnMut(&[u8])) -> io::Result<u16> {
        self.0.write_all(request).await?;
        let mut reply = Reply::default();
        while !reply.is_done() {
            poll_fn(|cx| {
                SHARED.with_borrow_mut(|shared| {
                    let mut buffer = ReadBuf::new(shared);
                    ready!(Pin::new(&mut self.0).poll_read(cx, &mut buffer))?;
                    Poll::Ready(match buffer.filled() {
                        [] => Err(io::ErrorKind::UnexpectedEof.into()),
                        bytes => reply.feed(bytes, &mut body),
                    })
                })
            })
            .await?;
        }
        Ok(reply.status())
    }

    /// Takes one streamed turn of `chunks` chunks. `on_lag` gets, in microseconds, how late each chunk was.
    pub async fn turn(
        &mut self,
        request: &[u8],
        chunks: u32,
        marks: &[&str],
        mut on_lag: impl FnMut(u32),
    ) -> io::Result<Turn> {
        let mut stamps = Stamps::expecting(chunks);
        let (mut first_us, mut first_lag_us) = (0, 0);
        let sent = now_us();
        let status = self
            .exchange(request, |body| {
                let now = now_us();
                let is_first = stamps.seen() == 0;
                let mut lag = None;
                stamps.feed(body, &mut |stamp| {
                    let late = now.saturating_sub(stamp);
                    lag.get_or_insert(late);
                    on_lag(late.min(u64::from(u32::MAX)) as u32);
                });
                if let (true, Some(lag)) = (is_first, lag) {
                    (first_us, first_lag_us) = (now - sent, lag);
                }
            })
            .await?;
        let good = status == 200 && stamps.is_whole(marks);
        Ok(Turn { good, first_us, first_lag_us, all_us: now_us() - sent })
    }
}
