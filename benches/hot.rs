//! The functions that run for every request or every chunk, one by one.
//!
//! Rule: inputs look like those of a real reply, and what a function allocates it allocates here too.

use std::hint::black_box;

use alm::{
    key::{self, Env, Scope},
    store::Store,
    turn::chunk::Chunk,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Keys in the file that is looked through.
const KEYS_STORED: usize = 1_000;

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
            let made = org.create_key(&key, format!("key {index}"), Env::Live, Scope::ALL.to_vec(), None);
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

/// What every chunk ends with.
fn chunk_serialisation(c: &mut Criterion) {
    let delta = Chunk::TextDelta { id: "p1".to_owned(), delta: " an \"ordinary\" wörd".to_owned() };
    let mut frames = Vec::new();
    let mut group = c.benchmark_group("chunk");
    group.throughput(Throughput::Elements(1));
    group.bench_function("text-delta as a frame", |b| {
        b.iter(|| {
            frames.clear();
            black_box(&delta).write_to(&mut frames);
            frames.len()
        });
    });
    group.finish();
}

criterion_group!(hot, key_check, chunk_serialisation);
criterion_main!(hot);
