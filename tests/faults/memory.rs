//! What others may make the server keep.

use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    thread,
};

use serde_json::json;
use socket2::{Domain, Socket, Type};

use crate::{
    did_not_panic, proof,
    support::{
        browser::PASSWORD,
        harness::{App, until},
    },
};

/// One in bytes.
const MIB: u64 = 1024 * 1024;
/// Addresses that guess at once.
const GUESSERS: u8 = 20;
/// Guesses that each of them has free.
const GUESSES: usize = 5;
/// What the server has after a hundred sign-ins, at most.
const SIGNED_IN_BYTES_MAX: u64 = 60 * MIB;

/// The most memory that the server has had, in bytes.
pub fn memory_peak(app: &App) -> u64 {
    memory(app, "VmHWM")
}

/// A figure of the server's memory, in bytes.
fn memory(app: &App, figure: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", app.process())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(figure)?.strip_prefix(':')).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// The status of a wrong sign-in from an address of this machine.
fn guess(app: &App, from: Ipv4Addr, email: &str) -> String {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
    let server: SocketAddr = app.url().trim_start_matches("http://").parse().unwrap();
    socket.connect(&server.into()).unwrap();
    let body = json!({ "email": email, "password": "wrong password" }).to_string();
    let head = "POST /api/v1/auth/login HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nconnection: close\r\n";
    let mut socket = TcpStream::from(socket);
    write!(socket, "{head}content-length: {}\r\n\r\n{body}", body.len()).unwrap();
    let mut heard = String::new();
    socket.read_to_string(&mut heard).unwrap();
    heard.split(' ').nth(1).unwrap_or_default().to_owned()
}

#[test]
fn what_a_hundred_sign_ins_take_is_given_back() {
    let app = App::start(&[]);
    app.org("acme");
    let email = app.email("acme");
    thread::scope(|scope| {
        for address in 1..=GUESSERS {
            let (app, from) = (&app, Ipv4Addr::new(127, 0, 1, address));
            scope.spawn(move || {
                for n in 0..GUESSES {
                    assert_eq!(guess(app, from, &format!("{n}@{address}.example")), "401");
                }
            });
        }
    });
    app.anonymous().sign_in(&email, PASSWORD);
    let left = until("the memory to be given back", || {
        Some(memory(&app, "VmRSS")).filter(|bytes| *bytes < SIGNED_IN_BYTES_MAX)
    });
    did_not_panic(&app);
    proof("memory.sign-ins-mib", left / MIB);
    proof("memory.sign-ins-peak-mib", memory_peak(&app) / MIB);
}
