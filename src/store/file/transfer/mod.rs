//! One organization as lines of JSON: out of a file, and into another.
//!
//! A line is one row: `{"session": {"id": …}}`. The first says what the file is, the last how many rows it has, so that a
//! torn file is known. Rule: what goes in comes out again, byte for byte; no secret goes (`left_out.rs` says what stays
//! behind); nothing is kept in memory but one line.
//! An export is one snapshot, beside other writers. An import is one transaction: all of it or nothing.

use std::io::{BufRead, Read, Write};

use rusqlite::{
    CachedStatement, Connection, OptionalExtension, ToSql,
    types::{Value as Cell, ValueRef},
};
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};

use crate::{
    error::{Error, Result},
    id,
    money::Price,
    store::{Org, Store, search},
};

#[cfg(test)]
mod left_out;
mod tables;
mod vet; // what a file may bring

pub use vet::Vet;

use tables::{ADDED, BYTES, FORGOTTEN, HASHES, IS_ACTIVE, JSON, PRICES, TABLES, Table, WINDOW};

/// Number of the format; a file of another number is refused.
pub const VERSION: u64 = 1;
/// The first line's and the last line's words.
const HEAD: &str = "alm-export";
const END: &str = "end";
/// What some editors put before the first line.
const BYTE_ORDER_MARK: char = '\u{feff}';
/// Bytes of a hash.
const HASH_BYTES: usize = 32;
/// Longest line that is read in: a message of the longest body, escaped, with its text beside its parts.
const LINE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// What was written.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Exported {
    pub rows: u64,
    /// API keys that stay behind.
    pub api_keys: i64,
    /// Providers whose key or headers stay behind.
    pub providers: i64,
    /// HTTP tools that travel without their secrets, switched off.
    pub tools: i64,
    /// MCP servers that do.
    pub servers: i64,
    /// MCP servers that are commands, and stay behind.
    pub commands: i64,
    /// Cassettes, which stay behind.
    pub cassettes: i64,
}

/// What was read in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    pub slug: String,
    pub rows: u64,
}

impl Org<'_> {
    /// Writes the whole organization, as it is at this moment.
    pub fn export(&self, out: &mut dyn Write) -> Result<Exported> {
        self.read(|c| {
            // Everything below sees the file as the first of its statements does.
            let snapshot = c.unchecked_transaction()?;
            let mut exported = left_behind(c, &self.tenant.org_id)?;
            write_line(out, HEAD, json!({ "version": VERSION }))?;
            for table in &TABLES {
                exported.rows += write_rows(c, table, &self.tenant.org_id, out)?;
            }
            write_line(out, END, json!({ "rows": exported.rows }))?;
            out.flush().map_err(cannot_write)?;
            Ok(snapshot.commit().map(|()| exported)?)
        })
    }
}

impl Store {
    /// Reads an organization in, under `slug` if that is given; an owner who has no password here gets that one. `vet` says
    /// whether what it brings may be kept. Others wait with their writes until it is there.
    pub fn import(
        &self,
        mut input: impl BufRead + Send + 'static,
        slug: Option<String>,
        password_hash: Option<String>,
        vet: Vet,
    ) -> Result<Imported> {
        if let Some(slug) = &slug {
            id::check_org_slug("slug", slug)?;
        }
        self.writer.write_blocking(move |c| {
            let mut reader = Reader { connection: c, org: None, slug, password_hash, rows: 0 };
            let (mut line, mut number) = (String::new(), 0_u64);
            loop {
                number += 1;
                let at = |error| at_line(number, error);
                next_line(&mut input, &mut line, LINE_BYTES_MAX).map_err(at)?;
                let text = if number == 1 { line.trim_start_matches(BYTE_ORDER_MARK) } else { &line };
                if let Some(imported) = reader.take(text, number == 1).map_err(at)? {
                    vet::check(c, &imported.slug, &vet)?;
                    return Ok(imported);
                }
            }
        })
    }
}

fn left_behind(c: &Connection, org_id: &str) -> Result<Exported> {
    let exported = c.query_row(
        "SELECT (SELECT count(*) FROM api_key WHERE org_id = :org AND revoked_at IS NULL),
             (SELECT count(*) FROM provider WHERE org_id = :org AND (api_key_sealed IS NOT NULL OR api_key_env IS NOT NULL
             OR headers <> '{}')),
             (SELECT count(*) FROM tool WHERE org_id = :org AND deleted_at IS NULL AND secrets <> '{}'),
             (SELECT count(*) FROM mcp_server WHERE org_id = :org AND transport = 'http' AND secrets <> '{}'),
             (SELECT count(*) FROM mcp_server WHERE org_id = :org AND transport = 'stdio'),
             (SELECT count(*) FROM provider WHERE org_id = :org AND kind = 'cassette')",
        [org_id],
        |row| {
            let (api_keys, providers) = (row.get(0)?, row.get(1)?);
            let (tools, servers, commands) = (row.get(2)?, row.get(3)?, row.get(4)?);
            let cassettes = row.get(5)?;
            Ok(Exported { rows: 0, api_keys, providers, tools, servers, commands, cassettes })
        },
    )?;
    Ok(exported)
}

fn write_rows(c: &Connection, table: &Table, org_id: &str, out: &mut dyn Write) -> Result<u64> {
    let links = table.links.iter().map(|(column, link)| link.name.replace("{}", column));
    let plain = table.plain.iter().map(|column| match *column {
        _ if BYTES.contains(column) => format!("CAST(t.{column} AS TEXT)"),
        _ if HASHES.contains(column) => format!("nullif(lower(hex(t.{column})), '')"),
        "is_active" if IS_ACTIVE.contains(&table.name) => "t.is_active AND t.secrets = '{}'".to_owned(),
        _ => format!("t.{column}"),
    });
    let columns: Vec<_> = links.chain(plain).collect();
    let mut statement = c.prepare(&format!("SELECT {} FROM {}", columns.join(", "), table.rows))?;
    let mut rows = statement.query([org_id])?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        let mut fields = Map::new();
        for (at, column) in table.columns().enumerate() {
            fields.insert(column.to_owned(), value_of(row.get_ref(at)?)?);
        }
        write_line(out, table.name, fields.into())?;
        count += 1;
    }
    Ok(count)
}

fn value_of(cell: ValueRef<'_>) -> Result<Value> {
    Ok(match cell {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => number.into(),
        ValueRef::Real(number) => number.into(),
        ValueRef::Text(text) => std::str::from_utf8(text).map_err(Error::internal)?.into(),
        ValueRef::Blob(_) => return Err(Error::internal("a column of bytes that no table of tables names")),
    })
}

fn write_line(out: &mut dyn Write, name: &str, fields: Value) -> Result<()> {
    writeln!(out, "{}", json!({ name: fields })).map_err(cannot_write)
}

fn cannot_write(error: std::io::Error) -> Error {
    Error::failed(format!("cannot write the export: {error}"))
}

/// Reads a line, its end included, of at most `bytes_max`.
fn next_line(input: &mut impl BufRead, line: &mut String, bytes_max: u64) -> Result<()> {
    line.clear();
    let read = input.by_ref().take(bytes_max).read_line(line);
    let read = read.map_err(|error| Error::failed(format!("cannot be read: {error}")))?;
    match (read, line.ends_with('\n')) {
        (_, true) => Ok(()),
        (bytes, false) if bytes as u64 == bytes_max => Err(Error::failed(format!("is longer than {bytes_max} bytes"))),
        _ => Err(Error::failed("the file is cut off here")),
    }
}

/// What is wrong with a line, with its number; what is wrong with the file that is written to stays what it is.
fn at_line(number: u64, error: Error) -> Error {
    match error {
        Error::Failed { message, .. } => Error::failed(format!("line {number}: {message}")),
        Error::Invalid(_) => Error::failed(format!("line {number}: {error}")),
        other => other,
    }
}

/// An import under way.
struct Reader<'a> {
    connection: &'a Connection,
    /// The organization's id and slug, once its line has come.
    org: Option<(String, String)>,
    /// What it is to be called instead.
    slug: Option<String>,
    /// What lets its owner in.
    password_hash: Option<String>,
    rows: u64,
}

impl Reader<'_> {
    /// Takes one line; returns what was read at the last.
    fn take(&mut self, line: &str, is_first: bool) -> Result<Option<Imported>> {
        let line: Map<String, Value> = serde_json::from_str(line).map_err(|error| bad(error.to_string()))?;
        let (name, fields) = match line.into_iter().next() {
            Some((name, Value::Object(fields))) => (name, fields),
            _ => return Err(bad("must be an object that holds one row of one table")),
        };
        if is_first || name == HEAD {
            let is_ours = is_first && name == HEAD && fields.get("version") == Some(&json!(VERSION));
            return if is_ours { Ok(None) } else { Err(bad(format!("this is not an export of format {VERSION}"))) };
        }
        if name == END {
            return self.end(&fields).map(Some);
        }
        let table = TABLES.iter().find(|table| table.name == name).ok_or_else(|| bad(format!("no table {name}")))?;
        self.insert(table, fields)?;
        self.rows += 1;
        Ok(None)
    }

    fn end(&mut self, fields: &Map<String, Value>) -> Result<Imported> {
        if fields.get("rows") != Some(&json!(self.rows)) {
            return Err(bad(format!("{} rows came before this line, which names another number", self.rows)));
        }
        let (org_id, slug) = self.org.take().ok_or_else(|| bad("no line held an organization"))?;
        self.connection.execute(
            "UPDATE user SET password_hash = ?1
             WHERE id = (SELECT owner_id FROM org WHERE id = ?2) AND password_hash IS NULL",
            (&self.password_hash, org_id),
        )?;
        search::index_the_rest(self.connection)?;
        Ok(Imported { slug, rows: self.rows })
    }

    fn insert(&mut self, table: &Table, mut fields: Map<String, Value>) -> Result<()> {
        if table.name == "org" {
            self.begin(&mut fields)?;
        } else if table.name != "user" && self.org.is_none() {
            return Err(bad("comes before the organization's own line"));
        }
        let org_id = self.org.as_ref().map(|(id, _)| id.clone());
        let mut cells = Vec::new();
        for column in table.columns() {
            let added = || ADDED.iter().find(|(of, name, _)| (*of, *name) == (table.name, column));
            let value = fields.remove(column).or_else(|| added().map(|(_, _, otherwise)| json!(otherwise)));
            let value = value.ok_or_else(|| bad(format!("{} needs {column}", table.name)))?;
            cells.push(self.cell(table, column, value, org_id.as_deref())?);
        }
        for (_, column) in FORGOTTEN.iter().filter(|(of, _)| *of == table.name) {
            fields.remove(*column);
        }
        if let Some(unknown) = fields.keys().next() {
            return Err(bad(format!("{} has no {unknown}", table.name)));
        }
        if table.is_tenants {
            cells.push(Cell::from(org_id));
        }
        let columns: Vec<_> = table.columns().chain(table.is_tenants.then_some("org_id")).collect();
        let places = vec!["?"; columns.len()].join(", ");
        // People are the file's, not the organization's: a person who exists stays as they are.
        let unless = if table.name == "user" { "ON CONFLICT (email) DO NOTHING" } else { "" };
        let sql = format!("INSERT INTO {} ({}) VALUES ({places}) {unless}", table.name, columns.join(", "));
        let inserted = self.connection.prepare_cached(&sql)?.execute(rusqlite::params_from_iter(cells));
        inserted.map(drop).map_err(|error| match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::ConstraintViolation) => bad(format!("{} does not fit: {error}", table.name)),
            _ => error.into(),
        })
    }

    /// The organization's own line: it must be a new one, under a slug that is free.
    fn begin(&mut self, fields: &mut Map<String, Value>) -> Result<()> {
        if let Some(slug) = &self.slug {
            fields.insert("slug".into(), json!(slug));
        }
        let text = |key: &str| fields.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (org_id, slug) = (text("id"), text("slug"));
        id::check_org_slug("slug", &slug)?;
        let mut known = self.connection.prepare_cached("SELECT slug FROM org WHERE id = ?1 OR slug = ?2")?;
        let known: Option<String> = known.query_row((&org_id, &slug), |row| row.get(0)).optional()?;
        match known {
            Some(known) if known == slug => {
                return Err(Error::Conflict(format!("an organization {slug} exists: choose another slug with --slug")));
            }
            Some(known) => return Err(Error::Conflict(format!("this organization exists, as {known}"))),
            None if self.org.is_some() => return Err(bad("a second organization")),
            None => self.org = Some((org_id, slug)),
        }
        Ok(())
    }

    /// What is written for a value: a link's is looked up among what has come already.
    fn cell(&self, table: &Table, column: &str, value: Value, org_id: Option<&str>) -> Result<Cell> {
        let wrong = || bad(format!("{}.{column} has a value of an unknown type", table.name));
        let cell = match value {
            Value::Null => return Ok(Cell::Null),
            Value::Number(tokens) if column == WINDOW && tokens.as_u64().is_none_or(|n| u32::try_from(n).is_err()) => {
                return Err(bad(format!("{}.{column} is no number of tokens", table.name)));
            }
            Value::Number(number) => {
                number.as_i64().map(Cell::from).or_else(|| number.as_f64().map(Cell::from)).ok_or_else(wrong)?
            }
            Value::String(text) => Cell::from(text),
            _ => return Err(wrong()),
        };
        let Some((_, link)) = table.links.iter().find(|(name, _)| *name == column) else {
            return match cell {
                Cell::Text(text) if BYTES.contains(&column) => Ok(Cell::Blob(text.into_bytes())),
                Cell::Text(digits) if HASHES.contains(&column) => {
                    let wrong = || bad(format!("{}.{column} is no hash", table.name));
                    hash_of(&digits).map(Cell::Blob).ok_or_else(wrong)
                }
                Cell::Text(text) if JSON.contains(&column) && serde_json::from_str::<IgnoredAny>(&text).is_err() => {
                    Err(bad(format!("{}.{column} is not JSON", table.name)))
                }
                Cell::Text(text) => {
                    check_text(column, &text).map_err(|error| bad(format!("{}.{error}", table.name)))?;
                    Ok(Cell::Text(text))
                }
                cell => Ok(cell),
            };
        };
        let mut find = self.connection.prepare_cached(link.find)?;
        bind(&mut find, ":name", &cell)?;
        bind(&mut find, ":org", &org_id)?;
        let found = find.raw_query().next()?.map(|row| row.get(0)).transpose()?;
        found.ok_or_else(|| bad(format!("{}.{column} refers to a row that did not come before it", table.name)))
    }
}

/// The bytes of a SHA-256 of which these are the digits.
fn hash_of(digits: &str) -> Option<Vec<u8>> {
    let is_one = digits.len() == 2 * HASH_BYTES && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).ok();
    if is_one { (0..digits.len()).step_by(2).map(byte).collect() } else { None }
}

/// The rules of names and prices are the same for what is made here. What a name may not be is said of its column.
fn check_text(column: &str, text: &str) -> Result<()> {
    match column {
        "id" => id::check_client_id(column, text),
        "slug" => id::check_slug(column, text),
        "email" => id::check_email(column, text),
        _ if PRICES.contains(&column) => match text.parse::<Price>() {
            Ok(_) => Ok(()),
            Err(error) => Err(Error::invalid(column, error.to_string())),
        },
        _ => Ok(()),
    }
}

/// Binds a parameter, if the statement has it.
fn bind(statement: &mut CachedStatement<'_>, name: &str, value: &dyn ToSql) -> Result<()> {
    match statement.parameter_index(name)? {
        Some(at) => Ok(statement.raw_bind_parameter(at, value)?),
        None => Ok(()),
    }
}

fn bad(what: impl Into<String>) -> Error {
    Error::failed(what.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_up_to_the_bound_and_a_file_that_is_cut_off_is_known() {
        let read = |text: &str, bytes_max: u64| {
            let mut line = String::new();
            let read = next_line(&mut text.as_bytes(), &mut line, bytes_max);
            read.map(|()| line).map_err(|error| error.to_string())
        };
        assert_eq!(read("12345\n1", 7).unwrap(), "12345\n");
        assert_eq!(read("12345\n1", 6).unwrap(), "12345\n");
        assert_eq!(read("12345\n1", 5).unwrap_err(), "is longer than 5 bytes");
        assert_eq!(read("12345", 6).unwrap_err(), "the file is cut off here");
        assert_eq!(read("", 6).unwrap_err(), "the file is cut off here");
    }
}
