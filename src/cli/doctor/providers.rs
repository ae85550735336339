//! Whether providers respond. They are asked for their models, all at once, and nothing is generated.

use std::time::Instant;

use futures_util::future::join_all;

use super::check::Check;
use crate::{
    catalog::{self, EnvProvider},
    cli::{
        globals::{Globals, block_on},
        text::{as_flags, count_text},
    },
    error::{Error, Result},
    model::{
        cassette,
        upstream::{Endpoint, Upstreams},
    },
    outbound,
    seal::Sealer,
    store::{
        file::inspect::Inspected,
        providers::{Cassette, ProviderModel},
    },
};

/// Asks every provider of every organization, and those that this environment names.
pub(super) fn check(globals: &Globals, file: &Inspected, options: &outbound::Options) -> Vec<Check> {
    let look = || {
        let key_file = globals.key_file()?;
        let sealer = if key_file.exists() { Some(Sealer::open(&key_file)?) } else { None };
        let open = |sealed: &[u8], context: &str| {
            let sealer = sealer.as_ref().ok_or_else(|| Error::failed("its key cannot be opened"))?;
            sealer.unseal(sealed, context).map_err(|_| Error::failed("its key cannot be opened"))
        };
        let stored = file.providers()?;
        let mut endpoints = Vec::new();
        let mut checks = Vec::new();
        for (org, provider) in &stored {
            if let Some(cassette) = &provider.cassette {
                checks.push(check_cassette(format!("provider {org}/{}", provider.slug), cassette, &provider.models));
                continue;
            }
            endpoints.push((format!("provider {org}/{}", provider.slug), catalog::endpoint_of(provider, open)));
        }
        let env_providers = EnvProvider::from_env(|name| std::env::var(name).ok());
        for named in &env_providers {
            let endpoint = named.endpoint().cloned().map_err(|error| Error::failed(error.to_string()));
            endpoints.push((format!("provider {} from the environment", named.slug()), endpoint));
        }
        block_on(async {
            let upstreams = Upstreams::new(options).map_err(as_flags)?;
            let asked = endpoints.into_iter().map(|(what, endpoint)| ask(&upstreams, what, endpoint));
            checks.extend(join_all(asked).await);
            Ok(checks)
        })
    };
    look().unwrap_or_else(|error: Error| vec![Check::fail("providers", error.to_string())])
}

/// Whether a cassette can be played.
fn check_cassette(what: String, cassette: &Cassette, models: &[ProviderModel]) -> Check {
    match cassette::read(cassette.file.as_ref()) {
        Ok(read) => {
            let plays = format!("plays {} of {}", count_text(read.len() as u64, "exchange"), read.name);
            let new: Vec<_> = read.models().into_iter().filter(|name| models.iter().all(|m| m.name != *name)).collect();
            match &*new {
                [] => Check::ok(what, plays),
                new => Check::ok(what, format!("{plays}; new in it: {}", new.join(", "))),
            }
        }
        Err(error) => Check::fail(what, error),
    }
}

async fn ask(upstreams: &Upstreams, what: String, endpoint: Result<Endpoint>) -> Check {
    let started = Instant::now();
    let endpoint = match endpoint {
        Ok(endpoint) => endpoint,
        // A variable that the server has may be missing here.
        Err(error @ Error::ModelUnavailable(_)) => return Check::warn(what, format!("not checked: {error}")),
        Err(error) => return Check::fail(what, error.to_string()),
    };
    match upstreams.list_models(&endpoint).await {
        Ok(models) => Check::ok(
            what,
            format!("lists {} in {} ms", count_text(models.len() as u64, "model"), started.elapsed().as_millis()),
        ),
        Err(error) => Check::fail(what, error.to_string()),
    }
}
