//! The one writer: a thread that owns the only connection that writes.
//!
//! Rule: what a response acknowledges is on the disk. A job gets its result after the commit that holds it.
//! Why one: SQLite has one write lock. Writers that queue for it in memory share one commit and never see
//! "database is locked"; writers that race for it in the file do neither.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    time::Duration,
};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::{fault::FILE_RETRY, file::identity::FileIdentity};
use crate::error::{Error, Result};

/// Jobs that may wait for the writer; past it callers get a 503.
const WRITER_JOBS_MAX: usize = 8_192;
/// Jobs that may share one commit, so that the first of them does not wait for ever.
const COMMIT_JOBS_MAX: usize = 256;
/// How long a caller waits before it tries again when the queue is full.
const QUEUE_FULL_RETRY: Duration = Duration::from_secs(1);

/// The result of a write that completes by itself.
pub type Answered<T> = oneshot::Receiver<Result<T>>;

/// The way to the writer thread. Dropping the last one ends the thread, after what it had been given is done.
#[derive(Clone)]
pub struct Writer {
    jobs: SyncSender<Box<dyn Job>>,
}

impl Writer {
    /// Starts the thread on `connection`, which has `place` open. `committed` sees it after each commit.
    pub fn start(
        connection: Connection,
        place: FileIdentity,
        committed: impl Fn(&Connection) + Send + 'static,
    ) -> Result<Self> {
        let (jobs, waiting) = sync_channel(WRITER_JOBS_MAX);
        let run = move || commit_groups(&connection, &place, &waiting, committed);
        std::thread::Builder::new().name("alm-writer".into()).spawn(run).map_err(Error::internal)?;
        Ok(Writer { jobs })
    }

    /// Runs `work` inside a transaction that it may share with others; its result is durable when this returns.
    ///
    /// Work that fails or panics leaves nothing behind and harms no other.
    pub async fn write<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        self.submit(work)?.await.unwrap_or_else(|_| Err(writer_gone()))
    }

    /// [`Writer::write`] for a thread that may wait. In a runtime that is a blocking thread: nothing panics elsewhere, but
    /// a worker would serve nobody meanwhile.
    pub fn write_blocking<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        let (answer, answered) = sync_channel(1);
        self.queue(work, move |result| drop(answer.send(result)))?;
        answered.recv().unwrap_or_else(|_| Err(writer_gone()))
    }

    /// Runs `work` with the next commit; nobody waits for it. A failure is logged, and a crash before the commit loses
    /// it.
    pub fn write_later<F>(&self, what: &'static str, work: F)
    where
        F: FnOnce(&Connection) -> Result<()> + Send + 'static,
    {
        let logged = move |connection: &Connection| {
            work(connection).inspect_err(|error| tracing::warn!(%error, what, "a background write failed"))
        };
        if let Err(error) = self.submit(logged) {
            tracing::warn!(%error, what, "a background write was dropped");
        }
    }

    /// Runs `work` with the next commit; once its result arrives, it is durable.
    pub fn submit<T, F>(&self, work: F) -> Result<Answered<T>>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        // A caller that went away does not mind: its write is done.
        self.queue(work, move |result| drop(answer.send(result)))?;
        Ok(answered)
    }

    /// Hands `work` to the thread, which gives `answer` the result after the commit.
    fn queue<T, F, A>(&self, work: F, answer: A) -> Result<()>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
        A: FnOnce(Result<T>) + Send + 'static,
    {
        let job = Pending { work: Some(work), result: None, answer };
        self.jobs.try_send(Box::new(job)).map_err(|refused| match refused {
            TrySendError::Full(_) => Error::Unavailable {
                message: "too many writes are waiting: try again in a second".into(),
                retry_after: QUEUE_FULL_RETRY,
            },
            TrySendError::Disconnected(_) => writer_gone(),
        })
    }
}

fn writer_gone() -> Error {
    Error::internal("the writer thread is gone")
}

/// One piece of work, its result once it ran, and who waits for it.
trait Job: Send {
    fn run(&mut self, connection: &Connection);
    fn answer(self: Box<Self>, committed: Result<()>);
}

struct Pending<T, F, A> {
    work: Option<F>,
    result: Option<Result<T>>,
    answer: A,
}

impl<T, F, A> Job for Pending<T, F, A>
where
    T: Send,
    F: FnOnce(&Connection) -> Result<T> + Send,
    A: FnOnce(Result<T>) + Send,
{
    fn run(&mut self, connection: &Connection) {
        if let Some(work) = self.work.take() {
            self.result = Some(in_savepoint(connection, work));
        }
    }

    fn answer(self: Box<Self>, committed: Result<()>) {
        let result = match self.result {
            // Work's own failure says more than the commit's.
            Some(result) => result.and_then(|value| committed.map(|()| value)),
            None => Err(committed.err().unwrap_or_else(|| Error::internal("the work was not reached"))),
        };
        (self.answer)(result);
    }
}

/// Serves until the last [`Writer`] is dropped.
fn commit_groups(
    connection: &Connection,
    place: &FileIdentity,
    waiting: &Receiver<Box<dyn Job>>,
    seen: impl Fn(&Connection),
) {
    while let Ok(first) = waiting.recv() {
        let mut group = vec![first];
        let committed = place.check().and_then(|()| commit_group(connection, &mut group, waiting));
        match &committed {
            Ok(()) => seen(connection),
            Err(error) => tracing::error!(%error, "a commit failed"),
        }
        for job in group {
            job.answer(committed.as_ref().copied().map_err(again));
        }
    }
}

fn commit_group(
    connection: &Connection,
    group: &mut Vec<Box<dyn Job>>,
    waiting: &Receiver<Box<dyn Job>>,
) -> Result<()> {
    // Takes the write lock now: a reader that upgrades after someone else wrote gets SQLITE_BUSY at once, whatever the
    // timeout.
    run(connection, "BEGIN IMMEDIATE")?;
    group[0].run(connection);
    // A full disk makes SQLite roll the whole transaction back by itself: then nothing more can join it.
    while group.len() < COMMIT_JOBS_MAX && !connection.is_autocommit() {
        let Ok(mut job) = waiting.try_recv() else { break };
        job.run(connection);
        group.push(job);
    }
    let committed = match connection.is_autocommit() {
        true => Err(Error::Unavailable {
            message: "another write in the same commit failed: try again".into(),
            retry_after: FILE_RETRY,
        }),
        false => run(connection, "COMMIT"),
    };
    if !connection.is_autocommit() {
        run(connection, "ROLLBACK")?;
    }
    committed
}

/// Runs `work` so that a failure or a panic leaves nothing of it behind.
pub(super) fn in_savepoint<T>(connection: &Connection, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
    run(connection, "SAVEPOINT job")?;
    let result = catch_unwind(AssertUnwindSafe(|| work(connection)))
        .unwrap_or_else(|_| Err(Error::internal("a write panicked: its message is in the log")));
    // Where SQLite has rolled everything back already, the savepoint went with it.
    if !connection.is_autocommit() {
        if result.is_err() {
            run(connection, "ROLLBACK TO job")?;
        }
        run(connection, "RELEASE job")?;
    }
    result
}

/// Runs one of the statements around the work, compiled once for all of it.
fn run(connection: &Connection, statement: &str) -> Result<()> {
    connection.prepare_cached(statement)?.execute([])?;
    Ok(())
}

/// The same failure for the next one who shared the commit.
fn again(error: &Error) -> Error {
    match error {
        Error::Unavailable { message, retry_after } => {
            Error::Unavailable { message: message.clone(), retry_after: *retry_after }
        }
        other => Error::internal(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer() -> Writer {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE t (x INTEGER PRIMARY KEY)").unwrap();
        Writer::start(connection, FileIdentity::default(), |_| {}).unwrap()
    }

    fn insert(x: i64) -> impl FnOnce(&Connection) -> Result<()> {
        move |c| Ok(c.execute("INSERT INTO t VALUES (?1)", [x]).map(drop)?)
    }

    #[test]
    fn work_that_fails_or_panics_leaves_nothing_and_harms_no_other() {
        let writer = writer();
        writer.write_blocking(insert(1)).unwrap();
        writer.write_blocking(|c| insert(2)(c).and(Err::<(), _>(Error::NotFound("thing")))).unwrap_err();
        writer.write_blocking(|c| -> Result<()> { insert(3)(c).map(|()| panic!("on purpose")) }).unwrap_err();
        writer.write_blocking(insert(4)).unwrap();
        let rows: Vec<i64> = writer
            .write_blocking(|c| {
                Ok(c.prepare("SELECT x FROM t")?.query_map([], |r| r.get(0))?.collect::<Result<_, _>>()?)
            })
            .unwrap();
        assert_eq!(rows, [1, 4]);
    }

    #[tokio::test]
    async fn a_write_that_finds_no_room_tells_those_who_shared_its_commit_to_try_again() {
        let writer = writer();
        let small = "CREATE TABLE big (bytes BLOB); PRAGMA max_page_count = 10";
        writer.write(|c| Ok(c.execute_batch(small)?)).await.unwrap();
        let (go, wait) = std::sync::mpsc::channel();
        // Holds the commit open until the other two wait for it.
        let shares = writer.submit(move |c| insert(1)(c).map(|()| wait.recv().unwrap())).unwrap();
        let fills = writer.submit(|c| Ok(c.execute("INSERT INTO big VALUES (zeroblob(1000000))", []).map(drop)?));
        let (fills, comes_later) = (fills.unwrap(), writer.submit(insert(2)).unwrap());
        go.send(()).unwrap();
        for refused in [shares.await.unwrap(), fills.await.unwrap()] {
            assert!(matches!(refused, Err(Error::Unavailable { .. })), "{refused:?}");
        }
        comes_later.await.unwrap().unwrap();
        let rows =
            |c: &Connection| Ok(c.query_row("SELECT group_concat(x) FROM t", [], |row| row.get::<_, String>(0))?);
        assert_eq!(writer.write(rows).await.unwrap(), "2");
    }

    #[tokio::test]
    async fn one_write_more_than_may_wait_is_told_to_come_back() {
        let writer = writer();
        let (begun, running) = oneshot::channel();
        let (go, wait) = std::sync::mpsc::channel::<()>();
        // Taken from the queue, and over when the test says so.
        let holds = move |_: &Connection| {
            begun.send(()).unwrap();
            wait.recv().map_err(Error::internal)
        };
        let holds = writer.submit(holds).unwrap();
        running.await.unwrap();
        let waiting: Vec<_> = (0..WRITER_JOBS_MAX).map(|_| writer.submit(|_| Ok(())).unwrap()).collect();
        for _ in 0..2 {
            let refused = writer.submit(|_| Ok(())).map(drop);
            assert!(matches!(refused, Err(Error::Unavailable { retry_after: QUEUE_FULL_RETRY, .. })), "{refused:?}");
        }
        go.send(()).unwrap();
        holds.await.unwrap().unwrap();
        for answered in waiting {
            answered.await.unwrap().unwrap();
        }
        writer.write(insert(1)).await.unwrap();
    }

    #[test]
    fn a_commit_takes_so_many_jobs_and_leaves_the_rest_to_the_next() {
        let connection = Connection::open_in_memory().unwrap();
        let job = || -> Box<dyn Job> {
            Box::new(Pending {
                work: Some(|_: &Connection| Ok(())),
                result: None,
                answer: |result: Result<()>| result.unwrap(),
            })
        };
        for (jobs, taken) in [
            (COMMIT_JOBS_MAX - 1, COMMIT_JOBS_MAX - 1),
            (COMMIT_JOBS_MAX, COMMIT_JOBS_MAX),
            (COMMIT_JOBS_MAX + 1, COMMIT_JOBS_MAX),
        ] {
            let (queue, waiting) = sync_channel(jobs);
            (1..jobs).for_each(|_| queue.try_send(job()).unwrap());
            let mut group = vec![job()];
            commit_group(&connection, &mut group, &waiting).unwrap();
            assert_eq!((group.len(), waiting.try_iter().count()), (taken, jobs - taken));
        }
    }

    #[tokio::test]
    async fn many_writers_at_once_all_get_their_own_answer() {
        let writer = writer();
        let jobs = (0..1000).map(|x| {
            let writer = writer.clone();
            tokio::spawn(async move { writer.write(move |c| insert(x)(c).map(|()| x)).await.unwrap() })
        });
        let answers = futures_util::future::join_all(jobs.collect::<Vec<_>>()).await;
        assert!(answers.into_iter().enumerate().all(|(x, answer)| answer.unwrap() == x as i64));
    }
}
