//! Models and providers.

use serde_json::{Value, json};

use crate::support::{
    fake_model::{Answer, FakeModel, nobody},
    harness::{App, ModelSpec, column, until, user},
};

const PRICED: ModelSpec = ModelSpec { name: "paid:1b", price: Some(("0.15", "0.6")), context_window: None };
const SMALL: ModelSpec = ModelSpec { name: "free", price: None, context_window: Some(8192) };

#[test]
fn the_built_in_model_needs_nothing() {
    let app = App::shared();
    let models = app.org("acme").get("/models").ok(200);
    let expected = json!([{
        "id": "demo/ala", "provider": "demo", "name": "ala", "local": true, "isFree": true, "pricing": null,
        "paidElsewhere": false,
        "contextWindow": null, "contextWindowSource": null, "capabilities": ["text", "tools", "images"],
    }]);
    assert_eq!(models["items"], expected);
}

#[test]
fn a_stored_providers_models_are_the_organizations_own() {
    let app = App::shared();
    app.provider("acme", &nobody(), &[SMALL, PRICED]);
    let models = app.org("acme").get("/models").ok(200);
    assert_eq!(column(&models, "id"), ["demo/ala", "up/free", "up/paid:1b"]);
    let paid = &models["items"][2];
    assert_eq!(paid["pricing"], json!({ "inputPerMillion": "0.15", "outputPerMillion": "0.6" }));
    assert_eq!((&paid["local"], &paid["isFree"], &paid["contextWindow"]), (&json!(true), &json!(false), &Value::Null));
    assert_eq!(column(&app.org("globex").get("/models").ok(200), "id"), ["demo/ala"]);
    app.org("globex").get("/providers/up").fails(404, "NOT_FOUND");
}

#[test]
fn a_providers_secrets_are_never_shown() {
    let app = App::shared();
    let kept = app.provider("acme", &nobody(), &[SMALL, PRICED]);
    let acme = app.org("acme");
    for path in ["/providers", "/providers/up", &format!("/providers/{}", kept.id)] {
        let reply = acme.get(path);
        reply.ok(200);
        assert!(!reply.text.contains("sk-upstream") && !reply.text.contains("header-upstream"), "{}", reply.text);
    }
    assert_eq!(acme.get("/providers/up").ok(200)["hasApiKey"], json!(true));
}

#[test]
fn a_key_never_changes_providers() {
    let app = App::shared();
    app.provider("acme", &nobody(), &[SMALL, PRICED]);
    let acme = app.org("acme");
    acme.post("/providers", json!({ "slug": "x", "kind": "demo", "models": [] })).fails(403, "FORBIDDEN");
    acme.patch("/providers/up", json!({})).fails(403, "FORBIDDEN");
    acme.delete("/providers/up").fails(403, "FORBIDDEN");
    for action in ["test", "refresh"] {
        acme.post(&format!("/providers/up/{action}"), json!({})).fails(403, "FORBIDDEN");
    }
}

#[test]
fn a_provider_that_the_environment_names_is_everyones() {
    let list = json!({ "data": [{ "id": "llama3.2:3b" }, { "id": "qwen3" }] }).to_string();
    let model = FakeModel::start([Answer::empty().raw(list), Answer::text("Hello.")]);
    let host = model.base_url().trim_start_matches("http://").trim_end_matches("/v1").to_owned();
    let app = App::start_with(&[], &[("OLLAMA_HOST", &host)]);
    let (acme, globex) = (app.org("acme"), app.org("globex"));
    let expected = ["demo/ala", "ollama/llama3.2:3b", "ollama/qwen3"];
    for org in [&acme, &globex] {
        until("its models", || (column(&org.get("/models").ok(200), "id") == expected).then_some(()));
    }
    assert_eq!(acme.ask("ollama/qwen3", "Hi").text(), "Hello.");
    assert_eq!(acme.post("/chat", json!({ "model": "ollama/other", "messages": [user("Hi")] })).invalid(), ["model"]);
    assert_eq!(model.asked()[1].json["model"], json!("qwen3"));
}
