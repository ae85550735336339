//! The functions that run for every request or every chunk, one by one.
//!
//! Rule: inputs look like those of a real reply, and what a function allocates it allocates here too.

use std::{
    hint::black_box,
    iter,
    sync::Arc,
    task::{Context, Wake, Waker},
};

use alm::{
    key::{self, Env, Scope},
    model::{
        Content, Message, Request,
        cassette::{Match, Shelf, Speed, Tape},
        openai::Decoder,
        sse::Parser,
    },
    store::{Store, keys::KeyTerms},
    turn::{chunk::Chunk, fold::Fold, reader::Reader, running::RunningTurn, step::Step},
};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use futures_util::{FutureExt, StreamExt};

/// Keys in the file that is looked through.
const KEYS_STORED: usize = 1_000;
/// Text deltas of the reply that is decoded and folded.
const DELTAS: usize = 200;
/// Text deltas of a reply that has nearly reached its bound, when somebody begins to read it.
const JOURNAL_DELTAS: usize = 200_000;
/// Readers that wait for the next chunk.
const READERS: usize = 1_000;
/// Exchanges of the cassette that is searched, as many as one may have.
const EXCHANGES: usize = 10_000;
/// What one read of an upstream's socket brings when it streams at full speed.
const READ_BYTES: usize = 16 * 1024;

/// What every request begins with.
fn key_check(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path(), 2).expect("a new file");
    let tenant = store.create_org("acme", "a@example.com", None).expect("an organization").tenant();
    let org = store.org(&tenant);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let keys: Vec<String> = (0..KEYS_STORED)
        .map(|index| {
            let key = key::generate(Env::Live).expect("random bytes");
            let made = org.create_key(&key, KeyTerms::live(format!("key {index}"), Scope::ALL.to_vec()));
            runtime.block_on(made).expect("a key");
            key.text
        })
        .collect();
    c.bench_function("key: hash", |b| b.iter(|| key::hash(black_box(&keys[0]))));
    let mut next = keys.iter().cycle();
    c.bench_function("key: hash and look-up", |b| {
        b.iter(|| store.key_holder(&key::hash(next.next().expect("a cycle"))).expect("a reader").expect("a key"));
    });
}

/// What an upstream's bytes go through: events, deltas, chunks, frames. Figures are for each delta.
fn from_bytes_to_frames(c: &mut Criterion) {
    let body = body();
    let mut group = c.benchmark_group("reply");
    group.throughput(Throughput::Elements(DELTAS as u64));
    group.bench_function("events", |b| {
        b.iter(|| {
            let (mut parser, mut bytes) = (Parser::default(), 0);
            for read in body.chunks(READ_BYTES) {
                parser.feed(read, |event| bytes += event.data.len()).expect("small events");
            }
            bytes
        });
    });
    group.bench_function("deltas", |b| {
        b.iter(|| {
            let (mut decoder, mut deltas) = (Decoder::new(), Vec::new());
            body.chunks(READ_BYTES).for_each(|read| decoder.feed(read, &mut deltas));
            deltas
        });
    });
    group.bench_function("deltas, one event a read", |b| {
        b.iter(|| {
            let (mut decoder, mut deltas) = (Decoder::new(), Vec::new());
            for read in body.split_inclusive(|&byte| byte == b'\n') {
                deltas.clear();
                decoder.feed(read, &mut deltas);
            }
            decoder.is_done()
        });
    });
    group.bench_function("deltas, chunks and frames", |b| {
        b.iter(|| {
            let mut frames = Vec::new();
            chunks(&body).iter().for_each(|chunk| chunk.write_to(&mut frames));
            frames
        });
    });
    let chunks = chunks(&body);
    group.bench_function("frames", |b| {
        b.iter(|| {
            let mut frames = Vec::new();
            chunks.iter().for_each(|chunk| chunk.write_to(&mut frames));
            frames
        });
    });
    group.bench_function("parts", |b| {
        b.iter(|| {
            let mut fold = Fold::new();
            chunks.iter().for_each(|chunk| fold.apply(chunk));
            fold.into_parts()
        });
    });
    group.finish();
}

/// What those cost who read a running reply; all of it happens under the journal's lock, so the reply waits meanwhile.
fn readers(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let _entered = runtime.enter();
    let live = RunningTurn::new();
    let delta = Chunk::TextDelta { id: "p0".into(), delta: " wörd".into() };
    (0..JOURNAL_DELTAS).for_each(|_| live.journal().push(std::slice::from_ref(&delta)));
    let mut group = c.benchmark_group("readers");
    group.bench_function("go on after the last event of a long reply", |b| {
        b.iter(|| live.numbered_reader(black_box(JOURNAL_DELTAS)));
    });
    let mut context = Context::from_waker(Waker::noop());
    let mut opened = |mut reader: Reader| {
        drop(reader.poll_next_unpin(&mut context));
        reader
    };
    group.bench_function("first piece of a long reply", |b| {
        b.iter_batched_ref(
            || opened(live.numbered_reader(0)),
            |reader| reader.next().now_or_never(),
            BatchSize::SmallInput,
        );
    });
    let live = RunningTurn::new();
    let mut waiting: Vec<_> = (0..READERS).map(|_| (opened(live.numbered_reader(0)), Arc::new(Sleeper))).collect();
    group.throughput(Throughput::Elements(READERS as u64));
    group.bench_function("one chunk for all who wait", |b| {
        b.iter(|| {
            live.journal().push(std::slice::from_ref(&delta));
            for (reader, sleeper) in &mut waiting {
                let waker = Waker::from(sleeper.clone());
                let mut context = Context::from_waker(&waker);
                while reader.poll_next_unpin(&mut context).is_ready() {}
            }
        });
    });
    group.finish();
}

/// Whom nothing wakes; each is another task.
struct Sleeper;

impl Wake for Sleeper {
    fn wake(self: Arc<Self>) {}
}

/// A reply as an OpenAI-compatible server writes it.
fn body() -> Vec<u8> {
    let delta = |index| {
        let about = r#""id":"chatcmpl-1","object":"chat.completion.chunk","created":1764000000,"model":"m""#;
        let choice = format!(r#"{{"index":0,"delta":{{"content":" wörd {index}"}},"finish_reason":null}}"#);
        format!("data: {{{about},\"choices\":[{choice}]}}\n\n")
    };
    (0..DELTAS).map(delta).chain(iter::once("data: [DONE]\n\n".to_owned())).collect::<String>().into_bytes()
}

fn chunks(body: &[u8]) -> Vec<Chunk> {
    let (mut decoder, mut step) = (Decoder::new(), Step::default());
    let (mut deltas, mut chunks) = (Vec::new(), Vec::new());
    body.chunks(READ_BYTES).for_each(|read| decoder.feed(read, &mut deltas));
    deltas.into_iter().for_each(|delta| step.delta(delta, &mut chunks));
    step.end(&mut chunks);
    chunks
}

/// Which of the recorded answers a request gets: found at once, and the worst of it, compared with each.
fn recorded(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("tour.jsonl");
    let question = |n: usize| format!("What is the weather in town {n}, and what will it be like there next week?");
    let line = |n: usize| {
        format!("{{\"kind\":\"model\",\"model\":\"m\",\"asked\":\"{}\",\"body\":[[0,\"x\"]]}}\n", question(n))
    };
    let lines: String = (0..EXCHANGES).map(line).collect();
    std::fs::write(&file, format!("{{\"almCassette\":1}}\n{lines}")).expect("a file");
    let tape = Tape {
        provider: "replay".into(),
        file,
        speed: Speed::Instant,
        reach: Match::Nearest,
        real_tools: false,
        secrets: Vec::new(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let shelf = Shelf::default();
    let ask = |text: String| {
        let messages = vec![Message::User(vec![Content::Text(text)])];
        let request = Request { model: "m".into(), messages, ..Request::default() };
        runtime.block_on(shelf.start(&tape, "c", &request)).map(drop).expect("an answer");
    };
    ask(question(0));
    c.bench_function("cassette: one of 10,000, exact", |b| b.iter(|| ask(question(EXCHANGES / 2))));
    c.bench_function("cassette: one of 10,000, nearest", |b| b.iter(|| ask(question(EXCHANGES + 1))));
}

criterion_group!(hot, key_check, from_bytes_to_frames, readers, recorded);
criterion_main!(hot);
