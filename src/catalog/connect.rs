//! What a provider has to be, and what is kept of it.
//!
//! Rule: a key comes in here as text and leaves sealed. Rule: keys and headers belong to the host they were given for; to move a
//! provider to another host is to give them again, or they could be sent anywhere.

use super::{
    Catalog, DEMO_PROVIDER, PRESETS,
    address::{self, endpoint, origin_of},
};
use crate::{
    error::{Error, Result},
    id,
    model::{facts::Facts, upstream::Listed},
    outbound::frames_request,
    seal::{Credential, NewCredential},
    secret::{Secret, trimmed},
    store::{
        providers::{Provider, ProviderModel},
        tools::AddedBy,
    },
};

/// Most extra headers.
const HEADERS_MAX: usize = 32;
/// Most models of one provider.
pub(super) const MODELS_MAX: usize = 2_000;
/// Longest name of a model, in characters.
const MODEL_NAME_CHARS_MAX: usize = 200;

/// A provider that is to be kept.
#[derive(Default)]
pub struct NewProvider {
    pub slug: String,
    /// Absent: the preset's of that slug.
    pub base_url: Option<String>,
    pub key: Option<NewCredential>,
    pub headers: Vec<(String, String)>,
    pub models: Vec<ProviderModel>,
    pub paid_elsewhere: bool,
    pub system_anywhere: Option<bool>,
}

/// What is to change of a provider; what is absent stays.
#[derive(Default)]
pub struct ProviderChange {
    pub base_url: Option<String>,
    pub key: Option<NewCredential>,
    pub headers: Option<Vec<(String, String)>>,
    pub models: Option<Vec<ProviderModel>>,
    pub paid_elsewhere: Option<bool>,
    pub system_anywhere: Option<Option<bool>>,
}

impl Catalog {
    /// A provider as it will be kept.
    pub fn prepare(&self, new: NewProvider) -> Result<Provider> {
        check_new_slug(&new.slug)?;
        let preset = || PRESETS.iter().find(|preset| preset.slug == new.slug).map(|preset| preset.base_url.to_owned());
        let base_url = new.base_url.or_else(preset);
        let base_url = base_url.ok_or_else(|| {
            Error::invalid("baseUrl", "required: the API's base URL, such as http://127.0.0.1:11434/v1")
        })?;
        let mut provider = Provider::new(new.slug, "");
        let change = ProviderChange {
            base_url: Some(base_url),
            key: new.key,
            headers: Some(new.headers),
            models: Some(new.models),
            paid_elsewhere: Some(new.paid_elsewhere),
            system_anywhere: Some(new.system_anywhere),
        };
        self.change(&mut provider, change)?;
        Ok(provider)
    }

    /// Changes a provider by the hand of an owner, who from then on vouches for its address if that is another.
    pub fn change_by_owner(&self, provider: &mut Provider, change: ProviderChange) -> Result<()> {
        let before = provider.base_url.clone();
        self.change(provider, change)?;
        if provider.base_url != before {
            provider.added_by = AddedBy::Api;
        }
        Ok(())
    }

    /// Changes a provider.
    pub fn change(&self, provider: &mut Provider, change: ProviderChange) -> Result<()> {
        let change = ProviderChange { key: change.key.and_then(given), ..change };
        if provider.cassette.is_some()
            && (change.base_url.is_some() || change.key.is_some() || change.headers.is_some())
        {
            return Err(Error::Conflict("a cassette has no address, key or headers: change its models alone".into()));
        }
        if let Some(base_url) = change.base_url {
            let base_url = address::base_url(&base_url)?;
            let moves = origin_of(&base_url) != origin_of(&provider.base_url);
            let has_key = provider.api_key_sealed.is_some() || provider.api_key_env.is_some();
            if moves && has_key && change.key.is_none() {
                return Err(Error::invalid("apiKey", "belongs to the previous host: send the key for this host too"));
            }
            if moves && !provider.headers.is_empty() && change.headers.is_none() {
                return Err(Error::invalid(
                    "headers",
                    "belong to the previous host: send the headers for this host too",
                ));
            }
            if provider.base_url != base_url {
                provider.models.iter_mut().for_each(|model| model.facts = None);
            }
            provider.base_url = base_url;
        }
        if let Some(key) = change.key {
            let kept = self.sealer.keep(key, &provider.seal_context());
            let kept =
                kept.map_err(|error| error.rename_field("secret", "apiKey").rename_field("variable", "apiKeyEnv"))?;
            (provider.api_key_sealed, provider.api_key_env) = match kept {
                Credential::Sealed(sealed) => (Some(sealed), None),
                Credential::Variable(name) => (None, Some(name)),
            };
        }
        if let Some(headers) = change.headers {
            let headers = headers
                .into_iter()
                .map(|(name, value)| (name.trim().into(), trimmed(&value).into()))
                .collect::<Vec<_>>();
            check_headers(&headers)?;
            provider.headers = headers;
        }
        provider.paid_elsewhere = change.paid_elsewhere.unwrap_or(provider.paid_elsewhere);
        provider.system_anywhere = change.system_anywhere.unwrap_or(provider.system_anywhere);
        if let Some(mut models) = change.models {
            check_models(&models)?;
            // What is known of a model stays with its name.
            for model in models.iter_mut().filter(|model| model.facts.is_none()) {
                let known = provider.models.iter_mut().find(|known| known.name == model.name);
                model.facts = known.and_then(|known| known.facts.take());
            }
            provider.models = models;
        }
        Ok(())
    }

    /// Gives a provider the models it says it has, with what it tells of them; what its owner told of a model stays, what was learned
    /// by asking is forgotten.
    pub fn take_over(&self, provider: &mut Provider, mut listed: Vec<Listed>) -> Result<()> {
        listed.sort_by(|a, b| a.name.cmp(&b.name));
        listed.dedup_by(|a, b| a.name == b.name);
        let model = |listed: Listed| {
            let known = provider.models.iter().find(|model| model.name == listed.name).cloned();
            let facts = Some(Facts::default().with_read(Some(listed.said)).to_text());
            match known {
                Some(known) => ProviderModel { facts, ..known },
                None => ProviderModel { facts, ..ProviderModel::named(listed.name) },
            }
        };
        let models = listed.into_iter().map(model).collect();
        self.change(provider, ProviderChange { models: Some(models), ..Default::default() })
    }
}

/// What stands before a slash in a model's id and is no provider: `agent/ala` is an agent. An older provider of such a name keeps it.
const RESERVED_SLUGS: [&str; 2] = ["agent", "local"];

/// Whether a new provider may have that slug.
pub(super) fn check_new_slug(slug: &str) -> Result<()> {
    check_slug(slug)?;
    match RESERVED_SLUGS.contains(&slug) {
        true => Err(Error::invalid("slug", format!("{slug} is reserved: choose another"))),
        false => Ok(()),
    }
}

/// Whether a provider that was not made here could have been; answers its base URL as it is kept.
pub fn vet(provider: &Provider) -> Result<String> {
    check_slug(&provider.slug)?;
    check_models(&provider.models)?;
    address::base_url(&provider.base_url)
}

fn check_slug(slug: &str) -> Result<()> {
    id::check_slug("slug", slug)?;
    if slug == DEMO_PROVIDER {
        return Err(Error::invalid("slug", format!("{DEMO_PROVIDER} is the built-in provider: choose another")));
    }
    Ok(())
}

/// A credential without what surrounds it; an empty one is none.
fn given(credential: NewCredential) -> Option<NewCredential> {
    match credential {
        NewCredential::Text(text) => {
            let text = trimmed(text.expose());
            (!text.is_empty()).then(|| NewCredential::Text(Secret::new(text)))
        }
        NewCredential::Variable(name) => {
            let name = name.trim();
            (!name.is_empty()).then(|| NewCredential::Variable(name.to_owned()))
        }
    }
}

fn check_headers(headers: &[(String, String)]) -> Result<()> {
    if headers.len() > HEADERS_MAX {
        return Err(Error::invalid("headers", "must be at most 32"));
    }
    if let Some((name, _)) = headers.iter().find(|(name, _)| frames_request(name)) {
        return Err(Error::invalid("headers", format!("must not contain {name}: alm sets it")));
    }
    let sent = endpoint("", "http://127.0.0.1", None, headers.to_vec()).check();
    sent.map_err(|_| Error::invalid("headers", "contain a name or a value that HTTP does not allow"))
}

fn check_models(models: &[ProviderModel]) -> Result<()> {
    if models.len() > MODELS_MAX {
        return Err(Error::invalid("models", "must be at most 2000"));
    }
    let named = |model: &ProviderModel| (1..=MODEL_NAME_CHARS_MAX).contains(&model.name.chars().count());
    match models.iter().position(|model| !named(model)) {
        Some(at) => Err(Error::invalid(format!("models[{at}].id"), "must be 1 to 200 characters")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::upstream::Upstreams, outbound::Options, seal::Sealer, store::Store};

    fn catalog(folder: &tempfile::TempDir) -> Catalog {
        let store = Store::open(folder.path(), 1).unwrap();
        let sealer = Sealer::open(&folder.path().join("key")).unwrap();
        Catalog::new(store, sealer, Vec::new(), Upstreams::new(&Options::default()).unwrap())
    }

    fn new(slug: &str, base_url: Option<&str>) -> NewProvider {
        let key = Some(NewCredential::Text(Secret::new("sk-secret")));
        NewProvider { slug: slug.into(), base_url: base_url.map(Into::into), key, ..NewProvider::default() }
    }

    fn field(result: Result<impl Sized>) -> String {
        match result {
            Err(Error::Invalid(fields)) => fields[0].field.clone(),
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("expected a refusal"),
        }
    }

    #[test]
    fn a_usual_slug_needs_no_address_and_what_cannot_be_is_refused_by_its_field() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = catalog(&folder);
        assert_eq!(catalog.prepare(new("groq", None)).unwrap().base_url, "https://api.groq.com/openai/v1");
        assert_eq!(catalog.prepare(new("x", Some("http://h/v1/"))).unwrap().base_url, "http://h/v1");
        for (slug, url, wrong) in [
            ("A b", Some("http://h/v1"), "slug"),
            ("demo", Some("http://h/v1"), "slug"),
            ("agent", Some("http://h/v1"), "slug"),
            ("local", Some("http://h/v1"), "slug"),
            ("x", None, "baseUrl"),
            ("x", Some("ftp://h"), "baseUrl"),
            ("x", Some("http://"), "baseUrl"),
            ("x", Some("file:///etc/passwd"), "baseUrl"),
        ] {
            assert_eq!(field(catalog.prepare(new(slug, url))), wrong, "{slug} {url:?}");
        }
    }

    #[test]
    fn a_key_stays_with_the_host_it_was_given_for() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = catalog(&folder);
        let mut provider = catalog.prepare(new("x", Some("https://api.example.com/v1"))).unwrap();
        let to = |url: &str, key: Option<NewCredential>| ProviderChange {
            base_url: Some(url.into()),
            key,
            ..Default::default()
        };
        catalog.change(&mut provider, to("https://api.example.com/v2", None)).unwrap();
        for elsewhere in ["https://evil.example/v1", "http://api.example.com/v1", "https://api.example.com:8443/v1"] {
            assert_eq!(field(catalog.change(&mut provider, to(elsewhere, None))), "apiKey");
        }
        assert_eq!(provider.base_url, "https://api.example.com/v2");
        let key = Some(NewCredential::Variable("OTHER_KEY".into()));
        catalog.change(&mut provider, to("https://other.example/v1", key)).unwrap();
        assert!(provider.api_key_sealed.is_none() && provider.api_key_env.is_some());
    }

    #[test]
    fn what_a_provider_is_made_of_is_taken_up_to_its_bounds() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = catalog(&folder);
        let at = |max: usize, wrong: &str, of: &dyn Fn(usize) -> NewProvider| {
            for size in [max - 1, max] {
                catalog.prepare(of(size)).unwrap_or_else(|error| panic!("{wrong} of {size}: {error}"));
            }
            assert_eq!(field(catalog.prepare(of(max + 1))), wrong);
        };
        let whole = || new("x", Some("http://h/v1"));
        let url = |bytes: usize| format!("http://h/{}", "v".repeat(bytes - 9));
        at(address::BASE_URL_BYTES_MAX, "baseUrl", &|bytes| new("x", Some(&url(bytes))));
        let header = |n: usize| (format!("x-{n}"), "value".to_owned());
        at(HEADERS_MAX, "headers", &|count| NewProvider { headers: (0..count).map(header).collect(), ..whole() });
        let models = |count: usize| (0..count).map(|n| ProviderModel::named(n.to_string())).collect();
        at(MODELS_MAX, "models", &|count| NewProvider { models: models(count), ..whole() });
        let named = |chars: usize| vec![ProviderModel::named("é".repeat(chars))];
        at(MODEL_NAME_CHARS_MAX, "models[0].id", &|chars| NewProvider { models: named(chars), ..whole() });
        assert_eq!(field(catalog.prepare(NewProvider { models: named(0), ..whole() })), "models[0].id");
    }
}
