//! The people of an organization: who invites whom, who may do what, and what is told of it.

use serde_json::{Value, json};

use crate::support::{
    browser::PASSWORD,
    client::{Client, Reply},
    fake_model::{Answer, FakeModel, delta},
    harness::{App, column, user},
};

/// Invites somebody; returns the code of the link.
fn invite(owner: &Client, email: &str, role: &str) -> String {
    let made = owner.post("/invitations", json!({ "email": email, "role": role })).ok(201);
    made["url"].as_str().unwrap().strip_prefix("/invite#").unwrap().to_owned()
}

fn join(app: &App, code: &str, password: &str) -> Reply {
    app.anonymous().on_a_page().post("/auth/join", json!({ "code": code, "password": password }))
}

fn shown(app: &App, code: &str) -> Reply {
    app.anonymous().on_a_page().post("/auth/invitation", json!({ "code": code }))
}

/// The browser of somebody who is invited and comes.
fn newcomer(app: &App, name: &str, email: &str, role: &str) -> Client {
    let came = join(app, &invite(&app.browser(name), email, role), PASSWORD);
    came.ok(201);
    app.anonymous().on_a_page().with_cookie_of(&came)
}

fn id_of(owner: &Client, email: &str) -> String {
    let members = owner.get("/members").ok(200);
    let found = members["items"].as_array().unwrap().iter().find(|member| member["email"] == email).cloned();
    found.unwrap()["userId"].as_str().unwrap().to_owned()
}

#[test]
fn a_link_makes_somebody_a_member_once() {
    let app = App::start(&[]);
    let owner = app.browser("acme");
    let code = invite(&owner, "sam@example.com", "member");
    let listed = owner.get("/invitations");
    assert_eq!(column(&listed.ok(200), "email"), ["sam@example.com"]);
    assert!(!listed.text.contains(&code) && !listed.text.contains("hash"));
    let open = shown(&app, &code).ok(200);
    let facts = ["orgSlug", "email", "role", "hasPassword"].map(|field| open[field].clone());
    assert_eq!(facts, [json!(app.slug("acme")), json!("sam@example.com"), json!("member"), json!(false)]);
    assert_eq!(join(&app, &code, "short").invalid(), ["password"]);
    let came = join(&app, &code, PASSWORD);
    assert_eq!(came.ok(201)["orgs"][0]["role"], json!("member"));
    let sam = app.anonymous().on_a_page().with_cookie_of(&came);
    assert_eq!(sam.get("/org").ok(200)["role"], json!("member"));
    sam.get("/members").fails(403, "FORBIDDEN");
    sam.get("/audit").fails(403, "FORBIDDEN");
    sam.get("/api-keys?all=true").fails(403, "FORBIDDEN");
    for reply in [shown(&app, &code), join(&app, &code, PASSWORD)] {
        assert!(reply.fails(403, "FORBIDDEN")["message"].as_str().unwrap().contains("ask for a new one"));
    }
    assert!(column(&owner.get("/invitations").ok(200), "id").is_empty());
    app.anonymous().sign_in("sam@example.com", PASSWORD);
    let again = owner.post("/invitations", json!({ "email": "SAM@example.com", "role": "owner" }));
    assert!(again.fails(409, "CONFLICT")["message"].as_str().unwrap().contains("a member already"));
}

#[test]
fn a_link_that_was_withdrawn_replaced_or_is_old_opens_nothing() {
    let app = App::start(&[]);
    let owner = app.browser("acme");
    let first = invite(&owner, "sam@example.com", "member");
    let second = invite(&owner, "sam@example.com", "owner");
    shown(&app, &first).fails(403, "FORBIDDEN");
    let id = column(&owner.get("/invitations").ok(200), "id").remove(0);
    owner.delete(&format!("/invitations/{id}")).ok(200);
    owner.delete(&format!("/invitations/{id}")).fails(404, "NOT_FOUND");
    shown(&app, &second).fails(403, "FORBIDDEN");
    let third = invite(&owner, "sam@example.com", "member");
    app.file().execute("UPDATE invitation SET expires_at = 1", []).unwrap();
    join(&app, &third, PASSWORD).fails(403, "FORBIDDEN");
    assert!(column(&owner.get("/invitations").ok(200), "id").is_empty());
    // Whoever guesses waits.
    (0..5).for_each(|_| drop(shown(&app, "0123")));
    shown(&app, "0123").fails(429, "TOO_MANY_REQUESTS");
}

#[test]
fn who_has_a_password_gives_it_and_nobody_is_given_one_who_belongs_elsewhere() {
    let app = App::start(&[]);
    let (owner, globex) = (app.browser("acme"), app.email("globex"));
    let code = invite(&owner, &globex, "member");
    assert_eq!(shown(&app, &code).ok(200)["hasPassword"], json!(true));
    assert_eq!(join(&app, &code, "another password").invalid(), ["password"]);
    let came = join(&app, &code, PASSWORD).ok(201);
    assert_eq!(came["orgs"].as_array().unwrap().len(), 2);
    // An owner of another organization who has no password yet is not to be had by whoever invites them.
    let initech = app.tenant("initech");
    let email = app.store().org_by_slug(&app.slug("initech")).unwrap().owner_email;
    let code = invite(&owner, &email, "member");
    let refused = join(&app, &code, "chosen by a stranger").fails(409, "CONFLICT");
    assert!(refused["message"].as_str().unwrap().contains("alm org password"));
    app.anonymous()
        .on_a_page()
        .post("/auth/login", json!({ "email": email, "password": "chosen by a stranger" }))
        .fails(401, "UNAUTHORIZED");
    assert_eq!(app.store().org(&initech).members().unwrap().len(), 1);
}

#[test]
fn an_organization_keeps_an_owner() {
    let app = App::start(&[]);
    let owner = app.browser("acme");
    let me = format!("/members/{}", id_of(&owner, &app.email("acme")));
    owner.delete(&me).fails(409, "CONFLICT");
    owner.patch(&me, json!({ "role": "member" })).fails(409, "CONFLICT");
    owner.patch(&me, json!({ "role": "owner" })).ok(200);
    owner.patch(&format!("/members/{}", alm::id::generate()), json!({ "role": "owner" })).fails(404, "NOT_FOUND");
    let sam = newcomer(&app, "acme", "sam@example.com", "owner");
    let left = invite(&owner, "kim@example.com", "owner");
    assert_eq!(owner.patch(&me, json!({ "role": "member" })).ok(200)["role"], json!("member"));
    owner.get("/members").fails(403, "FORBIDDEN");
    shown(&app, &left).fails(403, "FORBIDDEN");
    // Commands act as the one who is owner now.
    assert_eq!(app.store().org_by_slug(&app.slug("acme")).unwrap().owner_email, "sam@example.com");
    sam.delete(&format!("/members/{}", id_of(&sam, "sam@example.com"))).fails(409, "CONFLICT");
}

#[test]
fn whoever_is_removed_is_out_at_once() {
    let app = App::start(&[]);
    let word = delta(json!({ "content": "one " }));
    let model =
        FakeModel::start(vec![Answer::empty().chunk(word.clone()).silent(), Answer::empty().chunk(word).silent()]);
    app.org_asking("acme", &model);
    let owner = app.browser("acme");
    let sam = newcomer(&app, "acme", "sam@example.com", "member");
    let made = sam.post("/api-keys", json!({ "name": "sam's" })).ok(201);
    let key = Client::new(app.url(), Some(made["key"].as_str().unwrap().to_owned()));
    let mut by_key = key.listen(json!({ "id": "k", "messages": [user("Hi")] }));
    by_key.until("text-delta");
    let mut at_browser = sam.listen(json!({ "id": "b", "messages": [user("Hi")] }));
    at_browser.until("text-delta");
    owner.delete(&format!("/members/{}", id_of(&owner, "sam@example.com"))).ok(200);
    assert_eq!(by_key.rest().types().last(), Some(&"abort"));
    assert_eq!(at_browser.rest().types().last(), Some(&"abort"));
    key.get("/agents").fails(401, "UNAUTHORIZED");
    sam.get("/auth/me").fails(401, "UNAUTHORIZED");
    assert!(column(&owner.get("/api-keys?all=true").ok(200), "name").iter().all(|name| name != "sam's"));
    // Invited again, they come with the password they had, and without their keys.
    let code = invite(&owner, "sam@example.com", "member");
    assert_eq!(shown(&app, &code).ok(200)["hasPassword"], json!(true));
    join(&app, &code, PASSWORD).ok(201);
    key.get("/agents").fails(401, "UNAUTHORIZED");
}

#[test]
fn somebody_of_two_organizations_loses_one() {
    let app = App::start(&[]);
    let owner = app.browser("acme");
    let globex = app.email("globex");
    join(&app, &invite(&owner, &globex, "member"), PASSWORD).ok(201);
    let theirs = app.browser("globex");
    let there = theirs.header("x-alumia-org", &app.slug("acme"));
    there.get("/agents").ok(200);
    owner.delete(&format!("/members/{}", id_of(&owner, &globex))).ok(200);
    there.get("/agents").fails(403, "FORBIDDEN");
    theirs.get("/members").ok(200);
}

#[test]
fn one_command_invites_and_removes() {
    let app = App::start(&[]);
    app.browser("acme");
    let slug = app.slug("acme");
    let link = app.alm(&["members", "invite", "--org", &slug, "sam@example.com", "--role", "owner"]);
    let code = link.ok().split_once("/invite#").unwrap().1.split_whitespace().next().unwrap().to_owned();
    assert!(app.alm(&["members", "list", "--org", &slug]).ok().contains("invited, until"));
    let came = join(&app, &code, PASSWORD);
    came.ok(201);
    let sam = app.anonymous().on_a_page().with_cookie_of(&came);
    assert!(app.alm(&["members", "list", "--org", &slug]).ok().contains("sam@example.com"));
    app.alm(&["members", "remove", "--org", &slug, "sam@example.com"]).ok();
    sam.get("/auth/me").fails(401, "UNAUTHORIZED");
    app.alm(&["members", "remove", "--org", &slug, &app.email("acme")]).fails(1);
    app.alm(&["members", "invite", "--org", &slug, "kim@example.com", "--role", "king"]).fails(1);
}

/// The kinds of the audit, the newest first.
fn kinds(owner: &Client, query: &str) -> Vec<String> {
    column(&owner.get(&format!("/audit{query}")).ok(200), "kind")
}

#[test]
fn the_audit_tells_who_changed_what_and_by_what_way() {
    let app = App::start(&[]);
    let (slug, owner) = (app.slug("acme"), app.browser("acme"));
    let made = owner.post("/api-keys", json!({ "name": "CI" })).ok(201);
    let path = format!("/api-keys/{}", made["id"].as_str().unwrap());
    owner.patch(&path, json!({ "name": "Nightly", "monthlyLimitMicrocents": 5_000_000 })).ok(200);
    owner.delete(&path).ok(200);
    owner.post("/billing/deposit", json!({ "amountMicrocents": 1_000_000, "note": "June" })).ok(201);
    owner.patch("/org", json!({ "defaultModel": "demo/ala" })).ok(200);
    invite(&owner, "sam@example.com", "member");
    app.alm(&["deposit", "--org", &slug, "--usd", "2.50"]).ok();
    let all = [
        "money.deposited",
        "person.invited",
        "provider.default_changed",
        "money.deposited",
        "key.revoked",
        "key.changed",
        "key.created",
        "sign_in.began",
    ];
    assert_eq!(kinds(&owner, "")[..all.len()], all);
    let told = owner.get("/audit").ok(200);
    let told: Vec<Value> = told["items"].as_array().unwrap().clone();
    assert_eq!(
        (&told[0]["via"], &told[0]["email"], &told[0]["target"]),
        (&json!("cli"), &json!(null), &json!("$2.50"))
    );
    assert_eq!((&told[3]["via"], &told[3]["email"]), (&json!("browser"), &json!(app.email("acme"))));
    assert!(told[5]["target"].as_str().unwrap().ends_with("called Nightly, limit $5.00 a month"), "{}", told[5]);
    assert_eq!(kinds(&owner, "?kind=money"), ["money.deposited"; 2]);
    assert_eq!(kinds(&owner, "?kind=key.changed"), ["key.changed"]);
    assert_eq!(kinds(&owner, "?limit=1"), ["money.deposited"]);
    assert!(kinds(&owner, "?to=2001-01-01T00:00:00.000Z").is_empty());
    assert_eq!(owner.get("/audit?kind=keys").invalid(), ["kind"]);
    assert_eq!(owner.get("/audit?from=yesterday").invalid(), ["from"]);
    // What failed was not done, and is not told.
    owner.delete(&path).fails(409, "CONFLICT");
    assert_eq!(kinds(&owner, "?kind=key").len(), 3);
    assert!(app.browser("globex").get("/audit?kind=key").ok(200)["items"].as_array().unwrap().is_empty());
}
