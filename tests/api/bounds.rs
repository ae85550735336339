//! The bounds of what is posted: one under and at each of them is taken, one over is a 422 that names the field.

use serde_json::{Value, json};

use crate::support::{
    client::Client,
    harness::{App, user},
};

/// Posts a body for a size, and whether the field is among what was wrong with it.
fn refused(client: &Client, path: &str, body: Value, field: &str) -> bool {
    let reply = client.post(path, body);
    if reply.status != 422 {
        reply.ok(201);
        return false;
    }
    assert_eq!(reply.invalid(), [field], "{path}");
    true
}

#[track_caller]
fn bound(client: &Client, path: &str, field: &str, max: usize, body: impl Fn(usize) -> Value) {
    for (size, over) in [(max - 1, false), (max, false), (max + 1, true)] {
        assert_eq!(refused(client, path, body(size), field), over, "{path}, {field} of {size}");
    }
}

fn text(chars: usize) -> String {
    "ü".repeat(chars)
}

#[test]
fn an_agents_fields_are_taken_up_to_their_bounds() {
    let app = App::shared();
    let acme = app.org("acme");
    let of = |field: &str, max: usize, value: &dyn Fn(usize) -> Value| {
        bound(&acme, "/agents", field, max, |size| {
            let slug = format!("{}-{size}", field.replace('.', "-").to_lowercase());
            let mut body = json!({ "name": slug, "slug": slug });
            match field.split_once('.') {
                Some((outer, inner)) => body[outer] = json!({ inner: value(size) }),
                None => body[field] = value(size),
            }
            body
        });
    };
    of("name", 255, &|size| json!(text(size)));
    of("description", 5_000, &|size| json!(text(size)));
    of("systemPrompt", 100_000, &|size| json!("x".repeat(size)));
    of("avatar", 2_048, &|size| json!(text(size)));
    of("model", 255, &|size| json!(format!("up/{}", "x".repeat(size - 3))));
    of("allowedTools", 128, &|size| json!(vec!["x"; size]));
    of("allowedTools", 64, &|size| json!(["x".repeat(size)]));
    of("settings.maxOutputTokens", 1_000_000, &|size| json!(size));
    of("settings.maxSteps", 50, &|size| json!(size));
    for field in ["maxOutputTokens", "maxSteps"] {
        let body = |value: u32| json!({ "name": format!("{field} {value}"), "settings": { field: value } });
        assert!(refused(&acme, "/agents", body(0), &format!("settings.{field}")));
        assert!(!refused(&acme, "/agents", body(1), &format!("settings.{field}")));
    }
    assert!(refused(&acme, "/agents", json!({ "name": "", "slug": "nameless" }), "name"));
}

#[test]
fn a_projects_fields_are_taken_up_to_their_bounds() {
    let app = App::shared();
    let acme = app.org("acme");
    for (field, max) in [("name", 255), ("description", 5_000), ("prompt", 12_000), ("emoji", 16)] {
        bound(&acme, "/projects", field, max, |size| {
            let mut body = json!({ "name": format!("{field} {size}"), "slug": format!("{field}-{size}") });
            body[field] = json!(text(size));
            body
        });
    }
}

#[test]
fn a_sessions_label_search_and_pages_are_taken_up_to_their_bounds() {
    let app = App::shared();
    let acme = app.org("acme");
    bound(&acme, "/sessions", "label", 255, |size| json!({ "label": text(size) }));
    bound(&acme, "/sessions", "metadata", 16 * 1_024, |size| json!({ "metadata": { "x": "y".repeat(size - 8) } }));
    let session = acme.post("/sessions", json!({})).ok(201)["id"].as_str().unwrap().to_owned();
    acme.post(&format!("/sessions/{session}/messages"), user("x")).ok(201);
    let pages = [
        ("/sessions?q=".to_owned(), "q", 500, true),
        ("/sessions?limit=".to_owned(), "limit", 100, false),
        (format!("/sessions/{session}/messages?pageSize="), "pageSize", 500, false),
    ];
    for (path, field, max, is_text) in pages {
        for (size, over) in [(1, false), (max - 1, false), (max, false), (max + 1, true)] {
            let value = if is_text { "x".repeat(size) } else { size.to_string() };
            let reply = acme.get(&format!("{path}{value}"));
            match over {
                true => assert_eq!(reply.invalid(), [field], "{path}{value}"),
                false => drop(reply.ok(200)),
            }
        }
    }
}

#[test]
fn what_a_person_at_a_browser_posts_is_taken_up_to_its_bounds() {
    let app = App::shared();
    let browser = app.browser("acme");
    bound(&browser, "/api-keys", "name", 120, |size| json!({ "name": text(size) }));
    bound(&browser, "/billing/deposit", "note", 200, |size| json!({ "amountMicrocents": 1, "note": text(size) }));
    bound(
        &browser,
        "/billing/deposit",
        "amountMicrocents",
        1_000_000_000_000,
        |size| json!({ "amountMicrocents": size }),
    );
    assert!(refused(&browser, "/billing/deposit", json!({ "amountMicrocents": 0 }), "amountMicrocents"));
    let made = browser.post("/api-keys", json!({ "name": "x" })).ok(201);
    let rotate = format!("/api-keys/{}/rotate", made["id"].as_str().unwrap());
    assert!(refused(&browser, &rotate, json!({ "overlapSeconds": 604_801 }), "overlapSeconds"));
    assert!(!refused(&browser, &rotate, json!({ "overlapSeconds": 604_800 }), "overlapSeconds"));
}

#[test]
fn an_idempotency_key_and_a_request_id_have_their_lengths() {
    let app = App::shared();
    let acme = app.org("acme");
    for (chars, status) in [(254, 201), (255, 201), (256, 422)] {
        let key = format!("{chars}{}", "k".repeat(chars - 3));
        assert_eq!(acme.header("idempotency-key", &key).post("/sessions", json!({})).status, status, "{chars}");
    }
    for (chars, kept) in [(127, true), (128, true), (129, false)] {
        let id = "r".repeat(chars);
        let reply = acme.header("x-request-id", &id).get("/agents");
        assert_eq!(reply.header("x-request-id") == Some(&*id), kept, "{chars}");
    }
}
