//! A reply of 10,000 chunks that still runs, read again from its start as by a page that is reloaded.
//!
//! Rule: a reader's clock starts with its request, on a connection that is open. `alm` alone can do this; the others are passed
//! over.

use tokio::sync::Notify;

use crate::{
    client::Connection,
    measure::Round,
    plan::{HELD_CHUNKS, held_model},
    process::{Kind, Result},
    report::quantile,
    wire::{Stamps, now_us},
};

const FIRST_P50: &str = "a running reply of 10,000 chunks, read again: first text, p50 ms";
const FIRST_P99: &str = "a running reply of 10,000 chunks, read again: first text, p99 ms";
const ALL_P50: &str = "a running reply of 10,000 chunks, read again: all of it, p50 ms";

/// Lines of the table that are promised, and what they are called where promises are kept.
pub const PROOFS: [(&str, &str); 3] =
    [(FIRST_P50, "replay.first_ms_p50"), (FIRST_P99, "replay.first_ms_p99"), (ALL_P50, "replay.all_ms_p50")];

impl Round<'_> {
    /// Begins a reply that says 10,000 chunks and then does not end, and reads it again, one reader after the other.
    pub async fn replay(&mut self) -> Result<()> {
        if self.server.kind != Kind::Alm {
            return Ok(());
        }
        let id = format!("replay-{}", now_us());
        let body =
            format!(r#"{{"id":"{id}","model":"up/{}","messages":[{{"role":"user","content":"go"}}]}}"#, held_model());
        let ask = self.request("POST", "/api/v1/chat", &body);
        let mut asking = Connection::open(self.server.address).await?;
        read(&mut asking, &ask).await?;
        let again = self.request("GET", &format!("/api/v1/chat/{id}/stream"), "");
        let (mut firsts, mut alls) = (Vec::new(), Vec::new());
        for _ in 0..self.size.turns {
            let mut connection = Connection::open(self.server.address).await?;
            let (first_us, all_us) = read(&mut connection, &again).await?;
            firsts.push(first_us as u32);
            alls.push(all_us as u32);
        }
        self.add(FIRST_P50, quantile(&mut firsts, 0.5) / 1000.0);
        self.add(FIRST_P99, quantile(&mut firsts, 0.99) / 1000.0);
        self.add(ALL_P50, quantile(&mut alls, 0.5) / 1000.0);
        let stop = self.request("POST", &format!("/api/v1/chat/{id}/stop"), "{}");
        Connection::open(self.server.address).await?.exchange(&stop, |_| ()).await?;
        Ok(())
    }
}

/// Reads all that is there of a reply that goes on. Microseconds from the request to the first chunk, and to the last.
async fn read(connection: &mut Connection, request: &[u8]) -> Result<(u64, u64)> {
    let (mut stamps, mut first_us, all) = (Stamps::expecting(HELD_CHUNKS), None, Notify::new());
    let sent = now_us();
    let reading = connection.exchange(request, |body| {
        stamps.feed(body, &mut |_| first_us = first_us.or_else(|| Some(now_us() - sent)));
        if stamps.seen() == HELD_CHUNKS {
            all.notify_one();
        }
    });
    tokio::select! {
        status = reading => return Err(format!("the reply ended with {}", status?).into()),
        () = all.notified() => {}
    }
    let all_us = now_us() - sent;
    Ok((first_us.unwrap_or(all_us), all_us))
}
