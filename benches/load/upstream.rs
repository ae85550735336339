//! The scripted model behind every server under measurement: an OpenAI-compatible streaming endpoint.
//!
//! The model's name is the script: `paced-20-160` sends 160 chunks at 20 a second, `short-5` and `full-20000` send theirs as
//! fast as they are taken, and so does `held-10000`, which then does not end. `/v1/bytes/700` answers with a body of 700 bytes. Every chunk's text holds the moment of its
//! sending.
//! Rule: one thread, chunks rendered beforehand, no timer for a stream: what this costs is missing to the server.
//! Deliberately absent: usage of tokens, errors, anything a model would say.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    rc::Rc,
    thread,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{mpsc, oneshot},
    task::{LocalSet, spawn_local},
    time::Instant,
};

use crate::wire::{self, STAMP_DIGITS, malformed, now_us};

/// Connections that may wait to be accepted, and streams that may wait for the pacer.
const BACKLOG: u32 = 4096;
/// Slots of the pacer's wheel: one a millisecond, so this is also the longest pause between two chunks.
const WHEEL_MS: usize = 1000;
/// Chunks in one write at full speed.
const BATCH_CHUNKS: u32 = 64;
/// The largest request that is taken.
const REQUEST_BYTES_MAX: usize = 1024 * 1024;
/// The largest plain body that is sent.
const PLAIN_BYTES_MAX: usize = 1024 * 1024;

/// Starts the upstream on a thread of its own, for the life of the process.
pub fn start() -> io::Result<SocketAddr> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let listener = runtime.block_on(async {
        let socket = TcpSocket::new_v4()?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        socket.listen(BACKLOG)
    })?;
    let address = listener.local_addr()?;
    let serve = move || LocalSet::new().block_on(&runtime, accept(listener));
    thread::Builder::new().name("upstream".to_owned()).spawn(serve)?;
    Ok(address)
}

async fn accept(listener: TcpListener) {
    let (pacer, streams) = mpsc::channel(BACKLOG as usize);
    let script = Rc::new(Rendered::new());
    spawn_local(pace(streams, script.clone()));
    loop {
        match listener.accept().await {
            Ok((socket, _)) => {
                let (pacer, script) = (pacer.clone(), script.clone());
                // A connection that breaks is the client's to count.
                spawn_local(async move { converse(socket, pacer, &script).await.ok() });
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

/// What a request asks for.
enum Script {
    Paced { per_s: u32, chunks: u32 },
    Burst { chunks: u32, ends: bool },
    Plain { bytes: usize },
}

async fn converse(socket: TcpStream, pacer: mpsc::Sender<Paced>, rendered: &Rendered) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut socket = Rc::new(socket);
    let mut unread = Vec::new();
    loop {
        let own = Rc::get_mut(&mut socket).expect("the pacer let go of it");
        match read_request(own, &mut unread).await? {
            None => return Ok(()),
            Some(Script::Plain { bytes }) => own.write_all(&plain_reply(bytes)).await?,
            Some(Script::Burst { chunks, ends }) => {
                burst(own, chunks, ends, rendered).await?;
                if !ends {
                    // The peer has nothing more to say either, so this is where it hangs up.
                    own.read_u8().await?;
                }
            }
            Some(Script::Paced { per_s, chunks }) => {
                own.write_all(&rendered.opening).await?;
                let (done, over) = oneshot::channel();
                let every_ms = (1000 / per_s.max(1) as usize).clamp(1, WHEEL_MS - 1);
                let paced = Paced { socket: socket.clone(), left: chunks, every_ms, unsent: Vec::new(), done };
                pacer.send(paced).await.map_err(|_| malformed("no pacer"))?;
                over.await.map_err(|_| malformed("the peer left"))?;
            }
        }
    }
}

/// Reads one request; `None` when the peer closed instead.
async fn read_request(socket: &mut TcpStream, unread: &mut Vec<u8>) -> io::Result<Option<Script>> {
    while unread.len() <= REQUEST_BYTES_MAX {
        if let Some(head_len) = wire::head_len(unread) {
            let head = str::from_utf8(&unread[..head_len]).map_err(|_| malformed("a head that is not text"))?;
            let body_len = wire::header(head, "content-length").map_or(Ok(0), str::parse::<usize>);
            let len = head_len + body_len.map_err(|_| malformed("content-length"))?;
            if unread.len() >= len {
                let script = script(head, &unread[head_len..len]).ok_or_else(|| malformed("an unknown script"))?;
                unread.drain(..len);
                return Ok(Some(script));
            }
        }
        if socket.read_buf(unread).await? == 0 {
            return Ok(None);
        }
    }
    Err(malformed("a request without an end"))
}

fn script(head: &str, body: &[u8]) -> Option<Script> {
    let path = head.split(' ').nth(1)?;
    if let Some(bytes) = path.strip_prefix("/v1/bytes/") {
        return Some(Script::Plain { bytes: bytes.parse().ok().filter(|&bytes| bytes <= PLAIN_BYTES_MAX)? });
    }
    let model = str::from_utf8(body).ok()?.split_once(r#""model":""#)?.1.split('"').next()?;
    let mut words = model.split('-');
    let name = words.next()?;
    let mut number = || words.next()?.parse::<u32>().ok();
    match name {
        "paced" => Some(Script::Paced { per_s: number()?, chunks: number()? }),
        "short" | "full" => Some(Script::Burst { chunks: number()?, ends: true }),
        "held" => Some(Script::Burst { chunks: number()?, ends: false }),
        _ => None,
    }
}

fn plain_reply(bytes: usize) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {bytes}\r\n\r\n");
    let mut reply = head.into_bytes();
    reply.resize(reply.len() + bytes, b' ');
    reply
}

async fn burst(socket: &mut TcpStream, chunks: u32, ends: bool, rendered: &Rendered) -> io::Result<()> {
    let mut batch = rendered.opening.clone();
    let mut left = chunks;
    while left > 0 {
        let count = left.min(BATCH_CHUNKS);
        left -= count;
        let stamp = now_us();
        for _ in 0..count {
            rendered.push_delta(&mut batch, stamp);
        }
        if left == 0 && ends {
            batch.extend_from_slice(&rendered.ending);
        }
        socket.write_all(&batch).await?;
        batch.clear();
    }
    Ok(())
}

/// A stream that the pacer feeds.
struct Paced {
    socket: Rc<TcpStream>,
    left: u32,
    every_ms: usize,
    /// What the peer did not take yet.
    unsent: Vec<u8>,
    /// Told when the stream is whole; dropped when the peer left.
    done: oneshot::Sender<()>,
}

/// Feeds all paced streams from one wheel of milliseconds.
async fn pace(mut new: mpsc::Receiver<Paced>, rendered: Rc<Rendered>) {
    let mut wheel: Vec<Vec<Paced>> = std::iter::repeat_with(Vec::new).take(WHEEL_MS).collect();
    let mut running = 0;
    let mut scratch = Vec::new();
    loop {
        if running == 0 {
            let Some(paced) = new.recv().await else { return };
            wheel[0].push(paced);
            running = 1;
        }
        let start = Instant::now();
        let mut tick = 0;
        while running > 0 {
            while let Ok(paced) = new.try_recv() {
                wheel[tick % WHEEL_MS].push(paced);
                running += 1;
            }
            for mut paced in std::mem::take(&mut wheel[tick % WHEEL_MS]) {
                match paced.step(&rendered, &mut scratch) {
                    Ok(true) => wheel[(tick + paced.every_ms) % WHEEL_MS].push(paced),
                    Ok(false) => {
                        running -= 1;
                        let Paced { socket, done, .. } = paced;
                        drop(socket);
                        done.send(()).ok();
                    }
                    Err(_) => running -= 1,
                }
            }
            tick += 1;
            // A pacer that is behind must not starve the connections that share its thread.
            tokio::task::yield_now().await;
            tokio::time::sleep_until(start + Duration::from_millis(tick as u64)).await;
        }
    }
}

impl Paced {
    /// Sends the next chunk; whether there is more to send.
    fn step(&mut self, rendered: &Rendered, scratch: &mut Vec<u8>) -> io::Result<bool> {
        scratch.clear();
        scratch.append(&mut self.unsent);
        if self.left > 0 {
            self.left -= 1;
            rendered.push_delta(scratch, now_us());
            if self.left == 0 {
                scratch.extend_from_slice(&rendered.ending);
            }
        }
        let written = match self.socket.try_write(scratch) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            written => written?,
        };
        self.unsent.extend_from_slice(&scratch[written..]);
        Ok(self.left > 0 || !self.unsent.is_empty())
    }
}

/// The bytes of a stream, as they go on the wire.
struct Rendered {
    opening: Vec<u8>,
    delta: Vec<u8>,
    /// Where in `delta` the stamp's digits are.
    stamp_at: usize,
    ending: Vec<u8>,
}

impl Rendered {
    fn new() -> Self {
        let chunk = |choices: &str| {
            let about = r#""id":"chatcmpl-load","object":"chat.completion.chunk","created":1764000000,"model":"load""#;
            frame(&format!("{{{about},\"choices\":[{choices}]}}"))
        };
        let choice =
            |delta: &str, finish: &str| chunk(&format!(r#"{{"index":0,"delta":{delta},"finish_reason":{finish}}}"#));
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        let stamp = format!("@{}", "0".repeat(STAMP_DIGITS));
        let delta = choice(&format!(r#"{{"content":"{stamp} "}}"#), "null");
        Rendered {
            opening: [head, &choice(r#"{"role":"assistant","content":""}"#, "null")].concat().into_bytes(),
            stamp_at: delta.find('@').expect("the stamp is in it") + 1,
            delta: delta.into_bytes(),
            ending: [&choice("{}", r#""stop""#), &frame("[DONE]"), "0\r\n\r\n"].concat().into_bytes(),
        }
    }

    fn push_delta(&self, out: &mut Vec<u8>, stamp: u64) {
        let digits_at = out.len() + self.stamp_at;
        out.extend_from_slice(&self.delta);
        wire::write_stamp(&mut out[digits_at..digits_at + STAMP_DIGITS], stamp);
    }
}

/// One event as one HTTP chunk.
fn frame(data: &str) -> String {
    let event = format!("data: {data}\n\n");
    format!("{:x}\r\n{event}\r\n", event.len())
}
