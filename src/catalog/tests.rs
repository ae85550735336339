//! Which models there are, what is known of them, and when a server is asked for it.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use super::*;
use crate::{
    model::{
        facts::{Facts, Lesson},
        local::resting,
        scripted::Server,
        upstream::Listed,
    },
    outbound::Options,
    store::providers::ProviderModel,
};

/// A catalog over a file of its own, for an organization.
struct World {
    store: Store,
    tenant: Tenant,
    catalog: Catalog,
    _folder: tempfile::TempDir,
}

fn world(env_providers: Vec<EnvProvider>) -> World {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), 2).unwrap();
    let tenant = store.create_org("acme", "a@example.com", None).unwrap().tenant();
    let sealer = Sealer::open(&folder.path().join("key")).unwrap();
    let catalog = Catalog::new(store.clone(), sealer, env_providers, Upstreams::new(&Options::default()).unwrap());
    World { store, tenant, catalog, _folder: folder }
}

impl World {
    /// Connects the provider `up` with models of these names.
    async fn connect(&self, base_url: &str, names: &[&str]) -> Provider {
        let mut provider = Provider::new("up", base_url);
        let model = |name: &&str| ProviderModel::named(*name);
        provider.models = names.iter().map(model).collect();
        self.store.org(&self.tenant).create_provider(provider).await.unwrap()
    }

    fn model(&self, id: &str) -> Model {
        self.catalog.resolve(&self.tenant, id).unwrap().model
    }

    fn known(&self, id: &str) -> Known {
        match self.catalog.resolve(&self.tenant, id).unwrap().source {
            Source::Upstream { known, .. } => known,
            Source::Demo | Source::Cassette { .. } | Source::Local { .. } => panic!("{id} is no model of a server"),
        }
    }

    /// What the file holds of a model.
    fn written(&self, name: &str) -> Facts {
        let provider = self.store.org(&self.tenant).provider_if_any("up").unwrap().unwrap();
        model::facts_of(provider.models.iter().find(|model| model.name == name).unwrap())
    }
}

/// A server that counts how often it is asked for its models, and has one more each time: `m0`, `m1`, …
fn growing() -> (Server, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let server = Server::responding(move |_, request| {
        let models: Vec<_> = match request.starts_with("GET /v1/models ") {
            true => (0..=count.fetch_add(1, Ordering::SeqCst))
                .map(|n| json!({ "id": format!("m{n}"), "max_model_len": 1024 * (n + 1) }))
                .collect(),
            false => Vec::new(),
        };
        let body = json!({ "data": models }).to_string();
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    });
    (server, asked)
}

fn ollama_at(host: &str) -> Vec<EnvProvider> {
    EnvProvider::from_env(|name| (name == "OLLAMA_HOST").then(|| host.to_owned()))
}

#[test]
fn an_unknown_model_is_refused_by_name_and_a_free_one_has_no_price() {
    let world = world(ollama_at("127.0.0.1"));
    let listed = Listed { name: "llama3.2:3b".into(), ..Listed::default() };
    world.catalog.env_providers[0].listed(vec![listed]);
    let ids: Vec<_> = world.catalog.models(&world.tenant).unwrap().into_iter().map(|model| model.id).collect();
    assert_eq!(ids, [DEMO_MODEL, "ollama/llama3.2:3b"]);
    for id in &ids {
        assert_eq!(world.model(id).pricing, None);
    }
    for id in ["demo/bea", "ollama/other", "nobody/x", "x", ""] {
        assert!(matches!(world.catalog.resolve(&world.tenant, id), Err(Error::UnknownModel(_))), "{id}");
    }
}

#[tokio::test]
async fn a_local_model_is_every_organizations_and_the_default_unless_a_provider_has_its_name() {
    let World { store, tenant, catalog, _folder } = world(Vec::new());
    assert_eq!(catalog.default_model(&tenant).unwrap(), DEMO_MODEL);
    let catalog = catalog.with_local(resting::models(_folder.path(), &["small", "large"]));
    let other = store.create_org("globex", "b@example.com", None).unwrap().tenant();
    for tenant in [&tenant, &other] {
        let ids: Vec<_> = catalog.models(tenant).unwrap().into_iter().map(|model| model.id).collect();
        assert_eq!(ids, [DEMO_MODEL, "local/small", "local/large"]);
        assert_eq!(catalog.default_model(tenant).unwrap(), "local/small");
        let ResolvedModel { model, source } = catalog.resolve(tenant, "local/large").unwrap();
        assert!(model.local && model.is_free() && model.context_window.is_none());
        let Source::Local { model, person, .. } = source else { panic!("it is asked elsewhere") };
        assert_eq!((model.name(), &person), ("large", &tenant.user_id));
        assert!(matches!(catalog.resolve(tenant, "local/other"), Err(Error::UnknownModel(_))));
    }
    let mut hiding = Provider::new("local", "http://127.0.0.1:1/v1");
    hiding.models.push(ProviderModel::named("small"));
    store.org(&tenant).create_provider(hiding).await.unwrap();
    let ids: Vec<_> = catalog.models(&tenant).unwrap().into_iter().map(|model| model.id).collect();
    assert_eq!(ids, [DEMO_MODEL, "local/small"]);
    assert_eq!(catalog.default_model(&tenant).unwrap(), DEMO_MODEL);
    assert!(matches!(catalog.resolve(&tenant, "local/small").unwrap().source, Source::Upstream { .. }));
    assert!(catalog.resolve(&tenant, "local/large").is_err());
    assert_eq!(catalog.default_model(&other).unwrap(), "local/small");
}

#[tokio::test]
async fn what_a_model_teaches_is_known_to_the_next_chat_before_it_is_written_and_after() {
    let world = world(Vec::new());
    world.connect("http://127.0.0.1:1/v1", &["m", "n"]).await;
    let first = world.known("up/m");
    first.learn(Lesson::NoTools);
    first.learn(Lesson::Window { tokens: 512 });
    let learned = (Some(false), Some((512, WindowSource::Learned)));
    let knows = |model: Model| (model.tools, model.context_window) == learned;
    // Nothing has run yet that could have written it.
    assert_eq!(world.written("m"), Facts::default());
    assert!(knows(world.model("up/m")));
    assert!(world.catalog.models(&world.tenant).unwrap().into_iter().any(knows));
    assert_eq!(world.known("up/m").facts().tools(Timestamp::now()), Some(false));
    assert_eq!(*world.known("up/n").facts(), Facts::default());
    while world.written("m").context_window(Timestamp::now()) != learned.1 {
        tokio::task::yield_now().await;
    }
    assert!(knows(world.model("up/m")));
    while !world.catalog.lessons.unwritten().is_empty() {
        tokio::task::yield_now().await;
    }
    assert!(knows(world.model("up/m")));
    assert_eq!(world.written("n"), Facts::default());
}

#[tokio::test]
async fn what_a_server_said_is_read_again_behind_a_chat_once_it_is_old() {
    let world = world(Vec::new());
    let (server, asked) = growing();
    let provider = world.connect(&format!("http://{}/v1", server.address), &["m0", "gone"]).await;
    let say = async |ago: Duration| {
        let at = Timestamp::now().as_millis() - ago.as_millis() as i64;
        let said = Said { at, context_window: Some(512), ..Said::default() };
        let facts = move |_| Some(Facts::default().with_read(Some(said)).to_text());
        world.store.org(&world.tenant).change_facts(provider.id.clone(), "m0".into(), facts).await.unwrap();
    };
    let window = || world.model("up/m0").context_window;
    say(FACTS_AGE_MAX / 2).await;
    assert_eq!(window(), Some((512, WindowSource::Read)));
    assert!(world.catalog.read_at.lock().unwrap().is_empty(), "what is not old is not read again");
    say(FACTS_AGE_MAX).await;
    // The chat itself waits for nothing.
    assert_eq!(window(), Some((512, WindowSource::Read)));
    while window() != Some((1024, WindowSource::Read)) {
        tokio::task::yield_now().await;
    }
    // A provider is read at most that often, whatever it says of itself.
    say(FACTS_AGE_MAX).await;
    assert_eq!(window(), Some((512, WindowSource::Read)));
    assert_eq!((world.catalog.read_at.lock().unwrap().len(), asked.load(Ordering::SeqCst)), (1, 1));
}

#[tokio::test]
async fn a_model_that_came_later_is_found_by_asking_again_and_not_more_often_than_that() {
    let (server, asked) = growing();
    let world = world(ollama_at(&server.address.to_string()));
    let is_there = |name: &str| world.catalog.resolve(&world.tenant, &format!("ollama/{name}")).is_ok();
    assert!(world.catalog.refresh_env_providers().await);
    assert_eq!([is_there("m0"), is_there("m1")], [true, false]);
    assert!(world.catalog.ask_again_for(&world.tenant, Some("ollama/m1")).await);
    assert!(is_there("m1"));
    // Who comes soon after gets what was heard then; a provider that the environment does not name is not asked at all.
    for (id, is_worth_it) in [(Some("ollama/m2"), true), (Some("openai/m2"), false), (Some("m2"), false), (None, true)]
    {
        assert_eq!(world.catalog.ask_again_for(&world.tenant, id).await, is_worth_it, "{id:?}");
    }
    assert_eq!((is_there("m2"), asked.load(Ordering::SeqCst)), (false, 2));
    let at = Instant::now();
    let ms = Duration::from_millis(1);
    let due =
        [ASK_AGAIN_INTERVAL - ms, ASK_AGAIN_INTERVAL, ASK_AGAIN_INTERVAL + ms].map(|ago| is_due(Some(at), at + ago));
    assert_eq!((due, is_due(None, at)), ([false, true, true], true));
}

#[tokio::test]
async fn where_a_system_message_may_stand_is_the_owners_word_or_else_the_addresss() {
    let World { catalog, _folder, .. } = world(Vec::new());
    for (url, known) in [("https://api.openai.com/v1", true), ("https://models.example.com/v1", false)] {
        for (told, stands) in [(None, known), (Some(true), true), (Some(false), false)] {
            let provider = Provider { system_anywhere: told, ..Provider::new("up", url) };
            assert_eq!(catalog.endpoint(&provider).unwrap().dialect.system_anywhere, stands, "{url} {told:?}");
        }
    }
}
