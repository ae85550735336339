//! What turns used: sums over `turn`, by whatever one asks.
//!
//! It scans a span of time: keep it off the request threads.

use rusqlite::{Row, named_params};

use super::Org;
use crate::{error::Result, time::Timestamp};

/// Groups of one list; the dearest come first, the rest is left out.
const GROUPS_MAX: i64 = 1_000;

/// Sums of some turns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    pub turns: i64,
    pub input_tokens: i64,
    pub cache_read_tokens: i64,
    pub output_tokens: i64,
    /// Microcents.
    pub cost: i64,
}

/// What the sums are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupBy {
    Model,
    Agent,
    Project,
    Session,
    /// The API key that asked.
    Key,
    /// A day of UTC.
    Day,
}

/// The sums of one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// What it is of. `None`: what has no such thing, and what the person may not see.
    pub key: Option<String>,
    /// What that is called, where it has a name.
    pub name: Option<String>,
    /// What its part is of, where groups are split.
    pub part: Option<String>,
    pub usage: Usage,
}

impl GroupBy {
    /// The key of a group; sessions by the id that clients know. What the person may not see has none.
    fn expression(self) -> &'static str {
        match self {
            GroupBy::Model => "t.model",
            GroupBy::Agent => "t.agent_id",
            GroupBy::Project => {
                "(SELECT p.id FROM project p WHERE p.id = t.project_id AND (p.visibility = 'team' OR p.user_id = :user))"
            }
            GroupBy::Session => {
                "(SELECT s.id FROM session s LEFT JOIN project p ON p.id = s.project_id WHERE s.seq = t.session
                      AND (p.id IS NULL OR p.visibility = 'team' OR p.user_id = :user))"
            }
            GroupBy::Key => {
                "(SELECT k.id FROM api_key k WHERE k.id = t.key_id AND (k.user_id = :user OR EXISTS
                      (SELECT 1 FROM member WHERE org_id = :org AND user_id = :user AND role = 'owner')))"
            }
            GroupBy::Day => "strftime('%Y-%m-%d', t.started_at / 1000, 'unixepoch')",
        }
    }

    /// The name of what a group's key is of.
    fn name(self) -> &'static str {
        match self {
            GroupBy::Model | GroupBy::Day => "NULL",
            GroupBy::Agent => "(SELECT name FROM agent WHERE id = grp)",
            GroupBy::Project => "(SELECT name FROM project WHERE id = grp)",
            GroupBy::Session => "(SELECT label FROM session WHERE org_id = :org AND id = grp)",
            GroupBy::Key => "(SELECT name FROM api_key WHERE id = grp)",
        }
    }
}

/// The columns of [`Usage`], the first of a row.
const SUMS: &str = "count(*), coalesce(sum(input_tokens), 0), coalesce(sum(cache_read_tokens), 0),
    coalesce(sum(output_tokens), 0), coalesce(sum(cost), 0)";
/// The turns that began in a span of time. One that was withdrawn has no row, and one that restores a version asked nobody.
const SPAN: &str = "t.org_id = :org AND t.kind <> 'restore' AND t.started_at >= :from AND t.started_at < :to";

impl Usage {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Usage {
            turns: row.get(0)?,
            input_tokens: row.get(1)?,
            cache_read_tokens: row.get(2)?,
            output_tokens: row.get(3)?,
            cost: row.get(4)?,
        })
    }
}

impl Org<'_> {
    /// All turns that began in a span of time.
    pub fn usage(&self, from: Timestamp, to: Timestamp) -> Result<Usage> {
        self.read(|c| {
            let mut statement = c.prepare_cached(&format!("SELECT {SUMS} FROM turn t WHERE {SPAN}"))?;
            let parameters =
                named_params! { ":org": self.tenant.org_id, ":from": from.as_millis(), ":to": to.as_millis() };
            Ok(statement.query_row(parameters, Usage::from_row)?)
        })
    }

    /// The same, by group, and each of them split by another thing: whole days in their order, everything else the dearest
    /// first.
    pub fn usage_by(
        &self,
        group_by: GroupBy,
        split_by: Option<GroupBy>,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<Group>> {
        let key = group_by.expression();
        let name = group_by.name();
        let part = split_by.map_or("NULL", GroupBy::expression);
        let is_in_order = group_by == GroupBy::Day && split_by.is_none();
        let order = if is_in_order { "grp" } else { "sum(cost) DESC, count(*) DESC, grp, part" };
        self.read(|c| {
            let mut statement = c.prepare_cached(&format!(
                "SELECT *, {name} FROM (SELECT {SUMS}, {key} AS grp, {part} AS part FROM turn t
                     WHERE {SPAN} AND :user <> '' GROUP BY grp, part ORDER BY {order} LIMIT :groups)"
            ))?;
            let parameters = named_params! {
                ":org": self.tenant.org_id, ":from": from.as_millis(), ":to": to.as_millis(), ":groups": GROUPS_MAX,
                ":user": self.tenant.user_id,
            };
            let rows = statement.query_map(parameters, |row| {
                Ok(Group { key: row.get(5)?, part: row.get(6)?, name: row.get(7)?, usage: Usage::from_row(row)? })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{
        Store,
        sessions::{self, NewSession},
    };

    #[test]
    fn the_dearest_groups_are_answered_up_to_a_bound() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), 1).unwrap();
        let tenant = store.create_org("acme", "a@example.com", None).unwrap().tenant();
        let org = store.org(&tenant);
        let owned = tenant.clone();
        let session = store.writer.write_blocking(move |c| sessions::insert(c, &owned, &NewSession::default()));
        let session = session.unwrap().seq;
        let mut turns = 0;
        let mut groups_of = |models: i64| {
            let (tenant, first) = (tenant.clone(), turns);
            turns = models;
            let insert = "INSERT INTO turn (id, org_id, session, user_id, model, message_id, status, started_at, cost)
                VALUES (:id, :org, :session, :user, :id, :id, 'complete', 0, :id)";
            store
                .writer
                .write_blocking(move |c| {
                    for id in first..models {
                        let (org, user) = (&tenant.org_id, &tenant.user_id);
                        c.prepare_cached(insert)?.execute(named_params! {
                            ":id": id.to_string(), ":org": org, ":session": session, ":user": user,
                        })?;
                    }
                    Ok(())
                })
                .unwrap();
            org.usage_by(GroupBy::Model, None, Timestamp::from_millis(0), Timestamp::from_millis(1)).unwrap()
        };
        for models in [GROUPS_MAX - 1, GROUPS_MAX, GROUPS_MAX + 1] {
            let groups = groups_of(models);
            assert_eq!(groups.len() as i64, models.min(GROUPS_MAX));
            assert_eq!(groups[0].key, Some((models - 1).to_string()), "the dearest is the first");
        }
    }
}
