//! The door of the OpenAI-compatible face: who comes in, which way, and what is said to those who do not.

use alm::key::{Env, Scope};
use serde_json::{Value, json};

use crate::support::{
    client::Client,
    fake_model::nobody,
    harness::{App, ModelSpec},
};

const INVALID: &str = "invalid_request_error";
const SMALL: ModelSpec = ModelSpec { name: "org/small:1b", price: None, context_window: Some(8192) };

fn ids(list: &Value) -> Vec<&str> {
    list["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect()
}

fn models(client: &Client) -> Value {
    let reply = client.get("/v1/models");
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.json()
}

#[test]
fn models_are_agents_first_and_ala_before_all() {
    let app = App::shared();
    let acme = app.org("acme");
    app.provider("acme", &nobody(), &[SMALL, ModelSpec::PAID]);
    acme.post("/agents", json!({ "name": "Zoe", "model": "up/org/small:1b" })).ok(201);
    acme.post("/agents", json!({ "name": "Abel" })).ok(201);
    let list = models(&acme);
    assert_eq!(ids(&list), ["ala", "zoe", "abel", "demo/ala", "up/org/small:1b", "up/paid"]);
    assert_eq!(list["object"], "list");
    let created = |n: usize| list["data"][n]["created"].as_i64().unwrap();
    let expected = json!({
        "id": "zoe", "object": "model", "created": created(1), "owned_by": app.slug("acme"), "name": "Zoe", "context_window": 8192,
    });
    assert_eq!(list["data"][1], expected);
    let expected = json!({
        "id": "up/paid", "object": "model", "created": created(5), "owned_by": "up", "name": "paid",
    });
    assert_eq!(list["data"][5], expected, "no price, and no window that nobody knows");
    assert!(created(0) > 1_700_000_000 && created(0) < 100_000_000_000, "whole seconds");
}

#[test]
fn a_model_is_found_by_every_name_it_has() {
    let app = App::shared();
    let acme = app.org("acme");
    app.provider("acme", &nobody(), &[SMALL]);
    let ala = acme.get("/agents/ala").ok(200)["id"].as_str().unwrap().to_owned();
    for asked in ["ala", &ala, "agent/ala", "up/org/small:1b", "org/small:1b", "demo/ala"] {
        for path in [asked.to_owned(), asked.replace('/', "%2F").replace(':', "%3A")] {
            let reply = acme.get(&format!("/v1/models/{path}"));
            assert_eq!((reply.status, &reply.json()["id"]), (200, &json!(asked)), "{path}: {}", reply.text);
        }
    }
    for asked in ["Ala", "gpt-4o", "up/other", "agent/nobody", "small:1b"] {
        let error = acme.get(&format!("/v1/models/{asked}")).fault(404, INVALID, "model_not_found");
        assert_eq!(error["param"], "model");
        assert_eq!(error["message"], format!("no model called {asked}: GET /v1/models lists those there are"));
    }
}

#[test]
fn an_agent_goes_before_a_model_of_its_name_and_case_counts() {
    let app = App::shared();
    app.provider("acme", &nobody(), &[ModelSpec { name: "ala", ..SMALL }, ModelSpec { name: "ALA", ..SMALL }]);
    let acme = app.org("acme");
    let owner = |asked: &str| acme.get(&format!("/v1/models/{asked}")).json()["owned_by"].clone();
    assert_eq!(owner("ala"), json!(app.slug("acme")), "an agent goes before");
    assert_eq!(owner("ALA"), json!("up"), "case counts");
}

#[test]
fn what_is_not_the_callers_or_not_active_is_no_model() {
    let app = App::shared();
    let (acme, globex) = (app.org("acme"), app.org("globex"));
    let agent = acme.post("/agents", json!({ "name": "Zoe" })).ok(201);
    let id = agent["id"].as_str().unwrap();
    for asked in ["zoe", id] {
        globex.get(&format!("/v1/models/{asked}")).fault(404, INVALID, "model_not_found");
    }
    assert_eq!(ids(&models(&globex)), ["ala", "demo/ala"]);
    acme.patch("/agents/zoe", json!({ "isActive": false })).ok(200);
    assert_eq!(ids(&models(&acme)), ["ala", "demo/ala"]);
    acme.get("/v1/models/zoe").fault(404, INVALID, "model_not_found");
    acme.patch("/agents/zoe", json!({ "isActive": true })).ok(200);
    acme.delete("/agents/zoe").ok(200);
    acme.get(&format!("/v1/models/{id}")).fault(404, INVALID, "model_not_found");
}

#[test]
fn the_same_answers_without_the_prefix_and_with_slashes_too_many() {
    let app = App::shared();
    let acme = app.org("acme").bare();
    for path in ["/models", "/models/", "/v1//models/", "/v1/models//", "//v1/models", "/v1/models?limit=1"] {
        assert_eq!(acme.get(path).json()["object"], "list", "{path}");
    }
    for path in ["/models/demo/ala", "/models/demo%2Fala", "/v1//models/demo/ala/"] {
        assert_eq!(acme.get(path).json()["id"], "demo/ala", "{path}");
    }
    assert_eq!(acme.send("HEAD", "/v1/models", None).status, 200);
    assert!(
        app.anonymous().bare().get("/models/settings").text.contains("<html"),
        "an organization of that name has its page"
    );
}

#[test]
fn a_wrong_address_is_told_what_to_do() {
    let app = App::shared();
    let acme = app.org("acme").bare();
    for (path, words) in [
        ("/v1", "no such route"),
        ("/v1/nothing", "no such route: GET /v1/nothing"),
        ("/v1/v1/models", "/v1 twice"),
        ("/v1/audio/speech", "alm does not have audio"),
        ("/v1/assistants", "alm does not have assistants"),
        ("/v1/responses/compact", "alm does not have responses/compact"),
    ] {
        let error = acme.get(path).fault(404, INVALID, "unknown_url");
        assert!(error["message"].as_str().unwrap().contains(words), "{path}: {error}");
    }
    for path in ["/api/v1/chat/completions", "/api/v1/responses", "/api/v1/v1/models", "/api/embeddings"] {
        let error = acme.post(path, json!({})).fails(404, "NOT_FOUND");
        assert!(error["message"].as_str().unwrap().contains("the OpenAI-compatible API is at /v1"), "{path}: {error}");
    }
    acme.get("/api/v1/nothing").fails(404, "NOT_FOUND");
    acme.get("/api/v1/agents").ok(200);
}

#[test]
fn a_wrong_method_and_a_socket_that_is_none_are_405() {
    let app = App::shared();
    let acme = app.org("acme").bare();
    for method in ["POST", "DELETE", "PUT", "OPTIONS"] {
        let reply = acme.send(method, "/v1/models", None);
        reply.fault(405, INVALID, "method_not_allowed");
        assert_eq!(reply.header("allow"), Some("GET, HEAD"), "{method}");
    }
    let socket = acme.header("connection", "upgrade").header("upgrade", "websocket");
    for path in ["/v1/models", "/v1/realtime", "/v1/responses"] {
        let reply = socket.get(path);
        reply.fault(405, INVALID, "method_not_allowed");
        assert!(reply.header("allow").is_some(), "{path}");
    }
}

#[test]
fn a_key_comes_in_by_three_headers_and_a_cookie_by_none() {
    let app = App::shared();
    let key = app.org("acme").key().to_owned();
    let nobody = app.anonymous();
    for name in ["x-api-key", "api-key"] {
        assert_eq!(nobody.header(name, &key).get("/v1/models").status, 200, "{name}");
    }
    let reply = nobody.get("/v1/models");
    reply.fault(401, "authentication_error", "invalid_api_key");
    assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
    for name in ["authorization", "x-api-key", "api-key"] {
        nobody.header(name, "Bearer alm_live_guess").get("/v1/models").fault(
            401,
            "authentication_error",
            "invalid_api_key",
        );
    }
    let two = nobody.header("api-key", &key).header("x-api-key", "other").get("/v1/models");
    two.fault(400, INVALID, Value::Null);
    let browser = app.browser("acme");
    assert_eq!(browser.get("/agents").status, 200);
    for caller in [&browser, &browser.on_a_page(), &browser.header("origin", "http://evil.example")] {
        caller.get("/v1/models").fault(401, "authentication_error", "invalid_api_key");
    }
}

#[test]
fn a_key_needs_its_scope_and_its_organization() {
    let app = App::shared();
    for scope in [Scope::Read, Scope::Chat] {
        assert_eq!(app.key("acme", Env::Live, &[scope]).get("/v1/models").status, 200);
    }
    let writer = app.key("acme", Env::Live, &[Scope::Write]);
    writer.get("/v1/models").fault(403, "permission_error", "insufficient_scope");
    let acme = app.org("acme");
    assert_eq!(acme.header("x-alumia-org", &app.slug("acme")).get("/v1/models").status, 200);
    acme.header("x-alumia-org", "globex-inc").get("/v1/models").fault(403, "permission_error", "org_mismatch");
    let ignored = acme.header("openai-organization", "x").header("openai-project", "y").header("x-stainless-os", "z");
    assert_eq!(ignored.get("/v1/models").status, 200);
}

#[test]
fn every_answer_names_its_request_and_its_version() {
    let app = App::shared();
    let acme = app.org("acme").header("x-request-id", "trace-1");
    for path in ["/v1/models", "/v1/models/nobody", "/v1/nothing"] {
        let reply = acme.get(path);
        assert_eq!(reply.header("x-request-id"), Some("trace-1"), "{path}");
        assert_eq!(reply.header("openai-version"), Some("2020-10-01"), "{path}");
        assert!(reply.header("openai-processing-ms").unwrap().parse::<u64>().is_ok(), "{path}");
    }
    assert_eq!(acme.get("/agents").header("openai-version"), None);
}

#[test]
fn a_fault_of_ours_names_the_request_and_not_its_cause() {
    let app = App::start(&[]);
    let acme = app.org("acme");
    app.file().execute_batch("ALTER TABLE provider RENAME TO elsewhere").unwrap();
    let error = acme.header("x-request-id", "trace-1").get("/v1/models").fault(500, "server_error", "internal_error");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("trace-1") && !message.contains("provider"), "{message}");
}

fn preflight(client: &Client, path: &str, origin: &str, names: &str) -> Option<String> {
    let asks = client.bare().header("origin", origin).header("access-control-request-method", "POST");
    let reply = asks.header("access-control-request-headers", names).send("OPTIONS", path, None);
    reply.header("access-control-allow-origin").map(|allowed| {
        assert_eq!((reply.status, allowed), (204, origin));
        reply.header("access-control-allow-headers").unwrap().to_owned()
    })
}

#[test]
fn pages_of_a_named_origin_send_what_headers_they_name() {
    let app = App::start(&["--cors-origin", "https://named.example"]);
    let acme = app.org("acme");
    let names = "authorization,content-type,x-stainless-os,x-stainless-retry-count";
    for path in ["/v1/chat/completions", "/chat/completions"] {
        assert_eq!(preflight(&acme, path, "https://named.example", names).as_deref(), Some(names));
    }
    assert_ne!(preflight(&acme, "/api/v1/chat", "https://named.example", names).as_deref(), Some(names));
    for other in ["https://other.example", "null"] {
        assert_eq!(preflight(&acme, "/v1/chat/completions", other, names), None);
        assert_eq!(acme.header("origin", other).get("/v1/models").header("access-control-allow-origin"), None);
    }
    let reply = acme.header("origin", "https://named.example").get("/v1/models");
    let exposed = reply.header("access-control-expose-headers").unwrap();
    for name in [
        "x-request-id",
        "openai-processing-ms",
        "x-alm-model",
        "x-alm-ignored",
        "x-ratelimit-remaining-requests",
        "retry-after",
    ] {
        assert!(exposed.split(", ").any(|header| header == name), "{name}: {exposed}");
    }
}

#[test]
fn a_star_opens_v1_to_every_page_and_nothing_else() {
    let app = App::start(&["--cors-origin", "*"]);
    let acme = app.org("acme").bare();
    for origin in ["https://any.example", "null", "app://obsidian.md"] {
        for path in ["/v1/models", "/models", "/v1/nothing"] {
            let reply = acme.header("origin", origin).get(path);
            assert_eq!(reply.header("access-control-allow-origin"), Some(origin), "{path}");
            assert_eq!(preflight(&acme, path, origin, "x-y").as_deref(), Some("x-y"), "{path}");
        }
        for path in ["/api/v1/models", "/mcp", "/openapi.json", "/"] {
            let reply = acme.header("origin", origin).get(path);
            assert_eq!(reply.header("access-control-allow-origin"), None, "{path}");
            assert_eq!(preflight(&acme, path, origin, "x-y"), None, "{path}");
        }
    }
    let browser = app.browser("acme").header("origin", "https://any.example");
    browser.get("/v1/models").fault(401, "authentication_error", "invalid_api_key");
}

#[test]
fn anthropics_clients_read_the_models_as_a_page() {
    let app = App::shared();
    let page = app.org("acme").header("anthropic-version", "2023-06-01").get("/v1/models").json();
    assert_eq!(ids(&page), ["ala", "demo/ala"]);
    assert_eq!(
        (&page["has_more"], &page["first_id"], &page["last_id"]),
        (&json!(false), &json!("ala"), &json!("demo/ala"))
    );
    let ala = &page["data"][0];
    assert_eq!((&ala["type"], &ala["display_name"]), (&json!("model"), &json!("Ala")));
    assert!(ala["created_at"].as_str().unwrap().ends_with('Z'), "{ala}");
}
