//! Tools that are requests to an HTTP API.
//!
//! Rule: a secret enters and leaves this file sealed, or as the name of a variable.

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::{
    Org,
    audit::{Event, Kind},
    fault::unless_taken,
    words::words,
};
use crate::{
    error::{Error, Result},
    time::Timestamp,
};

/// Most HTTP tools of an organization.
pub const HTTP_TOOLS_MAX: usize = 128;

words! {
    /// Who added something that reaches a network, and so vouches for its address.
    pub enum AddedBy {
        /// Who runs `alm` on the machine.
        Operator = "operator",
        /// An owner, over HTTP.
        Api = "api",
    }
}

words! {
    /// What a tool asks of people before it runs, from the least to the most.
    #[derive(PartialOrd, Ord)]
    pub enum Policy {
        /// Nothing.
        Never = "never",
        /// A yes of someone who may chat in that session.
        Ask = "ask",
        /// A yes of an owner at a browser.
        Owner = "owner",
        /// It is not offered.
        Off = "off",
    }
}

words! {
    /// Where what is left of the input goes.
    pub enum Body {
        Json = "json",
        Form = "form",
        None = "none",
    }
}

/// An HTTP tool as the file holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpTool {
    pub id: String,
    pub name: String,
    pub added_by: AddedBy,
    pub is_active: bool,
    pub approval: Policy,
    /// The same call twice is once, says its owner.
    pub is_idempotent: bool,
    /// Microcents a call.
    pub price: i64,
    pub method: String,
    /// A template.
    pub url: String,
    pub body: Body,
    /// A JSON object, as text.
    pub headers: String,
    /// A JSON object, as text: header → sealed, or the name of a variable.
    pub secrets: String,
    pub timeout_ms: u32,
    pub response_bytes_max: u32,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub description: String,
    /// A JSON Schema, as text.
    pub input_schema: String,
}

impl HttpTool {
    const COLUMNS: &str =
        "id, name, added_by, is_active, approval, idempotent, price, method, url, body, headers, secrets,
        timeout_ms, response_bytes_max, created_at, updated_at, description, input_schema";

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(HttpTool {
            id: row.get(0)?,
            name: row.get(1)?,
            added_by: row.get(2)?,
            is_active: row.get(3)?,
            approval: row.get(4)?,
            is_idempotent: row.get(5)?,
            price: row.get(6)?,
            method: row.get(7)?,
            url: row.get(8)?,
            body: row.get(9)?,
            headers: row.get(10)?,
            secrets: row.get(11)?,
            timeout_ms: row.get(12)?,
            response_bytes_max: row.get(13)?,
            created_at: Timestamp::from_millis(row.get(14)?),
            updated_at: Timestamp::from_millis(row.get(15)?),
            description: row.get(16)?,
            input_schema: row.get(17)?,
        })
    }
}

impl Org<'_> {
    /// The organization's HTTP tools, by name.
    pub fn http_tools(&self) -> Result<Vec<HttpTool>> {
        self.read(|c| of_org(c, &self.tenant.org_id))
    }

    /// The HTTP tool of that name.
    pub fn http_tool(&self, name: &str) -> Result<HttpTool> {
        self.read(|c| find(c, &self.tenant.org_id, name)?.ok_or(Error::NotFound("tool")))
    }

    /// Keeps a new HTTP tool.
    pub async fn create_http_tool(&self, tool: HttpTool) -> Result<HttpTool> {
        self.write_audited(move |c, tenant| {
            let count = "SELECT count(*) FROM tool WHERE org_id = ?1 AND deleted_at IS NULL";
            let count: i64 = c.query_row(count, [&tenant.org_id], |row| row.get(0))?;
            if count >= HTTP_TOOLS_MAX as i64 {
                return Err(Error::invalid("name", format!("an organization has at most {HTTP_TOOLS_MAX} HTTP tools")));
            }
            insert(c, &tenant.org_id, &tool)?;
            let event = Event::new(Kind::ToolAdded, &tool.name);
            Ok((tool, event))
        })
        .await
    }

    /// Lets `edit` change an HTTP tool.
    pub async fn update_http_tool(
        &self,
        name: String,
        edit: impl FnOnce(&mut HttpTool) -> Result<()> + Send + 'static,
    ) -> Result<HttpTool> {
        self.write_audited(move |c, tenant| {
            let mut tool = find(c, &tenant.org_id, &name)?.ok_or(Error::NotFound("tool"))?;
            edit(&mut tool)?;
            tool.updated_at = Timestamp::now();
            update(c, &tool)?;
            let event = Event::new(Kind::ToolChanged, &tool.name);
            Ok((tool, event))
        })
        .await
    }

    /// Deletes an HTTP tool and its secrets; calls of it stay.
    pub async fn delete_http_tool(&self, name: String) -> Result<()> {
        self.write_audited(move |c, tenant| {
            let tool = find(c, &tenant.org_id, &name)?.ok_or(Error::NotFound("tool"))?;
            let sql = "UPDATE tool SET deleted_at = ?1, secrets = '{}' WHERE id = ?2";
            c.execute(sql, (Timestamp::now().as_millis(), &tool.id))?;
            Ok(((), Event::new(Kind::ToolRemoved, tool.name)))
        })
        .await
    }
}

pub(super) fn of_org(c: &Connection, org_id: &str) -> Result<Vec<HttpTool>> {
    let mut statement = c.prepare_cached(&format!(
        "SELECT {} FROM tool WHERE org_id = :org AND deleted_at IS NULL ORDER BY name",
        HttpTool::COLUMNS
    ))?;
    let rows = statement.query_map(named_params! { ":org": org_id }, HttpTool::from_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Every organization's HTTP tools, each with its organization's slug.
pub(super) fn all(c: &Connection) -> Result<Vec<(String, HttpTool)>> {
    let sql = format!(
        "SELECT {}, (SELECT slug FROM org WHERE org.id = org_id) AS org FROM tool WHERE deleted_at IS NULL ORDER BY org, name",
        HttpTool::COLUMNS
    );
    let mut statement = c.prepare(&sql)?;
    let rows = statement.query_map([], |row| Ok((row.get("org")?, HttpTool::from_row(row)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn find(c: &Connection, org_id: &str, name: &str) -> Result<Option<HttpTool>> {
    let mut statement = c.prepare_cached(&format!(
        "SELECT {} FROM tool WHERE org_id = :org AND name = :name AND deleted_at IS NULL",
        HttpTool::COLUMNS
    ))?;
    Ok(statement.query_row(named_params! { ":org": org_id, ":name": name }, HttpTool::from_row).optional()?)
}

fn insert(c: &Connection, org_id: &str, tool: &HttpTool) -> Result<()> {
    let inserted = c.execute(
        "INSERT INTO tool (id, org_id, name, added_by, approval, method, url, body, timeout_ms, response_bytes_max, created_at,
             updated_at, description, input_schema)
         VALUES (:id, :org, :name, :by, :approval, :method, :url, :body, :timeout, :bytes, :created, :created, :description, :schema)",
        named_params! {
            ":id": tool.id, ":org": org_id, ":name": tool.name, ":by": tool.added_by, ":approval": tool.approval,
            ":method": tool.method, ":url": tool.url, ":body": tool.body, ":timeout": tool.timeout_ms,
            ":bytes": tool.response_bytes_max, ":created": tool.created_at.as_millis(),
            ":description": tool.description, ":schema": tool.input_schema,
        },
    );
    let taken = || Error::Conflict(format!("a tool called {} exists: choose another name", tool.name));
    unless_taken(inserted, taken)?;
    update(c, tool)
}

/// Writes every column that can change, so that an insert and an edit say them in one place.
fn update(c: &Connection, tool: &HttpTool) -> Result<()> {
    c.execute(
        "UPDATE tool SET added_by = :by, is_active = :active, approval = :approval, idempotent = :idempotent, price = :price,
             method = :method, url = :url, body = :body, headers = :headers, secrets = :secrets, timeout_ms = :timeout,
             response_bytes_max = :bytes, updated_at = :updated, description = :description, input_schema = :schema
         WHERE id = :id",
        named_params! {
            ":id": tool.id, ":by": tool.added_by, ":active": tool.is_active, ":approval": tool.approval,
            ":idempotent": tool.is_idempotent, ":price": tool.price, ":method": tool.method, ":url": tool.url,
            ":body": tool.body, ":headers": tool.headers, ":secrets": tool.secrets, ":timeout": tool.timeout_ms,
            ":bytes": tool.response_bytes_max, ":updated": tool.updated_at.as_millis(),
            ":description": tool.description, ":schema": tool.input_schema,
        },
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    #[tokio::test]
    async fn an_organization_has_so_many_http_tools_and_a_deleted_one_leaves_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), 1).unwrap();
        let tenant = store.create_org("acme", "a@example.com", None).unwrap().tenant();
        let org = store.org(&tenant);
        let tool = |name: String| HttpTool {
            id: format!("id-{name}"),
            name,
            added_by: AddedBy::Api,
            is_active: true,
            approval: Policy::Ask,
            is_idempotent: false,
            price: 0,
            method: "GET".into(),
            url: "https://h/".into(),
            body: Body::None,
            headers: "{}".into(),
            secrets: "{\"a\":{\"env\":\"B\"}}".into(),
            timeout_ms: 1,
            response_bytes_max: 1,
            created_at: Timestamp::now(),
            updated_at: Timestamp::now(),
            description: "Gets.".into(),
            input_schema: "{}".into(),
        };
        for n in 0..=HTTP_TOOLS_MAX {
            assert_eq!(org.create_http_tool(tool(n.to_string())).await.is_ok(), n < HTTP_TOOLS_MAX, "{n}");
        }
        org.delete_http_tool("0".into()).await.unwrap();
        org.create_http_tool(tool("again".into())).await.unwrap();
        assert_eq!(org.http_tools().unwrap().len(), HTTP_TOOLS_MAX);
        let kept = "SELECT count(*) FROM tool WHERE deleted_at IS NOT NULL AND secrets <> '{}'";
        let left: i64 = org.read(|c| Ok(c.query_row(kept, [], |row| row.get(0))?)).unwrap();
        assert_eq!(left, 0, "what is deleted keeps no secret");
    }
}
