//! The measurements: each takes one server through one round and writes its figures down.
//!
//! Rule: a figure of cost is the server's alone, read from `/proc` around the window in which the work was done; what the
//! driver itself cost in that window stands in a line of its own.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    rc::Rc,
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until, timeout_at},
};

use crate::{
    client::Connection,
    plan::{Measure, PACE_PER_S, SHORT_CHUNKS, Size, short_model},
    process::{Kind, Result, Server, own_cpu},
    report::{Report, quantile},
};

/// Paced streams are started at this rate: all at once would measure connecting.
const STARTS_PER_S: u32 = 500;
/// Paced streams have settled so long after the last one began, and have not begun to end so long before the first one does.
const SETTLE: Duration = Duration::from_millis(300);
/// Clients of the short turns and of the streams at full speed.
const TURN_CLIENTS: u32 = 64;
/// Clients of the plain requests.
const PLAIN_CLIENTS: u32 = 32;
/// Messages in the session that is listed.
const MESSAGES_STORED: u32 = 200;
/// What a round may take beyond its plan before it is cut off.
const ROUND_GRACE: Duration = Duration::from_secs(30);

/// One server in one round.
pub struct Round<'a> {
    /// What is measured.
    pub server: &'a Server,
    /// The API key of `alm`.
    pub key: &'a str,
    /// How much to measure.
    pub size: Size,
    /// The size of `alm`'s last plain reply, which the others then send as well.
    pub reply_bytes: &'a Cell<usize>,
    /// Where figures go.
    pub report: &'a mut Report,
}

/// By which of its APIs `alm` is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Face {
    /// `/api/v1`.
    Own,
    /// `/v1`.
    OpenAi,
}

/// What the clients of one load saw, together.
#[derive(Default)]
struct Seen {
    good: Cell<u32>,
    failed: Cell<u32>,
    chunks: Cell<u64>,
    /// Microseconds: of each chunk, turn or request.
    times: RefCell<Vec<u32>>,
}

impl Seen {
    fn count(&self, good: bool) {
        let cell = if good { &self.good } else { &self.failed };
        cell.set(cell.get() + 1);
    }

    fn time_ms(&self, share: f64) -> f64 {
        quantile(&mut self.times.borrow_mut(), share) / 1000.0
    }
}

/// A chat request, and what has to stand behind its last chunk.
type Chat = (Vec<u8>, &'static [&'static str]);

/// What was spent up to a moment.
struct Mark {
    at: Instant,
    server: Duration,
    driver: Duration,
    chunks: u64,
}

impl Round<'_> {
    /// Takes one measurement.
    pub async fn take(&mut self, measure: Measure) -> Result<()> {
        match measure {
            Measure::FirstToken => self.first_token().await,
            Measure::Short => self.short().await,
            Measure::Full => self.full().await,
            Measure::Replay => self.replay().await,
            Measure::Paced(streams) => self.paced(streams, Face::Own).await,
            Measure::PacedV1(streams) => self.paced(streams, Face::OpenAi).await,
            Measure::Agents => self.plain("GET /agents", self.request("GET", "/api/v1/agents", "")).await,
            Measure::ModelsV1 => self.plain("GET /v1/models", self.request("GET", "/v1/models", "")).await,
            Measure::Messages => self.messages().await,
            Measure::Sessions => {
                let request = self.request("POST", "/api/v1/sessions", r#"{"label":"load"}"#);
                self.plain("POST /sessions", request).await
            }
            Measure::Start => self.start(),
        }
    }

    pub fn add(&mut self, name: &str, value: f64) {
        self.report.add(name, self.server.kind, value);
    }

    /// Adds a figure that a server has and the bare upstream has not.
    fn add_of_server(&mut self, name: &str, value: f64) {
        match self.server.kind {
            Kind::Direct => self.report.reserve(name),
            _ => self.add(name, value),
        }
    }

    fn mark(&self, seen: &Seen) -> Mark {
        Mark { at: Instant::now(), server: self.server.cpu(), driver: own_cpu(), chunks: seen.chunks.get() }
    }

    async fn first_token(&mut self) -> Result<()> {
        let (request, marks) = self.chat(&short_model(), Face::Own);
        let mut connection = Connection::open(self.server.address).await?;
        let (mut firsts, mut lags) = (Vec::new(), Vec::new());
        let warm_up = self.size.turns / 10;
        for turn in 0..self.size.turns + warm_up {
            let seen = connection.turn(&request, SHORT_CHUNKS, marks, |_| ()).await?;
            if !seen.good {
                return Err("a turn was not whole".into());
            }
            if turn >= warm_up {
                firsts.push(seen.first_us as u32);
                lags.push(seen.first_lag_us as u32);
            }
        }
        for (share, name) in [(0.5, "p50"), (0.99, "p99")] {
            let all = format!("one turn at a time: time to first token, {name} ms");
            let first = quantile(&mut firsts, share) / 1000.0;
            self.add(&all, first);
            if let Some(direct) = self.report.last(&all, Kind::Direct) {
                let added = format!("one turn at a time: **added** to the time to first token, {name} ms");
                self.add_of_server(&added, first - direct);
            }
            let lag = quantile(&mut lags, share) / 1000.0;
            self.add(&format!("one turn at a time: upstream's stamp to first text, {name} ms"), lag);
        }
        Ok(())
    }

    async fn short(&mut self) -> Result<()> {
        let (request, marks) = self.chat(&short_model(), Face::Own);
        let seen = Rc::new(Seen::default());
        let until = Instant::now() + Duration::from_secs(self.size.seconds.into());
        let before = self.mark(&seen);
        let (address, request) = (self.server.address, Rc::new(request));
        let client = |_| {
            let (seen, request) = (seen.clone(), request.clone());
            async move {
                let Ok(mut connection) = Connection::open(address).await else { return seen.count(false) };
                while Instant::now() < until {
                    let turn = connection.turn(&request, SHORT_CHUNKS, marks, |_| ()).await;
                    seen.count(turn.as_ref().is_ok_and(|turn| turn.good));
                    let Ok(turn) = turn else { return };
                    seen.times.borrow_mut().push(turn.all_us as u32);
                }
            }
        };
        run(TURN_CLIENTS, until + ROUND_GRACE, client).await;
        let after = self.mark(&seen);
        let name = format!("turns of {SHORT_CHUNKS} chunks, {TURN_CLIENTS} at once");
        self.add_of_work(&name, "turn", &seen, &before, &after);
        Ok(())
    }

    /// The figures of a load that is counted in turns or requests.
    fn add_of_work(&mut self, name: &str, unit: &str, seen: &Seen, before: &Mark, after: &Mark) {
        let count = f64::from(seen.good.get().max(1));
        self.add(&format!("{name}: {unit}s/s"), count / (after.at - before.at).as_secs_f64());
        self.add(&format!("{name}: p50 ms"), seen.time_ms(0.5));
        self.add(&format!("{name}: p99 ms"), seen.time_ms(0.99));
        let each = |spent: Duration| spent.as_secs_f64() * 1e6 / count;
        self.add_of_server(&format!("{name}: **server CPU µs/{unit}**"), each(after.server - before.server));
        self.add(&format!("{name}: driver CPU µs/{unit}"), each(after.driver - before.driver));
        self.add(&format!("{name}: failed"), seen.failed.get().into());
    }

    async fn full(&mut self) -> Result<()> {
        let seen = Rc::new(Seen::default());
        let before = self.mark(&seen);
        let until = Instant::now() + Duration::from_secs(self.size.seconds.into()) + ROUND_GRACE;
        let chat = self.chat(&self.size.full_model(), Face::Own);
        self.streams(TURN_CLIENTS, self.size.full_chunks, chat, Duration::ZERO, until, &seen).await;
        let after = self.mark(&seen);
        let chunks = after.chunks as f64;
        let name = format!("{TURN_CLIENTS} streams at full speed");
        self.add(&format!("{name}: chunks/s"), chunks / (after.at - before.at).as_secs_f64());
        self.add_of_chunks(&name, &before, &after);
        self.add_of_server(&format!("{name}: RSS peak MB"), self.server.rss_peak_mb());
        self.add(&format!("{name}: failed"), (TURN_CLIENTS - seen.good.get()).into());
        Ok(())
    }

    async fn paced(&mut self, streams: u32, face: Face) -> Result<()> {
        let seen = Rc::new(Seen::default());
        let ramp = Duration::from_secs(1) * streams / STARTS_PER_S;
        let length = Duration::from_secs(self.size.seconds.into());
        let start = Instant::now();
        let all_before = self.mark(&seen);
        let window = async {
            sleep_until(start + ramp + SETTLE).await;
            let before = self.mark(&seen);
            sleep_until(start + length - SETTLE).await;
            (before, self.mark(&seen))
        };
        let chunks = PACE_PER_S * self.size.seconds;
        let chat = self.chat(&self.size.paced_model(), face);
        let until = start + ramp + length + ROUND_GRACE;
        let load = self.streams(streams, chunks, chat, ramp, until, &seen);
        let ((before, after), ()) = tokio::join!(window, load);
        let all_after = self.mark(&seen);

        let by = if face == Face::OpenAi { " by /v1" } else { "" };
        let name = format!("{streams} streams of {PACE_PER_S} chunks/s{by}");
        self.add(&format!("{name}: added latency p50 ms"), seen.time_ms(0.5));
        self.add(&format!("{name}: added latency p99 ms"), seen.time_ms(0.99));
        self.add_of_chunks(&name, &before, &after);
        let all = (all_after.server - all_before.server).as_secs_f64() * 1e6 / all_after.chunks.max(1) as f64;
        self.add_of_server(&format!("{name}: server CPU µs/chunk, beginnings and endings included"), all);
        self.add_of_server(&format!("{name}: RSS peak MB"), self.server.rss_peak_mb());
        let due = (after.at - before.at).as_secs_f64() * f64::from(streams * PACE_PER_S);
        self.add(&format!("{name}: delivered on time, %"), (after.chunks - before.chunks) as f64 * 100.0 / due);
        self.add(&format!("{name}: good"), seen.good.get().into());
        self.add(&format!("{name}: failed"), (streams - seen.good.get()).into());
        Ok(())
    }

    /// What a chunk cost between two moments.
    fn add_of_chunks(&mut self, name: &str, before: &Mark, after: &Mark) {
        let each = |spent: Duration| spent.as_secs_f64() * 1e6 / (after.chunks - before.chunks).max(1) as f64;
        self.add_of_server(&format!("{name}: **server CPU µs/chunk**"), each(after.server - before.server));
        self.add(&format!("{name}: driver CPU µs/chunk"), each(after.driver - before.driver));
    }

    /// Begins `count` streams over `ramp` and takes them to their end.
    async fn streams(&self, count: u32, chunks: u32, chat: Chat, ramp: Duration, until: Instant, seen: &Rc<Seen>) {
        let (request, marks) = chat;
        let (address, request, start) = (self.server.address, Rc::new(request), Instant::now());
        let client = |index| {
            let (seen, request) = (seen.clone(), request.clone());
            async move {
                sleep_until(start + ramp * index / count).await;
                let turn = async {
                    let mut connection = Connection::open(address).await?;
                    let on_lag = |lag| {
                        seen.chunks.set(seen.chunks.get() + 1);
                        seen.times.borrow_mut().push(lag);
                    };
                    connection.turn(&request, chunks, marks, on_lag).await
                };
                let good = turn.await.is_ok_and(|turn| turn.good);
                seen.count(good);
            }
        };
        run(count, until, client).await;
    }

    async fn messages(&mut self) -> Result<()> {
        let mut path = String::new();
        if self.server.kind == Kind::Alm {
            let mut connection = Connection::open(self.server.address).await?;
            let mut made = Vec::new();
            let request = self.request("POST", "/api/v1/sessions", "{}");
            connection.exchange(&request, |body| made.extend_from_slice(body)).await?;
            let made: serde_json::Value = serde_json::from_slice(&made)?;
            let session = made["data"]["id"].as_str().ok_or("POST /sessions answers without an id")?;
            path = format!("/api/v1/sessions/{session}/messages");
            for index in 0..MESSAGES_STORED {
                let role = if index % 2 == 0 { "user" } else { "assistant" };
                let content = "What is stored is read back. ".repeat(10);
                let body = format!(r#"{{"role":"{role}","content":"{content}"}}"#);
                let status = connection.exchange(&self.request("POST", &path, &body), |_| ()).await?;
                if status != 201 {
                    return Err(format!("POST {path} answers {status}").into());
                }
            }
        }
        let request = self.request("GET", &format!("{path}?pageSize={MESSAGES_STORED}"), "");
        self.plain(&format!("GET /messages, {MESSAGES_STORED} stored"), request).await
    }

    async fn plain(&mut self, name: &str, request: Vec<u8>) -> Result<()> {
        let mut bytes = 0;
        let status =
            Connection::open(self.server.address).await?.exchange(&request, |body| bytes += body.len()).await?;
        if !(200..300).contains(&status) {
            return Err(format!("{name} answers {status}").into());
        }
        if self.server.kind == Kind::Alm {
            self.reply_bytes.set(bytes);
        }
        let seen = Rc::new(Seen::default());
        let until = Instant::now() + Duration::from_secs(self.size.seconds.into()) / 2;
        let before = self.mark(&seen);
        let (address, request) = (self.server.address, Rc::new(request));
        let client = |_| {
            let (seen, request) = (seen.clone(), request.clone());
            async move {
                let Ok(mut connection) = Connection::open(address).await else { return seen.count(false) };
                while Instant::now() < until {
                    let sent = Instant::now();
                    let status = connection.exchange(&request, |_| ()).await;
                    seen.count(status.as_ref().is_ok_and(|status| (200..300).contains(status)));
                    seen.times.borrow_mut().push(sent.elapsed().as_micros() as u32);
                    if status.is_err() {
                        return;
                    }
                }
            }
        };
        run(PLAIN_CLIENTS, until + ROUND_GRACE, client).await;
        let after = self.mark(&seen);
        self.add_of_work(&format!("{name}, {PLAIN_CLIENTS} clients"), "request", &seen, &before, &after);
        Ok(())
    }

    fn start(&mut self) -> Result<()> {
        self.add_of_server("start-up to the first 200, nothing there: ms", self.server.start_up.as_secs_f64() * 1e3);
        self.add_of_server("idle: RSS MB", self.server.rss_mb());
        Ok(())
    }

    /// A chat request, and what has to stand behind its last chunk.
    fn chat(&self, model: &str, face: Face) -> Chat {
        let messages = r#""messages":[{"role":"user","content":"go"}]"#;
        let is_alm = self.server.kind == Kind::Alm;
        if is_alm && face == Face::Own {
            let body = format!(r#"{{"model":"up/{model}",{messages}}}"#);
            return (self.post("/api/v1/chat", &body), &[r#""type":"finish""#, "[DONE]"]);
        }
        let provider = if is_alm { "up/" } else { "" };
        let body = format!(r#"{{"model":"{provider}{model}","stream":true,{messages}}}"#);
        (self.post("/v1/chat/completions", &body), &[r#""finish_reason":"stop""#, "[DONE]"])
    }

    fn post(&self, path: &str, body: &str) -> Vec<u8> {
        self.render("POST", path, body)
    }

    /// A plain request: to `alm` as it is, to the others for as many bytes as `alm` answers with.
    pub fn request(&self, method: &str, path: &str, body: &str) -> Vec<u8> {
        if self.server.kind == Kind::Alm {
            return self.render(method, path, body);
        }
        self.render(method, &format!("/v1/bytes/{}", self.reply_bytes.get()), body)
    }

    fn render(&self, method: &str, path: &str, body: &str) -> Vec<u8> {
        let (address, key, length) = (self.server.address, self.key, body.len());
        let about = format!("host: {address}\r\nauthorization: Bearer {key}\r\nx-alumia-org: acme\r\n");
        let content = if method == "GET" {
            String::new()
        } else {
            format!("content-type: application/json\r\ncontent-length: {length}\r\n")
        };
        format!("{method} {path} HTTP/1.1\r\n{about}{content}\r\n{body}").into_bytes()
    }
}

/// Runs so many clients to their end, or until the time is over.
async fn run<F: Future<Output = ()> + 'static>(count: u32, until: Instant, client: impl Fn(u32) -> F) {
    let mut clients = JoinSet::new();
    for index in 0..count {
        clients.spawn_local(client(index));
    }
    let all = async { while clients.join_next().await.is_some() {} };
    timeout_at(until, all).await.ok();
}
