//! HTTP tools: what a call sends, where it may go, and what is known of one that broke. A service on loopback counts.

use serde_json::{Value, json};

use crate::support::{
    client::{Client, Stream},
    counting::{Counting, Says},
    fake_model::{Answer, FakeModel, call, finish, usage},
    harness::{App, until, user},
    tools::{OPERATOR, OWNER, declare},
};

/// A turn of acme in which the model calls `create_ticket` with this input, and then says `done`; and what it was told in between.
fn called(app: &App, input: &Value) -> (Stream, Value) {
    let model = FakeModel::start([Answer::call("t1", "create_ticket", &input.to_string()), Answer::text("done")]);
    let acme = app.org_asking("acme", &model);
    let stream = acme.chat(json!({ "model": "up/free", "messages": [user("Go")] }));
    assert_eq!(stream.text(), "done");
    let told = model.asked().pop().unwrap().json["messages"].as_array().unwrap().last().unwrap()["content"].clone();
    (stream, told)
}

/// The sentence of a call that failed.
fn error_of(stream: &Stream) -> &str {
    stream.one("tool-output-error")["errorText"].as_str().unwrap()
}

fn ok() -> Counting {
    Counting::start(|_, _| Says::json("{\"id\":7}"))
}

#[test]
fn a_call_becomes_one_request_and_its_answer_the_output() {
    let (app, service) = (App::shared(), ok());
    let url = service.url("/v1/projects/{project}/tickets{?notify}");
    declare(&app, OPERATOR, "POST", &url, json!({ "headers": { "x-team": "a" } }));
    let (stream, told) = called(&app, &json!({ "project": "a/b", "title": "größer", "notify": true }));
    assert_eq!(stream.one("tool-output-available")["output"], json!({ "id": 7 }));
    assert_eq!(serde_json::from_str::<Value>(told.as_str().unwrap()).unwrap(), json!({ "id": 7 }));
    let [came] = &service.came()[..] else { panic!("{:?}", service.came()) };
    assert_eq!((&*came.method, &*came.target), ("POST", "/v1/projects/a%2Fb/tickets?notify=true"));
    assert_eq!(came.body, "{\"title\":\"größer\"}");
    assert_eq!((came.header("x-team"), came.header("accept-encoding")), (Some("a"), Some("identity")));
    assert!(came.header("user-agent").unwrap().starts_with("alm/"));
    assert!(came.header("idempotency-key").is_some_and(|key| !key.is_empty()));
    assert_eq!(came.header("cookie"), None);
}

#[test]
fn the_built_in_model_calls_an_http_tool_by_its_name() {
    let (app, service) = (App::shared(), ok());
    let schema = json!({ "type": "object", "properties": { "project": { "type": "string", "minLength": 1 } }, "required": ["project"] });
    declare(&app, OPERATOR, "GET", &service.url("/{project}"), json!({ "inputSchema": schema }));
    let stream = app.org("acme").chat(json!({ "model": "demo/ala", "messages": [user("Call create_ticket")] }));
    assert_eq!(stream.one("tool-output-available")["output"], json!({ "id": 7 }));
    assert_eq!(service.came().len(), 1);
}

#[test]
fn an_owners_tool_does_not_reach_this_machine_and_an_operators_does() {
    let (app, service) = (App::shared(), ok());
    declare(&app, OWNER, "POST", &service.url("/"), json!({}));
    let (stream, told) = called(&app, &json!({}));
    assert_eq!(error_of(&stream), "This address is not allowed.");
    assert!(told.as_str().unwrap().contains("This address is not allowed."), "{told}");
    assert_eq!(service.came().len(), 0);
    // The same for another organization's: by the operator's hand.
    let other = App::shared();
    declare(&other, OPERATOR, "POST", &service.url("/"), json!({}));
    called(&other, &json!({}));
    assert_eq!(service.came().len(), 1);
}

#[test]
fn an_operator_names_what_owners_tools_reach() {
    let service = ok();
    let app = App::start(&["--tool-allow", &service.place()]);
    declare(&app, OWNER, "POST", &service.url("/"), json!({}));
    let (stream, _) = called(&app, &json!({}));
    assert_eq!(stream.one("tool-output-available")["output"], json!({ "id": 7 }));
}

#[test]
fn a_clouds_metadata_is_refused_to_every_row_by_every_spelling() {
    for host in [
        "169.254.169.254",
        "2852039166",
        "0xa9fea9fe",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::a9fe:a9fe]",
        "[fd00:ec2::254]",
    ] {
        let app = App::shared();
        declare(&app, OPERATOR, "GET", &format!("http://{host}/latest/meta-data"), json!({}));
        assert_eq!(error_of(&called(&app, &json!({})).0), "This address is not allowed.", "{host}");
    }
}

#[test]
fn a_redirect_is_told_and_not_followed() {
    let app = App::shared();
    let there = ok();
    let url = there.url("/elsewhere");
    let service = Counting::start(move |_, _| Says::Elsewhere(url.clone()));
    declare(&app, OPERATOR, "GET", &service.url("/"), json!({}));
    let (stream, _) = called(&app, &json!({}));
    let sentence = format!("HTTP 302 from 127.0.0.1: it points to {}", there.url("/elsewhere"));
    assert_eq!(error_of(&stream), sentence);
    assert_eq!((service.came().len(), there.came().len()), (1, 0));
}

#[test]
fn an_error_of_the_service_is_what_the_model_reads() {
    let app = App::shared();
    let service =
        Counting::start(|_, _| Says::Response(404, "application/json", "{\"error\":\"no such project\"}".into()));
    declare(&app, OPERATOR, "DELETE", &service.url("/{project}"), json!({}));
    let (stream, _) = called(&app, &json!({ "project": "x", "force": true }));
    assert_eq!(error_of(&stream), "HTTP 404 from 127.0.0.1: {\"error\":\"no such project\"}");
    assert_eq!(service.came()[0].target, "/x?force=true");
}

#[test]
fn an_endless_body_ends_at_its_bound() {
    let (app, service) = (App::shared(), Counting::start(|_, _| Says::Endless));
    declare(&app, OPERATOR, "GET", &service.url("/"), json!({ "responseBytesMax": 1_000 }));
    let (stream, _) = service.wait_left(|| called(&app, &json!({})));
    assert_eq!(error_of(&stream), "The answer of 127.0.0.1 goes on after 1,001 bytes: this tool reads at most 1,000.");
}

#[test]
fn a_call_whose_answer_drips_is_out_of_time_and_not_sent_again() {
    let (app, service) = (App::shared(), Counting::start(|_, _| Says::Drip));
    declare(&app, OPERATOR, "POST", &service.url("/"), json!({ "timeoutMs": 300 }));
    let (stream, _) = service.wait_left(|| called(&app, &json!({})));
    assert!(error_of(&stream).starts_with("No answer came within 300 ms"), "{}", error_of(&stream));
    assert_eq!(service.came().len(), 1);
}

#[test]
fn a_connection_that_was_cut_after_sending_is_not_tried_again() {
    let (app, service) = (App::shared(), Counting::start(|_, _| Says::Cut));
    declare(&app, OPERATOR, "POST", &service.url("/"), json!({}));
    let (stream, _) = called(&app, &json!({}));
    assert!(error_of(&stream).starts_with("The connection broke"), "{}", error_of(&stream));
    assert_eq!(service.came().len(), 1);
}

#[test]
fn a_stop_closes_the_connection_of_a_call() {
    let (app, service) = (App::shared(), Counting::start(|_, _| Says::Silence));
    declare(&app, OPERATOR, "POST", &service.url("/"), json!({}));
    let model = FakeModel::start([Answer::call("t1", "create_ticket", "{}"), Answer::text("done")]);
    let acme: Client = app.org_asking("acme", &model);
    let listening = acme.listen(json!({ "id": "c", "model": "up/free", "messages": [user("Go")] }));
    while service.came().is_empty() {
        std::thread::yield_now();
    }
    service.wait_left(|| acme.post("/chat/c/stop", json!({})).ok(200));
    assert_eq!(listening.rest().one("abort")["type"], "abort");
    assert_eq!(service.came().len(), 1);
}

#[test]
fn a_stop_closes_the_connections_of_eight_slow_calls_at_once() {
    let (app, service) = (App::shared(), Counting::start(|_, _| Says::Silence));
    declare(&app, OPERATOR, "POST", &service.url("/"), json!({}));
    let id = |n: usize| format!("t{n}");
    let calls = (0..8).map(|n| call(Some(n), Some(&id(n)), Some("create_ticket"), &json!({ "n": n }).to_string()));
    let model = FakeModel::start([Answer::chunks(calls.chain([finish("tool_calls"), usage(10, 5)]))]);
    let acme: Client = app.org_asking("acme", &model);
    let listening = acme.listen(json!({ "id": "c", "model": "up/free", "messages": [user("Go")] }));
    until("eight calls at once", || (service.came().len() == 8).then_some(()));
    acme.post("/chat/c/stop", json!({})).ok(200);
    until("all of them to be hung up on", || (service.ended() == 8).then_some(()));
    assert_eq!(listening.rest().one("abort")["type"], "abort");
    assert_eq!((service.came().len(), model.chats().len()), (8, 1), "nothing is sent again, and nobody asked on");
    assert_eq!(acme.messages("c").pop().unwrap()["status"], json!("stopped"));
}

#[test]
fn an_input_against_the_schema_is_not_sent() {
    let (app, service) = (App::shared(), ok());
    let schema = json!({ "type": "object", "properties": { "title": { "type": "string" } }, "required": ["title"] });
    declare(&app, OPERATOR, "POST", &service.url("/"), json!({ "inputSchema": schema }));
    let (stream, _) = called(&app, &json!({}));
    assert!(error_of(&stream).contains("title"), "{}", error_of(&stream));
    assert_eq!(service.came().len(), 0);
}

#[test]
fn a_secret_header_is_sent_and_comes_back_to_nobody() {
    let app = App::start_with(&[], &[("ALM_TOOL_SECRET_TEAM", "wonderful-secret")]);
    let service = Counting::start(|_, came| {
        Says::json(&json!({ "you": came.header("x-key"), "sent": came.header("authorization") }).to_string())
    });
    let secrets = json!({
        "x-key": { "env": "ALM_TOOL_SECRET_TEAM" }, "authorization": { "env": "ALM_TOOL_SECRET_TEAM", "before": "Bearer " },
    });
    declare(&app, OPERATOR, "POST", &service.url("/"), json!({ "secrets": secrets }));
    let (stream, told) = called(&app, &json!({}));
    assert_eq!(service.came()[0].header("authorization"), Some("Bearer wonderful-secret"));
    assert_eq!(stream.one("tool-output-available")["output"], json!({ "you": "***", "sent": "***" }));
    assert!(!told.to_string().contains("wonderful") && !app.output().contains("wonderful"));
}

#[test]
fn a_tool_is_nobodys_outside_its_organization() {
    let (app, service) = (App::shared(), ok());
    declare(&app, OPERATOR, "POST", &service.url("/"), json!({}));
    let model = FakeModel::start([Answer::call("t1", "create_ticket", "{}"), Answer::text("done")]);
    let stream = app.org_asking("other", &model).chat(json!({ "model": "up/free", "messages": [user("Go")] }));
    assert_eq!(error_of(&stream), "There is no tool called create_ticket.");
    assert!(!model.asked()[0].json["tools"].to_string().contains("create_ticket"));
    assert_eq!(service.came().len(), 0);
}
