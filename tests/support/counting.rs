//! A service that tools call: it remembers each request that came, and answers as it is told.
//!
//! Rule: what it counts is what arrived, whole, so a count says how often a call had its effect.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Sender, channel},
    },
    thread,
    time::Duration,
};

/// Between two bytes of a body that drips.
const DRIP_PAUSE: Duration = Duration::from_millis(20);

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Came {
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Came {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn read(stream: &mut BufReader<&TcpStream>) -> io::Result<Option<Self>> {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut words = line.split(' ').map(str::to_owned);
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            stream.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let length = headers.iter().find(|(name, _)| name == "content-length").and_then(|(_, n)| n.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        stream.read_exact(&mut body)?;
        Ok(Some(Came { method, target, headers, body: String::from_utf8_lossy(&body).into_owned() }))
    }
}

/// What it does to a request.
pub enum Says {
    /// A whole response of this status, kind and body.
    Response(u16, &'static str, String),
    /// A redirect to there.
    Elsewhere(String),
    /// The connection ends, and nothing was said.
    Cut,
    /// Nothing, until whoever asks has gone.
    Silence,
    /// A body that never ends.
    Endless,
    /// A byte of the body now and then, and no end.
    Drip,
}

impl Says {
    /// JSON, with success.
    pub fn json(body: &str) -> Self {
        Says::Response(200, "application/json", body.to_owned())
    }
}

/// A listening service.
pub struct Counting {
    address: std::net::SocketAddr,
    came: Arc<Mutex<Vec<Came>>>,
    left: Arc<Mutex<Vec<Sender<()>>>>,
    ended: Arc<AtomicUsize>,
}

impl Counting {
    /// Answers each request with what `says` says of it, told its number from 0.
    pub fn start(says: impl Fn(usize, &Came) -> Says + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (came, left, says) = (Arc::<Mutex<Vec<_>>>::default(), Arc::<Mutex<Vec<_>>>::default(), Arc::new(says));
        let ended = Arc::<AtomicUsize>::default();
        let service = Counting { address, came: came.clone(), left: left.clone(), ended: ended.clone() };
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (came, left, says, stream) = (came.clone(), left.clone(), says.clone(), stream.unwrap());
                let ended = ended.clone();
                thread::spawn(move || {
                    // Who asks may go away at any moment.
                    let _ = serve(&stream, &came, says.as_ref());
                    ended.fetch_add(1, Ordering::SeqCst);
                    for tell in left.lock().unwrap().drain(..) {
                        let _ = Sender::send(&tell, ());
                    }
                });
            }
        });
        service
    }

    /// Its address with that path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Its host and port.
    pub fn place(&self) -> String {
        self.address.to_string()
    }

    /// What came so far.
    pub fn came(&self) -> Vec<Came> {
        self.came.lock().unwrap().clone()
    }

    /// How many connections have ended.
    pub fn ended(&self) -> usize {
        self.ended.load(Ordering::SeqCst)
    }

    /// Does something and waits until a connection has ended since.
    pub fn wait_left<T>(&self, act: impl FnOnce() -> T) -> T {
        let (tell, told) = channel();
        self.left.lock().unwrap().push(tell);
        let done = act();
        told.recv().unwrap();
        done
    }
}

fn serve(
    mut stream: &TcpStream,
    came: &Mutex<Vec<Came>>,
    says: &(impl Fn(usize, &Came) -> Says + ?Sized),
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    while let Some(request) = Came::read(&mut reader)? {
        let number = {
            let mut came = came.lock().unwrap();
            came.push(request.clone());
            came.len() - 1
        };
        let chunked = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n";
        match says(number, &request) {
            Says::Response(status, kind, body) => {
                let body = if request.method == "HEAD" { "" } else { &body };
                let length = body.len();
                write!(
                    stream,
                    "HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n{body}"
                )?;
            }
            Says::Elsewhere(url) => write!(stream, "HTTP/1.1 302 X\r\nlocation: {url}\r\ncontent-length: 0\r\n\r\n")?,
            Says::Cut => return Ok(()),
            Says::Silence => return wait_for_end(stream),
            Says::Endless => {
                stream.write_all(chunked.as_bytes())?;
                loop {
                    write!(stream, "400\r\n{}\r\n", "x".repeat(1024))?;
                }
            }
            Says::Drip => {
                stream.write_all(chunked.as_bytes())?;
                let (_keep, never) = channel::<()>();
                loop {
                    stream.write_all(b"1\r\nx\r\n")?;
                    let _ = never.recv_timeout(DRIP_PAUSE);
                }
            }
        }
    }
    Ok(())
}

/// Until whoever asked has closed.
fn wait_for_end(mut stream: &TcpStream) -> io::Result<()> {
    let mut rest = [0; 64];
    while stream.read(&mut rest)? > 0 {}
    Ok(())
}
