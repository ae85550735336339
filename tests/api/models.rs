//! Models and providers.

use alm::{
    id,
    money::Pricing,
    store::providers::{Provider, ProviderModel},
    time::Timestamp,
};
use serde_json::{Value, json};

use crate::harness::{Server, Wait, column};

/// Keeps a provider with one priced and one free model at an address where nobody answers.
pub fn keep_provider(server: &Server, slug: &str) -> Provider {
    let id = id::generate();
    let price = |text: &str| text.parse().unwrap();
    let pricing = Pricing { input: price("0.15"), output: price("0.6"), cached_input: None };
    let provider = Provider {
        slug: "nearby".into(),
        base_url: "http://127.0.0.1:9/v1".into(),
        api_key_sealed: Some(server.sealer.seal("sk-very-secret", &format!("provider/{id}")).unwrap()),
        api_key_env: None,
        headers: vec![("x-token".into(), "header-secret".into())],
        created_at: Timestamp::now(),
        updated_at: Timestamp::now(),
        models: vec![
            ProviderModel { name: "free".into(), pricing: None, context_window: Some(8192) },
            ProviderModel { name: "paid:1b".into(), pricing: Some(pricing), context_window: None },
        ],
        id,
    };
    server.app.store.org(&server.tenant(slug)).create_provider(provider).wait().unwrap()
}

#[test]
fn the_built_in_model_needs_nothing() {
    let server = Server::start();
    let models = server.org("acme").get("/models").ok(200);
    let expected = json!([{
        "id": "demo/ala", "provider": "demo", "name": "ala", "local": true, "isFree": true, "pricing": null,
        "contextWindow": null, "capabilities": ["text", "tools"],
    }]);
    assert_eq!(models["items"], expected);
}

#[test]
fn a_stored_providers_models_are_the_organizations_own() {
    let server = Server::start();
    keep_provider(&server, "acme");
    let models = server.org("acme").get("/models").ok(200);
    assert_eq!(column(&models, "id"), ["demo/ala", "nearby/free", "nearby/paid:1b"]);
    let paid = &models["items"][2];
    assert_eq!(paid["pricing"], json!({ "inputPerMillion": "0.15", "outputPerMillion": "0.6" }));
    assert_eq!((&paid["local"], &paid["isFree"], &paid["contextWindow"]), (&json!(true), &json!(false), &Value::Null));
    assert_eq!(column(&server.org("globex").get("/models").ok(200), "id"), ["demo/ala"]);
    server.org("globex").get("/providers/nearby").fails(404, "NOT_FOUND");
}

#[test]
fn a_providers_secrets_are_never_shown() {
    let server = Server::start();
    let kept = keep_provider(&server, "acme");
    let acme = server.org("acme");
    for path in ["/providers", "/providers/nearby", &format!("/providers/{}", kept.id)] {
        let reply = acme.get(path);
        reply.ok(200);
        assert!(!reply.text.contains("secret"), "{}", reply.text);
    }
    assert_eq!(acme.get("/providers/nearby").ok(200)["hasApiKey"], json!(true));
}

#[test]
fn a_key_never_changes_providers() {
    let server = Server::start();
    keep_provider(&server, "acme");
    let acme = server.org("acme");
    acme.post("/providers", json!({ "slug": "x", "kind": "demo", "models": [] })).fails(403, "FORBIDDEN");
    acme.patch("/providers/nearby", json!({})).fails(403, "FORBIDDEN");
    acme.delete("/providers/nearby").fails(403, "FORBIDDEN");
    for action in ["test", "refresh"] {
        acme.post(&format!("/providers/nearby/{action}"), json!({})).fails(403, "FORBIDDEN");
    }
}
