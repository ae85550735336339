//! `alm providers set`: changes a provider: its address, its key, its models and their prices.

use std::path::PathBuf;

use serde_json::json;

use crate::{
    catalog::{Catalog, ProviderChange},
    cli::{
        globals::{Globals, block_on},
        text::{as_flags, parse_price, read_key},
    },
    error::{Error, Result},
    model::upstream::Upstreams,
    money::Pricing,
    outbound,
    seal::NewCredential,
    secret::Secret,
    store::providers::ProviderModel,
};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Set {
    /// The organization's slug
    #[arg(long)]
    org: String,
    /// The provider's slug
    slug: String,
    /// The API's base URL
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// A file with the provider's key, which is stored sealed; - asks for it, or reads standard input
    #[arg(long, value_name = "FILE", conflicts_with = "api_key_env")]
    api_key_file: Option<PathBuf>,
    /// The variable of the server's environment that holds the key; nothing is stored
    #[arg(long, value_name = "VARIABLE")]
    api_key_env: Option<String>,
    /// A model to add; repeat for more
    #[arg(long = "model", value_name = "ID")]
    added: Vec<String>,
    /// A model to take away; repeat for more
    #[arg(long = "remove-model", value_name = "ID")]
    removed: Vec<String>,
    /// A model's price in US dollars per million tokens, in and out, or MODEL=none; repeat for more
    #[arg(long = "price", value_name = "MODEL=IN/OUT")]
    prices: Vec<String>,
    /// A model's context window, in tokens; repeat for more
    #[arg(long = "context", value_name = "MODEL=TOKENS")]
    windows: Vec<String>,
}

impl Set {
    pub(in crate::cli) fn run(self, globals: &Globals) -> Result<()> {
        let edits = Edits::of(&self)?;
        let text = self.api_key_file.as_deref().map(read_key).transpose()?;
        let key =
            text.map(|text| NewCredential::Text(Secret::new(text))).or(self.api_key_env.map(NewCredential::Variable));
        if key.is_none() && self.base_url.is_none() && edits.is_empty() {
            return Err(Error::failed("nothing is to change: see alm providers set --help"));
        }
        let store = globals.store()?;
        let tenant = globals.tenant(&store, &self.org)?;
        let upstreams = Upstreams::new(&outbound::Options::default())?;
        let catalog = Catalog::new(store.clone(), globals.sealer()?, Vec::new(), upstreams);
        let base_url = self.base_url;
        let org = store.org(&tenant);
        let change = org.update_provider(self.slug, move |provider| {
            let models = if edits.is_empty() { None } else { Some(edits.made(provider.models.clone())?) };
            catalog.change(provider, ProviderChange { base_url, key, models, ..ProviderChange::default() })
        });
        let provider = block_on(change).map_err(as_flags)?;
        let names: Vec<_> = provider.models.iter().map(|model| model.name.clone()).collect();
        let next = globals.command(&format!("providers test {} --org {}", provider.slug, self.org))?;
        globals.report(
            || json!({ "id": provider.id, "slug": provider.slug, "models": names }),
            || format!("Changed {}: {}\nnext: {next}", provider.slug, names.join(", ")),
        );
        Ok(())
    }
}

/// What is to become of a provider's models.
#[derive(Debug, Default)]
struct Edits {
    added: Vec<String>,
    removed: Vec<String>,
    prices: Vec<(String, Option<Pricing>)>,
    windows: Vec<(String, u32)>,
}

impl Edits {
    fn of(set: &Set) -> Result<Self> {
        let windows = set.windows.iter().map(|text| {
            let wrong = || Error::invalid("--context", "must be MODEL=TOKENS, such as gpt-5=400000");
            let (model, tokens) = text.rsplit_once('=').ok_or_else(wrong)?;
            Ok((model.to_owned(), tokens.parse().map_err(|_| wrong())?))
        });
        Ok(Edits {
            added: set.added.clone(),
            removed: set.removed.clone(),
            prices: set.prices.iter().map(|text| price(text)).collect::<Result<_>>()?,
            windows: windows.collect::<Result<_>>()?,
        })
    }

    fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.prices.is_empty() && self.windows.is_empty()
    }

    /// The models as they will be.
    fn made(self, mut models: Vec<ProviderModel>) -> Result<Vec<ProviderModel>> {
        for name in &self.removed {
            let before = models.len();
            models.retain(|model| model.name != *name);
            if models.len() == before {
                return Err(none_of("--remove-model", name));
            }
        }
        models.extend(self.added.iter().map(ProviderModel::named));
        let find = |flag: &str, name: &str| {
            let at = models.iter().position(|model| model.name == name);
            at.ok_or_else(|| none_of(flag, name))
        };
        let prices =
            self.prices.iter().map(|(name, price)| Ok((find("--price", name)?, *price))).collect::<Result<Vec<_>>>()?;
        let windows = self
            .windows
            .iter()
            .map(|(name, size)| Ok((find("--context", name)?, *size)))
            .collect::<Result<Vec<_>>>()?;
        prices.into_iter().for_each(|(at, price)| models[at].pricing = price);
        windows.into_iter().for_each(|(at, size)| models[at].context_window = Some(size));
        Ok(models)
    }
}

fn none_of(flag: &str, name: &str) -> Error {
    Error::invalid(flag, format!("the provider has no model {name}: add it with --model"))
}

/// `MODEL=IN/OUT`, or `MODEL=none`.
fn price(text: &str) -> Result<(String, Option<Pricing>)> {
    let wrong = || Error::invalid("--price", "must be MODEL=IN/OUT, such as gpt-5=1.25/10, or MODEL=none");
    let (model, price) = text.rsplit_once('=').ok_or_else(wrong)?;
    if price == "none" {
        return Ok((model.to_owned(), None));
    }
    Ok((model.to_owned(), Some(parse_price(price)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn models(names: &[&str]) -> Vec<ProviderModel> {
        names.iter().copied().map(ProviderModel::named).collect()
    }

    #[test]
    fn a_price_names_its_model_and_what_is_not_there_is_refused() {
        let edits = |prices: &[&str], added: &[&str], removed: &[&str]| Edits {
            prices: prices.iter().map(|text| price(text).unwrap()).collect(),
            added: added.iter().map(|name| (*name).to_owned()).collect(),
            removed: removed.iter().map(|name| (*name).to_owned()).collect(),
            windows: vec![],
        };
        let made = edits(&["a=b=1.25/10", "c=2/3"], &["c"], &["d"]).made(models(&["a=b", "d"])).unwrap();
        let shown: Vec<_> =
            made.iter().map(|model| (model.name.as_str(), model.pricing.map(|it| it.output.to_string()))).collect();
        assert_eq!(shown, [("a=b", Some("10".into())), ("c", Some("3".into()))]);
        let freed = edits(&["a=none"], &[], &[]).made(made_with_price()).unwrap();
        assert_eq!(freed[0].pricing, None);
        assert!(edits(&["x=1/1"], &[], &[]).made(models(&["a"])).unwrap_err().to_string().contains("no model x"));
        assert!(edits(&[], &[], &["x"]).made(models(&["a"])).is_err());
        for wrong in ["", "a", "a=1", "a=1/x", "1/2"] {
            price(wrong).unwrap_err();
        }
    }

    fn made_with_price() -> Vec<ProviderModel> {
        let mut models = models(&["a"]);
        models[0].pricing = price("a=1/1").unwrap().1;
        models
    }
}
