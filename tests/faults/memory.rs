//! What others may make the server keep.

use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use serde_json::json;
use socket2::{Domain, Socket, Type};

use crate::{
    did_not_panic, proof,
    support::{
        browser::PASSWORD,
        harness::{App, PATIENCE, until, user},
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

/// Bodies that one person sends and never ends, and the bytes of each: together more than one person may keep there.
const BODIES: usize = 10;
/// Those that there is room for: half of 256 MiB is one person's.
const BODIES_KEPT: usize = 6;
const BODY_BYTES: usize = 20 * 1024 * 1024;
/// What the server has had at most while they were there.
const BODIES_PEAK_BYTES_MAX: u64 = 300 * MIB;
/// What is said past the bound.
const BUSY: &str = "too many large bodies at once: try again shortly";

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

/// A body that is being sent: all but the last byte.
fn unfinished_body(app: &App, key: &str, bytes: usize) -> TcpStream {
    let mut socket = TcpStream::connect(app.url().trim_start_matches("http://")).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!("POST /api/v1/chat HTTP/1.1\r\nhost: localhost\r\nx-api-key: {key}\r\n");
    write!(socket, "{head}content-type: application/json\r\ncontent-length: {bytes}\r\n\r\n").unwrap();
    socket.write_all(&vec![b' '; bytes - 1]).unwrap();
    socket
}

/// The status that has come so far.
fn status(socket: &mut TcpStream) -> Option<String> {
    socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    let mut heard = [0; 12];
    socket.read_exact(&mut heard).ok()?;
    Some(String::from_utf8_lossy(&heard[9..]).into_owned())
}

#[test]
fn bodies_that_never_end_have_a_bound_and_leave_room_for_others() {
    let app = App::start(&[]);
    let (acme, globex) = (app.org("acme"), app.org("globex"));
    let mut sockets: Vec<_> = (0..BODIES).map(|_| unfinished_body(&app, acme.key(), BODY_BYTES)).collect();
    let mut refused = 0;
    until("the bodies past the bound to be refused", || {
        refused += sockets.iter_mut().filter_map(status).inspect(|status| assert_eq!(status, "503")).count();
        (refused == BODIES - BODIES_KEPT).then_some(())
    });
    assert!(memory_peak(&app) < BODIES_PEAK_BYTES_MAX, "{} MiB", memory_peak(&app) / MIB);
    let ask = |mib: u64| json!({ "messages": [user("x")], "model": "no/such", "x": "x".repeat((mib * MIB) as usize) });
    assert_eq!(acme.post("/chat", ask(10)).fails(503, "SERVICE_UNAVAILABLE")["message"], BUSY);
    acme.get("/agents").ok(200);
    assert_eq!(globex.post("/chat", ask(10)).invalid(), ["model"]);
    drop(sockets);
    until("the memory to be free again", || (acme.post("/chat", ask(10)).status == 422).then_some(()));
    did_not_panic(&app);
    proof("memory.unfinished-bodies-refused", refused);
}
