//! Every secret that a server keeps, for what must leave them out.

use crate::{
    catalog::endpoint_of,
    error::Result,
    seal::{Sealer, all_from_environment, from_environment},
    secret::Secret,
    store::Store,
    tools::secrets::Secrets,
};

/// The keys and headers of every organization's providers, tools and MCP servers, and what variables hold that are there for
/// secrets. What cannot be opened is nobody's to tell, and is not among them.
pub(super) fn kept(store: &Store, sealer: &Sealer) -> Result<Vec<Secret>> {
    let mut secrets = all_from_environment();
    let of_tool = |json: &str, place: String| {
        Secrets::from_json(json).unwrap_or_default().known(sealer, &place, from_environment)
    };
    for org in store.orgs()? {
        let tenant = org.tenant();
        let org = store.org(&tenant);
        for provider in org.providers()? {
            let endpoint = endpoint_of(&provider, |sealed, context| sealer.unseal(sealed, context));
            secrets.extend(endpoint.iter().flat_map(|endpoint| endpoint.secrets()));
        }
        let tools = org.http_tools()?.into_iter().map(|tool| of_tool(&tool.secrets, format!("tool/{}", tool.id)));
        secrets.extend(tools.flatten());
        let servers =
            org.mcp_servers()?.into_iter().map(|server| of_tool(&server.secrets, format!("mcp/{}", server.id)));
        secrets.extend(servers.flatten());
    }
    Ok(secrets)
}
