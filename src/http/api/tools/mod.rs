//! Tools: what agents may do besides talk. Keys read them; their owner at a browser changes them.
//!
//! Rule: secrets are written and never read; what is read of them is the names of their headers.

mod convert; // to what is kept, and from it
mod wire;

use poem_openapi::{
    OpenApi,
    param::{Path, Query},
};

pub use self::wire::{AddedBy, Approval, ToolOrigin};
use self::wire::{NewTool, Tool, ToolPatch, ToolTest, ToolTrial};
use super::tags::Tag;
use crate::{
    error::Result,
    http::{
        auth::{Caller, OwnerSteppedUp, ReadOrChat},
        body::JsonBody,
        wire::{
            check::page_limit,
            data::{Created, Data, Deleted, Items},
            envelope::ApiError,
        },
    },
    store::{Org, tools::AddedBy as By},
    tools::{
        declare,
        listing::{self, Filter, Shown},
    },
};

/// The operations.
#[derive(Default)]
pub struct ToolsApi;

#[OpenApi(tag = "Tag::Tools")]
impl ToolsApi {
    /// List tools
    ///
    /// Built-in tools, those of the program that runs the server, HTTP tools, then those of MCP servers. With `agentId` those that the
    /// agent may use, and the names it has that are no tool's.
    #[oai(path = "/tools", method = "get", operation_id = "list_tools")]
    async fn list_tools(
        &self,
        caller: Caller<ReadOrChat>,
        origin: Query<Option<ToolOrigin>>,
        /// An agent's id or slug.
        #[oai(name = "agentId")]
        agent_id: Query<Option<String>>,
        /// 1 to 100. Default 50.
        limit: Query<Option<i64>>,
        /// The `nextCursor` of the previous page.
        cursor: Query<Option<String>>,
    ) -> Result<Data<Items<Tool>>, ApiError> {
        let limit = page_limit(limit.0)?;
        let agent = agent_id.0.map(|agent| caller.org().agent(&agent)).transpose()?;
        let filter = Filter { origin: origin.0.map(Into::into), agent };
        let tools = caller.app.tools.clone();
        let page = move |org: Org<'_>| {
            listing::page(&org, tools.hosts(), &filter, limit, cursor.0.as_deref(), &|server| tools.reach(server))
        };
        Ok(Data::of(&Items::page(caller.large(page).await?, Tool::from)))
    }

    /// Add an HTTP tool
    ///
    /// Requires the owner, signed in with a browser.
    #[oai(path = "/tools", method = "post", operation_id = "create_tool")]
    async fn create_tool(
        &self,
        caller: Caller<OwnerSteppedUp>,
        body: JsonBody<NewTool>,
    ) -> Result<Created<Tool>, ApiError> {
        let tool = declare::prepare(body.0.try_into()?, By::Api, caller.app.tools.sealer())?;
        let made = caller.org().create_http_tool(tool).await?;
        Ok(Data::of(&Tool::from(Shown::from(made))))
    }

    /// Get a tool
    #[oai(path = "/tools/:name", method = "get", operation_id = "get_tool")]
    async fn get_tool(
        &self,
        caller: Caller<ReadOrChat>,
        /// What models call it.
        name: Path<String>,
    ) -> Result<Data<Tool>, ApiError> {
        Ok(Data::of(&shown(&caller, &name)?))
    }

    /// Update a tool
    ///
    /// Of an HTTP tool anything but its name; of a tool of an MCP server who allows it, whether it is on, what it costs, and that a
    /// change is accepted. Requires the owner, signed in with a browser.
    #[oai(path = "/tools/:name", method = "patch", operation_id = "update_tool")]
    async fn update_tool(
        &self,
        caller: Caller<OwnerSteppedUp>,
        /// What models call it.
        name: Path<String>,
        body: JsonBody<ToolPatch>,
    ) -> Result<Data<Tool>, ApiError> {
        let (org, tools) = (caller.org(), caller.app.tools.clone());
        if listing::is_of_server(&name) {
            let edit = body.0;
            org.update_mcp_tool(name.0.clone(), move |tool| edit.apply(tool)).await?;
        } else {
            let change = body.0.try_into()?;
            let change = move |tool: &mut _| declare::change(tool, change, By::Api, tools.sealer());
            org.update_http_tool(name.0.clone(), change).await?;
        }
        Ok(Data::of(&shown(&caller, &name)?))
    }

    /// Delete an HTTP tool
    ///
    /// Its calls stay. Requires the owner, signed in with a browser.
    #[oai(path = "/tools/:name", method = "delete", operation_id = "delete_tool")]
    async fn delete_tool(
        &self,
        caller: Caller<OwnerSteppedUp>,
        /// What models call it.
        name: Path<String>,
    ) -> Result<Data<Deleted>, ApiError> {
        caller.org().delete_http_tool(name.0).await?;
        Ok(Data::deleted())
    }

    /// Test a tool
    ///
    /// Calls it once: who tests it allows it. A failure is no error of this request. Requires the owner, signed in with a browser.
    #[oai(path = "/tools/:name/test", method = "post", operation_id = "test_tool")]
    async fn test_tool(
        &self,
        caller: Caller<OwnerSteppedUp>,
        /// What models call it.
        name: Path<String>,
        body: JsonBody<ToolTrial>,
    ) -> Result<Data<ToolTest>, ApiError> {
        let tried = caller.app.tools.try_once(&caller.tenant, &name, &body.0.input).await?;
        Ok(Data::of(&ToolTest::from(tried)))
    }
}

/// The tool of that name.
fn shown<A>(caller: &Caller<A>, name: &str) -> Result<Tool> {
    let tools = &caller.app.tools;
    listing::one(&caller.org(), tools.hosts(), name, &|server| tools.reach(server)).map(Tool::from)
}
