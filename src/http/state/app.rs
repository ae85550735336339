//! What every request may reach.

use std::{net::IpAddr, num::NonZeroU32, sync::Arc, time::Duration};

use tokio::sync::watch;

use super::{
    audience::Audience,
    bridge::Bridge,
    budget::Budget,
    cors::Cors,
    counters::Metrics,
    hosts::Hosts,
    in_flight::InFlight,
    proxies::Proxies,
    rate_limit::RateLimit,
    readers::{Readers, Who},
    refusals::Refusals,
    setup_code::SetupCode,
    throttle::Throttle,
};
use crate::{
    catalog::Catalog,
    error::{Error, Result},
    store::Store,
    tools::Tools,
    turn::engine::Engine,
};

/// Keys that may fail for one address in a minute before it has to wait.
const FAILED_KEYS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(60).unwrap();

/// Bytes of bodies that arrive or are being carried out, of everybody. One person has half of it.
const BODIES_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Bytes of answers that wait to be read, of everybody. One person has half of it.
const PAGES_BYTES_MAX: usize = 256 * 1024 * 1024;

/// How long a client waits that comes while the server drains: a successor is up by then.
const DRAINING_RETRY: Duration = Duration::from_secs(5);

/// What every request may reach.
pub struct App {
    pub store: Store,
    pub catalog: Arc<Catalog>,
    pub tools: Arc<Tools>,
    pub engine: Arc<Engine>,
    pub metrics: Metrics,
    pub bridge: Bridge,
    /// Where passwords are hashed.
    pub hashing: Bridge,
    /// Where large bodies are decoded and large answers are written.
    pub large: Bridge,
    /// The memory for bodies that arrive or are being carried out.
    pub bodies: Arc<Budget>,
    /// The memory for answers that are being sent.
    pub answers: Arc<Budget>,
    pub cors: Cors,
    pub hosts: Hosts,
    pub proxies: Proxies,
    /// The name of a signed-in browser's cookie.
    pub cookie: String,
    pub setup: Option<SetupCode>,
    /// Set once, when the server begins to go down.
    pub draining: watch::Sender<bool>,
    /// Chats, by the person who asks.
    pub chat_rate: RateLimit<String>,
    /// What is asked of models on the OpenAI-compatible face, by the person who asks.
    pub v1_rate: RateLimit<String>,
    pub failed_keys: RateLimit<IpAddr>,
    /// Passwords and setup codes that were wrong.
    pub throttle: Throttle,
    pub in_flight: InFlight,
    pub readers: Arc<Readers>,
    /// Those who listen to events.
    pub audience: Arc<Audience>,
    /// Refused requests, as far as the log lists them.
    pub refusals: Refusals,
}

/// Whom a server lets in, and how often.
pub struct Admission {
    pub cors: Cors,
    pub hosts: Hosts,
    /// Whose word for an address is taken.
    pub proxies: Proxies,
    /// The name of a signed-in browser's cookie: this server's own.
    pub cookie: String,
    /// What makes the first organization; absent where there is one.
    pub setup: Option<SetupCode>,
    pub chats_per_minute: NonZeroU32,
    pub v1_per_minute: NonZeroU32,
}

impl App {
    /// Around an engine and what it stands on.
    pub fn new(
        store: Store,
        catalog: Arc<Catalog>,
        tools: Arc<Tools>,
        engine: Arc<Engine>,
        admission: Admission,
    ) -> Self {
        App {
            metrics: Metrics::new(store.clone(), catalog.clone(), tools.clone(), engine.clone()),
            store,
            catalog,
            tools,
            engine,
            bridge: Bridge::for_scans(),
            hashing: Bridge::for_passwords(),
            large: Bridge::for_what_is_large(),
            bodies: Budget::new(BODIES_BYTES_MAX, "too many large bodies at once: try again shortly"),
            answers: Budget::new(PAGES_BYTES_MAX, "too many large answers at once: read those, or try again shortly"),
            cors: admission.cors,
            hosts: admission.hosts,
            proxies: admission.proxies,
            cookie: admission.cookie,
            setup: admission.setup,
            draining: watch::Sender::new(false),
            chat_rate: RateLimit::per_minute(admission.chats_per_minute),
            v1_rate: RateLimit::per_minute(admission.v1_per_minute),
            failed_keys: RateLimit::per_minute(FAILED_KEYS_PER_MINUTE),
            throttle: Throttle::default(),
            in_flight: InFlight::default(),
            readers: Arc::default(),
            audience: Arc::default(),
            refusals: Refusals::default(),
        }
    }

    /// Ends what revoked keys read, and stops what they asked for; and what people read who were removed. Another process may do
    /// that, so this is asked again and again; it costs a look-up for each key and person that reads or asks now.
    pub fn end_revoked(&self) {
        let mut all = self.readers.all();
        all.extend(self.engine.asking_keys().into_iter().map(Who::Key));
        for who in all {
            let is_over = match &who {
                Who::Key(id) => self.store.is_revoked(id),
                Who::Person(tenant) => self.store.is_member(tenant).map(|is_member| !is_member),
            };
            match is_over {
                Ok(false) => {}
                Ok(true) => {
                    if let Who::Key(id) = &who {
                        self.engine.stop_asked_by(id);
                    }
                    self.readers.end(&who);
                }
                Err(error) => return tracing::warn!(%error, "cannot see which keys are revoked"),
            }
        }
    }

    /// Refuses new work once the server goes down.
    pub fn refuse_while_draining(&self) -> Result<()> {
        if *self.draining.borrow() { Err(draining()) } else { Ok(()) }
    }
}

/// The refusal of new work while the server shuts down.
fn draining() -> Error {
    Error::Unavailable {
        message: "the server is shutting down: try again in a few seconds".into(),
        retry_after: DRAINING_RETRY,
    }
}
