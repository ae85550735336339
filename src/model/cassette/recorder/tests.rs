//! That what runs becomes what stands in a file.

use tempfile::TempDir;

use super::*;
use crate::model::cassette::read;

const HI: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\n";

fn recorder(known: KnownSecrets) -> (TempDir, Recorder) {
    let folder = tempfile::tempdir().unwrap();
    let recorder = Recorder::open(&folder.path().join("tour.jsonl"), RecordOptions::default(), known).unwrap();
    (folder, recorder)
}

fn no_secrets() -> KnownSecrets {
    Box::new(|| Ok(Vec::new()))
}

fn question(text: &str) -> Request {
    let messages = vec![Message::User(vec![Content::Text(text.into())])];
    Request { model: "m".into(), messages, ..Request::default() }
}

fn lines(recorder: &Recorder) -> Vec<Value> {
    recorder.flush().unwrap();
    let text = std::fs::read_to_string(recorder.path()).unwrap();
    text.lines().skip(1).map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn an_exchange_is_cut_into_its_events_wherever_its_bytes_are() {
    for (body, events) in [
        ("data: a\n\ndata: b\n\n", vec!["data: a\n\n", "data: b\n\n"]),
        ("data: a\r\n\r\ndata: b\r\n\r\n", vec!["data: a\r\n\r\n", "data: b\r\n\r\n"]),
        ("data: a\n\n\ndata: b", vec!["data: a\n\n", "\ndata: b"]),
        ("{\"a\":\n1}", vec!["{\"a\":\n1}"]),
        ("", vec![]),
    ] {
        let (_folder, recorder) = recorder(no_secrets());
        for size in [1, 2, 3, 5, body.len().max(1)] {
            let mut recording = recorder.begin(&question("Hi"), Vec::new());
            recording.head(Head { status: 200, ..Head::default() }, &["seed".to_owned()], true);
            body.as_bytes().chunks(size).for_each(|piece| recording.hears(piece));
            recording.ends(End::Whole);
            let line = lines(&recorder).pop().unwrap();
            let heard: Vec<_> =
                line["body"].as_array().unwrap().iter().map(|event| event[1].as_str().unwrap()).collect();
            assert_eq!(heard, events, "{body:?} in pieces of {size}");
            assert_eq!(
                (&line["omitted"][0], &line["inThoughts"], &line["end"]),
                (&"seed".into(), &true.into(), &"whole".into())
            );
        }
    }
}

#[test]
fn what_is_dropped_was_stopped_and_what_is_no_text_comes_back() {
    let (_folder, recorder) = recorder(no_secrets());
    drop(recorder.begin(&question("a"), Vec::new()));
    let mut recording = recorder.begin(&question("b"), Vec::new());
    recording.head(Head { status: 200, ..Head::default() }, &[], false);
    recording.hears(b"data: \xf0\x9f\n\ndata: \x98");
    drop(recording);
    let lines = lines(&recorder);
    assert_eq!(
        (&lines[0]["end"], lines[0].get("status"), &lines[1]["end"]),
        (&"stopped".into(), None, &"stopped".into())
    );
    let read = read(recorder.path()).unwrap();
    let body: Vec<_> =
        read.exchanges[1].exchange.body.iter().flat_map(|(_, piece)| piece.bytes().unwrap().to_vec()).collect();
    assert_eq!(body, b"data: \xf0\x9f\n\ndata: \x98");
}

#[test]
fn a_secret_of_an_exchange_is_left_out_of_its_request_and_ends_what_holds_it_in_its_answer() {
    let (_folder, recorder) = recorder(Box::new(|| Ok(vec![Secret::new("named-7")])));
    let own = || vec![Secret::new("owned-8")];
    recorder.begin(&question("named-7 and owned-8"), own()).ends(End::Whole);
    let mut recording = recorder.begin(&question("Say it"), own());
    recording.hears(HI.replace("Hi", "ow").as_bytes());
    recording.hears(HI.replace("Hi", "ned-8").as_bytes());
    recording.ends(End::Whole);
    recorder.tool(ToolExchange { name: "t".into(), output: Some("named-7".into()), ..ToolExchange::default() });
    let lines = lines(&recorder);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!(lines[0]["asked"], "[secret 1] and [secret 2]");
    assert_eq!(lines[1]["output"], "[secret 1]");
    assert_eq!(recorder.kept(), 2);
}

#[test]
fn a_secret_counts_from_the_moment_it_is_known_and_nothing_is_kept_while_nobody_can_say() {
    let (tell, told) = sync_channel(3);
    let known = move || told.recv().unwrap_or_else(|_| Err(Error::failed("nobody tells")));
    let (_folder, recorder) = recorder(Box::new(known));
    let secret = || vec![Secret::new("named-7")];
    for known in [Ok(Vec::new()), Ok(secret()), Err(Error::failed("the disk is gone"))] {
        tell.send(known).unwrap();
        recorder.begin(&question("It is named-7"), Vec::new()).ends(End::Whole);
    }
    let asked: Vec<_> = lines(&recorder).into_iter().map(|line| line["asked"].clone()).collect();
    assert_eq!(asked, ["It is named-7", "It is [secret 1]"]);
}

#[test]
fn an_answer_is_kept_up_to_the_length_of_a_line() {
    let (_folder, recorder) = recorder(no_secrets());
    for bytes in [CASSETTE_LINE_BYTES_MAX, CASSETTE_LINE_BYTES_MAX + 1] {
        let mut recording = recorder.begin(&question("Hi"), Vec::new());
        vec![b' '; bytes].chunks(1 << 20).for_each(|piece| recording.hears(piece));
        assert_eq!(recording.taken.is_some(), bytes <= CASSETTE_LINE_BYTES_MAX, "{bytes}");
    }
    recorder.flush().unwrap();
    assert_eq!(recorder.0.held.load(Ordering::Relaxed), 0, "nothing of it is held any more");
}

#[test]
fn what_runs_at_once_is_held_up_to_what_a_file_may_hold() {
    let (_folder, recorder) = recorder(no_secrets());
    let large = question(&"x".repeat(CASSETTE_BYTES_MAX - 1));
    let running = recorder.begin(&large, Vec::new());
    for (text, is_held) in [("ab", false), ("a", true), ("a", false)] {
        let recording = recorder.begin(&question(text), Vec::new());
        assert_eq!(recording.taken.is_some(), is_held, "{text}");
        std::mem::forget(recording);
    }
    drop(running);
}

#[test]
fn the_file_is_free_once_the_last_clone_is_gone() {
    let (folder, recorder) = recorder(no_secrets());
    let path = folder.path().join("tour.jsonl");
    let again = || Recorder::open(&path, RecordOptions::default(), no_secrets());
    assert!(again().is_err());
    recorder.clone().begin(&question("Hi"), Vec::new()).ends(End::Failed);
    drop(recorder);
    assert_eq!(lines(&again().unwrap()).len(), 1);
}

#[test]
fn so_many_exchanges_wait_and_the_rest_is_left_out() {
    for count in [WAITING_MAX - 1, WAITING_MAX, WAITING_MAX + 1] {
        let (jobs, waiting) = sync_channel(WAITING_MAX);
        let (path, told) = (PathBuf::from("tour.jsonl"), AtomicBool::new(false));
        let (held, kept) = Default::default();
        let recorder = Recorder(Arc::new(Inner { path, jobs: Some(jobs), thread: None, held, kept, told }));
        (0..count).for_each(|_| recorder.tool(ToolExchange::default()));
        assert_eq!(recorder.0.told.load(Ordering::Relaxed), count > WAITING_MAX, "{count}");
        drop(recorder);
        assert_eq!(waiting.iter().count(), count.min(WAITING_MAX));
    }
}
