//! The server over HTTP: sessions, events, and the stream of notices.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    thread,
};

use serde_json::{Value, json};

use super::{Era, Fake, FakeMcp, PATIENCE, Request, Say};

impl FakeMcp {
    pub fn start(era: Era) -> Self {
        Self::start_at(era, "127.0.0.1:0")
    }

    /// At an address where another one was.
    pub fn start_at(era: Era, address: &str) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let (address, server) = (listener.local_addr().unwrap(), Fake::new(era));
        let fake = server.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let fake = fake.clone();
                if fake.told().over {
                    break;
                }
                // A client that goes away in the middle is part of many tests.
                thread::spawn(move || _ = fake.converse(&stream));
            }
        });
        FakeMcp { address, server }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }
}

impl Drop for FakeMcp {
    fn drop(&mut self) {
        self.server.told().over = true;
        self.server.changed.notify_all();
        // Wakes the accept loop; nobody listens if it ended by itself.
        let _ = TcpStream::connect(self.address);
    }
}

impl Fake {
    fn converse(&self, stream: &TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(stream);
        while let Some(request) = read(&mut reader)? {
            // Whoever sees the request in what was kept may change the list at once.
            let seen = self.told().notices;
            let status = self.keep(&request);
            match (status, &*request.method) {
                (Some(status), _) => refuse(stream, status)?,
                (None, "GET") => self.notify(stream, seen)?,
                (None, "DELETE") => write!(&*stream, "HTTP/1.1 204 No Content\r\n\r\n")?,
                (None, _) if request.message.get("id").is_none() => {
                    self.answer(&request.message);
                    write!(&*stream, "HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n")?;
                }
                (None, _) => {
                    let said = self.respond(stream, &request.message, seen);
                    if said.is_err() {
                        // The client hung up while it was being answered.
                        self.cancel();
                    }
                    return said;
                }
            }
        }
        Ok(())
    }

    /// Keeps a request; the status that it is refused with.
    fn keep(&self, request: &Request) -> Option<u16> {
        let mut told = self.told();
        told.requests.push(request.clone());
        let has_session = request.headers.contains_key("mcp-session-id");
        let method = request.message["method"].as_str().unwrap_or_default().to_owned();
        let is_lost = has_session && request.method == "POST" && told.mood.loses.is_some();
        let status = match &*request.method {
            _ if told.mood.refuses.is_some() => told.mood.refuses,
            _ if is_lost => told.mood.loses.take(),
            "GET" => told.mood.notices,
            "POST" if self.era == Era::Legacy && !has_session && method != "initialize" => Some(400),
            "POST" if self.era == Era::Modern && request.headers.get("mcp-method") != Some(&method) => Some(400),
            _ => None,
        };
        drop(told);
        self.changed.notify_all();
        status
    }

    fn respond(&self, mut stream: &TcpStream, message: &Value, seen: usize) -> io::Result<()> {
        let said = self.answer(message);
        let mut head = "HTTP/1.1 200 OK\r\nconnection: close\r\n".to_owned();
        if message["method"] == "initialize" {
            let mut told = self.told();
            told.sessions += 1;
            head += &format!("Mcp-Session-Id: session-{}\r\n", told.sessions);
        }
        let as_json = self.told().mood.as_json;
        head += if as_json {
            "Content-Type: Application/JSON; charset=utf-8\r\n\r\n"
        } else {
            "content-type: Text/Event-Stream;x=1\r\n\r\n"
        };
        stream.write_all(head.as_bytes())?;
        if !as_json {
            stream.write_all(b": hello\n\nid: e1\ndata: \n\n")?;
        }
        for say in said {
            match say {
                Say::Message(message) if as_json => write!(stream, "{message}")?,
                Say::Message(message) => write!(stream, "event: message\r\ndata: {message}\r\n\r\n")?,
                Say::Raw(text) if as_json => write!(stream, "{text}")?,
                Say::Raw(text) => write!(stream, "data: {text}")?,
                Say::Progress => self.breathe(),
                Say::Wait => _ = self.pass(),
                Say::Silence => {
                    // Until the client hangs up.
                    stream.set_read_timeout(Some(PATIENCE))?;
                    let gone = stream.read(&mut [0]);
                    self.cancel();
                    return gone.map(drop);
                }
                Say::Notices(of) => self.tell_changes(stream, &json!({ "_meta": of }), seen)?,
                Say::Cut => return stream.shutdown(Shutdown::Both),
            }
        }
        Ok(())
    }

    /// The stream of notices.
    fn notify(&self, mut stream: &TcpStream, seen: usize) -> io::Result<()> {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n: hello\n\n")?;
        self.tell_changes(stream, &json!({}), seen)
    }

    /// Says each time that the list has changed, after so many times.
    fn tell_changes(&self, mut stream: &TcpStream, params: &Value, mut seen: usize) -> io::Result<()> {
        while self.wait(|told| told.notices > seen) && !self.told().over {
            seen = self.told().notices;
            let method = "notifications/tools/list_changed";
            write!(stream, "data: {}\n\n", json!({"jsonrpc": "2.0", "method": method, "params": params}))?;
        }
        Ok(())
    }
}

fn refuse(mut stream: &TcpStream, status: u16) -> io::Result<()> {
    let error =
        json!({"jsonrpc": "2.0", "id": null, "error": {"code": -32_000, "message": "No valid session ID provided"}});
    let body = if status == 400 { error.to_string() } else { String::new() };
    let length = body.len();
    write!(stream, "HTTP/1.1 {status} No\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
}

fn read(reader: &mut BufReader<&TcpStream>) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let method = line.split(' ').next().unwrap_or_default().to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|value| value.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body)?;
    Ok(Some(Request { method, headers, message: serde_json::from_slice(&body).unwrap_or_default() }))
}
