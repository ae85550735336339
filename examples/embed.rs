//! A program that carries `alm` inside: it starts a server, creates an organization and a key, asks a question over
//! HTTP, prints the reply, and stops.
//!
//!     cargo run --example embed [FOLDER]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::PathBuf,
};

use alm::{Scopes, Server};

type AnyError = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), AnyError> {
    // A folder that is gone afterwards, unless one is named.
    let own = tempfile::tempdir()?;
    let folder = std::env::args_os().nth(1).map_or_else(|| own.path().to_owned(), PathBuf::from);

    let server = Server::builder().data_dir(folder).build().await?;
    let org = server.handle().ensure_org("acme").await?;
    let key = org.create_key("embedded", Scopes::ALL).await?;
    let url = server.url().expect("it listens").to_owned();
    println!("alm runs inside this program, on {url}");

    let handle = server.handle();
    let asking = tokio::task::spawn_blocking(move || {
        let asked = ask(&url, key.expose(), "What can you show me?");
        handle.stop();
        asked
    });
    // A host that ends with a signal of its own hands it in here, instead of this future that never ends.
    server.run(std::future::pending()).await?;
    asking.await?
}

/// Asks over HTTP, as any client would, and prints the text as it streams.
fn ask(url: &str, key: &str, question: &str) -> Result<(), AnyError> {
    let mut socket = TcpStream::connect(url.trim_start_matches("http://"))?;
    let body = serde_json::json!({ "messages": [{ "role": "user", "content": question }] }).to_string();
    write!(
        socket,
        "POST /api/v1/chat HTTP/1.0\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )?;
    for line in BufReader::new(socket.take(1 << 20)).lines() {
        let line = line?;
        let Some(data) = line.strip_prefix("data: {") else { continue };
        let chunk: serde_json::Value = serde_json::from_str(&format!("{{{data}"))?;
        print!("{}", chunk["delta"].as_str().unwrap_or_default());
    }
    println!();
    Ok(())
}
