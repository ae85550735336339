//! People at a browser.

use rusqlite::params;
use serde_json::json;

use crate::support::{
    browser::PASSWORD,
    client::{Client, Reply},
    harness::{App, column, until},
};

/// Moves the clock of every sign-in of a file, rather than waiting.
fn set(app: &App, column: &str, at: i64) {
    app.file().execute(&format!("UPDATE sign_in SET {column} = ?1"), params![at]).unwrap();
}

fn login(app: &App, email: &str, password: &str) -> Reply {
    app.anonymous().on_a_page().post("/auth/login", json!({ "email": email, "password": password }))
}

/// The code of the link that a server on an empty folder printed.
fn setup_code(app: &App) -> String {
    until("the setup link", || {
        let output = app.output();
        let (_, rest) = output.split_once("/setup#")?;
        Some(rest.split_once('\n')?.0.to_owned())
    })
}

fn set_up(app: &App, code: &str) -> Reply {
    let body = json!({ "code": code, "orgSlug": "acme", "email": "you@example.com", "password": PASSWORD });
    app.anonymous().on_a_page().post("/auth/setup", body)
}

/// What a browser may do that has just been signed in: something that needs the sign-in, the owner, and the password.
fn me(browser: &Client) -> serde_json::Value {
    browser.get("/auth/me").ok(200)
}

#[test]
fn the_printed_link_sets_a_server_up_once() {
    let app = App::start(&[]);
    let code = setup_code(&app);
    let made = set_up(&app, &code);
    let data = made.ok(201);
    assert_eq!(data["user"]["email"], "you@example.com");
    assert_eq!((&data["orgs"][0]["slug"], &data["orgs"][0]["role"]), (&json!("acme"), &json!("owner")));
    let browser = app.anonymous().on_a_page().with_cookie_of(&made);
    assert_eq!(me(&browser)["signInId"], data["signInId"]);
    assert_eq!(column(&browser.get("/agents").ok(200), "slug"), ["ala"]);
    set_up(&app, &code).fails(403, "FORBIDDEN");
    login(&app, "you@example.com", PASSWORD).ok(200);
}

#[test]
fn a_restart_prints_another_code_and_the_old_one_is_dead() {
    let app = App::start(&[]);
    let first = setup_code(&app);
    let again = app.crash();
    let second = setup_code(&again);
    assert_ne!(first, second);
    set_up(&again, &first).fails(403, "FORBIDDEN");
    set_up(&again, &second).ok(201);
    let third = again.crash();
    assert!(!third.output().contains("/setup#"), "whoever has an organization is offered no other");
}

#[test]
fn setup_says_all_that_is_wrong_and_the_code_lives_on() {
    let app = App::start(&[]);
    let code = setup_code(&app);
    let body = json!({ "code": code, "orgSlug": "Acme!", "email": "you", "password": "short" });
    let browser = app.anonymous().on_a_page();
    assert_eq!(browser.post("/auth/setup", body).invalid(), ["orgSlug", "email", "password"]);
    let reserved = json!({ "code": code, "orgSlug": "api", "email": "you@example.com", "password": PASSWORD });
    assert_eq!(browser.post("/auth/setup", reserved).invalid(), ["orgSlug"]);
    set_up(&app, &code).ok(201);
}

#[test]
fn setup_codes_cannot_be_guessed_at_leisure() {
    let app = App::start(&[]);
    let code = setup_code(&app);
    (0..5).for_each(|_| drop(set_up(&app, "0123").fails(403, "FORBIDDEN")));
    set_up(&app, &code).fails(429, "TOO_MANY_REQUESTS");
}

#[test]
fn a_sign_in_is_a_cookie_that_scripts_and_other_sites_do_not_get() {
    let app = App::shared();
    app.org("acme");
    let reply = login(&app, &app.email("acme").to_uppercase(), PASSWORD);
    reply.ok(200);
    let cookie = reply.header("set-cookie").unwrap();
    let (value, flags) = cookie.split_once(';').unwrap();
    assert_eq!(flags, " Path=/; Max-Age=43200; HttpOnly; SameSite=Strict");
    assert_eq!(value.len(), "alm_session_01234567=".len() + 64);
    let tls = app.anonymous().header("origin", &app.url().replace("http:", "https:"));
    let reply = tls.post("/auth/login", json!({ "email": app.email("acme"), "password": PASSWORD }));
    assert!(reply.header("set-cookie").unwrap().ends_with("; Secure"));
}

#[test]
fn two_servers_on_one_host_live_in_one_browser() {
    let (one, two) = (App::start(&[]), App::start(&[]));
    let cookie = |app: &App| {
        app.org("acme");
        let reply = login(app, &app.email("acme"), PASSWORD);
        reply.header("set-cookie").unwrap().split(';').next().unwrap().to_owned()
    };
    let both = format!("{}; {}", cookie(&one), cookie(&two));
    for app in [&one, &two] {
        app.anonymous().header("cookie", &both).get("/agents").ok(200);
    }
    // Signing out of one leaves the other.
    let browser = one.anonymous().on_a_page().header("cookie", &both);
    browser.post("/auth/logout", json!({})).ok(200);
    one.anonymous().header("cookie", &both).get("/agents").fails(401, "UNAUTHORIZED");
    two.anonymous().header("cookie", &both).get("/agents").ok(200);
}

#[test]
fn an_address_and_a_password_are_their_characters_however_they_are_typed() {
    let app = App::start(&[]);
    let code = setup_code(&app);
    let (email, password) = ("cafe\u{301}@example.com", "cafe\u{301} au lait");
    let body = json!({ "code": code, "orgSlug": "acme", "email": format!(" {email} "), "password": password });
    app.anonymous().on_a_page().post("/auth/setup", body).ok(201);
    for (email, password) in [(email, "caf\u{e9} au lait"), (" Caf\u{e9}@Example.com\n", password)] {
        login(&app, email, password).ok(200);
    }
    // A file of before holds what was typed.
    app.file().execute("UPDATE user SET email = ?1", [email]).unwrap();
    for typed in [email, "caf\u{e9}@example.com"] {
        login(&app, typed, password).ok(200);
    }
    // Guesses in all forms are guesses at one account.
    for typed in [email, "caf\u{e9}@example.com", "CAF\u{c9}@example.com", " caf\u{e9}@example.com", email] {
        login(&app, typed, "wrong password").fails(401, "UNAUTHORIZED");
    }
    login(&app, email, password).fails(429, "TOO_MANY_REQUESTS");
}

#[test]
fn a_wrong_password_and_an_unknown_address_are_one_answer() {
    let app = App::start(&[]);
    app.org("acme");
    // Somebody who has no password at all.
    app.store().create_org("globex", "nobody@globex.example", None).unwrap();
    let answers = [
        login(&app, &app.email("acme"), "wrong password"),
        login(&app, "nobody@example.com", PASSWORD),
        login(&app, "nobody@globex.example", PASSWORD),
        login(&app, &app.email("acme"), &"x".repeat(2_000)),
    ];
    let texts = answers.map(|reply| {
        assert!(reply.header("set-cookie").is_none());
        reply.fails(401, "UNAUTHORIZED")["message"].clone()
    });
    assert!(texts.iter().all(|text| *text == texts[0]), "{texts:?}");
}

#[test]
fn five_wrong_passwords_in_a_row_make_the_right_one_wait() {
    let app = App::start(&[]);
    app.org("acme");
    let browser = app.browser("acme");
    (0..5).for_each(|_| drop(login(&app, &app.email("acme"), "wrong password").fails(401, "UNAUTHORIZED")));
    login(&app, &app.email("acme"), PASSWORD).fails(429, "TOO_MANY_REQUESTS");
    // Who is signed in already is not touched by those who guess.
    browser.get("/agents").ok(200);
    let step_up = |password: &str| browser.post("/auth/step-up", json!({ "password": password }));
    step_up(PASSWORD).ok(200);
    let change = json!({ "currentPassword": PASSWORD, "newPassword": PASSWORD });
    browser.post("/auth/password", change.clone()).ok(200);
    // They wait for their own wrong ones.
    (0..5).for_each(|_| drop(step_up("wrong password").fails(403, "FORBIDDEN")));
    step_up(PASSWORD).fails(429, "TOO_MANY_REQUESTS");
    browser.post("/auth/password", change).fails(429, "TOO_MANY_REQUESTS");
}

#[test]
fn behind_a_proxy_one_persons_guesses_make_nobody_else_wait() {
    let app = App::start(&["--trust-proxy", "127.0.0.1"]);
    app.org("acme");
    let from = |address: &str, email: &str, password: &str| {
        let browser = app.anonymous().on_a_page().header("x-forwarded-for", address);
        browser.post("/auth/login", json!({ "email": email, "password": password })).status
    };
    let guesses = (0..6).map(|n| from("6.6.6.6", &format!("{n}@example.com"), "wrong password"));
    assert_eq!(guesses.collect::<Vec<_>>(), [401, 401, 401, 401, 401, 429]);
    assert_eq!(from("6.6.6.6", &app.email("acme"), PASSWORD), 429);
    assert_eq!(from("6.6.6.6, 9.9.9.9", &app.email("acme"), PASSWORD), 200);
}

#[test]
fn a_browser_changes_things_only_from_a_page_of_the_server() {
    let app = App::shared();
    let browser = app.browser("acme");
    let make = |browser: &Client| browser.post("/projects", json!({ "name": alm::id::generate() }));
    make(&browser).ok(201);
    for origin in ["http://127.0.0.1:1", "https://evil.example", "null"] {
        let foreign = browser.header("origin", origin);
        let refused = make(&foreign).fails(403, "FORBIDDEN");
        assert!(refused["message"].as_str().unwrap().contains("`Origin`"), "{refused}");
        foreign.delete("/auth/sessions/x").fails(403, "FORBIDDEN");
        foreign.post("/auth/logout", json!({})).fails(403, "FORBIDDEN");
        foreign
            .post("/auth/login", json!({ "email": app.email("acme"), "password": PASSWORD }))
            .fails(403, "FORBIDDEN");
        foreign.get("/agents").ok(200);
    }
    let cookie_alone = app.anonymous().with_cookie_of(&login(&app, &app.email("acme"), PASSWORD));
    make(&cookie_alone).fails(403, "FORBIDDEN");
    // A key needs no page, whatever cookie comes with it.
    make(&app.org("acme").header("cookie", "alm_session_00000000=x")).ok(201);
}

#[test]
fn a_sign_in_ends_by_its_own_word_by_anothers_and_by_the_clock() {
    let app = App::start(&[]);
    let (first, second, third) = (app.browser("acme"), app.browser("acme"), app.browser("acme"));
    let id = me(&second)["signInId"].as_str().unwrap().to_owned();
    first.delete(&format!("/auth/sessions/{id}")).ok(200);
    second.get("/agents").fails(401, "UNAUTHORIZED");
    first.delete(&format!("/auth/sessions/{id}")).fails(404, "NOT_FOUND");
    let out = first.post("/auth/logout", json!({}));
    out.ok(200);
    let forgotten = out.header("set-cookie").unwrap();
    assert!(forgotten.starts_with("alm_session_") && forgotten.contains("=; Path=/; Max-Age=0;"), "{forgotten}");
    first.get("/auth/me").fails(401, "UNAUTHORIZED");
    third.get("/agents").ok(200);
    set(&app, "expires_at", alm::time::Timestamp::now().as_millis());
    third.get("/agents").fails(401, "UNAUTHORIZED");
}

#[test]
fn a_person_sees_where_they_are_signed_in_and_nobody_elses() {
    let app = App::shared();
    let browser = app.browser("acme").header("user-agent", "Fox/1");
    let other = app.anonymous().header("user-agent", &"x".repeat(300)).sign_in(&app.email("acme"), PASSWORD);
    let foreign = me(&app.browser("globex"))["signInId"].as_str().unwrap().to_owned();
    let reply = browser.get("/auth/sessions");
    let data = reply.ok(200);
    let items = data["items"].as_array().unwrap();
    assert_eq!(
        column(&data, "id"),
        [&me(&other)["signInId"], &me(&browser)["signInId"]].map(|id| id.as_str().unwrap())
    );
    assert_eq!(items.iter().map(|item| item["current"].as_bool().unwrap()).collect::<Vec<_>>(), [false, true]);
    assert_eq!(items[0]["userAgent"], "x".repeat(200));
    browser.delete(&format!("/auth/sessions/{foreign}")).fails(404, "NOT_FOUND");
}

#[test]
fn giving_the_password_again_is_asked_for_after_a_while_and_lasts_a_while() {
    let app = App::start(&[]);
    let browser = app.browser("acme");
    set(&app, "stepped_up_at", 0);
    assert_eq!(me(&browser)["steppedUpUntil"], "1970-01-01T00:15:00.000Z");
    browser.post("/auth/step-up", json!({ "password": "wrong password" })).fails(403, "FORBIDDEN");
    assert_eq!(me(&browser)["steppedUpUntil"], "1970-01-01T00:15:00.000Z");
    let until = browser.post("/auth/step-up", json!({ "password": PASSWORD })).ok(200)["steppedUpUntil"].clone();
    assert!(until.as_str().unwrap() > "2026");
}

#[test]
fn a_new_password_ends_every_other_sign_in() {
    let app = App::start(&[]);
    let (browser, other) = (app.browser("acme"), app.browser("acme"));
    let change = |current: &str, new: &str| {
        browser.post("/auth/password", json!({ "currentPassword": current, "newPassword": new }))
    };
    change("wrong password", "another password").fails(403, "FORBIDDEN");
    assert_eq!(change(PASSWORD, "short").invalid(), ["newPassword"]);
    change(PASSWORD, "another password").ok(200);
    other.get("/agents").fails(401, "UNAUTHORIZED");
    browser.get("/agents").ok(200);
    login(&app, &app.email("acme"), PASSWORD).fails(401, "UNAUTHORIZED");
    login(&app, &app.email("acme"), "another password").ok(200);
}

#[test]
fn a_browser_speaks_for_the_organization_it_names_if_its_person_belongs_there() {
    let app = App::shared();
    let browser = app.browser("acme");
    app.org("globex").post("/agents", json!({ "name": "Theirs" })).ok(201);
    browser.header("x-alumia-org", &app.slug("acme")).get("/agents").ok(200);
    browser.header("x-alumia-org", &app.slug("globex")).get("/agents").fails(403, "FORBIDDEN");
    browser.header("x-alumia-org", "nobody").get("/agents").fails(403, "FORBIDDEN");
    // A second organization of the same person.
    app.store().create_org(&app.slug("more"), &app.email("acme"), None).unwrap();
    let more = browser.header("x-alumia-org", &app.slug("more"));
    more.post("/agents", json!({ "name": "Ours" })).ok(201);
    assert_eq!(column(&more.get("/agents").ok(200), "slug"), ["ala", "ours"]);
    assert_eq!(column(&browser.get("/agents").ok(200), "slug"), ["ala"]);
    let slugs: Vec<_> = me(&browser)["orgs"].as_array().unwrap().iter().map(|org| org["slug"].clone()).collect();
    assert_eq!(slugs, [app.slug("acme"), app.slug("more")]);
}

#[test]
fn a_key_is_no_person() {
    let app = App::shared();
    let acme = app.org("acme");
    for path in ["/auth/me", "/auth/sessions"] {
        acme.get(path).fails(403, "FORBIDDEN");
    }
    acme.post("/auth/step-up", json!({ "password": PASSWORD })).fails(403, "FORBIDDEN");
}

#[test]
fn a_person_has_so_many_sign_ins_and_the_oldest_ends() {
    let app = App::start(&[]);
    let first = app.browser("acme");
    (1..32).for_each(|_| drop(app.browser("acme")));
    let last = app.browser("acme");
    first.get("/agents").fails(401, "UNAUTHORIZED");
    assert_eq!(last.get("/auth/sessions").ok(200)["items"].as_array().unwrap().len(), 32);
}

#[test]
fn a_server_on_loopback_answers_to_no_other_name() {
    let app = App::start(&["--allow-host", "alm.example.com"]);
    let acme = app.org("acme");
    for host in ["evil.example", "evil.example:2560", "127.0.0.1.evil.example"] {
        acme.header("host", host).get("/agents").fails(403, "FORBIDDEN");
        app.anonymous().header("host", host).get("/healthz").fails(403, "FORBIDDEN");
        assert_eq!(app.anonymous().header("host", host).get("/docs/").status, 403);
    }
    for host in ["127.0.0.1", "localhost:2560", "[::1]:80", "alm.example.com"] {
        acme.header("host", host).get("/agents").ok(200);
    }
}

#[test]
fn no_organization_has_the_name_of_a_path_of_the_servers() {
    let app = App::start(&[]);
    let code = setup_code(&app);
    for slug in ["api", "docs", "setup", "login", "healthz", "health", "readyz", "openapi", "metrics"] {
        let body = json!({ "code": code, "orgSlug": slug, "email": "you@example.com", "password": PASSWORD });
        assert_eq!(app.anonymous().post("/auth/setup", body).invalid(), ["orgSlug"]);
        app.store().create_org(slug, "you@example.com", None).unwrap_err();
    }
}

#[test]
fn a_post_of_a_browser_that_is_sent_again_is_done_once() {
    let app = App::shared();
    let once = app.browser("acme").header("idempotency-key", "once");
    let first = once.post("/agents", json!({ "name": "Once" })).ok(201);
    assert_eq!(once.post("/agents", json!({ "name": "Once" })).ok(201), first);
    app.browser("globex").header("idempotency-key", "once").post("/agents", json!({ "name": "Once" })).ok(201);
}

#[test]
fn a_browser_chats_and_hears_its_answer_again() {
    let app = App::shared();
    let browser = app.browser("acme");
    let answer = browser.ask("demo/ala", "Hello");
    assert_eq!(browser.history(&answer.session())[1], ("assistant".into(), answer.text()));
    assert_eq!(browser.get(&format!("/chat/{}/stream", answer.session())).status, 204);
}
