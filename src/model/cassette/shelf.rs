//! The cassettes that are played, and what each conversation was given of them.
//!
//! Rule: a file is read again once it is another, so what was recorded or mended a moment ago counts for the next reply; one that is
//! gone fails that reply by its name. Rule: a file is read on a thread where that may take its time, one at once.

use std::{
    collections::HashMap,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::Value;
use tokio::{sync, task::spawn_blocking};

use super::{
    album::Album,
    choose::{Given, Index},
    file::{name_of, read},
    keys::Keys,
    line::{Exchange, ToolExchange},
    player::Reply,
    scrub::Scrubber,
    tape::Tape,
};
use crate::{
    error::{Error, Result},
    model::{Request, upstream::failure},
};

/// Bytes of the files that are kept in memory; the last one is kept however long it is.
const SHELF_BYTES_MAX: usize = 128 * 1024 * 1024;
/// Conversations whose answers are counted; of the one that was not heard of for the longest time they are counted anew.
const CONVERSATIONS_MAX: usize = 10_000;

/// What a model reads of a call that nothing was recorded of.
const NOT_RECORDED: &str = "This tool was not recorded with that input.";

/// What tells that a file is the one that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    changed: (i64, i64),
    bytes: u64,
    inode: u64,
}

/// A file that was read.
struct Loaded {
    path: PathBuf,
    stamp: Stamp,
    album: Arc<Album>,
}

/// All cassettes of a process.
#[derive(Default)]
pub struct Shelf {
    scrubber: Scrubber,
    /// The last one was used last.
    loaded: sync::Mutex<Vec<Loaded>>,
    counted: Mutex<Counted>,
}

/// What conversations were given of a file.
#[derive(Default)]
struct Counted {
    given: HashMap<(String, PathBuf), Count>,
    /// Looks there have been.
    looks: u64,
}

/// What one conversation was given.
struct Count {
    /// The file that it is of.
    stamp: Stamp,
    given: Given,
    /// The look at it that was the last.
    look: u64,
}

impl Shelf {
    /// An empty one, whose requests are rid of these secrets before they are matched.
    pub fn new(scrubber: Scrubber) -> Shelf {
        Shelf { scrubber, ..Shelf::default() }
    }

    /// Finds the answer to a request of that conversation, and waits until it is on its way.
    pub async fn start(&self, tape: &Tape, conversation: &str, request: &Request) -> Result<Reply> {
        let (album, stamp) = self.album(&tape.file).await?;
        let keys = Keys::of(request, &self.scrubber.with(&tape.secrets), false);
        let chosen = self.counted(conversation, &tape.file, stamp, |given| {
            album.index.choose(&album.cassette, &keys, tape.reach, given)
        });
        let (at, how) = chosen.map_err(Error::ModelUnavailable)?;
        let exchange = album.exchange(at);
        tape.speed.wait(exchange.wait_ms).await;
        let who = format!("the provider {}", tape.provider);
        refused(exchange, &who)?;
        Ok(Reply::new(album, at, how, who, tape.speed))
    }

    /// What a tool answered to that input, as it was recorded; none if it was not, and may run.
    pub async fn tool(
        &self,
        tape: &Tape,
        conversation: &str,
        name: &str,
        input: &Value,
    ) -> Result<Option<ToolExchange>> {
        let (album, stamp) = self.album(&tape.file).await?;
        let at =
            self.counted(conversation, &tape.file, stamp, |given| album.index.tool(name, input, &self.scrubber, given));
        let Some(at) = at else {
            let error = Some(NOT_RECORDED.to_owned()).filter(|_| !tape.real_tools);
            return Ok(error.map(|error| ToolExchange {
                name: name.into(),
                error: Some(error),
                ..ToolExchange::default()
            }));
        };
        let exchange = album.cassette.tools[at].clone();
        tape.speed.wait(exchange.ms).await;
        Ok(Some(exchange))
    }

    /// A cassette as it is now.
    pub async fn read(&self, path: &Path) -> Result<Arc<Album>> {
        Ok(self.album(path).await?.0)
    }

    /// The same, with what tells that it is this one.
    async fn album(&self, path: &Path) -> Result<(Arc<Album>, Stamp)> {
        let mut loaded = self.loaded.lock().await;
        let stamp = stamp(path)?;
        if let Some(at) = loaded.iter().position(|loaded| loaded.path == path) {
            let known = loaded.remove(at);
            if known.stamp == stamp {
                let album = known.album.clone();
                loaded.push(known);
                return Ok((album, stamp));
            }
        }
        let of = path.to_owned();
        let read = spawn_blocking(move || read(&of)).await.map_err(|error| Error::internal(error.to_string()))?;
        let cassette = read.map_err(Error::ModelUnavailable)?;
        let album = Arc::new(Album { index: Index::of(&cassette), cassette });
        loaded.push(Loaded { path: path.to_owned(), stamp, album: album.clone() });
        let bytes: Vec<_> = loaded.iter().map(|loaded| loaded.album.cassette.bytes).collect();
        loaded.drain(..surplus(&bytes));
        Ok((album, stamp))
    }

    /// Looks at what a conversation was given of a file, and notes what it is given now.
    fn counted<T>(&self, conversation: &str, path: &Path, stamp: Stamp, look: impl FnOnce(&mut Given) -> T) -> T {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        counted.looks += 1;
        let looks = counted.looks;
        let of = (conversation.to_owned(), path.to_owned());
        if counted.given.len() >= CONVERSATIONS_MAX && !counted.given.contains_key(&of) {
            let oldest = counted.given.iter().min_by_key(|(_, count)| count.look).map(|(of, _)| of.clone());
            oldest.map(|oldest| counted.given.remove(&oldest));
        }
        let anew = || Count { stamp, given: Given::default(), look: looks };
        let count = counted.given.entry(of).or_insert_with(anew);
        if count.stamp != stamp {
            *count = anew();
        }
        count.look = looks;
        look(&mut count.given)
    }
}

/// Fails if an exchange was refused.
fn refused(exchange: &Exchange, who: &str) -> Result<()> {
    let code = exchange.status.unwrap_or(if exchange.body.is_empty() { 0 } else { 200 });
    match code {
        200..=299 => Ok(()),
        0 => Err(Error::ModelUnavailable(format!("{who} gave no answer when this was recorded"))),
        code => {
            let said: Vec<u8> =
                exchange.body.iter().flat_map(|(_, piece)| piece.bytes().unwrap_or_default().into_owned()).collect();
            let retry_after = exchange.retry_after.map(Duration::from_secs);
            Err(failure::refused(code, retry_after, &String::from_utf8_lossy(&said), who, &exchange.model))
        }
    }
}

/// What a file is like now.
fn stamp(path: &Path) -> Result<Stamp> {
    let name = name_of(path);
    let facts = path.metadata().map_err(|error| {
        Error::ModelUnavailable(format!(
            "the cassette {name} cannot be read ({error}): put it back, or choose another model"
        ))
    })?;
    Ok(Stamp { changed: (facts.mtime(), facts.mtime_nsec()), bytes: facts.size(), inode: facts.ino() })
}

/// How many files, from the first, there is no room for.
fn surplus(bytes: &[usize]) -> usize {
    let fits = |from: &usize| bytes[*from..].iter().sum::<usize>() <= SHELF_BYTES_MAX;
    (0..bytes.len()).find(fits).unwrap_or(bytes.len().saturating_sub(1))
}

#[cfg(test)]
mod tests;
