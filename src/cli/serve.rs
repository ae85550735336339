//! `alm serve`: the server.

use std::{io::IsTerminal, net::SocketAddr, num::NonZeroU32, path::PathBuf, time::Duration};

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

use super::{
    Place,
    server::{self, Server, Settings},
};
use crate::{
    error::{Error, Result},
    http::state::{
        cors::Cors,
        setup_code::{SETUP_CODE_LIFE, SetupCode},
    },
    store::{Store, file::lock},
};

#[derive(Debug, clap::Args)]
pub(super) struct Serve {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:2560", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// An organization to make if the folder has none
    #[arg(long, value_name = "SLUG")]
    org: Option<String>,
    /// Chats a person may begin in a minute
    #[arg(long, default_value = "60", value_name = "PER MINUTE")]
    chat_rate: NonZeroU32,
    /// How long running replies may go on after SIGTERM
    #[arg(long, default_value = "30s", value_parser = humantime::parse_duration, value_name = "DURATION")]
    drain: Duration,
    /// A web page's origin that may use the API; repeat or separate by commas
    #[arg(long, value_delimiter = ',', value_name = "ORIGIN")]
    cors_origin: Vec<String>,
    /// A name this server is reached by through a proxy on the same machine; repeat or separate by commas
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    allow_host: Vec<String>,
    /// Certificate authorities to trust when asking providers, in PEM, instead of the public ones
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Where to show Prometheus metrics; nowhere when absent
    #[arg(long, value_name = "ADDRESS")]
    metrics_listen: Option<SocketAddr>,
    /// How to log, on standard error; what to log is in RUST_LOG
    #[arg(long, default_value = "text")]
    log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum LogFormat {
    Text,
    Json,
}

/// What is logged unless RUST_LOG says otherwise: what someone should know, not every request.
const LOG_DEFAULT: &str = "alm=info,warn";

impl Serve {
    pub(super) fn run(self, place: &Place) -> Result<()> {
        start_log(self.log_format);
        let folder = place.folder()?;
        // The store makes the folder that the lock lies in.
        let store = server::open_store(&folder)?;
        let lock = lock::lock(&folder)?;
        make_org(&store, self.org.as_deref())?;
        let (setup, code) = if store.has_org()? { None } else { Some(SetupCode::generate()?) }.unzip();
        let settings = Settings {
            listen: self.listen,
            metrics_listen: self.metrics_listen,
            chats_per_minute: self.chat_rate,
            drain: self.drain,
            cors: cors(&self.cors_origin)?,
            allow_hosts: self.allow_host,
            setup,
            ca_file: self.ca_file,
            ambient: true,
        };
        let sealer = place.sealer()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Error::internal)?;
        runtime.block_on(async {
            let server = Server::new(lock, store, sealer, settings).await?;
            println!("alm is listening on {}", server.url());
            if let Some(code) = code {
                print_setup(&server.url(), &code);
            }
            server.run(server::signal()).await;
            Ok(())
        })
    }
}

/// Makes the organization that was asked for, if it is not there.
fn make_org(store: &Store, slug: Option<&str>) -> Result<()> {
    let Some(slug) = slug.filter(|slug| matches!(store.org_by_slug(slug), Err(Error::NotFound(_)))) else {
        return Ok(());
    };
    let owner = format!("owner@{slug}.localhost");
    store.create_org(slug, &owner, None)?;
    eprintln!("Made the organization {slug}. Make a key beside this server, and a password to sign in with at /login:");
    eprintln!("  alm keys create --org {slug} --name first");
    eprintln!("  alm org password {owner} --password-file FILE");
    Ok(())
}

/// Tells whoever started the server how it gets its first organization.
fn print_setup(url: &str, code: &str) {
    let minutes = SETUP_CODE_LIFE.as_secs() / 60;
    // Who listens on every address is reached on this one too.
    let url = url.replacen("//0.0.0.0:", "//127.0.0.1:", 1).replacen("//[::]:", "//[::1]:", 1);
    eprintln!("There is no organization yet. Open this link within {minutes} minutes to make one; it works once:");
    eprintln!("  {url}/setup#{code}");
    eprintln!("Or make one beside this server:");
    eprintln!("  alm org create acme --owner you@example.com --password-file FILE");
}

/// Where pages may come from, each such as `https://app.example.com`.
fn cors(origins: &[String]) -> Result<Cors> {
    let parse = |origin: &String| {
        let whole = origin.split_once("://").is_some_and(|(_, host)| !host.is_empty() && !host.contains('/'));
        let wrong =
            || Error::invalid("--cors-origin", format!("{origin} is no origin such as https://app.example.com"));
        if whole { origin.parse().map_err(|_| wrong()) } else { Err(wrong()) }
    };
    Ok(Cors::new(origins.iter().map(parse).collect::<Result<_>>()?))
}

fn start_log(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LOG_DEFAULT));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    // A log that goes to a file or to journald is no place for colours.
    let log = log.with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
}
