//! MCP servers: whose tools agents may use. Keys read them; their owner at a browser changes them.
//!
//! Rule: no request makes or changes a command, its arguments, its environment or its folder: it runs as this server's user, so a
//! stolen sign-in would own the machine. Rule: secrets are written and never read.

mod convert; // to what is kept, and from it
mod wire;

use poem_openapi::{OpenApi, param::Path};

use self::wire::{McpServer, McpServerPatch, McpTest, NewMcpServer};
use super::tags::Tag;
use crate::{
    error::Result,
    http::{
        auth::{Caller, OwnerSteppedUp, Read},
        body::JsonBody,
        wire::{
            data::{Created, Data, Deleted, Items},
            envelope::ApiError,
        },
    },
    store::{mcp as stored, tools::AddedBy as By},
    tools::{connect, listing},
};

/// The operations.
#[derive(Default)]
pub struct McpServers;

#[OpenApi(tag = "Tag::Tools")]
impl McpServers {
    /// List MCP servers
    #[oai(path = "/mcp/servers", method = "get", operation_id = "list_mcp_servers")]
    async fn list_mcp_servers(&self, caller: Caller<Read>) -> Result<Data<Items<McpServer>>, ApiError> {
        let servers = caller.org().mcp_servers()?.into_iter();
        let shown = servers.map(|server| shown(&caller, server)).collect::<Result<Vec<_>>>()?;
        Ok(Data::of(&Items::all(shown)))
    }

    /// Connect an MCP server by its URL
    ///
    /// A server that is a command is added on the machine: `alm mcp add`. Requires the owner, signed in with a browser.
    #[oai(path = "/mcp/servers", method = "post", operation_id = "create_mcp_server")]
    async fn create_mcp_server(
        &self,
        caller: Caller<OwnerSteppedUp>,
        body: JsonBody<NewMcpServer>,
    ) -> Result<Created<McpServer>, ApiError> {
        let server = connect::prepare(body.0.try_into()?, By::Api, caller.app.tools.sealer())?;
        let made = caller.org().create_mcp_server(server).await?;
        Ok(Data::of(&shown(&caller, made)?))
    }

    /// Get an MCP server
    #[oai(path = "/mcp/servers/:slug", method = "get", operation_id = "get_mcp_server")]
    async fn get_mcp_server(&self, caller: Caller<Read>, slug: Path<String>) -> Result<Data<McpServer>, ApiError> {
        let mut server = shown(&caller, caller.org().mcp_server(&slug)?)?;
        server.log = Some(caller.app.tools.mcp().log(&server.id));
        Ok(Data::of(&server))
    }

    /// Update an MCP server
    ///
    /// Of a command only what has nothing to do with what is run. Requires the owner, signed in with a browser.
    #[oai(path = "/mcp/servers/:slug", method = "patch", operation_id = "update_mcp_server")]
    async fn update_mcp_server(
        &self,
        caller: Caller<OwnerSteppedUp>,
        slug: Path<String>,
        body: JsonBody<McpServerPatch>,
    ) -> Result<Data<McpServer>, ApiError> {
        let (change, tools) = (body.0.try_into()?, caller.app.tools.clone());
        let change = move |server: &mut _| connect::change(server, change, By::Api, tools.sealer());
        let changed = caller.org().update_mcp_server(slug.0, change).await?;
        caller.app.tools.mcp().forget(&changed.id).await;
        Ok(Data::of(&shown(&caller, changed)?))
    }

    /// Remove an MCP server, its secrets and its tools
    ///
    /// Calls of its tools stay. Requires the owner, signed in with a browser.
    #[oai(path = "/mcp/servers/:slug", method = "delete", operation_id = "delete_mcp_server")]
    async fn delete_mcp_server(
        &self,
        caller: Caller<OwnerSteppedUp>,
        slug: Path<String>,
    ) -> Result<Data<Deleted>, ApiError> {
        let gone = caller.org().delete_mcp_server(slug.0).await?;
        caller.app.tools.mcp().forget(&gone.id).await;
        Ok(Data::deleted())
    }

    /// Test an MCP server
    ///
    /// Reaches it, greets it and asks for its tools, and says how long each took. What it lists is kept. Requires the owner, signed
    /// in with a browser.
    #[oai(path = "/mcp/servers/:slug/test", method = "post", operation_id = "test_mcp_server")]
    async fn test_mcp_server(
        &self,
        caller: Caller<OwnerSteppedUp>,
        slug: Path<String>,
    ) -> Result<Data<McpTest>, ApiError> {
        let tools = &caller.app.tools;
        let report = tools.mcp().test(&caller.tenant, &slug).await?;
        let listed = listing::of_server(&caller.org(), &slug, &|server| tools.reach(server))?;
        Ok(Data::of(&McpTest::of(report, listed)))
    }

    /// Read an MCP server's tools anew
    ///
    /// If it does not answer, its tools stay as they were, and `lastError` says why. Requires the owner, signed in with a browser.
    #[oai(path = "/mcp/servers/:slug/refresh", method = "post", operation_id = "refresh_mcp_server")]
    async fn refresh_mcp_server(
        &self,
        caller: Caller<OwnerSteppedUp>,
        slug: Path<String>,
    ) -> Result<Data<McpServer>, ApiError> {
        let failure = caller.app.tools.mcp().refresh(&caller.tenant, &slug).await?.err();
        Ok(Data::of(&shown(&caller, caller.org().mcp_server(&slug)?)?.or_failed(failure)))
    }

    /// Restart an MCP server
    ///
    /// Ends its connection or its process, forgets its failures, and begins anew. Requires the owner, signed in with a browser.
    #[oai(path = "/mcp/servers/:slug/restart", method = "post", operation_id = "restart_mcp_server")]
    async fn restart_mcp_server(
        &self,
        caller: Caller<OwnerSteppedUp>,
        slug: Path<String>,
    ) -> Result<Data<McpServer>, ApiError> {
        let failure = caller.app.tools.mcp().restart(&caller.tenant, &slug).await?.err();
        Ok(Data::of(&shown(&caller, caller.org().mcp_server(&slug)?)?.or_failed(failure)))
    }
}

/// A server with what is known of it now.
fn shown<A>(caller: &Caller<A>, server: stored::McpServer) -> Result<McpServer> {
    let tools = caller.org().mcp_tools_of(&server)?;
    let seen = caller.app.tools.mcp().seen(&server);
    Ok(McpServer::of(server, &tools, seen))
}
