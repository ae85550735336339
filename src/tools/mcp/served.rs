//! Servers as a process keeps them: in a file, connected, looked after, and forgotten.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    fake::{Era, FakeMcp, tool},
    known::State,
    merge::tests::server,
    open::Opening,
    servers::{SERVER_CALLS_AT_ONCE, Servers},
};
use crate::{
    id,
    outbound::{Options, ToolClients},
    seal::{self, Sealer},
    store::{
        Store, Tenant,
        mcp::{McpServer, NewTools},
        tools::AddedBy,
    },
    tools::{
        Tool, Way,
        call::{Call, Ended},
    },
};

/// An organization with one server, `s`.
struct House {
    servers: Arc<Servers>,
    store: Store,
    tenant: Tenant,
    fake: FakeMcp,
    _folder: tempfile::TempDir,
}

impl House {
    async fn new(era: Era) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), 2).unwrap();
        let tenant = store.create_org("acme", "a@example.com", None).unwrap().tenant();
        let fake = FakeMcp::start(era);
        let url = Some(format!("http://{}/mcp", fake.address()));
        let row = McpServer { url, added_by: AddedBy::Operator, ..server(false, NewTools::Off) };
        store.org(&tenant).create_mcp_server(row).await.unwrap();
        let clients = Arc::new(ToolClients::new(&Options::default()).unwrap());
        let sealer = Sealer::open(&folder.path().join(seal::FILE_NAME)).unwrap();
        let servers = Servers::new(store.clone(), Opening::new(clients, sealer, None));
        House { servers, store, tenant, fake, _folder: folder }
    }

    fn offered(&self) -> Vec<Tool> {
        self.servers.offered(&self.tenant).unwrap().tools
    }

    /// The tool that the server calls so.
    fn tool(&self, name: &str) -> Tool {
        self.offered().into_iter().find(|tool| tool.name == format!("s__{name}")).unwrap()
    }

    async fn call(&self, tool: &Tool, input: Value) -> Ended {
        let (store, tenant) = (self.store.clone(), self.tenant.clone());
        let call = Call { store, tenant, session_id: String::new(), id: id::generate(), agents: None };
        let Way::Mcp(target) = &tool.way else { panic!("{tool:?}") };
        self.servers.call(tool, target, &input, &call).await
    }

    fn state(&self) -> State {
        self.servers.seen(&self.store.org(&self.tenant).mcp_server("s").unwrap()).state
    }

    async fn refresh(&self) -> Result<(), String> {
        self.servers.refresh(&self.tenant, "s").await.unwrap()
    }
}

#[tokio::test]
async fn what_is_offered_is_what_the_file_says_of_servers_that_answer() {
    for era in [Era::Legacy, Era::Modern] {
        let house = House::new(era).await;
        assert!(house.offered().is_empty(), "nothing was listed yet");
        house.refresh().await.unwrap();
        assert_eq!((house.offered().len(), house.state()), (14, State::Ready));
        let Ended::Done { output, .. } = house.call(&house.tool("echo"), json!({"a": 1})).await else { panic!() };
        assert_eq!(output["content"][0]["text"], "{\"a\":1}");

        house.fake.server.told().mood.refuses = Some(401);
        assert!(house.refresh().await.unwrap_err().contains("refused its credentials"));
        let offered = house.servers.offered(&house.tenant).unwrap();
        assert_eq!((offered.tools.len(), offered.unavailable, house.state()), (0, vec!["s".into()], State::AuthFailed));
        house.fake.server.told().mood.refuses = None;
        house.refresh().await.unwrap();
        assert_eq!(house.offered().len(), 14, "it is back");
    }
}

#[tokio::test]
async fn a_list_that_fails_or_is_empty_changes_nothing() {
    let house = House::new(Era::Modern).await;
    house.refresh().await.unwrap();
    house.fake.server.relist(Vec::new());
    assert_eq!(house.refresh().await.unwrap_err(), "s lists no tools now: the 14 of before are kept.");
    assert_eq!(house.offered().len(), 14);
    house.fake.server.relist(vec![tool("new"), tool("echo")]);
    house.refresh().await.unwrap();
    let names: Vec<_> = house.offered().into_iter().map(|tool| tool.name).collect();
    assert_eq!(names, ["s__echo"], "what comes later is off, what is gone is not offered");
}

#[tokio::test]
async fn a_server_without_tools_is_there_and_says_why_it_offers_none() {
    let house = House::new(Era::Legacy).await;
    house.fake.server.told().tools.clear();
    house.refresh().await.unwrap();
    let row = house.store.org(&house.tenant).mcp_server("s").unwrap();
    assert_eq!((house.state(), row.last_error.as_deref()), (State::Ready, Some("s lists no tools.")));
}

#[tokio::test]
async fn so_many_calls_of_a_server_run_at_once_and_the_others_wait() {
    let house = Arc::new(House::new(Era::Modern).await);
    house.refresh().await.unwrap();
    let slow = house.tool("slow");
    let calls: Vec<_> = (0..SERVER_CALLS_AT_ONCE + 1)
        .map(|_| {
            let (house, slow) = (house.clone(), slow.clone());
            tokio::spawn(async move { house.call(&slow, json!({})).await })
        })
        .collect();
    let came = |count: usize| {
        let fake = house.fake.server.clone();
        tokio::task::spawn_blocking(move || fake.wait(|told| told.calls.get("slow") >= Some(&count)))
    };
    assert!(came(SERVER_CALLS_AT_ONCE).await.unwrap());
    assert_eq!(house.fake.server.calls("slow"), SERVER_CALLS_AT_ONCE);
    house.fake.server.go();
    assert!(came(SERVER_CALLS_AT_ONCE + 1).await.unwrap(), "one has ended, so the last is made");
    for _ in 0..SERVER_CALLS_AT_ONCE {
        house.fake.server.go();
    }
    for call in calls {
        assert!(matches!(call.await.unwrap(), Ended::Done { .. }));
    }
}

#[tokio::test]
async fn a_server_whose_row_is_gone_or_switched_off_is_looked_after_no_more() {
    let house = House::new(Era::Legacy).await;
    let switch = async |is_active: bool| {
        let change = move |server: &mut McpServer| {
            server.is_active = is_active;
            Ok(())
        };
        house.store.org(&house.tenant).update_mcp_server("s".into(), change).await.unwrap();
    };
    house.refresh().await.unwrap();
    assert_eq!((house.offered().len(), house.servers.kept_ids().len()), (14, 1));
    house.servers.sweep().await;
    assert_eq!((house.state(), house.servers.kept_ids().len()), (State::Ready, 1), "it is to be there");
    switch(false).await;
    house.servers.sweep().await;
    assert_eq!((house.offered().len(), house.servers.kept_ids().len()), (0, 0));
    switch(true).await;
    house.refresh().await.unwrap();
    assert_eq!((house.offered().len(), house.servers.kept_ids().len()), (14, 1));
    house.store.org(&house.tenant).delete_mcp_server("s".into()).await.unwrap();
    house.servers.sweep().await;
    assert!(house.servers.kept_ids().is_empty() && house.servers.states().unwrap().is_empty());
}
