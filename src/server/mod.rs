//! A server put together from its parts: what `alm serve`, the demo and a host program start.
//!
//! Rule: it changes nothing of its process: no signal, limit, variable, log, panic hook or exit. The command line does
//! that, and hands the values in.

mod builder; // how a server is set up
mod error; // why one could not be
mod folder; // the data folder, opened
mod handle; // what a host program does with one
mod model_file; // a model that it runs itself
mod provision; // what a program wants there to be
mod secrets; // what it keeps that nobody may read

use std::{fs::File, net::SocketAddr, sync::Arc, time::Duration};

use tokio::sync::watch;

pub(crate) use self::builder::url_of;
use self::handle::blocking;
pub use self::{
    builder::Builder,
    error::{Error, ErrorKind},
    handle::{ApiKey, Handle, Organization, Provider, Scopes},
    model_file::ModelFile,
    provision::Provisioned,
};
pub use crate::tools::host::{Approval, HostTool as Tool, ToolCall, ToolSpec};
use crate::{
    http::{
        self,
        edge::metrics,
        serve::{Limits, Listener, Sharing, serve},
        state::{App, hosts::Hosts},
    },
    model::{cassette::Recorder, facts::FACTS_AGE_MAX, local::LocalModels},
    tools::mcp::stdio::Commands,
    turn::engine::Engine,
};

/// How often providers of the environment are asked for their models until they have said.
const ENV_PROVIDERS_INTERVAL: Duration = Duration::from_secs(60);

/// How often it is looked at whether a key that reads or asks was revoked, which a command beside the server may have done.
const REVOKED_INTERVAL: Duration = Duration::from_millis(500);

/// How often conversations of responses are let go that are kept no longer.
const UNKEPT_INTERVAL: Duration = Duration::from_secs(3_600);

/// A server that listens and does not serve yet.
///
/// Its data folder is locked, upgraded and recovered. Dropping it closes the port and unlocks the folder.
pub struct Server {
    app: Arc<App>,
    engine: Arc<Engine>,
    listener: Listener,
    metrics: Option<(Listener, Hosts)>,
    url: String,
    /// The text of the code that creates the first organization.
    setup_code: Option<String>,
    drain: Duration,
    limits: Limits,
    /// With the last of it they are killed.
    commands: Arc<Commands>,
    recorder: Option<Recorder>,
    /// With the last of it their processes are killed.
    local: Arc<LocalModels>,
    stop: Arc<watch::Sender<bool>>,
    /// Held as long as the server lives.
    _lock: File,
}

impl Server {
    /// Where it can be reached, such as `http://127.0.0.1:2560`, with the port that it was given.
    pub fn url(&self) -> Option<&str> {
        Some(&self.url)
    }

    /// The address that it listens on.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        Some(self.listener.local_addr())
    }

    /// The schema that the file had when it was opened, if that was an older one.
    pub(crate) fn upgraded_from(&self) -> Option<i64> {
        self.app.store.upgraded_from()
    }

    /// The models that it runs itself.
    pub(crate) fn local_models(&self) -> &LocalModels {
        &self.local
    }

    /// The link that creates the first organization, if the builder asked for one and there is none yet. It works once,
    /// within 30 minutes.
    pub fn setup_url(&self) -> Option<String> {
        self.setup_code.as_ref().map(|code| format!("{}/setup#{code}", self.url))
    }

    /// What the host program itself may do. It stays usable while the server runs.
    pub fn handle(&self) -> Handle {
        Handle::new(self.app.store.clone(), self.app.catalog.clone(), self.stop.clone())
    }

    /// Serves until `shutdown` is ready or [`Handle::stop`] is called, then drains: new chats are refused, running replies
    /// may finish within [`Builder::drain`], and what remains is stored as interrupted.
    ///
    /// Dropping the future instead closes the ports and unlocks the folder at once, and interrupts running replies.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
        let Server { app, engine, listener, metrics, drain, limits, commands, local, recorder, stop, _lock, .. } = self;
        let _running = InterruptOnDrop(engine.clone());
        // Everything is part of this future, so that dropping it leaves nothing behind in the host's runtime.
        let asking = async {
            loop {
                let all_responded = app.catalog.refresh_env_providers().await;
                tokio::time::sleep(if all_responded { FACTS_AGE_MAX } else { ENV_PROVIDERS_INTERVAL }).await;
            }
        };
        let door = app.clone();
        let sharing: Sharing = Arc::new(move |peer| door.proxies.share_of(peer));
        let measuring = async {
            if let Some((listener, hosts)) = metrics {
                serve(listener, metrics::endpoint(app.clone(), hosts), limits, sharing.clone(), std::future::pending())
                    .await;
            }
        };
        let revoking = async {
            loop {
                tokio::time::sleep(REVOKED_INTERVAL).await;
                app.end_revoked();
            }
        };
        let endpoint = http::endpoint(app.clone());
        let mut stopped = stop.subscribe();
        let drained = async {
            tokio::select! {
                () = shutdown => {}
                // It cannot fail: a sender is ours.
                _ = stopped.wait_for(|stopped| *stopped) => {}
            }
            app.draining.send_replace(true);
            tracing::info!(turns = engine.turns_running(), "going down");
            engine.drain(drain).await;
            tokio::join!(app.tools.mcp().stop_all(), commands.stop_all(), local.end());
        };
        let beside = async {
            tokio::join!(asking, measuring, revoking, let_go(&app), engine.clone().watch_answers());
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = serve(listener, endpoint, limits, sharing.clone(), drained) => {}
            () = beside => {}
        }
        // What the last replies said is in the file before whoever runs the server hears that it is over.
        blocking(move || recorder.iter().try_for_each(Recorder::flush)).await
    }
}

/// Lets conversations of old responses go, again and again.
async fn let_go(app: &App) {
    loop {
        match app.store.prune_unkept().await {
            Ok(0) => {}
            Ok(sessions) => tracing::info!(sessions, "conversations of old responses are gone"),
            Err(error) => tracing::warn!(%error, "conversations of old responses could not be let go"),
        }
        tokio::time::sleep(UNKEPT_INTERVAL).await;
    }
}

/// Interrupts what still runs when the server is dropped while it serves. After a drain nothing does.
struct InterruptOnDrop(Arc<Engine>);

impl Drop for InterruptOnDrop {
    fn drop(&mut self) {
        self.0.interrupt();
    }
}
