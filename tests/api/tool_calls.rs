//! What became of calls: the audit and who may read it, the counters, the log.

use alm::{store::tools::Policy, tools::connect::Place};
use serde_json::{Value, json};

use crate::support::{
    client::Client,
    fake_model::{Answer, FakeModel, nobody},
    harness::{App, column, user, wait},
};

#[test]
fn calls_are_listed_newest_first_and_by_what_they_are() {
    let app = App::shared();
    let key = app.org("acme");
    for session in ["one", "two"] {
        key.chat(json!({ "id": session, "messages": [user("Hi")] }));
    }
    let ids: Vec<_> = [("one", "a", "done"), ("one", "b", "failed"), ("two", "a", "unknown")]
        .map(|(session, tool, status)| app.tool_call("acme", session, tool, status))
        .into();
    let listed = |query: &str| column(&key.get(&format!("/tool-calls{query}")).ok(200), "approvalId");
    let of = |numbers: &[usize]| numbers.iter().map(|n| ids[*n].clone()).collect::<Vec<_>>();
    assert_eq!(listed(""), of(&[2, 1, 0]));
    assert_eq!(listed("?sessionId=one"), of(&[1, 0]));
    assert_eq!(listed("?tool=a"), of(&[2, 0]));
    assert_eq!(listed("?status=failed"), of(&[1]));
    assert_eq!(listed("?from=2020-01-01T00:00:00.000Z&to=2999-01-01T00:00:00.000Z"), of(&[2, 1, 0]));
    assert_eq!(listed("?to=2020-01-01T00:00:00.000Z"), of(&[]));
    let first = key.get("/tool-calls?limit=2").ok(200);
    let next = first["nextCursor"].as_str().unwrap();
    assert_eq!(listed(&format!("?cursor={next}")), of(&[0]));
    let call = &first["items"][0];
    assert_eq!(
        (&call["sessionId"], &call["origin"], &call["policy"], &call["input"], &call["decidedBy"]),
        (&json!("two"), &json!("http"), &json!("ask"), &json!({ "q": 1 }), &Value::Null)
    );
    for (query, wrong) in [("?from=yesterday", "from"), ("?cursor=x", "cursor"), ("?limit=0", "limit")] {
        assert_eq!(key.get(&format!("/tool-calls{query}")).invalid(), [wrong]);
    }
    assert_eq!(app.org("globex").get("/tool-calls").ok(200)["items"], json!([]));
    let chat = app.key("acme", alm::key::Env::Live, &[alm::key::Scope::Chat]);
    chat.get("/tool-calls").fails(403, "FORBIDDEN");
}

#[test]
fn a_call_is_as_visible_as_its_session() {
    let app = App::shared();
    let (key, member) = (app.org("acme"), app.member("acme"));
    let project = json!({ "name": "Mine", "slug": "mine", "visibility": "private" });
    key.post("/projects", project).ok(201);
    key.chat(json!({ "id": "mine", "projectId": "mine", "messages": [user("Hi")] }));
    app.tool_call("acme", "mine", "a", "done");
    assert_eq!(column(&key.get("/tool-calls").ok(200), "tool"), ["a"]);
    assert_eq!(member.get("/tool-calls").ok(200)["items"], json!([]));
    key.delete("/sessions/mine").ok(200);
    assert_eq!(key.get("/tool-calls").ok(200)["items"], json!([]), "it went with its session");
}

#[test]
fn calls_are_counted_and_logged_by_how_they_came_to_their_end() {
    let metrics = nobody().trim_start_matches("http://").trim_end_matches("/v1").to_owned();
    let app = App::start(&["--metrics-listen", &metrics, "--log-format", "json"]);
    let search = |input: &str| Answer::call("t", "search_history", input);
    let model = FakeModel::start([
        search(r#"{"query":"very-secret"}"#),
        Answer::text("As you wish."),
        search(r#"{"query":7}"#),
        Answer::text("I am sorry."),
        search(r#"{"query":"very-secret"}"#),
        Answer::text("Never mind."),
        search(r#"{"query":"very-secret"}"#),
    ]);
    let acme = app.org_asking("acme", &model);
    let tenant = app.tenant("acme");
    let asks = |agent: &mut alm::store::agents::Agent| {
        agent.settings.tool_approval = Some(Policy::Ask);
        Ok(())
    };
    wait(app.store().org(&tenant).update_agent("ala".into(), asks)).unwrap();
    app.mcp_server("acme", "files", Place::Url(nobody()));

    let ask = |session: &str| acme.chat(json!({ "id": session, "messages": [user("Go")] }));
    let asked = ask("denied");
    let id = asked.one("tool-approval-request")["approvalId"].as_str().unwrap().to_owned();
    let no = json!({ "approvals": [{ "approvalId": id, "approved": false }] });
    assert!(acme.post("/chat/denied/resume", no).text.contains("tool-output-denied"));
    ask("refused");
    ask("withdrawn");
    ask("withdrawn");
    ask("waiting");

    let text = Client::new(&format!("http://{metrics}"), None).get("/metrics").text;
    for (outcome, calls) in [("denied", 1), ("refused", 1), ("withdrawn", 1)] {
        let counted = format!(r#"alm_tool_calls_total{{origin="builtin",outcome="{outcome}"}} {calls}"#);
        assert!(text.contains(&counted), "{counted} in {text}");
    }
    for line in ["alm_approvals_waiting 1", "alm_tool_outputs_cut_total 0", "alm_mcp_restarts_total 0"] {
        assert!(text.contains(line), "{line} in {text}");
    }
    // Chats have had it looked after, and nobody is there.
    let states: Vec<_> =
        text.lines().filter(|line| line.starts_with(r#"alm_mcp_servers{transport="http",state=""#)).collect();
    assert!(states.len() == 1 && states[0].ends_with("} 1"), "{text}");
    let logged = app.says("a tool was called");
    let line = logged.lines().find(|line| line.contains("a tool was called")).unwrap_or_default();
    assert!(line.contains(r#""tool":"search_history""#) && line.contains(r#""outcome":"refused""#), "{logged}");
    assert!(!logged.contains("very-secret") && !text.contains("search_history"), "{logged}\n{text}");
}
