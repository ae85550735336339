//! What becomes of a server's tools when it lists them again.
//!
//! Rule: what a person saw when the server was added is allowed. What comes later or changes later asks, until they accept it.
//! Rule: nothing here loses what a person set. A tool that is listed no more keeps its name for when it is back.

use std::collections::BTreeMap;

use super::list::{Listed, MCP_TOOLS_MAX};
use crate::{
    store::mcp::{McpServer, McpTool, NewTools},
    tools::naming,
};

/// The tools of a server that lists these now. `kept` is what was known of it.
pub(super) fn merged(server: &McpServer, kept: Vec<McpTool>, listed: Vec<Listed>) -> Vec<McpTool> {
    let is_first = server.listed_at.is_none();
    let given = kept.iter().map(|tool| (tool.remote_name.clone(), tool.name.clone())).collect();
    let names = naming::names(&server.slug, listed.iter().map(|tool| &*tool.remote_name), &given);
    let mut kept: BTreeMap<_, _> = kept.into_iter().map(|tool| (tool.remote_name.clone(), tool)).collect();
    let mut tools: Vec<_> = listed
        .into_iter()
        .map(|listed| match kept.remove(&listed.remote_name) {
            Some(tool) => again(tool, listed),
            None => new(server, is_first, names[&listed.remote_name].clone(), listed),
        })
        .collect();
    // What is gone: those first that a person decided something about.
    let mut gone: Vec<_> = kept.into_values().map(|tool| McpTool { is_there: false, ..tool }).collect();
    gone.sort_by_key(|tool| tool.accepted.is_none());
    gone.truncate(MCP_TOOLS_MAX);
    tools.append(&mut gone);
    tools
}

fn new(server: &McpServer, is_first: bool, name: String, listed: Listed) -> McpTool {
    McpTool {
        server_id: server.id.clone(),
        name,
        approval: None,
        price: 0,
        is_idempotent: false,
        is_on: is_first || server.new_tools == NewTools::Ask,
        is_there: true,
        fault: listed.fault,
        fingerprint: listed.fingerprint,
        accepted: is_first.then_some(listed.fingerprint),
        definition: listed.definition.to_string(),
        accepted_definition: None,
        remote_name: listed.remote_name,
    }
}

fn again(tool: McpTool, listed: Listed) -> McpTool {
    let was_accepted = tool.is_accepted();
    let is_accepted = tool.accepted == Some(listed.fingerprint);
    let accepted_definition = match (is_accepted, was_accepted) {
        (true, _) => None,
        // The text that a person allowed, for them to compare.
        (false, true) => Some(tool.definition),
        (false, false) => tool.accepted_definition,
    };
    McpTool {
        is_there: true,
        fault: listed.fault,
        fingerprint: listed.fingerprint,
        definition: listed.definition.to_string(),
        accepted_definition,
        ..tool
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        store::{
            mcp::{Approval, Transport},
            tools::AddedBy,
        },
        time::Timestamp,
    };

    pub(in crate::tools::mcp) fn server(listed: bool, new_tools: NewTools) -> McpServer {
        let now = Timestamp::from_millis(1);
        McpServer {
            id: "id".into(),
            slug: "s".into(),
            name: "S".into(),
            transport: Transport::Http,
            added_by: AddedBy::Api,
            is_active: true,
            approval: Approval::Ask,
            new_tools,
            url: Some("http://a.example/mcp".into()),
            headers: "{}".into(),
            command: None,
            args: "[]".into(),
            cwd: None,
            secrets: "{}".into(),
            timeout_ms: 60_000,
            handshake_ms: 15_000,
            idle_stop_minutes: None,
            use_instructions: false,
            instructions: None,
            info: None,
            era: None,
            listed_at: listed.then_some(now),
            ttl_ms: None,
            last_error: None,
            created_at: now,
            updated_at: now,
        }
    }

    fn listed(name: &str, text: &str) -> Listed {
        let definition = json!({"description": text, "inputSchema": {"type": "object"}});
        Listed {
            remote_name: name.into(),
            fingerprint: crate::tools::fingerprint::fingerprint(&json!([name, text])),
            definition,
            fault: None,
        }
    }

    fn find<'a>(tools: &'a [McpTool], name: &str) -> &'a McpTool {
        tools.iter().find(|tool| tool.remote_name == name).unwrap()
    }

    #[test]
    fn what_a_person_saw_at_first_is_accepted_and_what_comes_later_is_not() {
        let first = merged(&server(false, NewTools::Off), Vec::new(), vec![listed("a", "1")]);
        assert!(first[0].is_on && first[0].is_accepted() && first[0].name == "s__a");
        for (new_tools, is_on) in [(NewTools::Off, false), (NewTools::Ask, true)] {
            let later = merged(&server(true, new_tools), first.clone(), vec![listed("b", "1"), listed("a", "1")]);
            let b = find(&later, "b");
            assert_eq!((b.is_on, b.accepted, b.is_there), (is_on, None, true));
            assert_eq!(find(&later, "a"), &first[0]);
        }
    }

    #[test]
    fn a_changed_tool_is_shown_with_both_texts_until_it_is_as_before() {
        let server = server(true, NewTools::Off);
        let first = merged(&super::tests::server(false, NewTools::Off), Vec::new(), vec![listed("a", "1")]);
        let changed = merged(&server, first.clone(), vec![listed("a", "2")]);
        assert!(!changed[0].is_accepted() && changed[0].definition.contains('2'));
        assert_eq!(changed[0].accepted_definition.as_deref(), Some(&*first[0].definition));
        let again = merged(&server, changed, vec![listed("a", "3")]);
        assert_eq!(again[0].accepted_definition.as_deref(), Some(&*first[0].definition), "what was accepted");
        assert_eq!(merged(&server, again, vec![listed("a", "1")]), first);
    }

    #[test]
    fn a_tool_that_is_gone_keeps_its_name_and_what_was_set() {
        let server = server(true, NewTools::Off);
        let mut kept = merged(
            &super::tests::server(false, NewTools::Off),
            Vec::new(),
            vec![listed("a.b", "1"), listed("a_b", "1")],
        );
        find(&kept, "a_b");
        kept.iter_mut().for_each(|tool| tool.price = 7);
        let name = find(&kept, "a_b").name.clone();
        let gone = merged(&server, kept, vec![listed("a.b", "1")]);
        assert!(!find(&gone, "a_b").is_there);
        let back = merged(&server, gone, vec![listed("a_b", "1"), listed("a.b", "1")]);
        assert_eq!((find(&back, "a_b").price, &find(&back, "a_b").name, find(&back, "a_b").is_there), (7, &name, true));
    }

    #[test]
    fn a_server_that_always_lists_others_does_not_fill_the_file() {
        let server = server(true, NewTools::Off);
        let list =
            |round: usize| (0..MCP_TOOLS_MAX).map(|at| listed(&format!("t{round}-{at}"), "1")).collect::<Vec<_>>();
        let mut tools = merged(&super::tests::server(false, NewTools::Off), Vec::new(), list(0));
        for round in 1..4 {
            tools = merged(&server, tools, list(round));
        }
        assert_eq!(tools.len(), 2 * MCP_TOOLS_MAX);
        assert!(
            tools.iter().filter(|tool| !tool.is_there).all(|tool| tool.remote_name.starts_with("t0-")),
            "what was accepted stays"
        );
    }
}
