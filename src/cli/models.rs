//! `alm models`: the models that an organization can use.
//!
//! Rule: those that a running server has besides, since it runs them itself, are among them.

use serde_json::json;

use super::{globals::Globals, health, text::table};
use crate::{
    catalog::{LOCAL_PROVIDER, Model},
    error::Result,
    store::{Store, Tenant, file::lock},
};

#[derive(Debug, clap::Args)]
pub(super) struct Models {
    /// The organization's slug
    #[arg(long)]
    org: String,
}

impl Models {
    pub(super) fn run(self, globals: &Globals) -> Result<()> {
        let store = globals.store()?;
        let tenant = globals.tenant(&store, &self.org)?;
        let mut models = globals.catalog(&store)?.models(&tenant)?;
        models.extend(beside(globals, &store, &tenant)?);
        globals.print(|| models.iter().map(to_json).collect(), || to_table(&models))
    }
}

/// The models that the server runs itself which uses the folder, unless a provider of the organization hides them.
pub(super) fn beside(globals: &Globals, store: &Store, tenant: &Tenant) -> Result<Vec<Model>> {
    let is_hidden = store.org(tenant).provider_if_any(LOCAL_PROVIDER)?.is_some();
    let server = lock::running(&globals.folder()?).filter(|_| !is_hidden);
    let names = server.map_or_else(Vec::new, |server| health::local_models(&server.url));
    Ok(names.into_iter().map(Model::local).collect())
}

fn to_json(model: &Model) -> serde_json::Value {
    let pricing = model.pricing.map(
        |price| json!({ "inputPerMillion": price.input.to_string(), "outputPerMillion": price.output.to_string() }),
    );
    json!({
        "id": model.id, "provider": model.provider, "local": model.local, "isFree": model.is_free(), "pricing": pricing,
        "paidElsewhere": model.paid_elsewhere,
        "contextWindow": model.context_window.map(|(tokens, _)| tokens),
        "contextWindowSource": model.context_window.map(|(_, source)| source.as_str()),
    })
}

fn to_table(models: &[Model]) -> String {
    let row = |model: &Model| {
        let price = match model.pricing {
            Some(price) if price.is_free() => "free".to_owned(),
            Some(price) => format!("{}/{}", price.input, price.output),
            None if model.local => "local".to_owned(),
            None if model.paid_elsewhere => "paid elsewhere".to_owned(),
            None => "no price set".to_owned(),
        };
        let window = model.context_window.map_or_else(|| "-".to_owned(), |(tokens, _)| tokens.to_string());
        vec![model.id.clone(), price, window, if model.local { "local" } else { "remote" }.to_owned()]
    };
    table(&["MODEL", "USD PER MILLION IN/OUT", "CONTEXT", "WHERE"], &models.iter().map(row).collect::<Vec<_>>())
}
