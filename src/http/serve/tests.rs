//! The bounds of the accept loop, over real sockets.
//!
//! Rule: every test waits for what the other side does, never for a clock of its own.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, Empty};
use poem::{Body, Request, Response, Route, endpoint::make_sync, get};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::{Semaphore, mpsc, oneshot},
    task::JoinHandle,
};

use super::*;

const GET_HI: &[u8] = b"GET /hi HTTP/1.1\r\nhost: x\r\n\r\n";
const GET_STREAM: &[u8] = b"GET /stream HTTP/1.1\r\nhost: x\r\n\r\n";
const SHORT: Duration = Duration::from_millis(50);

/// A server with `/hi`, which tells how many it greeted, and `/stream`, which sends what the test puts into `chunks`.
struct Running {
    addr: SocketAddr,
    chunks: mpsc::Sender<&'static str>,
    shutdown: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

impl Running {
    fn new(limits: Limits) -> Self {
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let addr = listener.local_addr();
        let (chunks, body) = mpsc::channel(8);
        let body = Arc::new(Mutex::new(Some(body)));
        let streamed = make_sync(move |_: Request| {
            let body: mpsc::Receiver<&'static str> = body.lock().unwrap().take().expect("one stream a test");
            let chunks = stream::unfold(body, async |mut body| {
                let chunk = body.recv().await?;
                Some((Ok::<_, io::Error>(Bytes::from_static(chunk.as_bytes())), body))
            });
            Body::from_bytes_stream(chunks)
        });
        let greeted = Arc::new(AtomicBool::new(false));
        let hi = make_sync(move |_| {
            let before = greeted.swap(true, Ordering::Relaxed);
            let answer = Response::builder().header("connection", "keep-alive");
            answer.body(if before { "hi again" } else { "hi first" })
        });
        let app = Route::new().at("/hi", get(hi)).at("/stream", get(streamed));
        let (shutdown, told) = oneshot::channel();
        let served = tokio::spawn(serve(listener, app, limits, Arc::new(|_| None), async { _ = told.await }));
        Running { addr, chunks, shutdown, served }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.addr).await.unwrap()
    }

    /// A client of HTTP/2, which answers pings.
    async fn http2(&self) -> (Http2, JoinHandle<hyper::Result<()>>) {
        let socket = TokioIo::new(self.connect().await);
        let (client, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), socket).await.unwrap();
        (client, tokio::spawn(connection))
    }

    async fn ask(&self, request: &[u8]) -> TcpStream {
        let mut socket = self.connect().await;
        socket.write_all(request).await.unwrap();
        socket
    }
}

type Http2 = hyper::client::conn::http2::SendRequest<Empty<Bytes>>;

fn get_hi(server: &Running) -> hyper::Request<Empty<Bytes>> {
    hyper::Request::get(format!("http://{}/hi", server.addr)).body(Empty::new()).unwrap()
}

async fn greet(server: &Running, client: &mut Http2) {
    let answer = client.send_request(get_hi(server)).await.unwrap();
    answer.into_body().collect().await.unwrap();
}

async fn read_until(socket: &mut TcpStream, end: &str) -> String {
    let mut seen = Vec::new();
    while !seen.ends_with(end.as_bytes()) {
        let byte = socket.read_u8().await;
        seen.push(byte.unwrap_or_else(|_| panic!("{end:?} never came: {}", String::from_utf8_lossy(&seen))));
    }
    String::from_utf8(seen).unwrap()
}

/// A reset is as good an end as an orderly one: both tell the client that nobody is there.
async fn is_closed(mut socket: TcpStream) -> bool {
    matches!(socket.read(&mut [0]).await, Ok(0) | Err(_))
}

#[tokio::test]
async fn one_connection_answers_many_requests_also_when_they_come_together() {
    let server = Running::new(Limits::default());
    let mut socket = server.ask(&[GET_HI, GET_HI].concat()).await;
    read_until(&mut socket, "hi first").await;
    read_until(&mut socket, "hi again").await;
    socket.write_all(GET_HI).await.unwrap();
    read_until(&mut socket, "hi again").await;
}

#[tokio::test]
async fn a_request_head_that_does_not_come_ends_the_connection() {
    let server = Running::new(Limits { header_timeout: SHORT, ..Limits::default() });
    for beginning in ["", "GET /hi HTTP/1.1\r\nho", "PRI * HT"] {
        assert!(is_closed(server.ask(beginning.as_bytes()).await).await, "{beginning:?}");
    }
    let mut second = server.ask(GET_HI).await;
    read_until(&mut second, "hi first").await;
    second.write_all(b"GET /hi HTTP/1.1\r\nho").await.unwrap();
    assert!(is_closed(second).await, "after an answer");
}

#[tokio::test]
async fn an_idle_connection_outlives_the_header_timeout_and_ends_at_its_own() {
    let patient = Running::new(Limits { header_timeout: SHORT, ..Limits::default() });
    let mut idle = patient.ask(GET_HI).await;
    read_until(&mut idle, "hi first").await;
    // Its clock began later, and it is over.
    assert!(is_closed(patient.connect().await).await);
    idle.write_all(GET_HI).await.unwrap();
    read_until(&mut idle, "hi again").await;

    let server = Running::new(Limits { idle_connection_max: SHORT, ..Limits::default() });
    let mut idle = server.ask(GET_HI).await;
    read_until(&mut idle, "hi first").await;
    assert!(is_closed(idle).await);
    let (mut client, connection) = server.http2().await;
    greet(&server, &mut client).await;
    connection.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_idle_connection_makes_room_when_every_place_is_taken() {
    let server = Running::new(Limits { connections_max: 1, idle_pressed_max: SHORT, ..Limits::default() });
    let (mut client, connection) = server.http2().await;
    greet(&server, &mut client).await;
    let mut outside = server.ask(GET_HI).await;
    read_until(&mut outside, "hi again").await;
    connection.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_peer_that_answers_nothing_when_told_to_leave_is_left() {
    let limits = Limits { idle_connection_max: SHORT, header_timeout: SHORT, ..Limits::default() };
    let server = Running::new(limits);
    let mut socket = server.connect().await;
    // Preface, settings, and one request for `/hi` in the static table's words; then nothing, not even the answer to a ping.
    let headers = [&[0x82, 0x86, 0x04, 3][..], b"/hi", &[0x41, 1], b"x"].concat();
    let frame = [&[0, 0, headers.len() as u8, 1, 5, 0, 0, 0, 1][..], &headers].concat();
    let preface = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[0, 0, 0, 4, 0, 0, 0, 0, 0][..], &frame].concat();
    socket.write_all(&preface).await.unwrap();
    let mut heard = Vec::new();
    let _ = socket.read_to_end(&mut heard).await;
    assert!(heard.windows(8).any(|bytes| bytes == b"hi first"), "{heard:?}");
}

#[tokio::test]
async fn a_peer_that_opens_no_window_does_not_keep_its_place() {
    let server = Running::new(Limits { write_stall_max: SHORT, ..Limits::default() });
    let socket = TokioIo::new(server.connect().await);
    let mut shut = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    let (mut client, connection) = shut.initial_stream_window_size(0).handshake(socket).await.unwrap();
    let connection = tokio::spawn(connection);
    let response = client.send_request(get_hi(&server)).await.unwrap();
    // The head needs no window, the body does.
    assert!(response.into_body().collect().await.is_err());
    let _ = connection.await;
}

#[tokio::test]
async fn a_stream_outlives_the_header_timeout_and_the_age_of_its_connection() {
    let limits = Limits { header_timeout: SHORT, connection_age_max: SHORT, ..Limits::default() };
    let server = Running::new(limits);
    let mut socket = server.ask(GET_STREAM).await;
    // Both clocks started before this one, so both are over when it is.
    assert!(is_closed(Running::new(limits).connect().await).await);
    server.chunks.send("late").await.unwrap();
    read_until(&mut socket, "late\r\n").await;
    drop(server.chunks);
    read_until(&mut socket, "0\r\n\r\n").await;
    assert!(is_closed(socket).await);
}

#[tokio::test]
async fn a_client_that_leaves_a_stream_is_noticed_when_it_is_spoken_to() {
    let server = Running::new(Limits::default());
    let mut socket = server.ask(GET_STREAM).await;
    server.chunks.send("begun").await.unwrap();
    read_until(&mut socket, "begun\r\n").await;
    drop(socket);
    while server.chunks.send("still there?").await.is_ok() {}
}

#[tokio::test]
async fn a_client_that_shuts_its_half_of_the_socket_still_gets_its_answer() {
    let server = Running::new(Limits::default());
    let mut socket = server.ask(GET_STREAM).await;
    socket.shutdown().await.unwrap();
    server.chunks.send("begun").await.unwrap();
    read_until(&mut socket, "begun\r\n").await;
    drop(server.chunks);
    read_until(&mut socket, "0\r\n\r\n").await;
    assert!(is_closed(socket).await);
}

#[tokio::test]
async fn a_connection_over_the_cap_waits_for_a_place() {
    let server = Running::new(Limits { connections_max: 1, ..Limits::default() });
    let mut inside = server.connect().await;
    let mut outside = server.ask(GET_HI).await;
    inside.write_all(GET_HI).await.unwrap();
    // Were the other one served as well, it could have been the first.
    read_until(&mut inside, "hi first").await;
    drop(inside);
    read_until(&mut outside, "hi again").await;
}

#[tokio::test]
async fn a_shutdown_lets_a_running_stream_end_and_closes_idle_connections() {
    let server = Running::new(Limits::default());
    let mut running = server.ask(GET_STREAM).await;
    server.chunks.send("begun").await.unwrap();
    read_until(&mut running, "begun\r\n").await;
    let mut idle = server.ask(GET_HI).await;
    read_until(&mut idle, "hi first").await;
    let silent = server.connect().await;

    server.shutdown.send(()).unwrap();
    assert!(is_closed(idle).await && is_closed(silent).await);
    assert!(TcpStream::connect(server.addr).await.is_err(), "the port is closed");
    server.chunks.send("and on").await.unwrap();
    drop(server.chunks);
    read_until(&mut running, "and on\r\n0\r\n\r\n").await;
    server.served.await.unwrap();
}

#[tokio::test]
async fn a_stream_that_never_ends_is_dropped_with_the_drain() {
    let server = Running::new(Limits { drain_timeout: SHORT, ..Limits::default() });
    let mut endless = server.ask(GET_STREAM).await;
    server.chunks.send("begun").await.unwrap();
    read_until(&mut endless, "begun\r\n").await;
    server.shutdown.send(()).unwrap();
    server.served.await.unwrap();
    assert!(is_closed(endless).await);
    assert!(server.chunks.is_closed());
}

#[tokio::test]
async fn http2_needs_no_upgrade_and_carries_no_connection_header() {
    let server = Running::new(Limits::default());
    let (mut client, connection) = server.http2().await;
    let answer = client.send_request(get_hi(&server)).await.unwrap();
    assert_eq!(answer.version(), hyper::Version::HTTP_2);
    assert_eq!(answer.headers().get("connection"), None);
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "hi first");

    server.shutdown.send(()).unwrap();
    connection.await.unwrap().unwrap();
    server.served.await.unwrap();
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_let_go() {
    let limits = Limits { write_stall_max: SHORT, ..Limits::default() };
    let server = Running::new(limits);
    let _stalled = server.ask(GET_STREAM).await;
    let much: &str = "x".repeat(UNSENT_BYTES_MAX).leak();
    // More and more is said, until nobody asks for it any longer.
    while server.chunks.send(much).await.is_ok() {}
}

#[tokio::test]
async fn requests_past_the_bound_of_one_connection_wait_for_the_others() {
    let running = Arc::new(Mutex::new((0, 0)));
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    let release = Arc::new(Semaphore::new(0));
    let (counted, held) = (running.clone(), release.clone());
    let hold = poem::endpoint::make(move |_| {
        let (counted, arrived, held) = (counted.clone(), arrived.clone(), held.clone());
        async move {
            {
                let (now, most) = &mut *counted.lock().unwrap();
                *now += 1;
                *most = (*now).max(*most);
            }
            arrived.send(()).unwrap();
            held.acquire().await.unwrap().forget();
            counted.lock().unwrap().0 -= 1;
        }
    });
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let addr = listener.local_addr();
    let app = Route::new().at("/", get(hold));
    tokio::spawn(serve(listener, app, Limits::default(), Arc::new(|_| None), std::future::pending()));
    let socket = TokioIo::new(TcpStream::connect(addr).await.unwrap());
    let (client, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .initial_max_send_streams(usize::MAX >> 1)
        .handshake::<_, Empty<Bytes>>(socket)
        .await
        .unwrap();
    tokio::spawn(connection);
    let ask = || {
        let (mut client, request) = (client.clone(), hyper::Request::get(format!("http://{addr}/")));
        let request = request.body(Empty::new()).unwrap();
        tokio::spawn(async move { client.send_request(request).await.unwrap().status() })
    };
    let asked: Vec<_> = (0..STREAMS_MAX + 1).map(|_| ask()).collect();
    for _ in 0..STREAMS_MAX {
        arrivals.recv().await.unwrap();
    }
    release.add_permits(asked.len());
    for answer in asked {
        assert_eq!(answer.await.unwrap(), 200);
    }
    assert_eq!(running.lock().unwrap().1, STREAMS_MAX);
}

#[tokio::test]
async fn a_request_head_is_read_up_to_its_bound() {
    let server = Running::new(Limits::default());
    for (bytes, answered) in [(HEADERS_BYTES_MAX - 1, true), (HEADERS_BYTES_MAX, true), (HEADERS_BYTES_MAX + 1, false)]
    {
        let around = "GET /hi HTTP/1.1\r\nhost: x\r\nx: \r\n\r\n".len();
        let head = format!("GET /hi HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(bytes - around));
        let mut socket = server.ask(head.as_bytes()).await;
        let line = read_until(&mut socket, "\r\n").await;
        assert_eq!(line.starts_with("HTTP/1.1 200"), answered, "{bytes}: {line}");
    }
}
