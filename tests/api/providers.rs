//! Providers, changed by their owner at a browser.

use serde_json::{Value, json};

use crate::support::{
    client::Client,
    fake_model::{Answer, FakeModel, nobody},
    harness::{App, column, user},
};

fn new(slug: &str, base_url: &str) -> Value {
    json!({ "slug": slug, "kind": "openai-compatible", "baseUrl": base_url })
}

fn list(names: &[&str]) -> Answer {
    let models: Vec<_> = names.iter().map(|name| json!({ "id": name })).collect();
    Answer::empty().raw(json!({ "data": models }).to_string())
}

fn models(provider: &Value) -> Vec<&str> {
    provider["models"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect()
}

#[test]
fn a_provider_is_connected_refreshed_tested_asked_and_forgotten() {
    let app = App::shared();
    let owner = app.browser("acme");
    let model = FakeModel::start([
        list(&["small", "large"]),
        list(&["small", "large"]),
        Answer::text("Hello."),
        Answer::text("Hello you."),
    ]);
    let mut body = new("near", &model.base_url());
    body["apiKey"] = json!("sk-very-secret");
    body["headers"] = json!({ "x-team": "secret-team" });
    let reply = owner.post("/providers", body);
    let made = reply.ok(201);
    assert!(!reply.text.contains("secret"));
    assert_eq!((&made["hasApiKey"], &made["local"], models(&made)), (&json!(true), &json!(true), vec![]));
    let priced =
        json!({ "models": [{ "id": "small", "pricing": { "inputPerMillion": "0.15", "outputPerMillion": "0.6" } }] });
    owner.patch("/providers/near", priced).ok(200);
    let refreshed = owner.post("/providers/near/refresh", json!({})).ok(200);
    assert_eq!(models(&refreshed), ["large", "small"]);
    assert_eq!(refreshed["models"][1]["pricing"]["inputPerMillion"], "0.15", "what is known of a model stays");
    let tested = owner.post("/providers/near/test", json!({})).ok(200);
    assert_eq!((&tested["models"], &tested["model"]), (&json!(["small", "large"]), &json!("large")));
    assert!(["reachMs", "modelsMs", "firstTokenMs", "replyMs"].iter().all(|step| tested[step].is_u64()), "{tested}");
    owner.patch("/org", json!({ "defaultModel": "near/large" })).ok(200);
    let answer = app.org("acme").chat(json!({ "messages": [user("Hi")] }));
    assert_eq!(answer.text(), "Hello you.");
    let asked = model.asked();
    assert!(
        asked.iter().all(|asked| asked.headers.contains(&("authorization".into(), "Bearer sk-very-secret".into())))
    );
    assert!(asked.iter().all(|asked| asked.headers.contains(&("x-team".into(), "secret-team".into()))));
    owner.delete("/providers/near").ok(200);
    owner.get("/providers/near").fails(404, "NOT_FOUND");
    assert_eq!(column(&owner.get("/models").ok(200), "id"), ["demo/ala"]);
}

#[test]
fn what_a_provider_cannot_be_is_said_by_its_field() {
    let app = App::shared();
    let owner = app.browser("acme");
    let with = |field: &str, value: Value| {
        let mut body = new("x", "http://127.0.0.1:1/v1");
        body[field] = value;
        owner.post("/providers", body)
    };
    for (field, value, wrong) in [
        ("slug", json!("A b"), "slug"),
        ("slug", json!("demo"), "slug"),
        ("kind", json!("demo"), "kind"),
        ("baseUrl", json!("ftp://127.0.0.1/v1"), "baseUrl"),
        ("baseUrl", json!("http://127.0.0.1:1/v1#x"), "baseUrl"),
        ("baseUrl", json!("http://user:pass@127.0.0.1:1/v1"), "baseUrl"),
        ("baseUrl", json!("http://127.0.0.1:1/v1?api-key=1"), "baseUrl"),
        ("apiKey", json!("two words"), "apiKey"),
        ("apiKey", json!("sk-\u{201c}1"), "apiKey"),
        ("apiKeyEnv", json!("PATH"), "apiKeyEnv"),
        ("headers", json!({ "a b": "c" }), "headers"),
        ("headers", json!({ "x-own": "1", "Content-Length": "99999" }), "headers"),
        ("headers", json!({ "proxy-authorization": "x" }), "headers"),
        ("models", json!([{ "id": "" }]), "models[0].id"),
        (
            "models",
            json!([{ "id": "m", "pricing": { "inputPerMillion": "cheap", "outputPerMillion": "1" } }]),
            "models[0].pricing.inputPerMillion",
        ),
    ] {
        assert_eq!(with(field, value.clone()).invalid(), [wrong], "{field}: {value}");
    }
    with("baseUrl", Value::Null).fails(422, "VALIDATION_ERROR");
    with("models", json!([{ "id": "m" }, { "id": "m" }])).fails(409, "CONFLICT");
    owner.post("/providers", new("taken", "http://127.0.0.1:1/v1")).ok(201);
    owner.post("/providers", new("taken", "http://127.0.0.1:1/v1")).fails(409, "CONFLICT");
}

#[test]
fn a_key_does_not_follow_its_provider_to_another_host() {
    let app = App::shared();
    let owner = app.browser("acme");
    let thief = FakeModel::start([list(&["m"])]);
    let mut body = new("far", "https://api.example.com/v1");
    body["apiKey"] = json!("sk-very-secret");
    owner.post("/providers", body).ok(201);
    let moved = |more: Value| {
        let mut change = json!({ "baseUrl": thief.base_url() });
        change.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        owner.patch("/providers/far", change)
    };
    assert_eq!(moved(json!({})).invalid(), ["apiKey"]);
    assert_eq!(owner.get("/providers/far").ok(200)["baseUrl"], "https://api.example.com/v1");
    moved(json!({ "apiKey": "sk-other" })).ok(200);
    owner.post("/providers/far/refresh", json!({})).ok(200);
    assert!(thief.asked()[0].headers.contains(&("authorization".into(), "Bearer sk-other".into())));
}

#[test]
fn what_surrounds_a_key_and_an_address_is_no_part_of_them() {
    let app = App::shared();
    let owner = app.browser("acme");
    let model = FakeModel::start([Answer::text("Hello."), Answer::text("Hello.")]);
    let mut body = new("pasted", &format!(" {}/d1/chat/completions/?api-version=2024-10-21\n", model.base_url()));
    body["apiKey"] = json!(" sk-abc\r\n");
    body["apiKeyEnv"] = json!(" ");
    body["headers"] = json!({ "x-team": " red\n" });
    body["models"] = json!([{ "id": "m" }]);
    let made = owner.post("/providers", body).ok(201);
    assert_eq!(made["baseUrl"], format!("{}/d1?api-version=2024-10-21", model.base_url()));
    owner.patch("/providers/pasted", json!({ "apiKey": "" })).ok(200);
    for _ in 0..2 {
        assert_eq!(app.org("acme").ask("pasted/m", "Hi").text(), "Hello.");
    }
    let asked: Vec<_> = model.asked().into_iter().filter(|asked| asked.path.contains("/chat/")).collect();
    for asked in &asked {
        assert!(asked.path.ends_with("/d1/chat/completions?api-version=2024-10-21"), "{}", asked.path);
        for sent in [("authorization", "Bearer sk-abc"), ("x-team", "red")] {
            assert!(asked.headers.contains(&(sent.0.into(), sent.1.into())), "{:?}", asked.headers);
        }
    }
    assert_eq!(asked.len(), 2);
}

#[test]
fn a_window_is_read_when_a_provider_is_connected_and_a_list_is_no_condition_of_its_test() {
    let app = App::shared();
    let owner = app.browser("acme");
    let list = json!({ "data": [{ "id": "m", "max_model_len": 2048 }, { "id": "n", "max_model_len": 2048 }] });
    let model = FakeModel::start([
        Answer::empty().raw(list.to_string()),
        Answer::status(404),
        Answer::json(400, &json!({ "error": { "message": "m does not support tools" } })),
        Answer::text("Hello."),
    ]);
    let mut body = new("reads", &model.base_url());
    body["models"] = json!([{ "id": "m" }, { "id": "n", "contextWindow": 1024 }]);
    owner.post("/providers", body).ok(201);
    let shown = |id: &str| {
        let models = owner.get("/models").ok(200);
        let model = models["items"].as_array().unwrap().iter().find(|model| model["id"] == id).unwrap().clone();
        (model["contextWindow"].clone(), model["contextWindowSource"].clone(), model["capabilities"].clone())
    };
    assert_eq!(shown("reads/m"), (json!(2048), json!("read"), json!(["text", "tools", "images"])));
    assert_eq!(shown("reads/n"), (json!(1024), json!("told"), json!(["text", "tools", "images"])));
    let tested = owner.post("/providers/reads/test", json!({})).ok(200);
    assert_eq!((&tested["model"], &tested["modelsMs"]), (&json!("m"), &Value::Null));
    assert_eq!(tested["fieldsOmitted"], json!(["tools"]));
    assert_eq!(shown("reads/m"), (json!(2048), json!("read"), json!(["text", "images"])), "what a test finds is kept");
}

#[test]
fn a_test_says_what_is_wrong_in_words() {
    let app = App::shared();
    let owner = app.browser("acme");
    let test = |slug: &str, base_url: &str| {
        owner.post("/providers", new(slug, base_url)).ok(201);
        let error = owner.post(&format!("/providers/{slug}/test"), json!({})).fails(502, "MODEL_UNAVAILABLE");
        error["message"].as_str().unwrap().to_owned()
    };
    assert!(test("away", &nobody()).contains("cannot connect to the provider away"));
    let (locked, empty) = (FakeModel::start([Answer::status(401)]), FakeModel::start([list(&[])]));
    assert!(test("locked", &locked.base_url()).contains("key"));
    assert!(test("empty", &empty.base_url()).contains("no models"));
}

#[test]
fn the_usual_providers_are_known_and_those_of_this_machine_are_looked_for() {
    let app = App::shared();
    let presets = app.org("acme").get("/providers/presets").ok(200);
    let slugs = ["ollama", "llamacpp", "lmstudio", "vllm", "openai", "openrouter", "groq", "mistral"];
    assert_eq!(column(&presets, "slug"), slugs);
    assert_eq!((&presets["items"][0]["local"], &presets["items"][4]["local"]), (&json!(true), &json!(false)));
    let found = app.browser("acme").get("/providers/local").ok(200);
    assert!(column(&found, "baseUrl").iter().all(|url| url.starts_with("http://127.0.0.1:")));
}

/// Someone of acme who is no owner.
fn member(app: &App) -> Client {
    let browser = app.browser("acme");
    let demote = "UPDATE member SET role = 'member' WHERE user_id = ?1";
    app.file().execute(demote, [app.tenant("acme").user_id]).unwrap();
    browser
}

#[test]
fn a_member_changes_neither_providers_nor_money_nor_the_organization() {
    let app = App::shared();
    let member = member(&app);
    let refused = [
        member.post("/providers", new("x", "http://127.0.0.1:1/v1")),
        member.patch("/providers/x", json!({})),
        member.delete("/providers/x"),
        member.post("/providers/x/test", json!({})),
        member.post("/providers/x/refresh", json!({})),
        member.get("/providers/local"),
        member.post("/billing/deposit", json!({ "amountMicrocents": 1 })),
        member.patch("/org", json!({ "defaultModel": null })),
    ];
    for reply in refused {
        let error = reply.fails(403, "FORBIDDEN");
        assert!(error["details"].is_null(), "no password would help: {error}");
    }
    assert_eq!(member.get("/org").ok(200)["role"], "member");
    member.post("/api-keys", json!({ "name": "mine" })).ok(201);
    member.post("/agents", json!({ "name": "Ours" })).ok(201);
}

#[test]
fn the_owner_chooses_the_organizations_model_among_those_there_are() {
    let app = App::shared();
    let owner = app.browser("acme");
    let org = owner.get("/org").ok(200);
    assert_eq!(
        (&org["slug"], &org["role"], &org["defaultModel"]),
        (&json!(app.slug("acme")), &json!("owner"), &json!(null))
    );
    assert_eq!(app.org("acme").get("/org").ok(200), org);
    assert_eq!(org["builtInModel"], "demo/ala");
    let set = |model: Value| owner.patch("/org", json!({ "defaultModel": model }));
    assert_eq!(set(json!("demo/ala")).ok(200)["defaultModel"], "demo/ala");
    assert_eq!(set(json!("no/such")).invalid(), ["defaultModel"]);
    assert_eq!(owner.patch("/org", json!({})).ok(200)["defaultModel"], "demo/ala");
    assert_eq!(set(json!(null)).ok(200)["defaultModel"], json!(null));
}

#[test]
fn an_owner_tops_the_balance_up_once() {
    let app = App::shared();
    let owner = app.browser("acme");
    let once = owner.header("idempotency-key", "top-up");
    let deposit =
        |amount: i64| once.post("/billing/deposit", json!({ "amountMicrocents": amount, "note": "November" }));
    assert_eq!(deposit(10_000_000).ok(201)["balanceMicrocents"], 10_000_000);
    assert_eq!(deposit(10_000_000).ok(201)["balanceMicrocents"], 10_000_000, "a repeat is the same deposit");
    deposit(1).fails(422, "VALIDATION_ERROR");
    assert_eq!(column(&owner.get("/billing/transactions").ok(200), "note"), ["November"]);
    for amount in [0, -1, 1_000_000_000_001_i64] {
        let wrong = owner.post("/billing/deposit", json!({ "amountMicrocents": amount }));
        assert_eq!(wrong.invalid(), ["amountMicrocents"]);
    }
}

#[test]
fn owners_providers_reach_what_the_operator_named_and_the_operators_reach_all() {
    let (named, other) = (FakeModel::start([list(&["m"])]), FakeModel::start([]));
    let place = named.base_url().trim_start_matches("http://").trim_end_matches("/v1").to_owned();
    let app = App::start(&["--upstream-allow", &place]);
    let (owner, org) = (app.browser("acme"), app.slug("acme"));
    owner.post("/providers", new("named", &named.base_url())).ok(201);
    assert_eq!(models(&owner.post("/providers/named/refresh", json!({})).ok(200)), ["m"]);
    owner.post("/providers", new("other", &other.base_url())).ok(201);
    let refused = |slug: &str| {
        let error = owner.post(&format!("/providers/{slug}/refresh"), json!({})).fails(502, "MODEL_UNAVAILABLE");
        error["message"].as_str().unwrap().to_owned()
    };
    assert!(refused("other").contains("--upstream-allow"), "{}", refused("other"));
    assert_eq!(other.asked().len(), 0);
    // The command line reads its models as well.
    let reached = FakeModel::start([list(&["m"]), list(&["m"]), list(&["m"])]);
    let url = reached.base_url();
    app.alm(&["providers", "add", "--org", &org, "--slug", "own", "--base-url", &url, "--model", "m"]).ok();
    assert_eq!(models(&owner.post("/providers/own/refresh", json!({})).ok(200)), ["m"]);
    owner.patch("/providers/own", json!({ "baseUrl": url })).ok(200);
    owner.post("/providers/own/refresh", json!({})).ok(200);
    owner.patch("/providers/own", json!({ "baseUrl": format!("{url}?x=1") })).ok(200);
    assert!(refused("own").contains("--upstream-allow"), "who moves it vouches for it");
    assert_eq!(reached.asked().len(), 3);
}

fn listed<'a>(models: &'a Value, id: &str) -> &'a Value {
    models["items"].as_array().unwrap().iter().find(|model| model["id"] == id).unwrap()
}

#[test]
fn what_a_model_costs_is_told_apart_from_what_nobody_said() {
    let app = App::shared();
    let owner = app.browser("acme");
    let free = json!({ "inputPerMillion": "0", "outputPerMillion": "0" });
    let mut body = new("away", "https://models.example.com/v1");
    body["models"] = json!([{ "id": "gift", "pricing": free }, { "id": "unknown" }]);
    let made = owner.post("/providers", body).ok(201);
    assert_eq!((&made["paidElsewhere"], &made["systemAnywhere"]), (&json!(false), &json!(null)));
    let models = owner.get("/models").ok(200);
    let gift = listed(&models, "away/gift");
    assert_eq!((&gift["pricing"], &gift["isFree"]), (&free, &json!(true)));
    let unknown = listed(&models, "away/unknown");
    assert_eq!((&unknown["pricing"], &unknown["paidElsewhere"]), (&json!(null), &json!(false)));

    let change = json!({ "paidElsewhere": true, "systemAnywhere": true });
    let changed = owner.patch("/providers/away", change).ok(200);
    assert_eq!((&changed["paidElsewhere"], &changed["systemAnywhere"]), (&json!(true), &json!(true)));
    let models = owner.get("/models").ok(200);
    let elsewhere = ["away/gift", "away/unknown"].map(|id| listed(&models, id)["paidElsewhere"].clone());
    assert_eq!(elsewhere, [json!(false), json!(true)], "what has a price is paid here");
    assert_eq!(owner.patch("/providers/away", json!({})).ok(200)["systemAnywhere"], json!(true));
    let reset = owner.patch("/providers/away", json!({ "systemAnywhere": null })).ok(200);
    assert_eq!((&reset["systemAnywhere"], &reset["paidElsewhere"]), (&json!(null), &json!(true)));
    owner.patch("/providers/away", json!({ "paidElsewhere": "yes" })).fails(400, "BAD_REQUEST");
}

#[test]
fn a_model_that_is_not_offered_stays_with_its_provider_and_is_unknown_to_chats() {
    let app = App::shared();
    let owner = app.browser("acme");
    let model = FakeModel::start([
        list(&["large", "small"]),
        list(&["large", "small", "new"]),
        list(&["large", "small"]),
        Answer::text("Hello."),
    ]);
    let mut body = new("choice", &model.base_url());
    body["models"] = json!([{ "id": "large", "offered": false, "contextWindow": 4096 }, { "id": "small" }]);
    owner.post("/providers", body).ok(201);
    let ids = || column(&owner.get("/models").ok(200), "id");
    assert_eq!(ids(), ["demo/ala", "choice/small"]);
    let ask = json!({ "model": "choice/large", "messages": [user("Hi")] });
    assert_eq!(owner.post("/chat", ask).invalid(), ["model"]);
    assert_eq!(owner.patch("/org", json!({ "defaultModel": "choice/large" })).invalid(), ["defaultModel"]);
    let refreshed = owner.post("/providers/choice/refresh", json!({})).ok(200);
    let offered: Vec<_> = refreshed["models"].as_array().unwrap().iter().map(|model| &model["offered"]).collect();
    assert_eq!(
        (models(&refreshed), offered),
        (vec!["large", "new", "small"], vec![&json!(false), &json!(true), &json!(true)])
    );
    let tested = owner.post("/providers/choice/test", json!({})).ok(200);
    assert_eq!(tested["model"], "new", "the first that is offered");
}

#[test]
fn a_test_asks_the_model_it_is_told_and_shows_what_the_provider_said_without_secrets() {
    let app = App::shared();
    let owner = app.browser("acme");
    let said = "Rate limit reached for small with sk-told-5ecret-0123456789. Try again in 20 s.";
    let refused = || Answer::json(400, &json!({ "error": { "message": said, "type": "requests" } }));
    let listing = || list(&["large", "small"]);
    let model = FakeModel::start([
        listing(),
        listing(),
        Answer::text("Hello."),
        listing(),
        refused(),
        Answer::json(401, &json!("No such key.")),
    ]);
    let mut body = new("told", &model.base_url());
    body["apiKey"] = json!("sk-told-5ecret-0123456789");
    body["models"] = json!([{ "id": "large" }, { "id": "small" }]);
    owner.post("/providers", body).ok(201);
    let tested = owner.post("/providers/told/test?model=small", json!({})).ok(200);
    assert_eq!(tested["model"], "small");
    let failed = owner.post("/providers/told/test?model=small", json!({})).fails(502, "MODEL_UNAVAILABLE");
    let words = failed["details"]["upstreamSaid"].as_str().unwrap();
    assert!(words.starts_with("Rate limit reached for small with "), "{words}");
    assert!(!words.contains("5ecret") && words.ends_with("Try again in 20 s."), "{words}");
    assert_eq!(failed["details"]["model"], "small");
    assert!(!failed["message"].as_str().unwrap().contains("Rate limit reached"));

    // One that has no models is known by its list.
    owner.patch("/providers/told", json!({ "models": [] })).ok(200);
    let failed = owner.post("/providers/told/test", json!({})).fails(502, "MODEL_UNAVAILABLE");
    assert_eq!(failed["details"], json!({ "model": null, "upstreamSaid": "No such key." }));
}
