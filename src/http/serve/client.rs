//! The client of a connection, as a handler sees it: somebody who may leave.

use std::sync::Arc;

use super::life::Life;

/// The client of a request's connection; it is in the request's data.
#[derive(Clone)]
pub struct Client(Arc<Life>);

/// Work that ends with its client. While there is one of it, the end of what the client sends ends the connection, and with it
/// every handler and response that is under way there.
pub struct Bound(Arc<Life>);

impl Client {
    pub(super) fn new(life: &Arc<Life>) -> Self {
        Client(life.clone())
    }

    /// Binds work to the client, until the guard is dropped.
    pub fn bind(&self) -> Bound {
        self.0.bind();
        Bound(self.0.clone())
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        self.0.unbind();
    }
}

#[cfg(test)]
mod tests {
    use poem::{Request, Route, endpoint::make, get};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
        sync::{Semaphore, mpsc},
    };

    use super::{
        super::{Limits, Listener, serve, watched::AHEAD_BYTES_MAX},
        *,
    };

    /// Says when it is dropped.
    struct Work(mpsc::UnboundedSender<&'static str>);

    impl Drop for Work {
        fn drop(&mut self) {
            // The test may be over.
            let _ = self.0.send("ended");
        }
    }

    /// Whether work that waits is ended by a client that sends so many bytes more and then no more.
    async fn ends(is_bound: bool, bytes_behind: usize) -> bool {
        let (tell, mut told) = mpsc::unbounded_channel();
        let release = Arc::new(Semaphore::new(0));
        let held = release.clone();
        let work = make(move |request: Request| {
            let bound = is_bound.then(|| request.data::<Client>().unwrap().bind());
            let (work, held) = (Work(tell.clone()), held.clone());
            async move {
                work.0.send("begun").unwrap();
                held.acquire().await.unwrap().forget();
                drop(bound);
                "answered"
            }
        });
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let addr = listener.local_addr();
        let app = Route::new().at("/", get(work));
        tokio::spawn(serve(listener, app, Limits::default(), Arc::new(|_| None), std::future::pending()));
        let mut socket = TcpStream::connect(addr).await.unwrap();
        socket.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        assert_eq!(told.recv().await, Some("begun"));
        socket.write_all(&vec![b'x'; bytes_behind]).await.unwrap();
        socket.shutdown().await.unwrap();
        let looks_no_further = !is_bound || bytes_behind >= AHEAD_BYTES_MAX;
        if looks_no_further {
            release.add_permits(1);
        }
        assert_eq!(told.recv().await, Some("ended"));
        let mut answer = Vec::new();
        // What was read before a reset counts.
        let _ = socket.read_to_end(&mut answer).await;
        !String::from_utf8_lossy(&answer).contains("answered")
    }

    #[tokio::test]
    async fn bound_work_ends_with_its_client_and_other_work_does_not() {
        assert!(ends(true, 0).await);
        assert!(!ends(false, 0).await);
    }

    #[tokio::test]
    async fn the_end_of_a_client_is_seen_behind_what_it_sent_too_early() {
        for (bytes, seen) in
            [(1, true), (AHEAD_BYTES_MAX - 1, true), (AHEAD_BYTES_MAX, false), (AHEAD_BYTES_MAX + 1, false)]
        {
            assert_eq!(ends(true, bytes).await, seen, "{bytes}");
        }
    }
}
