//! What an organization is made of: the tables, in an order where a row comes after what it refers to.
//!
//! Rule: every column of the schema is here, or in `left_out.rs` with its reason; a test compares them with the schema.

/// A table of an organization's.
pub(super) struct Table {
    pub name: &'static str,
    /// Whether it has an `org_id`, which no line holds: the import knows its organization.
    pub is_tenants: bool,
    /// Columns whose value another file knows by another name.
    pub links: &'static [(&'static str, &'static Link)],
    /// Columns that travel as they are.
    pub plain: &'static [&'static str],
    /// Which rows of it, called `t`, in their order.
    pub rows: &'static str,
}

impl Table {
    /// The columns of a line, in their order.
    pub fn columns(&self) -> impl Iterator<Item = &'static str> {
        self.links.iter().map(|(column, _)| *column).chain(self.plain.iter().copied())
    }
}

/// How a reference travels: by a name instead of a row number, and never to a row of somebody else's.
pub(super) struct Link {
    /// The name, of the column in place of `{}`.
    pub name: &'static str,
    /// What to write for `:name`.
    pub find: &'static str,
}

/// A person is known by their address: they may be in the other file already.
const PERSON: Link =
    Link { name: "(SELECT email FROM user WHERE id = t.{})", find: "SELECT id FROM user WHERE email = :name" };
const AGENT: Link = Link { name: "t.{}", find: "SELECT id FROM agent WHERE id = :name AND org_id = :org" };
const PROJECT: Link = Link { name: "t.{}", find: "SELECT id FROM project WHERE id = :name AND org_id = :org" };
const PROVIDER: Link = Link { name: "t.{}", find: "SELECT id FROM provider WHERE id = :name AND org_id = :org" };
const MCP_SERVER: Link = Link { name: "t.{}", find: "SELECT id FROM mcp_server WHERE id = :name AND org_id = :org" };
const SESSION: Link = Link {
    name: "(SELECT id FROM session WHERE seq = t.{})",
    find: "SELECT seq FROM session WHERE id = :name AND org_id = :org",
};
const TURN: Link = Link {
    name: "(SELECT id FROM turn WHERE seq = t.{})",
    find: "SELECT seq FROM turn WHERE id = :name AND org_id = :org",
};

/// An earlier message that was replaced: its session, its id and its time tell it from others.
const MESSAGE: Link = Link {
    name: "(SELECT json_array((SELECT id FROM session WHERE seq = f.session), f.id, f.created_at) FROM message f
        WHERE f.seq = t.{})",
    find: "WITH named (j) AS (SELECT CASE WHEN json_valid(:name) THEN :name END)
        SELECT m.seq FROM named JOIN session s ON s.org_id = :org AND s.id = j ->> 0
            JOIN message m ON m.session = s.seq AND m.id = j ->> 1 AND m.created_at = j ->> 2 AND m.superseded_by IS NOT NULL
        ORDER BY m.seq LIMIT 1",
};

// Where rows have a number they go by it. The `+` keeps SQLite from taking another way and sorting them in memory.
pub(super) const TABLES: [Table; 18] = [
    Table {
        name: "user",
        is_tenants: false,
        links: &[],
        plain: &["id", "email", "created_at"],
        rows: "user t WHERE t.id IN (
            SELECT user_id FROM member WHERE org_id = :org UNION SELECT owner_id FROM org WHERE id = :org
            UNION SELECT user_id FROM project WHERE org_id = :org UNION SELECT user_id FROM session WHERE org_id = :org
            UNION SELECT user_id FROM turn WHERE org_id = :org
            UNION SELECT v.user_id FROM agent_version v JOIN agent a ON a.id = v.agent_id WHERE a.org_id = :org
            UNION SELECT decided_by FROM tool_call WHERE org_id = :org) ORDER BY t.id",
    },
    Table {
        name: "org",
        is_tenants: false,
        links: &[("owner_id", &PERSON)],
        plain: &["id", "slug", "default_model", "created_at"],
        rows: "org t WHERE t.id = :org",
    },
    Table {
        name: "member",
        is_tenants: true,
        links: &[("user_id", &PERSON)],
        plain: &["role", "created_at"],
        rows: "member t WHERE t.org_id = :org ORDER BY t.user_id",
    },
    Table {
        name: "agent",
        is_tenants: true,
        links: &[],
        plain: &[
            "id",
            "slug",
            "name",
            "is_builtin",
            "is_active",
            "avatar",
            "model",
            "temperature",
            "top_p",
            "output_tokens_max",
            "reasoning_effort",
            "steps_max",
            "allowed_tools",
            "client_tools",
            "tool_approval",
            "response_format",
            "created_at",
            "updated_at",
            "deleted_at",
            "description",
            "system_prompt",
        ],
        rows: "agent t WHERE t.org_id = :org ORDER BY t.id",
    },
    Table {
        name: "agent_version",
        is_tenants: false,
        links: &[("agent_id", &AGENT), ("user_id", &PERSON)],
        plain: &["version", "created_at", "fields"],
        rows: "agent_version t WHERE t.agent_id IN (SELECT id FROM agent WHERE org_id = :org) ORDER BY t.agent_id, t.version",
    },
    Table {
        name: "project",
        is_tenants: true,
        links: &[("user_id", &PERSON)],
        plain: &[
            "id",
            "slug",
            "name",
            "emoji",
            "visibility",
            "created_at",
            "updated_at",
            "deleted_at",
            "description",
            "prompt",
        ],
        rows: "project t WHERE t.org_id = :org ORDER BY t.id",
    },
    Table {
        name: "provider",
        is_tenants: true,
        links: &[],
        plain: &["id", "slug", "kind", "base_url", "created_at", "updated_at", "paid_elsewhere", "system_anywhere"],
        rows: "provider t WHERE t.org_id = :org AND t.kind <> 'cassette' ORDER BY t.id",
    },
    Table {
        name: "provider_model",
        is_tenants: false,
        links: &[("provider_id", &PROVIDER)],
        plain: &["name", "input_price", "output_price", "cached_input_price", "context_window", "is_offered"],
        rows: "provider_model t WHERE t.provider_id IN (SELECT id FROM provider WHERE org_id = :org
            AND kind <> 'cassette') ORDER BY t.provider_id, t.name",
    },
    Table {
        name: "tool",
        is_tenants: true,
        links: &[],
        plain: &[
            "id",
            "name",
            "is_active",
            "approval",
            "idempotent",
            "price",
            "method",
            "url",
            "body",
            "headers",
            "timeout_ms",
            "response_bytes_max",
            "created_at",
            "updated_at",
            "description",
            "input_schema",
        ],
        rows: "tool t WHERE t.org_id = :org AND t.deleted_at IS NULL ORDER BY t.id",
    },
    Table {
        name: "mcp_server",
        is_tenants: true,
        links: &[],
        plain: &[
            "id",
            "slug",
            "name",
            "transport",
            "is_active",
            "approval",
            "new_tools",
            "url",
            "headers",
            "timeout_ms",
            "handshake_ms",
            "use_instructions",
            "instructions",
            "info",
            "era",
            "listed_at",
            "ttl_ms",
            "created_at",
            "updated_at",
        ],
        rows: "mcp_server t WHERE t.org_id = :org AND t.transport = 'http' ORDER BY t.id",
    },
    Table {
        name: "mcp_tool",
        is_tenants: false,
        links: &[("server_id", &MCP_SERVER)],
        plain: &[
            "remote_name",
            "name",
            "approval",
            "price",
            "idempotent",
            "is_on",
            "is_there",
            "fault",
            "fingerprint",
            "accepted",
            "definition",
            "accepted_definition",
        ],
        rows: "mcp_tool t WHERE t.server_id IN (SELECT id FROM mcp_server WHERE org_id = :org AND transport = 'http')
            ORDER BY t.server_id, t.remote_name",
    },
    Table {
        name: "session",
        is_tenants: true,
        links: &[("user_id", &PERSON), ("agent_id", &AGENT), ("project_id", &PROJECT)],
        plain: &["id", "label", "status", "created_at", "updated_at", "deleted_at", "metadata", "origin", "kept_until"],
        rows: "session t WHERE +t.org_id = :org ORDER BY t.seq",
    },
    Table {
        name: "turn",
        is_tenants: true,
        links: &[("session", &SESSION), ("user_id", &PERSON), ("agent_id", &AGENT), ("project_id", &PROJECT)],
        plain: &[
            "id",
            "model",
            "message_id",
            "kind",
            "status",
            "started_at",
            "ended_at",
            "input_tokens",
            "cache_read_tokens",
            "output_tokens",
            "cost",
        ],
        rows: "turn t WHERE +t.org_id = :org ORDER BY t.seq",
    },
    Table {
        name: "response",
        is_tenants: false,
        links: &[("turn", &TURN), ("session", &SESSION), ("previous", &TURN)],
        plain: &["background", "deleted_at", "asked", "ending"],
        rows: "response t WHERE (SELECT org_id FROM turn WHERE seq = t.turn) = :org ORDER BY t.turn",
    },
    Table {
        name: "turn_journal",
        is_tenants: false,
        links: &[("turn", &TURN)],
        plain: &["n", "frames"],
        rows: "turn_journal t WHERE (SELECT org_id FROM turn WHERE seq = t.turn) = :org ORDER BY t.turn, t.n",
    },
    Table {
        name: "message",
        is_tenants: false,
        links: &[("session", &SESSION), ("turn", &TURN), ("superseded_by", &TURN), ("place", &MESSAGE)],
        plain: &["id", "role", "status", "created_at", "metadata", "content", "parts", "version"],
        rows: "message t WHERE (SELECT org_id FROM session WHERE seq = t.session) = :org ORDER BY t.seq",
    },
    Table {
        name: "tool_call",
        is_tenants: true,
        links: &[
            ("session", &SESSION),
            ("turn", &TURN),
            ("decided_by", &PERSON),
            ("decided_turn", &TURN),
            ("called_turn", &TURN),
        ],
        plain: &[
            "id",
            "message_id",
            "call_id",
            "tool",
            "origin",
            "fingerprint",
            "input_hash",
            "policy",
            "idempotent",
            "status",
            "asked_at",
            "decided_at",
            "decided_via",
            "called_at",
            "ended_at",
            "output_bytes",
            "cost",
            "reason",
            "input",
        ],
        rows: "tool_call t WHERE +t.org_id = :org ORDER BY t.seq",
    },
    Table {
        name: "ledger_entry",
        is_tenants: true,
        links: &[],
        plain: &["id", "kind", "balance_delta", "held_delta", "turn_id", "created_at", "note"],
        rows: "ledger_entry t WHERE +t.org_id = :org ORDER BY t.seq",
    },
];

/// Columns that hold bytes: server-sent events, which are text.
pub(super) const BYTES: [&str; 1] = ["frames"];
/// Columns that hold JSON as text, which must stay such.
pub(super) const JSON: [&str; 14] = [
    "allowed_tools",
    "client_tools",
    "response_format",
    "metadata",
    "parts",
    "input_schema",
    "headers",
    "info",
    "definition",
    "accepted_definition",
    "input",
    "asked",
    "ending",
    "fields",
];
/// Columns that hold a hash, and travel as its digits.
pub(super) const HASHES: [&str; 3] = ["fingerprint", "accepted", "input_hash"];
/// What cannot work without the secrets that stay behind waits for them: it travels switched off.
pub(super) const IS_ACTIVE: [&str; 2] = ["tool", "mcp_server"];

/// Columns that hold prices, as decimal text.
pub(super) const PRICES: [&str; 3] = ["input_price", "output_price", "cached_input_price"];
/// The column that holds a number of tokens.
pub(super) const WINDOW: &str = "context_window";
/// Columns that travelled once. A file that has them still is read without them.
pub(super) const FORGOTTEN: [(&str, &str); 1] = [("provider", "api_key_env")];

/// Columns that did not travel once, and what they are in a file without them.
pub(super) const ADDED: [(&str, &str, Option<i64>); 5] = [
    ("provider", "paid_elsewhere", Some(0)),
    ("provider", "system_anywhere", None),
    ("provider_model", "is_offered", Some(1)),
    ("message", "version", Some(1)),
    ("message", "place", None),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{super::left_out::LEFT_OUT, *};

    #[test]
    fn every_column_of_the_schema_travels_or_is_left_out_for_a_reason() {
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        crate::store::file::schema::create(&connection).unwrap();
        let mut statement = connection
            .prepare(
                "SELECT t.name, c.name FROM pragma_table_list t, pragma_table_info(t.name) c
                WHERE t.schema = 'main' AND t.type = 'table' AND t.name NOT LIKE 'sqlite_%'",
            )
            .unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        let all: BTreeSet<(String, String)> = rows.collect::<Result<_, _>>().unwrap();
        let mut said: BTreeSet<(String, String)> = BTreeSet::new();
        for table in &TABLES {
            let org = table.is_tenants.then_some("org_id");
            said.extend(table.columns().chain(org).map(|column| (table.name.to_owned(), column.to_owned())));
        }
        for (table, column, _reason) in LEFT_OUT {
            let columns = all.iter().filter(|(of, name)| of == table && (column == "*" || name == column)).cloned();
            let before = said.len();
            said.extend(columns);
            assert!(said.len() > before, "{table}.{column} is not in the schema, or travels");
        }
        assert_eq!(said, all);
    }
}
