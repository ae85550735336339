//! A stop in the middle of a tool, in one process: here a tool can be made to wait.

use std::sync::{Arc, mpsc};

use futures_util::StreamExt;

use crate::{
    catalog::Catalog,
    model::upstream::{UpstreamOptions, Upstreams},
    seal::{self, Sealer},
    store::{
        Store,
        messages::{Role, Status},
    },
    turn::{
        Engine,
        ask::{Ask, AskedSession, Posted, Trigger},
        live::Reader,
        parts,
    },
};

/// Adds to `heard` what comes, until it holds `end`.
async fn hear(reader: &mut Reader, heard: &mut String, end: &str) {
    while !heard.contains(end) {
        let piece = reader.next().await.unwrap_or_else(|| panic!("no {end} in {heard}")).unwrap();
        heard.push_str(str::from_utf8(&piece).unwrap());
    }
}

#[test]
fn a_stop_does_not_wait_for_a_tool_and_closes_its_call() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), 2).unwrap();
    let tenant = store.create_org("acme", "a@example.com", None).unwrap().tenant();
    let sealer = Sealer::open(&folder.path().join(seal::FILE_NAME)).unwrap();
    let builder = &mut tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(1).max_blocking_threads(1).enable_all().build().unwrap();
    // The one thread that a search could run on is taken until the test is over.
    let (release, taken) = mpsc::channel::<()>();
    runtime.spawn_blocking(move || taken.recv());
    runtime.block_on(async {
        let catalog = Arc::new(Catalog::new(store.clone(), sealer, Vec::new()));
        let upstreams = Arc::new(Upstreams::new(&UpstreamOptions::default()).unwrap());
        let engine = Engine::new(store.clone(), catalog, upstreams);
        let question = Posted {
            id: None,
            role: Role::User,
            parts: parts::of_text(r#"Call search_history with {"query": "tea"}"#),
        };
        let ask = Ask {
            tenant: tenant.clone(),
            test: false,
            session: AskedSession::Client("c".into()),
            agent: None,
            project: None,
            model: None,
            messages: vec![question],
            trigger: Trigger::Submit,
            request_id: "r".into(),
            claim: None,
        };
        let started = engine.begin(ask).await.unwrap();
        let (mut reader, mut heard) = (started.live.reader(), String::new());
        hear(&mut reader, &mut heard, "tool-input-available").await;
        let stopped = engine.stop(&tenant, "c").await;
        hear(&mut reader, &mut heard, "data: [DONE]").await;
        assert!(heard.ends_with("data: {\"type\":\"abort\"}\n\ndata: [DONE]\n\n"), "{heard}");
        let org = store.org(&tenant);
        let (history, _) = org.history(org.session("c").unwrap().seq, usize::MAX).unwrap();
        assert_eq!((Some(&history[1].id), history[1].status), (stopped.as_ref(), Status::Stopped));
        assert!(history[1].parts.contains("\"output-error\"") && !history[1].parts.contains("\"input-available\""));
    });
    drop(release);
}
