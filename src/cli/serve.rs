//! `alm serve`: the server.

use std::{
    net::SocketAddr,
    num::NonZeroU32,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use serde_json::json;
use tokio::runtime::Runtime;

use super::{
    address::{self, Address},
    globals::Globals,
    local_models::{self, LocalModels},
    log::{self, LogFormat},
    process::{THIS_PROGRAM, keep_memory_private, raise_nofile_limit, signal_or},
    sidecar::Sidecar,
    text::{as_flags, duration, others_may_write},
    variables::named,
};
use crate::{
    error::{Error, Result},
    http::state::setup_code::SETUP_CODE_LIFE,
    server::{self, Builder, Organization, Server},
    store::file::open_to_writers,
};

#[derive(Debug, clap::Args)]
pub(super) struct Serve {
    /// Where to listen: a port, or an address or a name of this machine with a port
    #[arg(
        long,
        default_value = "127.0.0.1:2560",
        default_value_if("sidecar", "true", "127.0.0.1:0"),
        value_name = "ADDRESS",
        value_parser = address::parse
    )]
    listen: Address,
    /// An organization to create if there is none with that slug
    #[arg(long, value_name = "SLUG")]
    org: Option<String>,
    /// Chats that a person may start in a minute
    #[arg(long, default_value = "60", value_name = "PER MINUTE")]
    chat_rate: NonZeroU32,
    /// Requests to models on /v1 that a person may make in a minute
    #[arg(long, default_value = "600", value_name = "PER MINUTE")]
    v1_rate: NonZeroU32,
    /// How long running replies may take to finish after SIGTERM, SIGINT, SIGHUP or SIGQUIT
    #[arg(
        long,
        default_value = "30s",
        default_value_if("sidecar", "true", "5s"),
        value_parser = duration,
        value_name = "DURATION"
    )]
    drain: Duration,
    /// How long responses are kept after the last turn of their conversation
    #[arg(long, default_value = "30days", value_parser = duration, value_name = "DURATION")]
    responses_keep: Duration,
    /// An origin whose web pages may call the API, or * for any on /v1 alone; repeat, or separate with commas
    #[arg(long, value_delimiter = ',', value_name = "ORIGIN")]
    cors_origin: Vec<String>,
    /// A name by which a server on loopback is reached, such as through a proxy; repeat, or separate with commas
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    allow_host: Vec<String>,
    /// A proxy whose X-Forwarded-For is believed: an address, a network such as 10.0.0.0/8, or unix; repeat, or separate with
    /// commas
    #[arg(long, value_delimiter = ',', value_name = "PROXY")]
    trust_proxy: Vec<String>,
    /// What providers that owners add may reach, and then nothing else: a host, an address or a network, each with a port or
    /// without; repeat, or separate with commas
    #[arg(long, value_delimiter = ',', value_name = "PLACE")]
    upstream_allow: Vec<String>,
    /// What tools reach besides public addresses: a host, an address or a network, each with a port or without; repeat, or
    /// separate with commas
    #[arg(long, value_delimiter = ',', value_name = "PLACE")]
    tool_allow: Vec<String>,
    /// The HTTP proxy that tools go through, which then resolves names for them
    #[arg(long, value_name = "URL")]
    tool_proxy: Option<String>,
    /// Certificate authorities (PEM or DER) to trust for providers and tools instead of the public ones
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Where to serve Prometheus metrics; off by default
    #[arg(long, value_name = "ADDRESS", value_parser = address::parse)]
    metrics_listen: Option<Address>,
    /// A cassette to append to: what people write, and what models and tools answer
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Record the files that people send, too
    #[arg(long, requires = "record")]
    with_files: bool,
    /// Start no MCP server that is a command
    #[arg(long)]
    no_commands: bool,
    #[command(flatten)]
    local: LocalModels,
    /// The form of the log on standard error; RUST_LOG selects what is logged
    #[arg(long, default_value = "text", default_value_if("sidecar", "true", "json"))]
    log_format: LogFormat,
    #[command(flatten)]
    beside: Sidecar,
}

impl Serve {
    pub(super) fn run(mut self, globals: &Globals) -> Result<()> {
        for list in [
            &mut self.cors_origin,
            &mut self.allow_host,
            &mut self.trust_proxy,
            &mut self.upstream_allow,
            &mut self.tool_allow,
        ] {
            *list = named(std::mem::take(list));
        }
        let lines_lost = log::start(self.log_format, self.beside.ready.is_some())?;
        let (ready, folder) = (self.beside.ready.clone(), globals.folder()?);
        let started = self.start(globals, lines_lost);
        if let (Some(ready), Err(error)) = (&ready, &started) {
            ready.failed(error, &folder);
        }
        let (runtime, server, told) = started?;
        runtime.block_on(server.run(told)).map_err(server::Error::into_inner)
    }

    /// A server that listens, and what ends it.
    fn start(
        self,
        globals: &Globals,
        lines_lost: Arc<AtomicU64>,
    ) -> Result<(Runtime, Server, impl Future<Output = ()>)> {
        keep_memory_private();
        raise_nofile_limit();
        self.warn_of_proxies();
        // The first line, then the end.
        let wanted = self.beside.wanted()?;
        let orphaned = self.beside.orphaned()?;
        let mut builder = Server::builder()
            .data_dir(globals.folder()?)
            .secret_key_file(globals.key_file()?)
            .listen(self.listen.socket)
            .chats_per_minute(self.chat_rate.get())
            .v1_per_minute(self.v1_rate.get())
            .drain(self.drain)
            .responses_keep(self.responses_keep)
            .variables(|name| std::env::var(name).ok())
            .proxy_from_env()
            .log_lines_lost(lines_lost);
        builder = self.cors_origin.into_iter().fold(builder, Builder::cors_origin);
        // Whoever names it so reaches it so.
        builder = self.allow_host.into_iter().chain(self.listen.name).fold(builder, Builder::allow_host);
        builder = self.trust_proxy.into_iter().fold(builder, Builder::trust_proxy);
        builder = self.upstream_allow.into_iter().fold(builder, Builder::upstream_allow);
        builder = self.tool_allow.into_iter().fold(builder, Builder::tool_allow);
        builder = self.tool_proxy.into_iter().fold(builder, Builder::tool_proxy);
        builder = self.ca_file.into_iter().fold(builder, Builder::ca_file);
        let metrics = self.metrics_listen.map(|address| address.socket);
        builder = metrics.into_iter().fold(builder, Builder::metrics_listen);
        builder = recorded(builder, self.record.as_deref(), self.with_files);
        if self.org.is_none() && wanted.is_none() && !self.beside.sidecar {
            builder = builder.setup_link();
        }
        builder = builder.program(THIS_PROGRAM);
        if self.no_commands {
            builder = builder.no_commands();
        }
        builder = self.local.build(builder)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Error::internal)?;
        let (server, told) = runtime.block_on(async {
            let server = listening(builder, self.org.as_deref(), globals).await.map_err(server::Error::into_inner)?;
            // Whoever reads that it listens may tell it to go at once.
            let told = signal_or(orphaned);
            let made = match &wanted {
                Some(wanted) => Some(server.handle().provision(wanted.expose()).await.map_err(provision_refused)?),
                None => None,
            };
            say(&server, self.record.as_deref(), globals)?;
            let folder = globals.folder()?;
            self.beside.ready.iter().try_for_each(|ready| ready.ready(&server, &folder, made.as_ref()))?;
            Ok::<_, Error>((server, told))
        })?;
        Ok((runtime, server, told))
    }
}

/// What is wrong with what was wanted, by its field.
fn provision_refused(error: server::Error) -> Error {
    match error.into_inner() {
        Error::Internal(cause) => Error::Internal(cause),
        refused => Error::invalid("--provision", refused.to_string()),
    }
}

/// A builder that records to that file.
fn recorded(builder: Builder, file: Option<&Path>, with_files: bool) -> Builder {
    let builder = file.into_iter().fold(builder, Builder::record);
    if with_files { builder.record_files() } else { builder }
}

fn recording_to(file: &Path) -> String {
    format!("Recording: what people write and models answer goes to {}.", file.display())
}

/// A server that listens, with the organization that was asked for.
async fn listening(builder: Builder, org: Option<&str>, globals: &Globals) -> Result<Server, server::Error> {
    let server = builder.build().await.map_err(|error| as_flags(error.into_inner()))?;
    if let Some(slug) = org {
        print_new_org(&server.handle().ensure_org(slug).await?, globals)?;
    }
    Ok(server)
}

/// Says that it listens, and what goes with that.
fn say(server: &Server, record: Option<&Path>, globals: &Globals) -> Result<()> {
    warn_of_writers(globals)?;
    if let Some(address) = server.local_addr() {
        log::say(&format!("alm is listening on http://{address}"));
        warn_of_plain_http(address);
    }
    record.into_iter().for_each(|file| log::say(&recording_to(file)));
    local_models::say(server);
    if let (Some(url), Some(address)) = (server.setup_url(), server.local_addr()) {
        print_setup(&seen_from_outside(&url, server.url(), address), globals)?;
    }
    Ok(())
}

/// What leaves this machine is read by whoever carries it.
fn warn_of_plain_http(address: SocketAddr) {
    if !address.ip().is_loopback() {
        tracing::warn!(
            "this is plain HTTP on {address}: passwords and keys can be read on the way; put a proxy with TLS before it"
        );
    }
}

/// A link with the address of this machine, where it listens on every one.
fn seen_from_outside(link: &str, url: Option<&str>, address: SocketAddr) -> String {
    let path = url.and_then(|url| link.strip_prefix(url));
    path.map_or_else(|| link.to_owned(), |path| format!("http://{}{path}", address::reached(address)))
}

/// Says so if others may write where the file and its key are.
fn warn_of_writers(globals: &Globals) -> Result<()> {
    for folder in [Some(globals.folder()?), globals.key_folder()?].into_iter().flatten() {
        if let Ok(Some(open)) = open_to_writers(&folder) {
            tracing::warn!("{}", others_may_write(&open));
        }
    }
    Ok(())
}

impl Serve {
    /// A server with a name of its own is behind a proxy; and what a proxy resolves, nobody here sees.
    fn warn_of_proxies(&self) {
        if !self.allow_host.is_empty() && self.trust_proxy.is_empty() {
            tracing::warn!(
                "--allow-host without --trust-proxy: everybody behind the proxy counts as one address, so a few wrong passwords of \
                 one person make all wait"
            );
        }
        if self.tool_proxy.is_some() {
            tracing::warn!(
                "--tool-proxy: it resolves names for itself, so only names and written addresses of tools are tested here: keep it from \
                 private networks"
            );
        }
    }
}

/// Says how to go on with an organization that was just created.
fn print_new_org(org: &Organization, globals: &Globals) -> Result<()> {
    if !org.is_new() {
        return Ok(());
    }
    let slug = org.slug();
    let what = format!("Created the organization {slug}");
    let key = globals.command(&format!("keys create --org {slug} --name first"))?;
    let password = globals.command(&format!("org password owner@{slug}.localhost --password-file FILE"))?;
    let text = format!(
        "{what}. Create a key beside this server, and a password to sign in with at /login:\n  {key}\n  {password}"
    );
    log::tell(&text, json!({ "message": what, "org": slug, "owner": format!("owner@{slug}.localhost") }));
    Ok(())
}

/// Says how a server gets its first organization.
fn print_setup(url: &str, globals: &Globals) -> Result<()> {
    let minutes = SETUP_CODE_LIFE.as_secs() / 60;
    let create = globals.command("org create acme --owner you@example.com --password-file FILE")?;
    let text = format!(
        "There is no organization yet. Open this link within {minutes} minutes to create one; it works once:\n  {url}\n\
         Or create one beside this server:\n  {create}"
    );
    let message =
        format!("There is no organization yet. Open setupUrl within {minutes} minutes to create one; it works once");
    log::tell(&text, json!({ "message": message, "setupUrl": url }));
    Ok(())
}
