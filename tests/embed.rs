//! The library inside another program: what a host does with it, and what it leaves alone.

use std::{
    io::Read,
    net::{SocketAddr, TcpListener},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use alm::{ApiKey, Approval, Builder, ErrorKind, Provider, Scopes, Server, Tool, ToolCall, ToolSpec};
use serde_json::{Value, json};

/// A request as any client sends it. The status of its answer.
fn status(url: &str, path: &str, key: &str) -> u16 {
    let agent = ureq::Agent::from(ureq::Agent::config_builder().http_status_as_error(false).build());
    let request = agent.get(format!("{url}{path}")).header("authorization", format!("Bearer {key}"));
    request.call().unwrap().status().as_u16()
}

/// Asks `model` from a thread of its own, which ends with the connection.
fn ask(url: &str, key: &ApiKey, model: &str) -> std::thread::JoinHandle<()> {
    let body = serde_json::json!({ "model": model, "messages": [{ "role": "user", "content": "Hello" }] }).to_string();
    let request = ureq::post(format!("{url}/api/v1/chat")).header("content-type", "application/json");
    let request = request.header("authorization", format!("Bearer {}", key.expose()));
    std::thread::spawn(move || drop(request.send(body).map(|response| response.into_body().read_to_string())))
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
    let (folder, has_log) = (std::env::current_dir().unwrap(), tracing::dispatcher::has_been_set());
    format!("{}\n{limits}\n{variables:?}\n{folder:?} {has_log}", signals.collect::<Vec<_>>().join("\n"))
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

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_run_frees_its_ports_and_its_folder_and_ends_its_replies() {
    let folder = tempfile::tempdir().unwrap();
    let metrics = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let model = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = Server::builder().data_dir(folder.path()).metrics_listen(metrics).build().await.unwrap();
    let (address, url) = (server.local_addr().unwrap(), server.url().unwrap().to_owned());
    let org = server.handle().ensure_org("acme").await.unwrap();
    let key = org.create_key("app", Scopes::ALL).await.unwrap();
    let silent = Provider::new("silent", &format!("http://{}/v1", model.local_addr().unwrap())).model("m");
    org.connect(silent).await.unwrap();

    let served = tokio::spawn(server.run(std::future::pending()));
    let asking = ask(&url, &key, "silent/m");
    let mut asked = tokio::task::spawn_blocking(move || model.accept().unwrap().0).await.unwrap();
    served.abort();
    assert!(served.await.unwrap_err().is_cancelled());

    let again = Server::builder().data_dir(folder.path()).listen(address).metrics_listen(metrics).build().await;
    assert!(again.is_ok(), "{:?}", again.err());
    // The model's connection ends, since nobody waits for it any more.
    tokio::task::spawn_blocking(move || asked.read_to_end(&mut Vec::new()).unwrap()).await.unwrap();
    asking.join().unwrap();
}

/// Has a server ask a model far away, by way of whatever proxy it finds.
fn ask_far_away(set: impl FnOnce(Builder) -> Builder) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    runtime.block_on(async {
        let server = set(Server::builder().data_dir(folder.path())).build().await.unwrap();
        let org = server.handle().ensure_org("acme").await.unwrap();
        org.connect(Provider::new("far", "http://far.invalid/v1").model("m")).await.unwrap();
        let key = org.create_key("app", Scopes::ALL).await.unwrap();
        let (url, handle) = (server.url().unwrap().to_owned(), server.handle());
        let asking = tokio::task::spawn_blocking(move || {
            ask(&url, &key, "far/m").join().unwrap();
            handle.stop();
        });
        server.run(std::future::pending()).await.unwrap();
        asking.await.unwrap();
    });
}

#[test]
fn the_environments_proxy_is_asked_only_if_the_host_says_so() {
    const CHILD: &str = "EMBED_TEST_PROXY";
    match std::env::var(CHILD).as_deref() {
        Ok("used") => return ask_far_away(Builder::proxy_from_env),
        Ok(_) => return ask_far_away(|builder| builder),
        Err(_) => {}
    }
    // A variable is a process's own: the test runs itself once more, where a proxy is named that hangs up.
    for (wish, is_asked) in [("used", true), ("not used", false)] {
        let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_environments_proxy_is_asked_only_if_the_host_says_so"])
            .env("HTTP_PROXY", format!("http://{}", proxy.local_addr().unwrap()))
            .env("NO_PROXY", "127.0.0.1")
            .envs([("ALL_PROXY", ""), ("HTTPS_PROXY", ""), ("https_proxy", ""), (CHILD, wish)])
            .spawn();
        let mut child = child.unwrap();
        proxy.set_nonblocking(true).unwrap();
        let mut connections = 0;
        while child.try_wait().unwrap().is_none() {
            connections += usize::from(proxy.accept().is_ok());
            std::thread::yield_now();
        }
        connections += usize::from(proxy.accept().is_ok());
        assert!(child.wait().unwrap().success(), "{wish}");
        assert_eq!(connections > 0, is_asked, "{wish}");
    }
}

/// A tool that does what its name says.
struct Own {
    name: &'static str,
    approval: Approval,
    ran: Arc<AtomicUsize>,
}

impl Tool for Own {
    fn spec(&self) -> ToolSpec {
        let schema = json!({ "type": "object", "properties": { "town": { "type": "string" } } });
        let spec = ToolSpec::new(self.name, "What its name says.", schema).approval(self.approval);
        if self.name == "sleeps" { spec.timeout(Duration::from_millis(100)) } else { spec }
    }

    async fn run(&self, call: ToolCall) -> Result<Value, String> {
        self.ran.fetch_add(1, Ordering::SeqCst);
        match self.name {
            "panics" => panic!("the tool is broken, as it should be"),
            "refuses" => Err(format!("There is no weather in {}.", call.input["town"])),
            "sleeps" => std::future::pending().await,
            _ => Ok(json!({ "sky": "clear", "town": call.input["town"], "session": call.session_id })),
        }
    }
}

/// Sends a JSON body and reads the answer to its end.
fn post(url: &str, path: &str, key: &ApiKey, body: &Value) -> String {
    let agent = ureq::Agent::from(ureq::Agent::config_builder().http_status_as_error(false).build());
    let request = agent.post(format!("{url}/api/v1{path}")).header("content-type", "application/json");
    let request = request.header("authorization", format!("Bearer {}", key.expose()));
    request.send(body.to_string()).unwrap().into_body().read_to_string().unwrap()
}

/// What the built-in model's call of a tool came to, as the chat's stream tells it.
fn call(url: &str, key: &ApiKey, session: &str, tool: &str, input: &Value) -> String {
    let text = format!("Call {tool} with {input}");
    post(url, "/chat", key, &json!({ "id": session, "messages": [{ "role": "user", "content": text }] }))
}

/// A server with these tools, which runs until its task is aborted.
async fn with_tools(
    folder: &std::path::Path,
    tools: &[(&'static str, Approval)],
    ran: &Arc<AtomicUsize>,
) -> (String, ApiKey, tokio::task::JoinHandle<()>) {
    let own = |builder: Builder, (name, approval): &(&'static str, Approval)| {
        builder.tool(Own { name, approval: *approval, ran: ran.clone() })
    };
    let builder = Server::builder().data_dir(folder).drain(Duration::from_secs(1));
    let server = tools.iter().fold(builder, own).build().await.unwrap();
    let org = server.handle().ensure_org("acme").await.unwrap();
    let key = org.create_key("app", Scopes::ALL).await.unwrap();
    let url = server.url().unwrap().to_owned();
    (url, key, tokio::spawn(async move { server.run(std::future::pending()).await.unwrap() }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_is_code_of_the_host_runs_and_whatever_it_does_its_call_ends() {
    let (folder, ran) = (tempfile::tempdir().unwrap(), Arc::default());
    let names = ["weather", "panics", "refuses", "sleeps"].map(|name| (name, Approval::Never));
    let (url, key, running) = with_tools(folder.path(), &names, &ran).await;
    let asked = tokio::task::spawn_blocking(move || {
        let input = json!({ "town": "Oslo" });
        [
            call(&url, &key, "a", "weather", &input),
            call(&url, &key, "b", "panics", &input),
            call(&url, &key, "c", "refuses", &input),
            call(&url, &key, "d", "sleeps", &input),
            call(&url, &key, "e", "weather", &json!({ "town": 7 })),
        ]
    });
    let [weather, panics, refuses, sleeps, wrong] = asked.await.unwrap();
    assert!(weather.contains(r#""output":{"sky":"clear","town":"Oslo","session":"a"},"dynamic":true"#), "{weather}");
    assert!(panics.contains(r#""errorText":"The tool panics failed.""#), "{panics}");
    assert!(refuses.contains(r#""errorText":"There is no weather in \"Oslo\".""#), "{refuses}");
    let late = "No answer came within 100 ms. It may have taken effect: check before you call it again.";
    assert!(sleeps.contains(late), "{sleeps}");
    assert!(wrong.contains("weather: town: ") && wrong.contains("tool-input-error"), "{wrong}");
    assert!([&weather, &panics, &refuses, &sleeps, &wrong].iter().all(|reply| reply.contains("data: [DONE]")));
    assert_eq!(ran.load(Ordering::SeqCst), 4, "what does not fit the schema is not run");
    running.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_of_the_hosts_code_that_asks_waits_over_a_restart_and_runs_once() {
    let (folder, ran) = (tempfile::tempdir().unwrap(), Arc::default());
    let tools = [("pay", Approval::Ask)];
    let (url, key, running) = with_tools(folder.path(), &tools, &ran).await;
    let asked = tokio::task::spawn_blocking(move || call(&url, &key, "c", "pay", &json!({ "town": "Oslo" })));
    let asked = asked.await.unwrap();
    let id = asked.split(r#""approvalId":""#).nth(1).expect(&asked).split('"').next().unwrap().to_owned();
    assert_eq!(ran.load(Ordering::SeqCst), 0);
    running.abort();
    drop(running.await);

    let (url, key, running) = with_tools(folder.path(), &tools, &ran).await;
    let answered = tokio::task::spawn_blocking(move || {
        let yes = json!({ "approvals": [{ "approvalId": id, "approved": true }] });
        [post(&url, "/chat/c/resume", &key, &yes), post(&url, "/chat/c/resume", &key, &yes)]
    });
    let [first, again] = answered.await.unwrap();
    assert!(
        first.contains(r#""output":{"sky":"clear""#) && again.contains(r#""output":{"sky":"clear""#),
        "{first}{again}"
    );
    assert_eq!(ran.load(Ordering::SeqCst), 1);
    running.abort();
}

#[tokio::test]
async fn a_tool_that_cannot_be_keeps_the_server_from_starting() {
    let folder = tempfile::tempdir().unwrap();
    let own = Own { name: "Not a name", approval: Approval::Ask, ran: Arc::default() };
    let error = Server::builder().data_dir(folder.path()).tool(own).build().await.map(drop).unwrap_err();
    assert!(error.to_string().contains("Not a name: name: must be 1 to 64"), "{error}");
}
