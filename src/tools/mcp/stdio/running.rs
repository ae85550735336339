//! A command that runs: its pipes, its end, and who uses it.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use tokio::{io::AsyncWrite, sync::watch};

use super::{ending::Ending, lines::Lines};
use crate::child::{ChildStdin, ChildStdout, Exit, Process as ChildProcess};

/// A command that was started: what it is told, what it answers, and the rest.
pub struct Process {
    pub stdin: Input,
    pub stdout: Lines<ChildStdout>,
    pub running: Running,
}

/// A command that runs. With its last clone it is killed.
#[derive(Clone)]
pub struct Running(Arc<Held>);

struct Held {
    child: ChildProcess,
    input: Pipe,
    ending: Ending,
    cuts: watch::Receiver<u64>,
    uses: watch::Sender<usize>,
    over: watch::Sender<Option<Exit>>,
}

/// What is watched of it, without keeping it alive.
pub(super) struct Watched {
    pub pid: u32,
    pub end: Pin<Box<dyn Future<Output = Exit> + Send>>,
    pub ending: Ending,
    /// Told once its end is noted and its last words are in the log.
    pub over: watch::Sender<Option<Exit>>,
}

/// What it is told. Once it is dropped, the command reads the end, and most then go.
pub struct Input {
    pipe: Pipe,
    ending: Ending,
}

/// Closed by whoever comes first: the conversation's end, or a stop.
type Pipe = Arc<Mutex<Option<ChildStdin>>>;

/// That somebody waits for an answer.
pub struct Use(Running);

impl Running {
    /// What runs, and what it is told. `ending` is told by its output, `cuts` as well.
    pub(super) fn new(
        child: ChildProcess,
        stdin: ChildStdin,
        ending: Ending,
        cuts: watch::Receiver<u64>,
    ) -> (Self, Input) {
        let pipe = Arc::new(Mutex::new(Some(stdin)));
        let input = Input { pipe: pipe.clone(), ending: ending.clone() };
        (
            Running(Arc::new(Held {
                child,
                input: pipe,
                ending,
                cuts,
                uses: watch::Sender::new(0),
                over: watch::Sender::new(None),
            })),
            input,
        )
    }

    /// The id of its process.
    pub fn pid(&self) -> u32 {
        self.0.child.pid()
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        self.0.child.exit().is_some()
    }

    /// Waits for its end, and for its last words in the log: `it ended (exit 1)`.
    pub async fn ended(&self) -> String {
        let mut over = self.0.over.subscribe();
        let exit = over.wait_for(Option::is_some).await.ok().and_then(|exit| *exit).unwrap_or(Exit::Unknown);
        format!("it ended ({exit})")
    }

    /// How many lines were longer than `MCP_LINE_BYTES_MAX`: with each, what is waited for may
    /// never come.
    pub fn cuts(&self) -> watch::Receiver<u64> {
        self.0.cuts.clone()
    }

    /// Says that somebody waits for an answer, as long as it is held: meanwhile it is not idle.
    pub fn in_use(&self) -> Use {
        self.0.uses.send_modify(|uses| *uses += 1);
        Use(self.clone())
    }

    /// Ends it within 5 seconds, and all that it has started.
    pub async fn stop(&self) {
        self.0.ending.tell();
        close(&self.0.input);
        self.0.child.stop().await;
    }

    pub(super) fn watched(&self) -> Watched {
        let end = Box::pin(self.0.child.ended());
        Watched { pid: self.pid(), end, ending: self.0.ending.clone(), over: self.0.over.clone() }
    }

    /// Stops it once nobody has used it for so long. Does not keep it alive.
    pub(super) fn stop_when_idle(&self, idle_max: Duration) -> impl Future<Output = ()> + Send + use<> {
        let (mut uses, held) = (self.0.uses.subscribe(), Arc::downgrade(&self.0));
        async move {
            // Nobody can use it any more when that fails.
            while uses.wait_for(|uses| *uses == 0).await.is_ok() {
                match tokio::time::timeout(idle_max, uses.changed()).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return,
                    Err(_) => {
                        let Some(held) = held.upgrade() else { return };
                        return Running(held).stop().await;
                    }
                }
            }
        }
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        self.0.0.uses.send_modify(|uses| *uses -= 1);
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.ending.tell();
        close(&self.pipe);
    }
}

impl Input {
    fn with<T>(&self, poll: impl FnOnce(Pin<&mut ChildStdin>) -> Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        let mut pipe = self.pipe.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(stdin) = pipe.as_mut() else { return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())) };
        let done = poll(Pin::new(stdin));
        if matches!(done, Poll::Ready(Err(_))) {
            self.ending.is_by_itself();
        }
        done
    }
}

impl AsyncWrite for Input {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.with(|stdin| stdin.poll_write(context, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|stdin| stdin.poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.ending.tell();
        close(&self.pipe);
        Poll::Ready(Ok(()))
    }
}

fn close(pipe: &Pipe) {
    drop(pipe.lock().unwrap_or_else(PoisonError::into_inner).take());
}
