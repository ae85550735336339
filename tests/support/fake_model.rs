//! A scripted model behind an OpenAI-compatible endpoint, which also misbehaves on request.
//!
//! The n-th request gets the n-th answer of the script, and the last answer is given for ever. What it was asked is
//! kept. Rule: nothing here sleeps; an answer that has to wait waits for [`FakeModel::go`].

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use super::{
    asked::Asked,
    harness::{PATIENCE, until},
};

/// A listening model. Its waiting answers end when it is dropped.
pub struct FakeModel {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    /// Answers the n-th request.
    script: Box<Script>,
    /// Whether what was asked is kept.
    keeps: bool,
    told: Mutex<Told>,
    changed: Condvar,
}

type Script = dyn Fn(usize, &Asked) -> Answer + Send + Sync;

#[derive(Default)]
struct Told {
    requests: Vec<Asked>,
    /// How many requests were answered or are being answered.
    answered: usize,
    /// How many waits may end.
    passes: usize,
    over: bool,
    /// How many clients hung up before they had heard all.
    hung_up: usize,
}

/// What one request is answered with.
#[derive(Clone)]
pub struct Answer {
    status: u16,
    kind: &'static str,
    headers: String,
    pieces: Vec<Piece>,
    line_end: &'static str,
    /// At most this many bytes in one packet.
    packet_bytes: usize,
}

#[derive(Clone)]
enum Piece {
    Event(String),
    Raw(Vec<u8>),
    /// Waits to be let on.
    Wait,
    /// The same, with a comment each time so much has passed.
    Pings(Duration),
    /// Says nothing until the client hangs up.
    Silence,
    /// Ends the connection in the middle.
    Cut,
    /// This event until the client hangs up.
    Endless(String),
}

impl FakeModel {
    /// With that script.
    pub fn start(script: impl IntoIterator<Item = Answer>) -> Self {
        let script: Vec<_> = script.into_iter().collect();
        Self::serve(Box::new(move |n, _| script[n.min(script.len() - 1)].clone()), true)
    }

    /// That decides by how much it was asked before and by what it is asked now. It keeps nothing, so it can run for hours.
    #[allow(dead_code)] // for the crash suite, which shares this file
    pub fn answering(script: impl Fn(usize, &Asked) -> Answer + Send + Sync + 'static) -> Self {
        Self::serve(Box::new(script), false)
    }

    /// The same, and what it was asked is kept.
    pub fn deciding(script: impl Fn(usize, &Asked) -> Answer + Send + Sync + 'static) -> Self {
        Self::serve(Box::new(script), true)
    }

    fn serve(script: Box<Script>, keeps: bool) -> Self {
        Self::listen(TcpListener::bind("127.0.0.1:0").unwrap(), script, keeps)
    }

    /// That always says this, at an address where another one was.
    #[allow(dead_code)] // for the crash suite, which shares this file
    pub fn saying_at(address: SocketAddr, text: &str) -> Self {
        let answer = Answer::text(text);
        Self::listen(TcpListener::bind(address).unwrap(), Box::new(move |_, _| answer.clone()), true)
    }

    /// Where it listens.
    #[allow(dead_code)] // for the crash suite, which shares this file
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    fn listen(listener: TcpListener, script: Box<Script>, keeps: bool) -> Self {
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State { script, keeps, told: Mutex::default(), changed: Condvar::new() });
        let served = state.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let state = served.clone();
                if state.told().over {
                    break;
                }
                thread::spawn(move || {
                    // A client that goes away in the middle is part of many tests.
                    if converse(stream, &state).is_err() {
                        state.told().hung_up += 1;
                    }
                });
            }
        });
        FakeModel { address, state }
    }

    /// That always says this.
    pub fn saying(text: &str) -> Self {
        Self::start([Answer::text(text)])
    }

    /// The API's base URL.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Lets one waiting answer on.
    pub fn go(&self) {
        self.state.told().passes += 1;
        self.state.changed.notify_all();
    }

    /// What it was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.state.told().requests.clone()
    }

    /// The bodies of the requests for replies so far.
    pub fn chats(&self) -> Vec<Value> {
        self.asked().into_iter().filter(Asked::is_chat).map(|asked| asked.json).collect()
    }

    /// The messages of the last request.
    pub fn last_messages(&self) -> Vec<(String, String)> {
        let asked = self.asked().pop().expect("nothing was asked");
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let messages = asked.json["messages"].as_array().unwrap();
        messages.iter().map(|m| (text(&m["role"]), text(&m["content"]))).collect()
    }

    /// Waits until so many clients have hung up.
    #[track_caller]
    pub fn wait_hung_up(&self, times: usize) {
        until("the server to hang up", || (self.state.told().hung_up >= times).then_some(()));
    }
}

impl Drop for FakeModel {
    fn drop(&mut self) {
        self.state.told().over = true;
        self.state.changed.notify_all();
        // Wakes the thread that accepts, so that it sees the end.
        drop(TcpStream::connect(self.address));
    }
}

/// A base URL where nobody listens.
pub fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}/v1", listener.local_addr().unwrap())
}

/// One chunk of a reply, as OpenAI writes it.
pub fn delta(delta: Value) -> Value {
    json!({ "id": "c", "object": "chat.completion.chunk", "choices": [{ "index": 0, "delta": delta }] })
}

/// The chunk that ends a reply.
pub fn finish(reason: &str) -> Value {
    json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": reason }] })
}

/// The chunk that counts.
pub fn usage(prompt_tokens: i64, completion_tokens: i64) -> Value {
    let usage = json!({ "prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens });
    json!({ "choices": [], "usage": usage })
}

/// A fragment of a tool call.
pub fn call(index: Option<usize>, id: Option<&str>, name: Option<&str>, arguments: &str) -> Value {
    let mut call = json!({ "type": "function", "function": { "arguments": arguments } });
    index.into_iter().for_each(|index| call["index"] = json!(index));
    id.into_iter().for_each(|id| call["id"] = json!(id));
    name.into_iter().for_each(|name| call["function"]["name"] = json!(name));
    delta(json!({ "tool_calls": [call] }))
}

impl Answer {
    /// Nothing yet.
    pub fn empty() -> Self {
        Answer {
            status: 200,
            kind: "text/event-stream",
            headers: String::new(),
            pieces: Vec::new(),
            line_end: "\n",
            packet_bytes: usize::MAX,
        }
    }

    /// A failure of that status.
    pub fn status(status: u16) -> Self {
        Self::json(status, &json!({ "error": { "message": "upstream-secret-detail", "type": "x" } }))
    }

    /// A whole body.
    pub fn json(status: u16, body: &Value) -> Self {
        Answer { status, kind: "application/json", ..Answer::empty().raw(body.to_string()) }
    }

    /// These chunks and `[DONE]`.
    pub fn chunks(chunks: impl IntoIterator<Item = Value>) -> Self {
        chunks.into_iter().fold(Answer::empty(), Answer::chunk).done()
    }

    /// A whole reply: the text word by word, an end, ten tokens in and five out.
    pub fn text(text: &str) -> Self {
        let words = text.split_inclusive(' ').map(|word| delta(json!({ "content": word })));
        Self::chunks(words.chain([finish("stop"), usage(10, 5)]))
    }

    /// A reply that is one whole tool call.
    pub fn call(id: &str, name: &str, arguments: &str) -> Self {
        Self::chunks([call(Some(0), Some(id), Some(name), arguments), finish("tool_calls"), usage(10, 5)])
    }

    pub fn chunk(self, chunk: Value) -> Self {
        self.piece(Piece::Event(chunk.to_string()))
    }

    pub fn done(self) -> Self {
        self.piece(Piece::Event("[DONE]".into()))
    }

    pub fn raw(self, bytes: impl Into<Vec<u8>>) -> Self {
        self.piece(Piece::Raw(bytes.into()))
    }

    /// Waits for [`FakeModel::go`]; before the first piece also the head waits.
    pub fn wait(self) -> Self {
        self.piece(Piece::Wait)
    }

    /// Waits like [`Answer::wait`], with comments meanwhile.
    pub fn pings(self, interval: Duration) -> Self {
        self.piece(Piece::Pings(interval))
    }

    /// Says nothing more until the client hangs up; before the first piece not even a head.
    pub fn silent(self) -> Self {
        self.piece(Piece::Silence)
    }

    pub fn cut(self) -> Self {
        self.piece(Piece::Cut)
    }

    pub fn endless(self, chunk: Value) -> Self {
        self.piece(Piece::Endless(chunk.to_string()))
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers += &format!("{name}: {value}\r\n");
        self
    }

    pub fn crlf(self) -> Self {
        Answer { line_end: "\r\n", ..self }
    }

    pub fn packets_of(self, packet_bytes: usize) -> Self {
        Answer { packet_bytes, ..self }
    }

    /// This answer, waiting before its head.
    pub fn late(mut self) -> Self {
        self.pieces.insert(0, Piece::Wait);
        self
    }

    fn piece(mut self, piece: Piece) -> Self {
        self.pieces.push(piece);
        self
    }
}

impl State {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Whether the answer may go on; the end of the test is no.
    fn wait(&self) -> bool {
        self.wait_for(PATIENCE)
    }

    /// The same, for so long.
    fn wait_for(&self, patience: Duration) -> bool {
        let waits = |told: &mut Told| told.passes == 0 && !told.over;
        let (mut told, _) = self.changed.wait_timeout_while(self.told(), patience, waits).unwrap();
        let passes = told.passes > 0;
        told.passes -= usize::from(passes);
        passes
    }
}

/// One request and its answer: the connection closes behind it.
fn converse(mut stream: TcpStream, state: &State) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let Some(asked) = Asked::read(&stream)? else { return Ok(()) };
    let n = {
        let mut told = state.told();
        told.answered += 1;
        told.requests.extend(state.keeps.then(|| asked.clone()));
        told.answered - 1
    };
    let answer = (state.script)(n, &asked);
    let mut pieces = answer.pieces.as_slice();
    match pieces {
        [Piece::Wait, rest @ ..] if state.wait() => pieces = rest,
        [Piece::Wait, ..] => return Ok(()),
        [Piece::Silence, ..] => return Err(wait_for_end(stream)),
        _ => {}
    }
    let Answer { status, kind, headers, .. } = &answer;
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\nconnection: close\r\n{headers}\r\n"
    );
    stream.write_all(head.as_bytes())?;
    for piece in pieces {
        match piece {
            Piece::Event(data) => answer.send(&mut stream, answer.event(data).as_bytes())?,
            Piece::Raw(bytes) => answer.send(&mut stream, bytes)?,
            Piece::Wait if state.wait() => {}
            Piece::Pings(interval) => {
                while !state.wait_for(*interval) {
                    if state.told().over {
                        return Ok(());
                    }
                    answer.send(&mut stream, b":\n\n")?;
                }
            }
            Piece::Wait | Piece::Cut => return Ok(()),
            Piece::Silence => return Err(wait_for_end(stream)),
            Piece::Endless(data) => loop {
                answer.send(&mut stream, answer.event(data).as_bytes())?;
            },
        }
    }
    stream.write_all(b"0\r\n\r\n")
}

/// Waits until the client has closed, which is what it answers.
fn wait_for_end(mut stream: TcpStream) -> io::Error {
    while matches!(stream.read(&mut [0; 1024]), Ok(1..)) {}
    io::ErrorKind::ConnectionAborted.into()
}

impl Answer {
    fn event(&self, data: &str) -> String {
        format!("data: {data}{0}{0}", self.line_end)
    }

    fn send(&self, stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
        for packet in bytes.chunks(self.packet_bytes) {
            let chunk = [format!("{:x}\r\n", packet.len()).as_bytes(), packet, b"\r\n"].concat();
            stream.write_all(&chunk)?;
        }
        Ok(())
    }
}
