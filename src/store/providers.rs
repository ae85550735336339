//! Providers: where an organization's models come from. The built-in one and those of the environment are not stored.
//!
//! Rule: a provider's key enters and leaves this file sealed.

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::{
    Org,
    audit::{Event, Kind},
    fault::unless_taken,
    tools::AddedBy,
};
use crate::{
    error::{Error, Result},
    id,
    money::{Price, Pricing},
    time::Timestamp,
};

/// A provider with its models.
#[derive(Debug, Clone, PartialEq)]
pub struct Provider {
    pub id: String,
    pub slug: String,
    /// The API's base URL, such as `http://127.0.0.1:11434/v1`.
    pub base_url: String,
    /// Opens with the context [`Provider::seal_context`] and nowhere else.
    pub api_key_sealed: Option<Vec<u8>>,
    /// The environment variable that holds the key instead.
    pub api_key_env: Option<String>,
    /// Extra request headers. They may hold keys as well, so they are never shown.
    pub headers: Vec<(String, String)>,
    /// Who vouches for its address.
    pub added_by: AddedBy,
    /// Whether its models without a price are paid for in another place. A word for people: nothing is refused for it.
    pub paid_elsewhere: bool,
    /// Whether it takes system messages anywhere; absent: as its address says.
    pub system_anywhere: Option<bool>,
    /// What it plays; it has no address then, and no key.
    pub cassette: Option<Cassette>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// By name.
    pub models: Vec<ProviderModel>,
}

/// A cassette on this machine, and how it is played.
#[derive(Debug, Clone, PartialEq)]
pub struct Cassette {
    pub file: String,
    /// Times as fast as it was recorded; 0: at once.
    pub speed: f64,
    /// How far an answer may be looked for: `exact`, `shape` or `nearest`.
    pub reach: String,
    /// Whether tools run where it has no answer of theirs.
    pub real_tools: bool,
}

/// A model as its provider knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct ProviderModel {
    pub name: String,
    /// Absent: no price was set, and it costs nothing here.
    pub pricing: Option<Pricing>,
    /// Tokens, as its owner told; absent: not told.
    pub context_window: Option<u32>,
    /// JSON of what is known of it beside; absent: nothing.
    pub facts: Option<String>,
    /// Whether chats may ask it; its owner sees it all the same.
    pub is_offered: bool,
}

impl Provider {
    const COLUMNS: &str = "id, slug, base_url, api_key_sealed, api_key_env, headers, created_at, updated_at, added_by,
        cassette_file, cassette_speed, cassette_match, cassette_tools = 'real', paid_elsewhere,
        system_anywhere";

    /// A new one of an owner's, without key, headers and models.
    pub fn new(slug: impl Into<String>, base_url: impl Into<String>) -> Self {
        let now = Timestamp::now();
        Provider {
            id: id::generate(),
            slug: slug.into(),
            base_url: base_url.into(),
            api_key_sealed: None,
            api_key_env: None,
            headers: Vec::new(),
            added_by: AddedBy::Api,
            paid_elsewhere: false,
            system_anywhere: None,
            cassette: None,
            created_at: now,
            updated_at: now,
            models: Vec::new(),
        }
    }

    /// The models that chats may ask.
    pub fn offered(&self) -> impl Iterator<Item = &ProviderModel> {
        self.models.iter().filter(|model| model.is_offered)
    }

    /// What its sealed key is bound to.
    pub fn seal_context(&self) -> String {
        format!("provider/{}", self.id)
    }

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let headers: String = row.get(5)?;
        let headers: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&headers).unwrap_or_default();
        let text = |(name, value): (String, serde_json::Value)| Some((name, value.as_str()?.to_owned()));
        let played = |file| {
            Ok::<_, rusqlite::Error>(Cassette {
                file,
                speed: row.get(10)?,
                reach: row.get(11)?,
                real_tools: row.get(12)?,
            })
        };
        Ok(Provider {
            id: row.get(0)?,
            slug: row.get(1)?,
            base_url: row.get(2)?,
            api_key_sealed: row.get(3)?,
            api_key_env: row.get(4)?,
            headers: headers.into_iter().filter_map(text).collect(),
            created_at: Timestamp::from_millis(row.get(6)?),
            updated_at: Timestamp::from_millis(row.get(7)?),
            added_by: row.get(8)?,
            paid_elsewhere: row.get(13)?,
            system_anywhere: row.get(14)?,
            cassette: row.get::<_, Option<String>>(9)?.map(played).transpose()?,
            models: Vec::new(),
        })
    }
}

impl ProviderModel {
    /// One of that name, of which nothing else is known.
    pub fn named(name: impl Into<String>) -> Self {
        ProviderModel { name: name.into(), pricing: None, context_window: None, facts: None, is_offered: true }
    }

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let price = |column| Ok::<_, rusqlite::Error>(row.get::<_, Option<String>>(column)?.and_then(parse_price));
        let (input, output) = (price(1)?, price(2)?);
        let cached_input = price(3)?;
        let priced = input.is_some() || output.is_some();
        let free = Price::default();
        let pricing = Pricing { input: input.unwrap_or(free), output: output.unwrap_or(free), cached_input };
        Ok(ProviderModel {
            name: row.get(0)?,
            pricing: priced.then_some(pricing),
            context_window: row.get(4)?,
            facts: row.get(5)?,
            is_offered: row.get(6)?,
        })
    }
}

impl Org<'_> {
    /// Every provider of the organization with its models, by slug.
    pub fn providers(&self) -> Result<Vec<Provider>> {
        self.read(|c| of_org(c, &self.tenant.org_id))
    }

    /// The provider of that id or slug.
    pub fn provider(&self, id_or_slug: &str) -> Result<Provider> {
        self.read(|c| find(c, &self.tenant.org_id, id_or_slug)?.ok_or(Error::NotFound("provider")))
    }

    /// The provider of that id or slug, if there is one.
    pub fn provider_if_any(&self, id_or_slug: &str) -> Result<Option<Provider>> {
        self.read(|c| find(c, &self.tenant.org_id, id_or_slug))
    }

    /// Keeps a new provider and its models.
    pub async fn create_provider(&self, provider: Provider) -> Result<Provider> {
        self.write_audited(move |c, tenant| {
            create(c, &tenant.org_id, &provider)?;
            let event = Event::new(Kind::ProviderAdded, &provider.slug);
            Ok((provider, event))
        })
        .await
    }

    /// Changes a provider, and its models as a whole; `edit` says how.
    pub async fn update_provider(
        &self,
        id_or_slug: String,
        edit: impl FnOnce(&mut Provider) -> Result<()> + Send + 'static,
    ) -> Result<Provider> {
        self.write_audited(move |c, tenant| {
            let mut provider = find(c, &tenant.org_id, &id_or_slug)?.ok_or(Error::NotFound("provider"))?;
            edit(&mut provider)?;
            provider.updated_at = Timestamp::now();
            change(c, &provider)?;
            // As every look at it will show it.
            provider.models.sort_by(|a, b| a.name.cmp(&b.name));
            let event = Event::new(Kind::ProviderChanged, &provider.slug);
            Ok((provider, event))
        })
        .await
    }

    /// Changes what is known of a model, if it is still there; `change` returns the new JSON, or nothing.
    pub async fn change_facts(
        &self,
        provider_id: String,
        name: String,
        change: impl FnOnce(Option<String>) -> Option<String> + Send + 'static,
    ) -> Result<()> {
        self.write(move |c, tenant| {
            let mut statement = c.prepare_cached(
                "SELECT facts FROM provider_model JOIN provider ON provider.id = provider_id
                 WHERE org_id = :org AND provider_id = :provider AND name = :name",
            )?;
            let of = named_params! { ":org": tenant.org_id, ":provider": provider_id, ":name": name };
            let Some(facts) = statement.query_row(of, |row| row.get(0)).optional()? else { return Ok(()) };
            if let Some(facts) = change(facts) {
                c.execute(
                    "UPDATE provider_model SET facts = :facts WHERE provider_id = :provider AND name = :name",
                    named_params! { ":facts": facts, ":provider": provider_id, ":name": name },
                )?;
            }
            Ok(())
        })
        .await
    }

    /// The same for each model of a provider, at once.
    pub async fn change_all_facts(
        &self,
        provider_id: String,
        mut change: impl FnMut(&str, Option<String>) -> Option<String> + Send + 'static,
    ) -> Result<()> {
        self.write(move |c, tenant| {
            let Some(provider) = find(c, &tenant.org_id, &provider_id)? else { return Ok(()) };
            let mut statement =
                c.prepare_cached("UPDATE provider_model SET facts = ?1 WHERE provider_id = ?2 AND name = ?3")?;
            for model in provider.models {
                if let Some(facts) = change(&model.name, model.facts) {
                    statement.execute((facts, &provider.id, model.name))?;
                }
            }
            Ok(())
        })
        .await
    }

    /// Forgets a provider, its key and its models.
    pub async fn delete_provider(&self, id_or_slug: String) -> Result<()> {
        self.write_audited(move |c, tenant| {
            let provider = find(c, &tenant.org_id, &id_or_slug)?.ok_or(Error::NotFound("provider"))?;
            c.execute("DELETE FROM provider WHERE id = ?1", [provider.id])?;
            Ok(((), Event::new(Kind::ProviderRemoved, provider.slug)))
        })
        .await
    }
}

/// Keeps a new provider and its models.
pub(super) fn create(c: &Connection, org_id: &str, provider: &Provider) -> Result<()> {
    insert(c, org_id, provider)?;
    insert_models(c, provider)
}

/// Keeps a provider as it is now, with its models.
pub(super) fn change(c: &Connection, provider: &Provider) -> Result<()> {
    update(c, provider)?;
    c.execute("DELETE FROM provider_model WHERE provider_id = ?1", [&provider.id])?;
    insert_models(c, provider)
}

pub(super) fn find(c: &Connection, org_id: &str, id_or_slug: &str) -> Result<Option<Provider>> {
    let mut statement = c.prepare_cached(&format!(
        "SELECT {} FROM provider WHERE org_id = :org AND (id = :key OR slug = :key) ORDER BY id = :key DESC LIMIT 1",
        Provider::COLUMNS
    ))?;
    let parameters = named_params! { ":org": org_id, ":key": id_or_slug };
    let provider = statement.query_row(parameters, Provider::from_row).optional()?;
    provider.map(|provider| with_models(c, provider)).transpose()
}

/// The providers of every organization, each with the organization's slug.
pub(super) fn all(c: &Connection) -> Result<Vec<(String, Provider)>> {
    let mut orgs = c.prepare("SELECT id, slug FROM org ORDER BY slug")?;
    let orgs: Vec<(String, String)> =
        orgs.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
    let mut all = Vec::new();
    for (org_id, slug) in orgs {
        all.extend(of_org(c, &org_id)?.into_iter().map(|provider| (slug.clone(), provider)));
    }
    Ok(all)
}

pub(super) fn of_org(c: &Connection, org_id: &str) -> Result<Vec<Provider>> {
    let mut statement =
        c.prepare_cached(&format!("SELECT {} FROM provider WHERE org_id = :org ORDER BY slug", Provider::COLUMNS))?;
    let rows = statement.query_map(named_params! { ":org": org_id }, Provider::from_row)?;
    rows.map(|provider| with_models(c, provider?)).collect()
}

fn with_models(c: &Connection, provider: Provider) -> Result<Provider> {
    let mut statement = c.prepare_cached(
        "SELECT name, input_price, output_price, cached_input_price, context_window, facts, is_offered
         FROM provider_model
         WHERE provider_id = :provider ORDER BY name",
    )?;
    let rows = statement.query_map(named_params! { ":provider": provider.id }, ProviderModel::from_row)?;
    let models = rows.collect::<Result<_, _>>()?;
    Ok(Provider { models, ..provider })
}

fn headers_text(provider: &Provider) -> String {
    let headers = provider.headers.iter().map(|(name, value)| (name.clone(), value.clone().into()));
    serde_json::Value::Object(headers.collect()).to_string()
}

fn insert(c: &Connection, org_id: &str, provider: &Provider) -> Result<()> {
    let cassette = provider.cassette.as_ref();
    let inserted = c.execute(
        "INSERT INTO provider (id, org_id, slug, kind, base_url, api_key_sealed, api_key_env, headers, created_at,
             updated_at, added_by, cassette_file, cassette_speed, cassette_match, cassette_tools,
             paid_elsewhere, system_anywhere)
         VALUES (:id, :org, :slug, iif(:file IS NULL, 'openai-compatible', 'cassette'), :url, :sealed, :env, :headers, :created,
             :updated, :by, :file, :speed, :reach, iif(:real, 'real', 'recorded'), :elsewhere, :anywhere)",
        named_params! {
            ":id": provider.id, ":org": org_id, ":slug": provider.slug, ":url": provider.base_url,
            ":sealed": provider.api_key_sealed, ":env": provider.api_key_env,
            ":headers": headers_text(provider), ":by": provider.added_by,
            ":created": provider.created_at.as_millis(), ":updated": provider.updated_at.as_millis(),
            ":file": cassette.map(|cassette| &cassette.file), ":speed": cassette.map_or(1.0, |cassette| cassette.speed),
            ":reach": cassette.map_or("nearest", |cassette| &cassette.reach),
            ":real": cassette.is_some_and(|cassette| cassette.real_tools),
            ":elsewhere": provider.paid_elsewhere, ":anywhere": provider.system_anywhere,
        },
    );
    let taken = || Error::Conflict(format!("a provider with the slug {} exists: choose another", provider.slug));
    unless_taken(inserted, taken)?;
    Ok(())
}

fn update(c: &Connection, provider: &Provider) -> Result<()> {
    c.execute(
        "UPDATE provider SET base_url = :url, api_key_sealed = :sealed, api_key_env = :env, headers = :headers,
             updated_at = :updated, added_by = :by, paid_elsewhere = :elsewhere, system_anywhere = :anywhere
         WHERE id = :id",
        named_params! {
            ":id": provider.id, ":url": provider.base_url, ":sealed": provider.api_key_sealed,
            ":env": provider.api_key_env, ":headers": headers_text(provider),
            ":updated": provider.updated_at.as_millis(), ":by": provider.added_by,
            ":elsewhere": provider.paid_elsewhere, ":anywhere": provider.system_anywhere,
        },
    )?;
    Ok(())
}

fn insert_models(c: &Connection, provider: &Provider) -> Result<()> {
    let mut statement = c.prepare_cached(
        "INSERT INTO provider_model (provider_id, name, input_price, output_price, cached_input_price, context_window,
             facts, is_offered)
         VALUES (:provider, :name, :input, :output, :cached, :window, :facts, :offered)",
    )?;
    for model in &provider.models {
        let price = |of: fn(&Pricing) -> Option<Price>| model.pricing.as_ref().and_then(of).map(|p| p.to_string());
        let inserted = statement.execute(named_params! {
            ":provider": provider.id, ":name": model.name, ":input": price(|p| Some(p.input)),
            ":output": price(|p| Some(p.output)), ":cached": price(|p| p.cached_input),
            ":window": model.context_window, ":facts": model.facts, ":offered": model.is_offered,
        });
        unless_taken(inserted, || Error::Conflict(format!("the model {} is listed twice", model.name)))?;
    }
    Ok(())
}

/// What is no price was put there by a foreign hand; the dearest reading of it is not ours to choose.
fn parse_price(text: String) -> Option<Price> {
    text.parse().inspect_err(|_| tracing::warn!(text, "a stored price is not a number: ignored")).ok()
}
