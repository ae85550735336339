//! What a program wants there to be, as one JSON object: read and checked as a whole, then written in one commit.

use serde_json::{Map, Value};

use super::{
    error::Error,
    handle::{ApiKey, Handle, Organization, blocking},
};
use crate::{
    catalog::{Catalog, NewProvider, ProviderChange},
    error::{Error as Cause, Result as Fallible},
    http::{schemas, wanted_agent},
    id,
    key::{self, Env, Scope},
    money::parse_usd,
    seal::NewCredential,
    secret::Secret,
    store::{
        Store, Tenant, agents, ledger,
        providers::ProviderModel,
        provision::{Change, Wanted, WantedKey},
        tools::AddedBy,
    },
};

/// The longest object, in bytes.
const PROVISION_BYTES_MAX: usize = 64 * 1024;

/// What [`Handle::provision`] has made so.
#[derive(Debug)]
#[non_exhaustive]
pub struct Provisioned {
    /// The organization.
    pub org: Organization,
    /// The key, if one was wanted.
    pub key: Option<ApiKey>,
}

impl Handle {
    /// Makes what a JSON object names: what is missing is made, what is there is set, and nothing is removed. All of it is one
    /// commit, and the same again changes nothing but the key.
    ///
    /// ```json
    /// {"org":"acme","owner":"you@example.com","key":{"name":"app","scopes":["chat","read","write"],"value":null},
    ///  "providers":[{"slug":"ollama","baseUrl":"http://127.0.0.1:11434/v1","models":["llama3.2:3b"],"apiKeyEnv":null}],
    ///  "agents":[{"slug":"helper","systemPrompt":"Be brief.","model":"ollama/llama3.2:3b"}],
    ///  "defaultModel":"ollama/llama3.2:3b","depositUsd":"10.00"}
    /// ```
    ///
    /// Only `org` is required. A key without a `value` is made anew each time, and those of its name end; a value is `alm_live_`
    /// and 48 hexadecimal digits. An agent takes the fields of the API. The deposit is for a new organization alone.
    pub async fn provision(&self, wanted: &str) -> Result<Provisioned, Error> {
        let (store, catalog, text) = (self.store.clone(), self.catalog.clone(), wanted.to_owned());
        let wanted = blocking(move || read(&text, &store, &catalog)).await?;
        let key_text = wanted.key.as_ref().map(|key| Secret::new(key.new.text.clone()));
        let made = self.store.provision(wanted).await?;
        let key = made.key_id.zip(key_text).map(|(id, text)| ApiKey { id, text });
        Ok(Provisioned { org: self.organization(made.org, made.is_new), key })
    }
}

fn read(text: &str, store: &Store, catalog: &Catalog) -> Fallible<Wanted> {
    if text.len() > PROVISION_BYTES_MAX {
        return Err(Cause::invalid("provision", format!("must be at most {PROVISION_BYTES_MAX} bytes")));
    }
    let value: Value =
        serde_json::from_str(text).map_err(|error| Cause::invalid("provision", format!("must be JSON: {error}")))?;
    let known = ["org", "owner", "key", "providers", "agents", "defaultModel", "depositUsd"];
    let fields = Fields::of(&value, "", &known)?;
    let slug = fields.required("org")?.to_owned();
    id::check_org_slug("org", &slug)?;
    let owner = fields.text("owner")?.map_or_else(|| format!("owner@{slug}.localhost"), str::to_owned);
    id::check_email("owner", &owner)?;
    let tenant = match store.org_by_slug(&slug) {
        Ok(org) => org.tenant(),
        // Nothing belongs to it yet.
        Err(Cause::NotFound(_)) => Tenant { org_id: String::new(), user_id: String::new() },
        Err(error) => return Err(error),
    };
    let providers = fields.list("providers")?;
    let providers = providers.iter().map(|(path, value)| provider(value, path, store, catalog, &tenant));
    let providers = providers.collect::<Fallible<Vec<_>>>()?;
    let default_model = fields.text("defaultModel")?.map(str::to_owned);
    if let Some(model) = &default_model {
        let is_wanted = |slug: &str, name: &str| {
            let same = providers.iter().filter(|wanted| wanted.slug == slug);
            same.flat_map(|wanted| &wanted.models).any(|known| known == name)
        };
        if !model.split_once('/').is_some_and(|(slug, name)| is_wanted(slug, name)) {
            let unknown = |error: Cause| Cause::invalid("defaultModel", error.to_string());
            catalog.resolve(&tenant, model).map_err(unknown)?;
        }
    }
    let agents = fields.list("agents")?;
    let agents = agents.iter().map(|(path, value)| agent(value, path, store, &tenant));
    let deposit = fields.text("depositUsd")?.map(|text| {
        let amount = parse_usd(text).map_err(|error| Cause::invalid("depositUsd", error.to_string()))?;
        ledger::check_deposit(amount).map_err(|error| under("depositUsd", error)).map(|()| amount)
    });
    Ok(Wanted {
        key: fields.value("key").map(wanted_key).transpose()?,
        providers: providers.into_iter().filter_map(|wanted| wanted.change).collect(),
        agents: agents.filter_map(Result::transpose).collect::<Fallible<_>>()?,
        deposit: deposit.transpose()?,
        default_model,
        owner,
        slug,
    })
}

fn wanted_key(value: &Value) -> Fallible<WantedKey> {
    let fields = Fields::of(value, "key.", &["name", "scopes", "value"])?;
    let name = fields.required("name")?.to_owned();
    key::check_name("key.name", &name)?;
    let mut scopes = Vec::new();
    for (path, scope) in fields.list("scopes")? {
        let known = scope.as_str().and_then(Scope::parse);
        scopes.push(known.ok_or_else(|| Cause::invalid(path, "must be read, chat or write"))?);
    }
    if scopes.is_empty() {
        scopes = Scope::ALL.to_vec();
    }
    let (env, new) = match fields.text("value")? {
        Some(text) => key::given(text).ok_or_else(|| {
            Cause::invalid(
                "key.value",
                "must be alm_live_ and 48 hexadecimal digits in lower case, or null for a new key",
            )
        })?,
        None => (Env::Live, key::generate(Env::Live)?),
    };
    Ok(WantedKey { name, env, scopes, new })
}

/// A provider that is wanted.
struct WantedProvider {
    slug: String,
    models: Vec<String>,
    /// What there is to do for it, if anything.
    change: Option<Change<crate::store::providers::Provider>>,
}

fn provider(value: &Value, path: &str, store: &Store, catalog: &Catalog, tenant: &Tenant) -> Fallible<WantedProvider> {
    let fields = Fields::of(value, &format!("{path}."), &["slug", "baseUrl", "models", "apiKeyEnv"])?;
    let slug = fields.required("slug")?.to_owned();
    let base_url = fields.text("baseUrl")?.map(str::to_owned);
    let key = fields.text("apiKeyEnv")?.map(|name| NewCredential::Variable(name.to_owned()));
    let mut models = Vec::new();
    for (path, model) in fields.list("models")? {
        models.push(model.as_str().ok_or_else(|| Cause::invalid(path, "must be a text"))?.to_owned());
    }
    let named = || models.iter().cloned().map(ProviderModel::named);
    let change = match store.org(tenant).provider_if_any(&slug)?.filter(|provider| provider.slug == slug) {
        None => {
            let new =
                NewProvider { slug: slug.clone(), base_url, key, models: named().collect(), ..NewProvider::default() };
            let mut provider = catalog.prepare(new).map_err(|error| under(path, error))?;
            // Whose program it is may reach what it says.
            provider.added_by = AddedBy::Operator;
            Some(Change::New(provider))
        }
        Some(there) => {
            let mut provider = there.clone();
            let missing = named().filter(|model| there.models.iter().all(|known| known.name != model.name));
            let models = there.models.iter().cloned().chain(missing).collect();
            let change = ProviderChange { base_url, key, models: Some(models), ..ProviderChange::default() };
            catalog.change(&mut provider, change).map_err(|error| under(path, error))?;
            provider.added_by = AddedBy::Operator;
            (provider != there).then_some(Change::Other(provider))
        }
    };
    Ok(WantedProvider { slug, models, change })
}

fn agent(value: &Value, path: &str, store: &Store, tenant: &Tenant) -> Fallible<Option<Change<agents::Agent>>> {
    let fields = Fields::of(value, &format!("{path}."), wanted_agent::FIELDS)?;
    let slug = fields.required("slug")?;
    let there = match store.org(tenant).agent(slug) {
        Ok(agent) => Some(agent).filter(|agent| agent.slug == slug),
        // Every organization has her from its start.
        Err(Cause::NotFound(_)) => (slug == agents::ALA_SLUG).then(agents::new_ala),
        Err(error) => return Err(error),
    };
    let agent = wanted_agent::of(value, there.clone(), schemas()).map_err(|error| under(path, error))?;
    Ok(match there {
        None => Some(Change::New(agent)),
        Some(there) => (agent != there).then_some(Change::Other(agent)),
    })
}

/// The same error, of a field further down.
fn under(path: &str, error: Cause) -> Cause {
    match error {
        Cause::Invalid(mut fields) => {
            fields.iter_mut().for_each(|invalid| invalid.field = format!("{path}.{}", invalid.field));
            Cause::Invalid(fields)
        }
        other => Cause::invalid(path, other.to_string()),
    }
}

/// The fields of one object, all of which are known.
struct Fields<'a> {
    /// What stands before their names, with its dot.
    path: String,
    map: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    fn of(value: &'a Value, path: &str, known: &[&str]) -> Fallible<Self> {
        let within = path.trim_end_matches('.');
        let whole = || Cause::invalid(if within.is_empty() { "provision" } else { within }, "must be a JSON object");
        let map = value.as_object().ok_or_else(whole)?;
        let plain = |name: &str| name.replace(['_', '-'], "").to_lowercase();
        let Some(unknown) = map.keys().find(|name| !known.contains(&&***name)) else {
            return Ok(Fields { path: path.to_owned(), map });
        };
        let rather = match known.iter().find(|known| plain(known) == plain(unknown)) {
            Some(meant) => format!("did you mean {meant}?"),
            None => format!("there are {}", known.join(", ")),
        };
        Err(Cause::invalid(format!("{path}{unknown}"), format!("no such field: {rather}")))
    }

    /// A field that is there; null is absent.
    fn value(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    fn text(&self, name: &str) -> Fallible<Option<&'a str>> {
        let wrong = || Cause::invalid(format!("{}{name}", self.path), "must be a text");
        self.value(name).map(|value| value.as_str().ok_or_else(wrong)).transpose()
    }

    fn required(&self, name: &str) -> Fallible<&'a str> {
        self.text(name)?.ok_or_else(|| Cause::invalid(format!("{}{name}", self.path), "required"))
    }

    /// The items of a list, each with its path.
    fn list(&self, name: &str) -> Fallible<Vec<(String, &'a Value)>> {
        let path = format!("{}{name}", self.path);
        let Some(value) = self.value(name) else { return Ok(Vec::new()) };
        let items = value.as_array().ok_or_else(|| Cause::invalid(path.clone(), "must be a list"))?;
        Ok(items.iter().enumerate().map(|(at, item)| (format!("{path}[{at}]"), item)).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{model::upstream::Upstreams, outbound, seal::Sealer};

    #[test]
    fn an_object_is_read_up_to_its_bound() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), 1).unwrap();
        let sealer = Sealer::open(&folder.path().join("key")).unwrap();
        let upstreams = Upstreams::new(&outbound::Options::default()).unwrap();
        let catalog = Catalog::new(store.clone(), sealer, Vec::new(), Arc::new(upstreams));
        for (bytes, is_read) in
            [(PROVISION_BYTES_MAX - 1, true), (PROVISION_BYTES_MAX, true), (PROVISION_BYTES_MAX + 1, false)]
        {
            let text = r#"{"org":"acme"}"#;
            let text = format!("{text}{}", " ".repeat(bytes - text.len()));
            assert_eq!(read(&text, &store, &catalog).is_ok(), is_read, "{bytes}");
        }
    }
}
