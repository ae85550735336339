//! A server with a file of its own, and the people who talk to it.

use std::{
    io::Write,
    net::SocketAddr,
    num::NonZeroU32,
    sync::{Arc, LazyLock, Mutex},
};

use alm::{
    catalog::Catalog,
    http::{
        App,
        cors::Cors,
        serve::{Limits, Listener, serve},
    },
    key::{self, Env, Scope},
    model::upstream::{UpstreamOptions, Upstreams},
    seal::Sealer,
    store::{Store, Tenant},
    turn::Engine,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{runtime::Runtime, sync::oneshot};
use ureq::http::{HeaderMap, HeaderValue, Request};

/// Chats a minute: none of these tests is about it but one.
const CHATS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(60).unwrap();

/// One runtime for every server of this process.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    collect_logs();
    Runtime::new().unwrap()
});

/// Everything any server of this process has logged.
static LOGS: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// A running server. It ends when it is dropped.
pub struct Server {
    pub app: Arc<App>,
    pub sealer: Sealer,
    pub folder: TempDir,
    address: SocketAddr,
    _stop: oneshot::Sender<()>,
}

/// Someone who talks to it.
#[derive(Clone)]
pub struct Client {
    address: SocketAddr,
    /// The key, if there is one.
    pub key: Option<String>,
    headers: Vec<(&'static str, String)>,
}

/// What they heard.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Server {
    /// On a free port, with an empty data folder.
    pub fn start() -> Self {
        Self::start_with(Cors::default())
    }

    /// With pages of other origins.
    pub fn start_with(cors: Cors) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), 4).unwrap();
        let sealer = Sealer::open(&folder.path().join("alm.key")).unwrap();
        let catalog = Arc::new(Catalog::new(store.clone(), sealer.clone(), Vec::new()));
        let (stop, stopped) = oneshot::channel::<()>();
        let _runtime = RUNTIME.enter();
        let upstreams = Arc::new(Upstreams::new(&UpstreamOptions::default()).unwrap());
        let engine = Engine::new(store.clone(), catalog.clone(), upstreams);
        let app = Arc::new(App::new(store, catalog, engine, cors, CHATS_PER_MINUTE));
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr();
        let endpoint = alm::http::endpoint(app.clone());
        RUNTIME.spawn(serve(listener, endpoint, Limits::default(), async move { drop(stopped.await) }));
        Server { app, sealer, folder, address, _stop: stop }
    }

    /// The owner of an organization, with a live key of every scope. The organization is made on first mention.
    pub fn org(&self, slug: &str) -> Client {
        self.key(slug, Env::Live, &Scope::ALL)
    }

    /// The owner of an organization with another key.
    pub fn key(&self, slug: &str, env: Env, scopes: &[Scope]) -> Client {
        let tenant = self.tenant(slug);
        let key = key::generate(env).unwrap();
        let kept = self.app.store.org(&tenant).create_key(&key, "test".into(), env, scopes.to_vec(), None).wait();
        kept.unwrap();
        Client { key: Some(key.text), ..self.anonymous() }
    }

    /// Nobody.
    pub fn anonymous(&self) -> Client {
        Client { address: self.address, key: None, headers: Vec::new() }
    }

    /// An organization as the store knows it.
    pub fn tenant(&self, slug: &str) -> Tenant {
        let store = &self.app.store;
        let org = store.org_by_slug(slug);
        org.unwrap_or_else(|_| store.create_org(slug, &format!("owner@{slug}.example"), None).unwrap()).tenant()
    }
}

/// A future's value, for tests that are not futures.
pub trait Wait: Future + Sized {
    /// Waits for it.
    fn wait(self) -> Self::Output {
        RUNTIME.block_on(self)
    }
}

impl<F: Future> Wait for F {}

impl Client {
    /// With one more header.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub fn get(&self, path: &str) -> Reply {
        self.send("GET", path, None)
    }

    pub fn post(&self, path: &str, body: Value) -> Reply {
        self.send("POST", path, Some(body.to_string()))
    }

    pub fn patch(&self, path: &str, body: Value) -> Reply {
        self.send("PATCH", path, Some(body.to_string()))
    }

    pub fn delete(&self, path: &str) -> Reply {
        self.send("DELETE", path, None)
    }

    /// Asks before it sends a body: one that is refused by its length alone is never sent.
    pub fn asking_first(&self) -> Self {
        self.clone().header("expect", "100-continue")
    }

    /// Any request; a body is sent as JSON. Paths begin behind `/api/v1` unless they are of the server itself.
    pub fn send(&self, method: &str, path: &str, body: Option<String>) -> Reply {
        let prefix = if path.starts_with("//") { "/" } else { "/api/v1/" };
        let url = format!("http://{}{prefix}{}", self.address, path.trim_start_matches('/'));
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in self.key.iter().map(|key| ("authorization", format!("Bearer {key}"))) {
            request = request.header(name, value);
        }
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in &self.headers {
            let value = HeaderValue::from_str(value).unwrap();
            request.headers_mut().unwrap().insert(*name, value);
        }
        let config = ureq::Agent::config_builder().http_status_as_error(false).allow_non_standard_methods(true);
        let agent = config.build().new_agent();
        let mut response = match body {
            Some(body) => agent.run(request.body(body).unwrap()),
            None => agent.run(request.body(()).unwrap()),
        }
        .unwrap();
        let text = response.body_mut().read_to_string().unwrap();
        Reply { status: response.status().as_u16(), headers: response.headers().clone(), text }
    }
}

impl Reply {
    /// The JSON of the body.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// The data of a success of that status; checks the whole envelope.
    #[track_caller]
    pub fn ok(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        assert!(self.text.starts_with(r#"{"success":true,"data":"#), "{}", self.text);
        assert_eq!(self.headers["content-type"], "application/json");
        let json = self.json();
        assert_eq!(json.as_object().unwrap().len(), 2, "{}", self.text);
        json["data"].clone()
    }

    /// The error of a failure; checks the whole envelope.
    #[track_caller]
    pub fn fails(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        assert!(self.text.starts_with(r#"{"success":false,"error":{"code":"#), "{}", self.text);
        let mut json = self.json();
        let error = json["error"].take();
        assert_eq!(error["code"], code, "{}", self.text);
        assert!(!error["message"].as_str().unwrap().is_empty());
        assert_eq!(error["requestId"].as_str().unwrap(), self.headers["x-request-id"]);
        let known = ["code", "message", "requestId", "details"];
        assert!(error.as_object().unwrap().keys().all(|key| known.contains(&key.as_str())), "{error}");
        assert!(error.get("details").is_none_or(Value::is_object));
        assert_eq!(self.headers["content-type"], "application/json");
        error
    }

    /// The fields that a 422 names.
    #[track_caller]
    pub fn invalid(&self) -> Vec<String> {
        let error = self.fails(422, "VALIDATION_ERROR");
        let fields = error["details"]["fields"].as_array().unwrap();
        fields.iter().map(|field| field["field"].as_str().unwrap().to_owned()).collect()
    }
}

/// The text of one field of every item of a list.
pub fn column(data: &Value, field: &str) -> Vec<String> {
    data["items"].as_array().unwrap().iter().map(|item| item[field].as_str().unwrap().to_owned()).collect()
}

/// A user's message with that text, as the API takes it.
pub fn user(text: &str) -> Value {
    json!({ "role": "user", "content": text })
}

/// Everything logged so far.
pub fn logs() -> String {
    String::from_utf8_lossy(&LOGS.lock().unwrap()).into_owned()
}

fn collect_logs() {
    struct Collect;
    impl Write for Collect {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            LOGS.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    // The client of these tests lives in the same process; what it logs of its own requests proves nothing.
    tracing_subscriber::fmt().json().with_env_filter("alm=trace").with_writer(|| Collect).init();
}
