//! Tools that are requests to an HTTP API.
//!
//! Rule: a secret enters and leaves this file sealed, or as the name of a variable.

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::{Org, words::words};
use crate::{
    error::{Error, Result},
    time::Timestamp,
};

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
        self.read(|c| {
            let mut statement = c.prepare_cached(&format!(
                "SELECT {} FROM tool WHERE org_id = :org AND deleted_at IS NULL ORDER BY name",
                HttpTool::COLUMNS
            ))?;
            let rows = statement.query_map(named_params! { ":org": self.tenant.org_id }, HttpTool::from_row)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// The HTTP tool of that name.
    pub fn http_tool(&self, name: &str) -> Result<HttpTool> {
        self.read(|c| find(c, &self.tenant.org_id, name)?.ok_or(Error::NotFound("tool")))
    }
}

fn find(c: &Connection, org_id: &str, name: &str) -> Result<Option<HttpTool>> {
    let mut statement = c.prepare_cached(&format!(
        "SELECT {} FROM tool WHERE org_id = :org AND name = :name AND deleted_at IS NULL",
        HttpTool::COLUMNS
    ))?;
    Ok(statement.query_row(named_params! { ":org": org_id, ":name": name }, HttpTool::from_row).optional()?)
}
