//! What the table of MCP servers takes.

use super::*;
use crate::store::Store;

#[tokio::test]
async fn an_organization_has_so_many_servers_and_one_takes_its_tools_along() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), 1).unwrap();
    let tenant = store.create_org("acme", "a@example.com", None).unwrap().tenant();
    let org = store.org(&tenant);
    let server = |slug: String| McpServer {
        id: format!("id-{slug}"),
        name: slug.clone(),
        slug,
        transport: Transport::Http,
        added_by: AddedBy::Api,
        is_active: true,
        approval: Approval::Ask,
        new_tools: NewTools::Off,
        url: Some("https://h/".into()),
        headers: "{}".into(),
        command: None,
        args: "[]".into(),
        cwd: None,
        secrets: "{}".into(),
        timeout_ms: 1,
        handshake_ms: 1,
        idle_stop_minutes: None,
        use_instructions: false,
        instructions: None,
        info: None,
        era: None,
        listed_at: None,
        ttl_ms: None,
        last_error: None,
        created_at: Timestamp::now(),
        updated_at: Timestamp::now(),
    };
    for n in 0..=MCP_SERVERS_MAX {
        assert_eq!(org.create_mcp_server(server(n.to_string())).await.is_ok(), n < MCP_SERVERS_MAX, "{n}");
    }
    let tool = "INSERT INTO mcp_tool (server_id, remote_name, name, is_on, fingerprint, definition)
        VALUES ('id-0', 'a', '0__a', 1, zeroblob(32), '{}')";
    org.write(move |c, _| Ok(c.execute(tool, [])?)).await.unwrap();
    assert_eq!(org.mcp_tool("0__a").unwrap().0.slug, "0");
    assert_eq!(org.delete_mcp_server("0".into()).await.unwrap().id, "id-0");
    assert!(org.mcp_tools().unwrap().is_empty() && org.mcp_tool("0__a").is_err());
}
