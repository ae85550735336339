//! The demo's own HTTP API: it books a room, and counts. It stands for what somebody's own tool would be.
//!
//! Rule: one thread, one request at a time, each with a bound on its bytes and its time.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

/// Longest request, in bytes; of a longer one the rest is not read, so it is no JSON.
const REQUEST_BYTES_MAX: u64 = 64 * 1_024;
/// How long a request may take to arrive, and its response to leave.
const PATIENCE: Duration = Duration::from_secs(5);

/// The tool's name.
pub const NAME: &str = "book_room";

/// How the tool is declared, as `alm tools add` reads it.
pub fn declaration(url: &str) -> Value {
    json!({
        "name": NAME,
        "description": "Books a meeting room. Use it when somebody wants one.",
        "inputSchema": {
            "type": "object",
            "properties": { "people": { "type": "integer", "minimum": 1, "maximum": 12 } },
            "required": ["people"],
            "additionalProperties": false,
        },
        "method": "POST",
        "url": url,
        "approval": "ask",
    })
}

/// Serves it as long as the process lives. Answers its URL.
pub fn serve() -> io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}/bookings", listener.local_addr()?);
    thread::Builder::new().name("demo-room".into()).spawn(move || {
        let mut bookings = 0;
        for stream in listener.incoming().flatten() {
            // Who goes away in the middle gets no answer.
            answer(stream, &mut bookings).unwrap_or_default();
        }
    })?;
    Ok(url)
}

fn answer(stream: TcpStream, bookings: &mut u64) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new((&stream).take(REQUEST_BYTES_MAX));
    let (mut line, mut length) = (String::new(), 0);
    while reader.read_line(&mut line)? > 0 && line != "\r\n" {
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or(0);
        }
        line.clear();
    }
    let mut body = Vec::new();
    reader.take(length).read_to_end(&mut body)?;
    let (status, said) = match serde_json::from_slice::<Value>(&body) {
        Ok(wish) => {
            *bookings += 1;
            ("201 Created", json!({ "booking": *bookings, "room": "Curie", "people": wish["people"] }))
        }
        Err(_) => ("400 Bad Request", json!({ "error": "the body is not JSON" })),
    };
    let said = said.to_string();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        said.len()
    );
    (&stream).write_all((head + &said).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What it says to a POST with that body.
    fn post(url: &str, body: &str) -> String {
        let place = url.strip_prefix("http://").unwrap().strip_suffix("/bookings").unwrap();
        let mut stream = TcpStream::connect(place).unwrap();
        write!(stream, "POST /bookings HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len()).unwrap();
        // It may have answered before it has read all.
        stream.write_all(body.as_bytes()).unwrap_or_default();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap_or_default();
        said
    }

    #[test]
    fn it_books_counts_and_refuses() {
        let url = serve().unwrap();
        assert!(post(&url, r#"{"people":4}"#).ends_with(r#"{"booking":1,"room":"Curie","people":4}"#));
        assert!(post(&url, "four").starts_with("HTTP/1.1 400"));
        assert!(post(&url, r#"{"people":2}"#).contains(r#""booking":2"#), "what is refused is not counted");
    }

    #[test]
    fn a_request_is_read_up_to_its_bound() {
        let url = serve().unwrap();
        let head = format!("POST /bookings HTTP/1.1\r\nHost: x\r\nContent-Length: {REQUEST_BYTES_MAX}\r\n\r\n").len();
        for (bytes, fits) in [(REQUEST_BYTES_MAX - 1, true), (REQUEST_BYTES_MAX, true), (REQUEST_BYTES_MAX + 1, false)]
        {
            let body = format!("\"{}\"", " ".repeat(bytes as usize - head - 2));
            assert_eq!(post(&url, &body).contains("201"), fits, "{bytes}");
        }
    }
}
