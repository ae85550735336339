//! Projects.

use serde_json::{Value, json};

use crate::support::{
    client::Client,
    fake_model::{Answer, FakeModel},
    harness::{App, column, user},
};

#[test]
fn a_project_is_made_read_changed_and_gone() {
    let app = App::shared();
    let acme = app.org("acme");
    let made = acme.post("/projects", json!({ "name": "Hand  book", "emoji": "📘" })).ok(201);
    assert_eq!((&made["name"], &made["slug"]), (&json!("Hand book"), &json!("hand-book")));
    assert_eq!((&made["visibility"], &made["description"]), (&json!("team"), &json!("")));
    assert_eq!(acme.get("/projects/hand-book").ok(200), made);
    let changed = acme.patch("/projects/hand-book", json!({ "emoji": null, "visibility": "private" })).ok(200);
    assert_eq!((&changed["emoji"], &changed["visibility"]), (&Value::Null, &json!("private")));
    acme.post("/projects", json!({ "name": "hand book" })).fails(409, "CONFLICT");
    acme.delete("/projects/hand-book").ok(200);
    acme.get("/projects/hand-book").fails(404, "NOT_FOUND");
    assert!(column(&acme.get("/projects").ok(200), "id").is_empty());
}

#[test]
fn a_private_project_is_its_creators_alone() {
    let app = App::shared();
    let (owner, member) = (app.org("acme"), app.member("acme"));
    let private = member.post("/projects", json!({ "name": "Secret", "visibility": "private" })).ok(201);
    member.get("/projects/secret").ok(200);
    for path in ["/projects/secret", &format!("/projects/{}", private["id"].as_str().unwrap())] {
        owner.get(path).fails(404, "NOT_FOUND");
        owner.patch(path, json!({ "name": "Mine" })).fails(404, "NOT_FOUND");
        owner.delete(path).fails(404, "NOT_FOUND");
    }
    owner.post("/sessions", json!({ "projectId": "secret" })).fails(404, "NOT_FOUND");
    owner.post("/chat", json!({ "projectId": "secret", "messages": [user("Hi")] })).fails(404, "NOT_FOUND");
    assert!(column(&owner.get("/projects").ok(200), "id").is_empty());
}

#[test]
fn what_is_said_in_a_private_project_is_its_creators_alone() {
    let search = Answer::call("t1", "search_history", r#"{"query":"heliotrope"}"#);
    let (app, model) = (App::shared(), FakeModel::start([Answer::text("heliotrope"), search, Answer::text("done")]));
    let (owner, member) = (app.org_asking("acme", &model), app.member("acme"));
    member.post("/projects", json!({ "name": "Secret", "visibility": "private" })).ok(201);
    member.chat(json!({ "id": "c", "projectId": "secret", "messages": [user("A secret flower?")] }));
    assert_eq!(member.history("c").len(), 2);
    for path in ["/sessions/c", "/sessions/c/messages", "/sessions/c/messages?countOnly=true"] {
        owner.get(path).fails(404, "NOT_FOUND");
    }
    owner.patch("/sessions/c", json!({ "label": "Mine" })).fails(404, "NOT_FOUND");
    owner.delete("/sessions/c").fails(404, "NOT_FOUND");
    owner.post("/sessions/c/messages", user("Me too")).fails(404, "NOT_FOUND");
    owner.post("/chat", json!({ "sessionId": "c", "messages": [user("Me too")] })).fails(404, "NOT_FOUND");
    for path in ["/sessions", "/sessions?q=heliotrope", "/agents/ala/sessions"] {
        assert!(column(&owner.get(path).ok(200), "id").is_empty(), "{path}");
        assert_eq!(column(&member.get(path).ok(200), "id"), ["c"], "{path}");
    }
    let asked = owner.chat(json!({ "messages": [user("What did we say?")] }));
    assert_eq!(asked.one("tool-output-available")["output"]["hits"], json!([]));
}

#[test]
fn a_private_project_takes_its_slug_from_nobody_and_keeps_it_for_its_creator() {
    let app = App::shared();
    let (owner, member) = (app.org("acme"), app.member("acme"));
    let private = member.post("/projects", json!({ "name": "Plan", "visibility": "private" })).ok(201);
    for visibility in ["private", "team"] {
        let other = owner.post("/projects", json!({ "name": "Plan", "visibility": visibility })).ok(201);
        assert_eq!(owner.get("/projects/plan").ok(200)["id"], other["id"]);
        assert_eq!(member.get("/projects/plan").ok(200)["id"], private["id"], "beside {visibility}");
        owner.delete("/projects/plan").ok(200);
    }
    let team = owner.post("/projects", json!({ "name": "Open" })).ok(201);
    // What one sees is taken, in either direction.
    member.post("/projects", json!({ "name": "Open", "visibility": "private" })).fails(409, "CONFLICT");
    member.patch("/projects/plan", json!({ "slug": "open" })).fails(409, "CONFLICT");
    member.post("/projects", json!({ "name": "Plan" })).fails(409, "CONFLICT");
    let taken = owner.patch(&format!("/projects/{}", team["id"].as_str().unwrap()), json!({ "slug": "plan" }));
    assert_eq!(taken.ok(200)["slug"], json!("plan"));
    assert_eq!(member.get("/projects/plan").ok(200)["id"], private["id"]);
    member.patch("/projects/plan", json!({ "visibility": "team" })).fails(409, "CONFLICT");
}

#[test]
fn no_slug_takes_what_was_meant_for_an_id() {
    let app = App::shared();
    let (owner, member) = (app.org("acme"), app.member("acme"));
    let private = owner.post("/projects", json!({ "name": "Mine", "visibility": "private" })).ok(201);
    let id = private["id"].as_str().unwrap();
    for slug in [id, &id.replace('-', "")] {
        assert_eq!(member.post("/projects", json!({ "name": "Trap", "slug": slug })).invalid(), ["slug"]);
        assert_eq!(member.post("/agents", json!({ "name": "Trap", "slug": slug })).invalid(), ["slug"]);
        let named = member.post("/projects", json!({ "name": slug })).ok(201);
        assert_eq!(named["slug"], json!(format!("project-{slug}")));
    }
    // A file of before may hold such a slug.
    let trap = member.post("/projects", json!({ "name": "Trap" })).ok(201);
    app.file().execute("UPDATE project SET slug = ?1 WHERE id = ?2", [id, trap["id"].as_str().unwrap()]).unwrap();
    assert_eq!(owner.get(&format!("/projects/{id}")).ok(200)["name"], json!("Mine"));
    assert_eq!(owner.post("/sessions", json!({ "projectId": id })).ok(201)["projectId"], json!(id));
}

#[test]
fn a_session_is_taken_from_nobody() {
    let app = App::shared();
    let (owner, member) = (app.org("acme"), app.member("acme"));
    let mine = member.post("/projects", json!({ "name": "Mine alone", "visibility": "private" })).ok(201);
    let team = member.post("/projects", json!({ "name": "Team" })).ok(201);
    owner.chat(json!({ "id": "c", "messages": [user("Hi")] }));
    let moved = |who: &Client, project: &Value| who.patch("/sessions/c", json!({ "projectId": project }));
    moved(&member, &mine["id"]).fails(403, "FORBIDDEN");
    let bound = json!({ "id": "c", "projectId": mine["id"], "messages": [user("Mine now")] });
    member.post("/chat", bound).fails(403, "FORBIDDEN");
    // Between projects that everybody sees, everybody moves it; its project cannot become private then.
    moved(&member, &team["id"]).ok(200);
    member.patch("/projects/team", json!({ "visibility": "private" })).fails(409, "CONFLICT");
    moved(&member, &Value::Null).ok(200);
    member.patch("/projects/team", json!({ "visibility": "private" })).ok(200);
    // What is one's own one moves in and out.
    member.post("/sessions", json!({ "projectId": "mine-alone" })).ok(201);
    let own = member.post("/sessions", json!({})).ok(201)["id"].as_str().unwrap().to_owned();
    for project in [&mine["id"], &Value::Null] {
        member.patch(&format!("/sessions/{own}"), json!({ "projectId": project })).ok(200);
    }
    owner.get("/sessions/c").ok(200);
}

#[test]
fn nobody_learns_the_id_of_anothers_private_session() {
    let app = App::shared();
    let (owner, member) = (app.org("acme"), app.member("acme"));
    member.post("/projects", json!({ "name": "Secret", "visibility": "private" })).ok(201);
    member.chat(json!({ "id": "hidden", "projectId": "secret", "messages": [user("Hi")] }));
    owner.chat(json!({ "id": "deleted", "messages": [user("Hi")] }));
    owner.delete("/sessions/deleted").ok(200);
    let taken = |id: &str| {
        let refused = owner.post("/chat", json!({ "id": id, "messages": [user("Hi")] })).fails(409, "CONFLICT");
        refused["message"].clone()
    };
    assert_eq!(taken("hidden"), taken("deleted"));
    // One group for all that one may not see, and for what has none.
    for group in ["project", "session"] {
        let usage = |who: &Client| {
            let groups = who.get(&format!("/billing/usage?groupBy={group}")).ok(200)["items"].take();
            groups.as_array().unwrap().iter().map(|group| group["key"].clone()).collect::<Vec<_>>()
        };
        let (theirs, own) = (usage(&owner), usage(&member));
        assert_eq!((own.len(), theirs.len()), (2, if group == "project" { 1 } else { 2 }), "{group}");
        assert!(theirs.contains(&Value::Null) && !theirs.contains(&json!("hidden")), "{theirs:?}");
    }
}

#[test]
fn every_field_out_of_range_is_named() {
    let app = App::shared();
    let body = json!({
        "name": "x".repeat(256), "slug": "-", "description": "x".repeat(5_001), "prompt": "x".repeat(12_001),
        "emoji": "x".repeat(17),
    });
    let fields = app.org("acme").post("/projects", body).invalid();
    assert_eq!(fields, ["name", "description", "prompt", "emoji", "slug"]);
}
