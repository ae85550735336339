//! The library inside another program: what a host does with it, and what it leaves alone.

use std::{net::SocketAddr, process::Command, time::Duration};

use alm::{ErrorKind, Scopes, Server};

/// A request as any client sends it. The status of its answer.
fn status(url: &str, path: &str, key: &str) -> u16 {
    let agent = ureq::Agent::from(ureq::Agent::config_builder().http_status_as_error(false).build());
    let request = agent.get(format!("{url}{path}")).header("authorization", format!("Bearer {key}"));
    request.call().unwrap().status().as_u16()
}

fn run_example(name: &str, folder: &std::path::Path) -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let done = Command::new(cargo)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["run", "--quiet", "--locked", "--example", name, "--"])
        .arg(folder)
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{out}{err}");
    out.into_owned()
}

#[test]
fn the_example_streams_a_reply_and_ends() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let said = run_example("embed", folder.path());
        assert!(said.contains("alm runs inside this program, on http://127.0.0.1:"), "{said}");
        assert!(said.contains("These I can show you"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_live_in_one_process_and_know_nothing_of_each_other() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut running = Vec::new();
    for folder in &folders {
        let server = Server::builder().data_dir(folder.path()).drain(Duration::from_secs(1)).build().await.unwrap();
        let (url, handle) = (server.url().unwrap().to_owned(), server.handle());
        let org = handle.ensure_org("acme").await.unwrap();
        assert!(org.is_new() && !handle.ensure_org("acme").await.unwrap().is_new());
        let key = org.create_key("app", Scopes::READ | Scopes::CHAT).await.unwrap();
        assert_eq!(org.deposit_microcents(5_000_000, "start").await.unwrap(), 5_000_000);
        assert_eq!(handle.orgs().await.unwrap().len(), 1);
        let served = tokio::spawn(server.run(std::future::pending()));
        running.push((url, key, handle, served));
    }
    let ask = |url: &str, key: &str| {
        let (url, key) = (url.to_owned(), key.to_owned());
        tokio::task::spawn_blocking(move || status(&url, "/api/v1/agents", &key))
    };
    let [(first, first_key, ..), (second, second_key, ..)] = &running[..] else { panic!("two servers") };
    for (url, key, expected) in
        [(first, first_key, 200), (second, second_key, 200), (first, second_key, 401), (second, first_key, 401)]
    {
        assert_eq!(ask(url, key.expose()).await.unwrap(), expected);
    }
    for (_, key, handle, served) in running {
        assert!(!format!("{key:?}").contains(key.expose()));
        handle.stop();
        served.await.unwrap().unwrap();
    }
    // Both folders are free again.
    for folder in &folders {
        drop(Server::builder().data_dir(folder.path()).build().await.unwrap());
    }
}

#[tokio::test]
async fn what_keeps_a_server_from_starting_has_a_kind_and_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::builder().data_dir(folder.path()).build().await.unwrap();
    let refused = |builder: alm::Builder| async { builder.build().await.err().expect("a refusal") };

    let in_use = refused(Server::builder().data_dir(folder.path())).await;
    assert_eq!(in_use.kind(), ErrorKind::DataDirInUse, "{in_use}");
    let other = tempfile::tempdir().unwrap();
    let taken: SocketAddr = server.local_addr().unwrap();
    let address = refused(Server::builder().data_dir(other.path()).listen(taken)).await;
    assert_eq!(address.kind(), ErrorKind::AddressInUse, "{address}");
    let newer = tempfile::tempdir().unwrap();
    drop(Server::builder().data_dir(newer.path()).build().await.unwrap());
    let file = rusqlite::Connection::open(newer.path().join("alm.db")).unwrap();
    file.pragma_update(None, "user_version", 1_000).unwrap();
    let newer = refused(Server::builder().data_dir(newer.path())).await;
    assert_eq!(newer.kind(), ErrorKind::NewerFile, "{newer}");
    assert_eq!(refused(Server::builder()).await.kind(), ErrorKind::Invalid);
    assert_eq!(refused(Server::builder().data_dir(other.path()).chats_per_minute(0)).await.kind(), ErrorKind::Invalid);

    let org = server.handle().ensure_org("acme").await.unwrap();
    assert_eq!(org.create_key("", Scopes::ALL).await.err().unwrap().kind(), ErrorKind::Invalid);
    assert_eq!(org.deposit_microcents(-1, "").await.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(server.handle().ensure_org("api").await.err().unwrap().kind(), ErrorKind::Invalid);
}

/// What the kernel says of this process that a library has no business with.
fn process_state() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    // What is caught and what is ignored; a mask is a thread's own.
    let signals = status.lines().filter(|line| line.starts_with("SigCgt") || line.starts_with("SigIgn"));
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let variables: Vec<_> = std::env::vars_os().collect();
    format!("{}\n{limits}\n{variables:?}", signals.collect::<Vec<_>>().join("\n"))
}

#[tokio::test]
async fn a_server_changes_nothing_of_its_process() {
    let before = process_state();
    let folder = tempfile::tempdir().unwrap();
    let server = Server::builder().data_dir(folder.path()).build().await.unwrap();
    server.handle().ensure_org("acme").await.unwrap();
    let handle = server.handle();
    let served = tokio::spawn(server.run(std::future::pending()));
    assert_eq!(process_state(), before);
    handle.stop();
    served.await.unwrap().unwrap();
    assert_eq!(process_state(), before);
}
