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

/// Readers of pages that read nothing, and what the message of each page has.
const READERS: usize = 40;
const PAGE_MIB: usize = 8;
/// The window of such a reader.
const SLOW_WINDOW_BYTES: usize = 4 * 1024;
/// What their pages take: half of 256 MiB is one person's, four more may be read and written, of 32 MiB each, before they are
/// refused, and the allocator gives back late what four others took. Without a bound it would be 640 and more.
const PAGES_BYTES_MAX: u64 = 384 * MIB;

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
        // Without the pages of the binary itself, of which a debug build has many.
        Some(memory(&app, "RssAnon")).filter(|bytes| *bytes < SIGNED_IN_BYTES_MAX)
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
    proof("memory.unfinished-bodies-peak-mib", memory_peak(&app) / MIB);
}

/// A reader with a small window that has asked for a page and reads nothing of it.
fn slow_reader(app: &App, key: &str, path: &str) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(SLOW_WINDOW_BYTES).unwrap();
    let server: SocketAddr = app.url().trim_start_matches("http://").parse().unwrap();
    socket.connect(&server.into()).unwrap();
    let mut socket = TcpStream::from(socket);
    write!(socket, "GET /api/v1{path} HTTP/1.1\r\nhost: localhost\r\nx-api-key: {key}\r\n\r\n").unwrap();
    socket
}

#[test]
fn pages_that_nobody_reads_have_a_bound_and_leave_room_for_others() {
    let app = App::start(&[]);
    let acme = app.org("acme");
    let session = acme.post("/sessions", json!({})).ok(201)["id"].as_str().unwrap().to_owned();
    let path = format!("/sessions/{session}/messages");
    (0..2).for_each(|_| {
        drop(acme.post(&path, json!({ "role": "user", "content": "x".repeat(PAGE_MIB * MIB as usize) })).ok(201))
    });
    let member = app.member("acme");
    let before = memory(&app, "VmRSS");
    let mut readers: Vec<_> = (0..READERS).map(|_| slow_reader(&app, acme.key(), &path)).collect();
    let answered: Vec<_> = readers.iter_mut().map(|reader| until("an answer to begin", || status(reader))).collect();
    let refused = answered.iter().filter(|status| *status == "503").count();
    assert!(refused > 0 && answered.iter().all(|status| ["200", "503"].contains(&&**status)), "{answered:?}");
    let cost = memory(&app, "VmRSS").saturating_sub(before);
    assert!(cost < PAGES_BYTES_MAX, "{} MiB", cost / MIB);
    acme.get("/agents").ok(200);
    let first = member.get(&path).ok(200);
    assert_eq!((first["items"].as_array().unwrap().len(), first["hasMore"].as_bool()), (1, Some(true)));
    drop(readers);
    until("the memory to be free again", || (acme.get(&path).status == 200).then_some(()));
    did_not_panic(&app);
    proof("memory.unread-pages-refused", refused);
    proof("memory.unread-pages-mib", cost / MIB);
}
