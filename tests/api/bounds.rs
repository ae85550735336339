//! The bounds of what is posted: one under and at each of them is taken, one over is a 422 that names the field.
//!
//! Each is named as in the source, `file::NAME`.

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

/// A bound by its name, and what it is.
type Bound = (&'static str, usize);

/// One under it, at it and one over it, and which of them is too much.
fn around((_, max): Bound) -> [(usize, bool); 3] {
    [(max - 1, false), (max, false), (max + 1, true)]
}

#[track_caller]
fn bound(client: &Client, path: &str, field: &str, bound: Bound, body: impl Fn(usize) -> Value) {
    for (size, over) in around(bound) {
        assert_eq!(refused(client, path, body(size), field), over, "{}: {path}, {field} of {size}", bound.0);
    }
}

fn text(chars: usize) -> String {
    "ü".repeat(chars)
}

#[test]
fn an_agents_fields_are_taken_up_to_their_bounds() {
    let app = App::shared();
    let acme = app.org("acme");
    let of = |field: &str, max: Bound, value: &dyn Fn(usize) -> Value| {
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
    of("name", ("agents::NAME_CHARS_MAX", 255), &|size| json!(text(size)));
    of("description", ("agents::DESCRIPTION_CHARS_MAX", 5_000), &|size| json!(text(size)));
    of("systemPrompt", ("agents::SYSTEM_PROMPT_CHARS_MAX", 100_000), &|size| json!("x".repeat(size)));
    of("avatar", ("agents::AVATAR_CHARS_MAX", 2_048), &|size| json!(text(size)));
    of("model", ("agents::MODEL_CHARS_MAX", 255), &|size| json!(format!("up/{}", "x".repeat(size - 3))));
    of("allowedTools", ("agents::TOOLS_MAX", 128), &|size| json!(vec!["x"; size]));
    of("allowedTools", ("agents::TOOL_NAME_CHARS_MAX", 64), &|size| json!(["x".repeat(size)]));
    of("settings.maxOutputTokens", ("agent_settings::OUTPUT_TOKENS_MAX", 1_000_000), &|size| json!(size));
    of("settings.maxSteps", ("agent_settings::STEPS_MAX", 50), &|size| json!(size));
    let format = |size: usize| json!({ "name": "x".repeat(size), "schema": { "type": "object" } });
    for (size, over) in around(("agent_settings::FORMAT_NAME_CHARS_MAX", 64)) {
        let body = json!({ "name": format!("Format {size}"), "settings": { "responseFormat": format(size) } });
        assert_eq!(refused(&acme, "/agents", body, "settings.responseFormat.name"), over, "{size}");
    }
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
    for (field, max) in [
        ("name", ("projects::NAME_CHARS_MAX", 255)),
        ("description", ("projects::DESCRIPTION_CHARS_MAX", 5_000)),
        ("prompt", ("projects::PROMPT_CHARS_MAX", 12_000)),
        ("emoji", ("projects::EMOJI_CHARS_MAX", 16)),
    ] {
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
    bound(&acme, "/sessions", "label", ("sessions::LABEL_CHARS_MAX", 255), |size| json!({ "label": text(size) }));
    let metadata = |size: usize| json!({ "metadata": { "x": "y".repeat(size - 8) } });
    bound(&acme, "/sessions", "metadata", ("check::METADATA_BYTES_MAX", 16 * 1_024), metadata);
    let session = acme.post("/sessions", json!({})).ok(201)["id"].as_str().unwrap().to_owned();
    acme.post(&format!("/sessions/{session}/messages"), user("x")).ok(201);
    let pages = [
        ("/sessions?q=".to_owned(), "q", ("sessions::SEARCH_CHARS_MAX", 500), true),
        ("/sessions?limit=".to_owned(), "limit", ("check::LIMIT_MAX", 100), false),
        (format!("/sessions/{session}/messages?pageSize="), "pageSize", ("messages::PAGE_SIZE_MAX", 500), false),
    ];
    for (path, field, max, is_text) in pages {
        for (size, over) in [(1, false)].into_iter().chain(around(max)) {
            let value = if is_text { "x".repeat(size) } else { size.to_string() };
            let reply = acme.get(&format!("{path}{value}"));
            match over {
                true => assert_eq!(reply.invalid(), [field], "{}: {path}{value}", max.0),
                false => drop(reply.ok(200)),
            }
        }
    }
}

#[test]
fn what_a_person_at_a_browser_posts_is_taken_up_to_its_bounds() {
    let app = App::shared();
    let browser = app.browser("acme");
    bound(&browser, "/api-keys", "name", ("key::NAME_CHARS_MAX", 120), |size| json!({ "name": text(size) }));
    let note = |size: usize| json!({ "amountMicrocents": 1, "note": text(size) });
    bound(&browser, "/billing/deposit", "note", ("billing::NOTE_CHARS_MAX", 200), note);
    let amount = |size: usize| json!({ "amountMicrocents": size });
    let dollars = ("money::AMOUNT_USD_MAX", 1_000_000 * 1_000_000);
    bound(&browser, "/billing/deposit", "amountMicrocents", dollars, amount);
    assert!(refused(&browser, "/billing/deposit", amount(0), "amountMicrocents"));
    for (seconds, over) in around(("keys::OVERLAP_SECONDS_MAX", 604_800)) {
        // A key is rotated once.
        let made = browser.post("/api-keys", json!({ "name": "x" })).ok(201);
        let rotate = format!("/api-keys/{}/rotate", made["id"].as_str().unwrap());
        let body = json!({ "overlapSeconds": seconds });
        assert_eq!(refused(&browser, &rotate, body, "overlapSeconds"), over, "{seconds}");
    }
}

#[test]
fn of_a_browsers_own_description_so_much_is_kept() {
    let app = App::shared();
    let email = app.email("acme");
    for (chars, over) in around(("sign_in::USER_AGENT_CHARS_MAX", 200)) {
        let agent = "b".repeat(chars);
        let browser = app.anonymous().header("user-agent", &agent).sign_in(&email, crate::support::browser::PASSWORD);
        let shown = browser.get("/auth/sessions").ok(200)["items"][0]["userAgent"].as_str().unwrap().to_owned();
        assert_eq!((shown == agent, shown.len()), (!over, chars.min(200)));
    }
}

#[test]
fn an_idempotency_key_and_a_request_id_have_their_lengths() {
    let app = App::shared();
    let acme = app.org("acme");
    for (chars, over) in around(("idempotency::KEY_CHARS_MAX", 255)) {
        let key = format!("{chars}{}", "k".repeat(chars - 3));
        let status = if over { 422 } else { 201 };
        assert_eq!(acme.header("idempotency-key", &key).post("/sessions", json!({})).status, status, "{chars}");
    }
    for (chars, over) in around(("request_id::REQUEST_ID_CHARS_MAX", 128)) {
        let id = "r".repeat(chars);
        let reply = acme.header("x-request-id", &id).get("/agents");
        assert_eq!(reply.header("x-request-id") != Some(&*id), over, "{chars}");
    }
}

/// A chat request without a session that nothing answers: it is refused for its model, once the rest has been looked at.
fn refused_chat(client: &Client, messages: Value) -> Vec<String> {
    client.post("/chat", json!({ "messages": messages, "model": "no/such" })).invalid()
}

#[test]
fn a_chat_may_hold_as_many_messages_and_parts_as_it_says() {
    let app = App::shared();
    let acme = app.org("acme");
    for (count, over) in around(("chat::MESSAGES_MAX", 10_000)) {
        let wrong = refused_chat(&acme, json!(vec![user("x"); count]));
        assert_eq!(wrong, [if over { "messages" } else { "model" }], "{count}");
    }
    for (count, over) in around(("parts::PARTS_MAX", 1_000)) {
        let parts = vec![json!({ "type": "text", "text": "x" }); count];
        let wrong = refused_chat(&acme, json!([{ "role": "user", "parts": parts }]));
        assert_eq!(wrong, [if over { "messages[0].parts" } else { "model" }], "{count}");
    }
}

#[test]
fn a_body_is_read_up_to_the_cap_of_its_operation() {
    let app = App::shared();
    let acme = app.org("acme").asking_first();
    let caps = [
        ("/sessions", "label", ("operation::BODY_BYTES_MAX", 128 * 1024)),
        ("/chat", "messages", ("operation::HISTORY_BYTES_MAX", 20 * 1024 * 1024)),
    ];
    for (path, field, cap) in caps {
        for (bytes, over) in around(cap) {
            let body = json!({ "label": "x".repeat(bytes - r#"{"label":"","messages":[]}"#.len()), "messages": [] });
            assert_eq!(body.to_string().len(), bytes);
            let reply = acme.post(path, body);
            match over {
                true => drop(reply.fails(413, "PAYLOAD_TOO_LARGE")),
                false => assert_eq!(reply.invalid(), [field], "{}: {bytes}", cap.0),
            }
        }
    }
}
