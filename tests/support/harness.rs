//! The real server on a real port with a folder of its own, and the people who talk to it.
//!
//! Rule: what is asked goes over HTTP. Only what has no route for a key (organizations, keys, money, providers) goes
//! straight into the file beside the server, as the operator's commands do it; `cli` proves those commands.
//! Deliberately absent: sleeps that hope. [`until`] asks again until a bound.

use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use alm::{
    id,
    key::{self, Env, Scope},
    seal::Sealer,
    store::{
        Store, Tenant,
        keys::KeyTerms,
        providers::{Provider, ProviderModel},
    },
    time::Timestamp,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{client::Client, fake_model::FakeModel};

/// How long anything may take before a test gives up on it.
pub const PATIENCE: Duration = Duration::from_secs(90);
/// Between two looks at something that is about to become true.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);
/// Variables of the one who runs the tests that must not reach the server.
const FOREIGN_VARIABLES: [&str; 9] = [
    "CI",
    "OLLAMA_HOST",
    "OPENAI_BASE_URL",
    "OPENAI_API_KEY",
    "ALM_ORG",
    "ALM_JSON",
    "ALM_URL",
    "ALM_SECRET_KEY_FILE",
    "RUST_LOG",
];

/// A server as one test sees it: its organizations are its own, whoever else uses the same process.
pub struct App {
    server: Arc<Server>,
    space: u32,
}

/// A running process; it ends with the last test that uses it.
struct Server {
    child: Mutex<Child>,
    url: String,
    folder: Arc<TempDir>,
    store: Store,
    output: Arc<Mutex<String>>,
}

/// What a command of the command line did.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// A model of a provider.
#[derive(Clone, Copy)]
pub struct ModelSpec {
    pub name: &'static str,
    /// US dollars per million tokens, in and out.
    pub price: Option<(&'static str, &'static str)>,
    pub context_window: Option<u32>,
}

impl ModelSpec {
    /// One that costs nothing.
    pub const FREE: ModelSpec = ModelSpec { name: "free", price: None, context_window: None };
    /// One microcent a token, in and out.
    pub const PAID: ModelSpec = ModelSpec { name: "paid", price: Some(("1", "1")), context_window: None };
}

impl App {
    /// A server that other tests use as well; the first that needs it starts it.
    pub fn shared() -> Self {
        static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let server = shared.upgrade().unwrap_or_else(|| Arc::new(Server::start(&[], &[], new_folder())));
        *shared = Arc::downgrade(&server);
        App::on(server)
    }

    /// A server of the test's own, with these flags.
    pub fn start(flags: &[&str]) -> Self {
        Self::start_with(flags, &[])
    }

    /// The same, with these variables.
    pub fn start_with(flags: &[&str], variables: &[(&str, &str)]) -> Self {
        App::on(Arc::new(Server::start(flags, variables, new_folder())))
    }

    /// A server on a folder that is there already.
    pub fn start_in(folder: TempDir) -> Self {
        App::on(Arc::new(Server::start(&[], &[], Arc::new(folder))))
    }

    /// What comes after `kill -9`: another server on the same folder.
    pub fn crash(&self) -> Self {
        self.crash_into(&[])
    }

    /// The same, and the other server has these variables.
    pub fn crash_into(&self, variables: &[(&str, &str)]) -> Self {
        let mut child = self.server.child.lock().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let server = Server::start(&[], variables, self.server.folder.clone());
        App { server: Arc::new(server), space: self.space }
    }

    fn on(server: Arc<Server>) -> Self {
        static SPACES: AtomicU32 = AtomicU32::new(1);
        App { server, space: SPACES.fetch_add(1, Ordering::Relaxed) }
    }

    /// Nobody.
    pub fn anonymous(&self) -> Client {
        Client::new(&self.server.url, None)
    }

    /// The owner of an organization, with a live key of every scope. The organization is made on first mention.
    pub fn org(&self, name: &str) -> Client {
        self.key(name, Env::Live, &Scope::ALL)
    }

    /// The owner of an organization with another key.
    pub fn key(&self, name: &str, env: Env, scopes: &[Scope]) -> Client {
        self.key_until(name, env, scopes, None)
    }

    /// The same, with an end.
    pub fn key_until(&self, name: &str, env: Env, scopes: &[Scope], expires_at: Option<Timestamp>) -> Client {
        self.key_of(&self.tenant(name), env, scopes, expires_at)
    }

    fn key_of(&self, tenant: &Tenant, env: Env, scopes: &[Scope], expires_at: Option<Timestamp>) -> Client {
        let key = key::generate(env).unwrap();
        let terms = KeyTerms { env, expires_at, ..KeyTerms::live("test", scopes.to_vec()) };
        wait(self.store().org(tenant).create_key(&key, terms)).unwrap();
        Client::new(&self.server.url, Some(key.text))
    }

    /// Somebody else of an organization, with a live key of every scope. There is no door for members yet.
    pub fn member(&self, name: &str) -> Client {
        let (owner, user_id) = (self.tenant(name), id::generate());
        let file = self.file();
        let user = "INSERT INTO user (id, email, created_at) VALUES (?1, ?1 || '@example.com', 0)";
        file.execute(user, [&user_id]).unwrap();
        let member = "INSERT INTO member (org_id, user_id, role, created_at) VALUES (?1, ?2, 'member', 0)";
        file.execute(member, [&owner.org_id, &user_id]).unwrap();
        self.key_of(&Tenant { user_id, ..owner }, Env::Live, &Scope::ALL, None)
    }

    /// The slug that an organization has in the file.
    pub fn slug(&self, name: &str) -> String {
        format!("{name}-{}", self.space)
    }

    /// An organization as the store knows it.
    pub fn tenant(&self, name: &str) -> Tenant {
        let slug = self.slug(name);
        let org = self.store().org_by_slug(&slug);
        org.unwrap_or_else(|_| self.store().create_org(&slug, &format!("owner@{slug}.example"), None).unwrap()).tenant()
    }

    /// Adds to an organization's balance.
    pub fn deposit(&self, name: &str, microcents: i64) {
        wait(self.store().org(&self.tenant(name)).deposit(microcents, String::new())).unwrap();
    }

    /// Connects a provider called `up`, whose key is `sk-upstream`.
    pub fn provider(&self, name: &str, base_url: &str, models: &[ModelSpec]) -> Provider {
        let price = |text: &str| text.parse().unwrap();
        let model = |spec: &ModelSpec| ProviderModel {
            pricing: spec.price.map(|(input, output)| alm::money::Pricing {
                input: price(input),
                output: price(output),
                cached_input: None,
            }),
            context_window: spec.context_window,
            ..ProviderModel::named(spec.name)
        };
        let sealer = Sealer::open(&self.folder().join(alm::seal::FILE_NAME)).unwrap();
        let mut provider = Provider::new("up", base_url);
        provider.api_key_sealed = Some(sealer.seal("sk-upstream", &provider.seal_context()).unwrap());
        provider.headers = vec![("x-upstream-token".into(), "header-upstream".into())];
        provider.models = models.iter().map(model).collect();
        wait(self.store().org(&self.tenant(name)).create_provider(provider)).unwrap()
    }

    /// The owner of an organization whose chats that name no model are this one's.
    pub fn org_asking(&self, name: &str, model: &FakeModel) -> Client {
        self.provider(name, &model.base_url(), &[ModelSpec::FREE, ModelSpec::PAID]);
        wait(self.store().org(&self.tenant(name)).set_default_model(Some("up/free".into()))).unwrap();
        self.org(name)
    }

    /// The data folder.
    pub fn folder(&self) -> &Path {
        self.server.folder.path()
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.server.url
    }

    /// The file, opened beside the server.
    pub fn store(&self) -> &Store {
        &self.server.store
    }

    /// The file as plain SQLite.
    pub fn file(&self) -> rusqlite::Connection {
        let file = rusqlite::Connection::open(self.folder().join(alm::store::file::FILE_NAME)).unwrap();
        file.busy_timeout(PATIENCE).unwrap();
        file
    }

    /// Everything the server has printed so far.
    pub fn output(&self) -> String {
        self.server.output.lock().unwrap().clone()
    }

    /// Waits until the server has printed that: a log line may come after what it tells of. All that it has printed.
    #[track_caller]
    pub fn says(&self, text: &str) -> String {
        until(&format!("the server to print {text:?}"), || Some(self.output()).filter(|said| said.contains(text)))
    }

    /// The id of the server's process.
    pub fn process(&self) -> u32 {
        self.server.child.lock().unwrap().id()
    }

    /// The signal that asks a server to go down.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends the server that signal.
    pub fn signal(&self, name: &str) {
        assert!(Command::new("kill").args(["-s", name, &self.process().to_string()]).status().unwrap().success());
    }

    /// Waits until the server has ended by itself; its exit code, unless a signal killed it.
    #[track_caller]
    pub fn exit_code(&self) -> Option<i32> {
        until("the server to end", || self.server.child.lock().unwrap().try_wait().unwrap()).code()
    }

    /// A command on the same folder, beside the server.
    pub fn alm(&self, arguments: &[&str]) -> Ran {
        let mut command = alm(arguments);
        Ran::of(command.env("ALM_DATA_DIR", self.folder()))
    }
}

impl Drop for App {
    /// A test that fails shows what the server said meanwhile.
    fn drop(&mut self) {
        if thread::panicking() {
            let output = self.output();
            let told = output.lines().filter(|line| !line.contains(" INFO request "));
            println!("the server:\n{}", told.collect::<Vec<_>>().join("\n"));
        }
    }
}

impl Server {
    fn start(flags: &[&str], variables: &[(&str, &str)], folder: Arc<TempDir>) -> Self {
        let server = alm(&["serve", "--listen", "127.0.0.1:0"]);
        // Whoever runs the tests in the background may ignore what a server is to hear.
        let mut command = Command::new("env");
        command.args(["--default-signal=HUP,INT,QUIT"]).arg(server.get_program()).args(server.get_args());
        for name in FOREIGN_VARIABLES {
            command.env_remove(name);
        }
        command.args(flags).env("ALM_DATA_DIR", folder.path());
        command.envs(variables.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let output = Arc::new(Mutex::new(String::new()));
        collect(child.stdout.take().unwrap(), output.clone());
        collect(child.stderr.take().unwrap(), output.clone());
        let url = until("the server to listen", || {
            let output = output.lock().unwrap();
            let (_, rest) = output.split_once("listening on ")?;
            Some(rest.split_once('\n')?.0.trim().to_owned())
        });
        let store = Store::open(folder.path(), 4).unwrap();
        Server { child: Mutex::new(child), url, folder, store, output }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner());
        // It may be gone already.
        drop(child.kill());
        drop(child.wait());
    }
}

impl Ran {
    /// Runs a command to its end.
    pub fn of(command: &mut Command) -> Self {
        let output = command.stdin(Stdio::null()).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Standard output of a command that did what it was told, without the line end.
    #[track_caller]
    pub fn ok(&self) -> &str {
        assert_eq!((self.code, &*self.stderr), (0, ""), "{self:?}");
        self.stdout.trim_end()
    }

    /// The same, as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(self.ok()).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// What a command that failed said; nothing of it is on standard output.
    #[track_caller]
    pub fn fails(&self, code: i32) -> &str {
        assert_eq!((self.code, &*self.stdout), (code, ""), "{self:?}");
        assert!(!self.stderr.is_empty());
        &self.stderr
    }
}

/// The binary, with these arguments and nothing of the environment that would change its mind.
pub fn alm(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_alm"));
    for name in FOREIGN_VARIABLES {
        command.env_remove(name);
    }
    command.args(arguments);
    command
}

/// Asks until there is an answer.
#[track_caller]
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited too long for {what}");
        thread::sleep(LOOK_INTERVAL);
    }
}

/// A future's value, for tests that are not futures.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// A user's message with that text, as the API takes it.
pub fn user(text: &str) -> Value {
    json!({ "role": "user", "content": text })
}

/// The text of one field of every item of a list.
pub fn column(data: &Value, field: &str) -> Vec<String> {
    data["items"].as_array().unwrap().iter().map(|item| item[field].as_str().unwrap().to_owned()).collect()
}

fn new_folder() -> Arc<TempDir> {
    Arc::new(tempfile::tempdir().unwrap())
}

fn collect(from: impl Read + Send + 'static, into: Arc<Mutex<String>>) {
    thread::spawn(move || {
        let lines = BufReader::new(from).lines().map_while(Result::ok);
        lines.for_each(|line| *into.lock().unwrap() += &(line + "\n"));
    });
}
