//! How a server is set up.

use std::{
    net::SocketAddr,
    num::NonZeroU32,
    path::PathBuf,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use tokio::sync::watch;

use super::{
    Server,
    error::Error,
    folder::{Opened, announce, open},
    handle::blocking,
    model_file::{self, ModelFile},
};
use crate::{
    catalog::{Catalog, EnvProvider, NewCassette},
    child::{self, Children},
    error::{Error as Cause, Result as Fallible},
    http::{
        serve::{Limits, Listener, nofile_limit},
        state::{Admission, App, cors::Cors, hosts::Hosts, proxies::Proxies},
    },
    model::{
        cassette::{Match, RecordOptions, Speed},
        local::Around,
        upstream::Upstreams,
    },
    outbound::{self, Allowed},
    tools::{
        Tool, Tools,
        host::{self, HostTool},
        mcp::stdio::Commands,
    },
    turn::engine::{Engine, RESPONSE_KEEP},
};

/// Chats that a person may start in a minute unless the host says otherwise.
const CHATS_PER_MINUTE: u32 = 60;
/// What a person may ask models in a minute on the OpenAI-compatible face, unless the host says otherwise: clients ask
/// once for each step of a tool.
const V1_PER_MINUTE: u32 = 600;
/// How long running replies may take to finish unless the host says otherwise.
const DRAIN: Duration = Duration::from_secs(30);
/// What a drained connection gets on top of its turn's drain, to send the last words.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Why a server that was told so starts no command.
const NO_COMMANDS: &str = "this server starts no commands: it was told --no-commands";

/// Reads variables, as `std::env::var` does.
type Variables = Box<dyn Fn(&str) -> Option<String> + Send>;

/// The settings of a server. Only [`Builder::data_dir`] has no default.
#[must_use = "a builder does nothing until it is built"]
pub struct Builder {
    data_dir: Option<PathBuf>,
    secret_key_file: Option<PathBuf>,
    listen: SocketAddr,
    metrics_listen: Option<SocketAddr>,
    chats_per_minute: u32,
    v1_per_minute: u32,
    drain: Duration,
    responses_keep: Duration,
    cors_origins: Vec<String>,
    allow_hosts: Vec<String>,
    trust_proxies: Vec<String>,
    ca_file: Option<PathBuf>,
    proxy_from_env: bool,
    upstream_allow: Vec<String>,
    tool_allow: Vec<String>,
    tool_proxy: Option<String>,
    setup_link: bool,
    variables: Option<Variables>,
    log_lines_lost: Option<Arc<AtomicU64>>,
    record: Option<PathBuf>,
    record_files: bool,
    cassettes: Vec<NewCassette>,
    tools: Vec<host::Given>,
    /// The `alm` that starts children.
    program: Option<PathBuf>,
    starts_commands: bool,
    local_models: Vec<ModelFile>,
}

impl Server {
    /// The settings of a new server: it listens on a free port of 127.0.0.1.
    pub fn builder() -> Builder {
        Builder {
            data_dir: None,
            secret_key_file: None,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            metrics_listen: None,
            chats_per_minute: CHATS_PER_MINUTE,
            v1_per_minute: V1_PER_MINUTE,
            drain: DRAIN,
            responses_keep: RESPONSE_KEEP,
            cors_origins: Vec::new(),
            allow_hosts: Vec::new(),
            trust_proxies: Vec::new(),
            ca_file: None,
            proxy_from_env: false,
            upstream_allow: Vec::new(),
            tool_allow: Vec::new(),
            tool_proxy: None,
            setup_link: false,
            variables: None,
            log_lines_lost: None,
            record: None,
            record_files: false,
            cassettes: Vec::new(),
            tools: Vec::new(),
            program: None,
            starts_commands: true,
            local_models: Vec::new(),
        }
    }
}

impl Builder {
    /// The folder that holds everything; created if it is missing.
    pub fn data_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(folder.into());
        self
    }

    /// The file with the key that seals providers' keys; `alm.key` in the data folder by default.
    pub fn secret_key_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.secret_key_file = Some(file.into());
        self
    }

    /// Where to listen. Port 0 is a free one.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// Where to serve Prometheus metrics, at `/metrics`; nowhere by default.
    pub fn metrics_listen(mut self, address: SocketAddr) -> Self {
        self.metrics_listen = Some(address);
        self
    }

    /// Chats that a person may start in a minute; 60 by default.
    pub fn chats_per_minute(mut self, chats: u32) -> Self {
        self.chats_per_minute = chats;
        self
    }

    /// Requests to models on the OpenAI-compatible face that a person may make in a minute; 600 by default.
    pub fn v1_per_minute(mut self, requests: u32) -> Self {
        self.v1_per_minute = requests;
        self
    }

    /// How long running replies may take to finish when the server goes down; 30 seconds by default.
    pub fn drain(mut self, patience: Duration) -> Self {
        self.drain = patience;
        self
    }

    /// How long a response, and its conversation, is kept after the last turn. 30 days unless the host says otherwise.
    pub fn responses_keep(mut self, keep: Duration) -> Self {
        self.responses_keep = keep;
        self
    }

    /// An origin whose web pages may call the API, such as `https://app.example.com`. None by default. `*` lets every page call the
    /// OpenAI-compatible face at `/v1`, and nothing else.
    pub fn cors_origin(mut self, origin: impl Into<String>) -> Self {
        self.cors_origins.push(origin.into());
        self
    }

    /// A name, besides loopback's own, by which a server on loopback is reached, such as through a proxy.
    pub fn allow_host(mut self, name: impl Into<String>) -> Self {
        self.allow_hosts.push(name.into());
        self
    }

    /// A proxy whose `X-Forwarded-For` is believed: an address, a network such as `10.0.0.0/8`, or `unix` for whoever comes by a
    /// Unix socket. None by default; without it everybody who comes through a proxy is one address.
    pub fn trust_proxy(mut self, proxy: impl Into<String>) -> Self {
        self.trust_proxies.push(proxy.into());
        self
    }

    /// Certificate authorities (PEM or DER) to trust for providers instead of the public ones.
    pub fn ca_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.ca_file = Some(file.into());
        self
    }

    /// Reaches providers through the proxy that `HTTPS_PROXY`, `HTTP_PROXY` or `ALL_PROXY` names, except for the hosts in
    /// `NO_PROXY`; this machine is always reached directly. By default the environment is not read.
    pub fn proxy_from_env(mut self) -> Self {
        self.proxy_from_env = true;
        self
    }

    /// What the providers that owners add may reach: a host, an address or a network, each with a port or without. Named once, they
    /// reach nothing else; by default all but link-local addresses and the clouds' own. Providers of [`crate::Handle::connect`], of
    /// [`Builder::variables`] and of the command line are not held to it.
    pub fn upstream_allow(mut self, place: impl Into<String>) -> Self {
        self.upstream_allow.push(place.into());
        self
    }

    /// What tools reach besides public addresses: a host, an address or a network, each with a port or without, such as
    /// `tools.example.com:8080`, `10.0.0.7` or `[fd00::/8]:443`.
    pub fn tool_allow(mut self, place: impl Into<String>) -> Self {
        self.tool_allow.push(place.into());
        self
    }

    /// The HTTP proxy that tools go through; none by default. It resolves names for itself: only names, and addresses as they are
    /// written, are tested then.
    pub fn tool_proxy(mut self, url: impl Into<String>) -> Self {
        self.tool_proxy = Some(url.into());
        self
    }

    /// Offers a link that creates the first organization while there is none: see [`Server::setup_url`].
    pub fn setup_link(mut self) -> Self {
        self.setup_link = true;
        self
    }

    /// Lets every organization use the providers that these variables name: `OLLAMA_HOST`, and `OPENAI_BASE_URL` with
    /// `OPENAI_API_KEY`. `alm serve` passes the environment: `|name| std::env::var(name).ok()`.
    pub fn variables(mut self, read: impl Fn(&str) -> Option<String> + Send + 'static) -> Self {
        self.variables = Some(Box::new(read));
        self
    }

    /// An `alm` program. The MCP servers that are commands and local models run as its children, since a host program's own file
    /// cannot start them; without one they do not run. Of this process's variables they get `PATH`, `HOME`, `LANG`, `LC_ALL`, `TZ`, `TMPDIR`,
    /// `USER` and `LOGNAME`, and those that they were added with.
    pub fn program(mut self, alm: impl Into<PathBuf>) -> Self {
        self.program = Some(alm.into());
        self
    }

    /// Starts no command, whoever has added it.
    pub fn no_commands(mut self) -> Self {
        self.starts_commands = false;
        self
    }

    /// Runs a model in a GGUF file: every organization has it as `local/NAME`, free, and asks the first one where it names no other.
    /// Needs llama.cpp's `llama-server`, and [`Builder::program`]. It is loaded once the server runs; what is wrong with the file is
    /// said by [`Builder::build`].
    pub fn local_model(mut self, file: ModelFile) -> Self {
        self.local_models.push(file);
        self
    }

    /// Gives agents a tool that is code of this program.
    pub fn tool(mut self, tool: impl HostTool) -> Self {
        self.tools.push(host::Given::new(tool));
        self
    }

    /// Appends what people write, and what models and tools answer, to this cassette, which is made if it is missing. Secrets are
    /// looked for and left out; people's words are kept. See `docs/cassettes.md`.
    pub fn record(mut self, file: impl Into<PathBuf>) -> Self {
        self.record = Some(file.into());
        self
    }

    /// Records the files that people send, too.
    pub fn record_files(mut self) -> Self {
        self.record_files = true;
        self
    }

    /// Lets every organization ask the models of a cassette, as `slug/…`: each gets the answer that was recorded to the same
    /// request, at once, and nothing else. See `docs/cassettes.md`.
    pub fn cassette(self, slug: impl Into<String>, file: impl Into<PathBuf>) -> Self {
        self.cassette_played(slug.into(), file.into(), Speed::Instant, Match::Exact)
    }

    /// The same so fast, and looked for so far.
    #[doc(hidden)]
    pub fn cassette_played(mut self, slug: String, file: PathBuf, speed: Speed, reach: Match) -> Self {
        self.cassettes.push(NewCassette { slug, file, speed, reach, real_tools: false, models: Vec::new() });
        self
    }

    /// Where the program counts the lines that its log has lost, for the metrics.
    #[doc(hidden)]
    pub fn log_lines_lost(mut self, count: Arc<AtomicU64>) -> Self {
        self.log_lines_lost = Some(count);
        self
    }

    fn outbound(&self) -> Fallible<outbound::Options> {
        Ok(outbound::Options {
            ca_file: self.ca_file.clone(),
            proxy_from_env: self.proxy_from_env,
            upstream_allow: Allowed::parse(&self.upstream_allow, "upstream_allow")?,
            tool_allow: Allowed::parse(&self.tool_allow, "tool_allow")?,
            tool_proxy: self.tool_proxy.clone(),
            ..outbound::Options::default()
        })
    }

    /// The cassette that is recorded, and how.
    fn recording(&self) -> Option<(PathBuf, RecordOptions)> {
        let how = RecordOptions { with_files: self.record_files, licence: None };
        self.record.clone().map(|file| (file, how))
    }

    /// Locks and opens the data folder, upgrades its file, recovers what an earlier process left, and listens. Needs a
    /// tokio runtime with time and I/O.
    pub async fn build(self) -> Result<Server, Error> {
        let (options, record) = (self.outbound()?, self.recording());
        let cors = Cors::parse(&self.cors_origins)?;
        let proxies = Proxies::new(&self.trust_proxies)?;
        let chats_per_minute = at_least_one("chats_per_minute", self.chats_per_minute)?;
        let folder =
            self.data_dir.ok_or_else(|| Cause::invalid("data_dir", "name the folder that holds everything"))?;
        let v1_per_minute = at_least_one("v1_per_minute", self.v1_per_minute)?;
        host::check(&self.tools)?;
        let hosts = self.tools.into_iter().map(Tool::from).collect();
        let children = Arc::new(Children::new(self.program.ok_or(child::NO_PROGRAM)));
        let none = || Arc::new(Children::new(Err(NO_COMMANDS)));
        let commands = if self.starts_commands { children.clone() } else { none() };
        let commands = Arc::new(Commands::new(folder.clone(), commands));
        let named = self.variables.map(EnvProvider::from_env).unwrap_or_default();
        let secrets = named.iter().flat_map(EnvProvider::secrets).collect();
        let (place, key_file, wants_setup) = (folder.clone(), self.secret_key_file, self.setup_link);
        let opened = blocking(move || open(&place, key_file, wants_setup, record, secrets)).await?;
        let Opened { store, lock: locked, sealer, cookie, setup, recorder } = opened;
        let (setup, setup_code) = setup.unzip();
        let upstreams = Arc::new(Upstreams::new(&options)?.recorded_by(recorder.clone()));
        let around = Around { folder, children, sockets: options.sockets.clone(), upstreams: upstreams.clone() };
        let local = blocking(move || model_file::local_models(self.local_models, around)).await?;
        let clients = Arc::new(outbound::ToolClients::new(&options)?);
        let tools = Tools::with_commands(store.clone(), sealer.clone(), clients, commands.clone(), hosts);
        let catalog = Catalog::new(store.clone(), sealer, named, upstreams).with_local(local.clone());
        let catalog = Arc::new(blocking(move || catalog.with_cassettes(self.cassettes)).await?);
        let engine = Engine::new(store.clone(), catalog.clone(), tools.clone(), self.responses_keep);
        engine.recover().await?;
        tools.mcp().start_all()?;
        let hosts = Hosts::of_listener(self.listen.ip(), &self.allow_hosts);
        let admission = Admission { cors, hosts, proxies, cookie, setup, chats_per_minute, v1_per_minute };
        let mut app = App::new(store, catalog, tools, engine.clone(), admission);
        if let Some(count) = self.log_lines_lost {
            app.metrics.add_log_lines_lost(count);
        }
        let listener = Listener::bind(self.listen)?;
        let bind = |address: SocketAddr| {
            Listener::bind(address).map(|it| (it, Hosts::of_listener(address.ip(), &self.allow_hosts)))
        };
        let metrics = self.metrics_listen.map(bind).transpose()?;
        let url = url_of(listener.local_addr());
        announce(&locked, &url);
        local.start();
        Ok(Server {
            app: Arc::new(app),
            engine,
            url,
            listener,
            metrics,
            setup_code,
            drain: self.drain,
            limits: Limits { drain_timeout: LAST_WORDS, ..Limits::default() }.within(nofile_limit()),
            commands,
            recorder,
            local,
            stop: Arc::new(watch::Sender::new(false)),
            _lock: locked,
        })
    }
}

fn at_least_one(field: &'static str, number: u32) -> Fallible<NonZeroU32> {
    NonZeroU32::new(number).ok_or_else(|| Cause::invalid(field, "must be at least 1"))
}

/// Where a server is reached on this machine; one on every address is reached on loopback.
pub(crate) fn url_of(address: SocketAddr) -> String {
    let mut reached = address;
    if address.ip().is_unspecified() {
        reached.set_ip(match address {
            SocketAddr::V4(_) => [127, 0, 0, 1].into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    format!("http://{reached}")
}
