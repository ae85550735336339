//! `alm providers`: the servers that models come from.

mod set; // changes of one

use std::{path::PathBuf, time::Duration};

use serde_json::json;

use super::{
    cassette::Played,
    globals::{Globals, block_on},
    text::{as_flags, parse_price, read_key, table},
};
use crate::{
    catalog::{Catalog, NewCassette, NewProvider, shown},
    error::{Error, Result},
    model::upstream::Upstreams,
    outbound,
    seal::NewCredential,
    secret::Secret,
    store::{
        providers::{Provider, ProviderModel},
        tools::AddedBy,
    },
};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Providers {
    /// Connect an OpenAI-compatible server, or a cassette of recorded answers
    Add(Add),
    /// List an organization's providers
    List {
        /// The organization's slug
        #[arg(long)]
        org: String,
    },
    /// Change a provider's address, key, models or prices
    Set(Box<set::Set>),
    /// Reach a provider, list its models and stream a few words
    Test {
        /// The organization's slug
        #[arg(long)]
        org: String,
        /// The provider's slug
        slug: String,
        /// The model to ask, as the provider names it; else the first that is offered
        #[arg(long, value_name = "ID")]
        model: Option<String>,
        /// Certificate authorities to trust, in PEM or DER
        #[arg(long, value_name = "FILE")]
        ca_file: Option<PathBuf>,
    },
    /// Remove a provider, its key and its models
    Remove {
        /// The organization's slug
        #[arg(long)]
        org: String,
        /// The provider's slug
        slug: String,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct Add {
    /// The organization's slug
    #[arg(long)]
    org: String,
    /// The provider's slug, with which its models' ids begin
    #[arg(long)]
    slug: String,
    /// The API's base URL, such as http://127.0.0.1:11434/v1
    #[arg(long, value_name = "URL", required_unless_present = "cassette")]
    base_url: Option<String>,
    /// A file with the provider's key, which is stored sealed
    #[arg(long, value_name = "FILE", conflicts_with = "api_key_env")]
    api_key_file: Option<PathBuf>,
    /// The variable of the server's environment that holds the key; nothing is stored
    #[arg(long, value_name = "VARIABLE")]
    api_key_env: Option<String>,
    /// A model, as the provider names it; repeat for more
    #[arg(long = "model", value_name = "ID", required_unless_present = "cassette")]
    models: Vec<String>,
    /// The price of the first, second, … --model in US dollars per million tokens, in and out; without one it costs nothing here
    #[arg(long = "price", value_name = "IN/OUT")]
    prices: Vec<String>,
    /// The context window of the first, second, … --model, in tokens
    #[arg(long = "context", value_name = "TOKENS")]
    context_windows: Vec<u32>,
    /// Say that models without a price are paid for in another place; nothing is refused for it
    #[arg(long)]
    paid_elsewhere: bool,
    /// A cassette to play, in place of a server
    #[arg(long, value_name = "FILE", conflicts_with_all = ["base_url", "api_key_file", "api_key_env", "paid_elsewhere"])]
    cassette: Option<PathBuf>,
    #[command(flatten)]
    played: Played,
    /// Run the tools that the cassette has no answer of
    #[arg(long, value_name = "real", value_parser = ["real"])]
    tools: Option<String>,
}

impl Providers {
    pub(super) fn run(self, globals: &Globals) -> Result<()> {
        match self {
            Providers::Add(add) => add.run(globals),
            Providers::Set(set) => set.run(globals),
            Providers::List { org } => list(globals, &org),
            Providers::Test { org, slug, model, ca_file } => block_on(test(globals, &org, &slug, model, ca_file)),
            Providers::Remove { org, slug } => {
                let store = globals.store()?;
                let tenant = globals.tenant(&store, &org)?;
                block_on(store.org(&tenant).delete_provider(slug.clone()))?;
                globals.report(|| json!({ "removed": slug }), || format!("Removed {slug} and its models"));
                Ok(())
            }
        }
    }
}

impl Add {
    fn run(self, globals: &Globals) -> Result<()> {
        let models = self.models()?;
        if let Some(file) = self.cassette.clone() {
            return self.add_cassette(globals, file, models);
        }
        let text = self.api_key_file.as_deref().map(read_key).transpose()?;
        let key =
            text.map(|text| NewCredential::Text(Secret::new(text))).or(self.api_key_env.map(NewCredential::Variable));
        let new = NewProvider {
            slug: self.slug,
            base_url: self.base_url,
            key,
            models,
            paid_elsewhere: self.paid_elsewhere,
            ..NewProvider::default()
        };
        let store = globals.store()?;
        let tenant = globals.tenant(&store, &self.org)?;
        let upstreams = Upstreams::new(&outbound::Options::default())?;
        let catalog = Catalog::new(store.clone(), globals.sealer()?, Vec::new(), upstreams);
        let mut provider = catalog.prepare(new).map_err(as_flags)?;
        provider.added_by = AddedBy::Operator;
        let provider = block_on(async {
            let provider = store.org(&tenant).create_provider(provider).await?;
            catalog.read_new(&tenant, &provider).await?;
            Ok::<_, Error>(provider)
        })?;
        let ids: Vec<_> = provider.models.iter().map(|model| format!("{}/{}", provider.slug, model.name)).collect();
        let next = globals.command(&format!("providers test {} --org {}", provider.slug, self.org))?;
        globals.report(
            || json!({ "id": provider.id, "slug": provider.slug, "models": ids }),
            || {
                let (place, ids) = (shown(&provider.base_url), ids.join(", "));
                format!("Added {place}: {ids}; connected, not tried yet\nnext: {next}")
            },
        );
        Ok(())
    }

    fn add_cassette(self, globals: &Globals, file: PathBuf, models: Vec<ProviderModel>) -> Result<()> {
        let (speed, reach, real_tools) = (self.played.speed, self.played.reach(), self.tools.is_some());
        let store = globals.store()?;
        let tenant = globals.tenant(&store, &self.org)?;
        let upstreams = Upstreams::new(&outbound::Options::default())?;
        let catalog = Catalog::new(store.clone(), globals.sealer()?, Vec::new(), upstreams);
        let new = NewCassette { slug: self.slug, file, speed, reach, real_tools, models };
        let provider = catalog.prepare_cassette(new).map_err(as_flags)?;
        let provider = block_on(store.org(&tenant).create_provider(provider))?;
        let ids: Vec<_> = provider.models.iter().map(|model| format!("{}/{}", provider.slug, model.name)).collect();
        globals.report(
            || json!({ "id": provider.id, "slug": provider.slug, "models": ids, "match": reach.as_str() }),
            || format!("Added {}: {}, matched {reach}", provider.slug, ids.join(", ")),
        );
        Ok(())
    }

    fn models(&self) -> Result<Vec<ProviderModel>> {
        let too_many = |flag: &str| Error::invalid(flag, "given more often than --model");
        if self.prices.len() > self.models.len() {
            return Err(too_many("--price"));
        }
        if self.context_windows.len() > self.models.len() {
            return Err(too_many("--context"));
        }
        let named = self.models.iter().enumerate();
        named
            .map(|(at, name)| {
                Ok(ProviderModel {
                    pricing: self.prices.get(at).map(|text| parse_price(text)).transpose()?,
                    context_window: self.context_windows.get(at).copied(),
                    ..ProviderModel::named(name)
                })
            })
            .collect()
    }
}

fn list(globals: &Globals, org: &str) -> Result<()> {
    let store = globals.store()?;
    let tenant = globals.tenant(&store, org)?;
    let providers = store.org(&tenant).providers()?;
    let names = |provider: &Provider| provider.models.iter().map(|model| model.name.clone()).collect::<Vec<_>>();
    let key = |provider: &Provider| match (&provider.api_key_sealed, &provider.api_key_env) {
        (Some(_), _) => "sealed".to_owned(),
        (None, Some(variable)) => format!("${variable}"),
        (None, None) => "none".to_owned(),
    };
    let place = |provider: &Provider| match &provider.cassette {
        Some(cassette) => cassette.file.clone(),
        None => shown(&provider.base_url),
    };
    let json = || {
        let one = |p: &Provider| json!({ "id": p.id, "slug": p.slug, "baseUrl": place(p), "key": key(p), "models": names(p) });
        providers.iter().map(one).collect()
    };
    let text = || {
        let row = |p: &Provider| vec![p.slug.clone(), place(p), key(p), names(p).join(", ")];
        table(&["SLUG", "BASE URL", "KEY", "MODELS"], &providers.iter().map(row).collect::<Vec<_>>())
    };
    globals.print(json, text)
}

/// Each step says how long it took, so that a slow provider can be told from a wrong one.
async fn test(globals: &Globals, org: &str, slug: &str, model: Option<String>, ca_file: Option<PathBuf>) -> Result<()> {
    let store = globals.store()?;
    let tenant = globals.tenant(&store, org)?;
    let provider = store.org(&tenant).provider(slug)?;
    let upstreams = Upstreams::new(&outbound::Options { ca_file, ..outbound::Options::default() }).map_err(as_flags)?;
    let catalog = Catalog::new(store.clone(), globals.sealer()?, Vec::new(), upstreams);
    if provider.models.is_empty() {
        return Err(Error::failed(format!("{slug} has no models to test")));
    }
    let tested = catalog.test(&tenant, &provider, model).await.map_err(with_words)?;
    let ms = |time: Duration| time.as_millis() as u64;
    let (list_ms, reply_ms, first_ms) = (tested.listed.map(ms), ms(tested.reply), tested.first_token.map(ms));
    let omitted = tested.omitted;
    let (listed, model) = (tested.models, tested.model);
    globals.print(
        || json!({ "models": listed, "listMs": list_ms, "tested": model, "firstTokenMs": first_ms, "replyMs": reply_ms, "fieldsOmitted": omitted }),
        || {
            let first = first_ms.map_or_else(|| "no token".to_owned(), |ms| format!("first token after {ms} ms"));
            let list = match list_ms {
                Some(ms) => format!("{} models listed in {ms} ms", listed.len()),
                None => "it lists no models".to_owned(),
            };
            let without = match &*omitted {
                [] => String::new(),
                fields => format!("\nwarning: {model} does not take {}: chats go without", fields.join(", ")),
            };
            format!("{list}\n{model}: {first}, done after {reply_ms} ms{without}")
        },
    )
}

/// A failed test with what the provider said, for whoever runs the command.
fn with_words(error: Error) -> Error {
    match error {
        Error::TestFailed { failed, said: Some(said), .. } => {
            Error::ModelUnavailable(format!("{failed}\nIt said: {said}"))
        }
        Error::TestFailed { failed, .. } => *failed,
        other => other,
    }
}
