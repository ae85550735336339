//! The audit: who changed keys, money, providers, tools and people, and who signed in, by what way.
//!
//! Rule: an entry is written by the commit that does what it tells ([`Org::write_audited`]), and nothing changes it.
//! Deliberately absent: passwords that were wrong. Whoever has no password would fill the table.

use rusqlite::{Connection, Row, named_params};

use super::{Org, Page, Tenant, via::Via, words::words};
use crate::{error::Result, id, time::Timestamp};

/// Sign-ins that are told of; past it the oldest are forgotten, since anyone who may sign in adds to them. What was changed stays.
const SIGN_INS_KEPT_MAX: i64 = 1_000;
/// Longest name of what was changed, in characters; the rest is cut off.
const TARGET_CHARS_MAX: usize = 200;

words! {
    /// What was done. The word before the dot is its family.
    pub enum Kind {
        KeyCreated = "key.created",
        KeyChanged = "key.changed",
        KeyRotated = "key.rotated",
        KeyRevoked = "key.revoked",
        MoneyDeposited = "money.deposited",
        ProviderAdded = "provider.added",
        ProviderChanged = "provider.changed",
        ProviderRemoved = "provider.removed",
        DefaultModelChanged = "provider.default_changed",
        ToolAdded = "tool.added",
        ToolChanged = "tool.changed",
        ToolRemoved = "tool.removed",
        ServerAdded = "tool.server_added",
        ServerChanged = "tool.server_changed",
        ServerRemoved = "tool.server_removed",
        PersonInvited = "person.invited",
        InvitationWithdrawn = "person.uninvited",
        PersonJoined = "person.joined",
        RoleChanged = "person.role_changed",
        PersonRemoved = "person.removed",
        SignInBegan = "sign_in.began",
        SignInEnded = "sign_in.ended",
        PasswordChanged = "sign_in.password_changed",
    }
}

/// Something that is done.
#[derive(Debug)]
pub struct Event {
    pub kind: Kind,
    /// What it was done to, as people know it.
    pub target: String,
}

impl Event {
    /// Of one thing.
    pub fn new(kind: Kind, target: impl Into<String>) -> Self {
        Event { kind, target: target.into() }
    }
}

/// Something that was done.
#[derive(Debug, Clone)]
pub struct AuditEntry {
    pub id: String,
    pub at: Timestamp,
    /// Absent: a command on the machine.
    pub user_id: Option<String>,
    pub email: Option<String>,
    pub via: Via,
    pub kind: Kind,
    pub target: String,
}

/// Which entries are asked for. Absent: any.
#[derive(Debug, Default, Clone)]
pub struct AuditFilter {
    /// A kind, or a family.
    pub kind: Option<String>,
    pub user_id: Option<String>,
    pub from: Option<Timestamp>,
    pub to: Option<Timestamp>,
}

impl AuditFilter {
    /// Whether a word is that of a kind or of a family.
    pub fn knows(word: &str) -> bool {
        Kind::ALL.iter().any(|kind| kind.as_str() == word || kind.family() == word)
    }
}

impl Kind {
    /// Its word before the dot.
    pub fn family(self) -> &'static str {
        let word = self.as_str();
        word.split_once('.').map_or(word, |(family, _)| family)
    }
}

impl AuditEntry {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(AuditEntry {
            id: row.get(0)?,
            at: Timestamp::from_millis(row.get(1)?),
            user_id: row.get(2)?,
            email: row.get(3)?,
            via: row.get(4)?,
            kind: row.get(5)?,
            target: row.get(6)?,
        })
    }
}

impl Org<'_> {
    /// What was done, the newest first; the cursor is an entry's id.
    pub fn audit_entries(&self, filter: &AuditFilter, limit: usize, cursor: Option<&str>) -> Result<Page<AuditEntry>> {
        self.read(|c| {
            let mut statement = c.prepare_cached(
                "SELECT a.id, a.at, a.user_id, u.email, a.via, a.kind, a.target
                 FROM audit a LEFT JOIN user u ON u.id = a.user_id
                 WHERE a.org_id = :org AND (:kind IS NULL OR a.kind = :kind OR substr(a.kind, 1, length(:kind) + 1) = :kind || '.')
                     AND (:user IS NULL OR a.user_id = :user) AND (:from IS NULL OR a.at >= :from)
                     AND (:to IS NULL OR a.at < :to) AND (:cursor IS NULL
                         OR a.seq < (SELECT seq FROM audit WHERE id = :cursor AND org_id = :org))
                 ORDER BY a.seq DESC LIMIT :rows",
            )?;
            let parameters = named_params! {
                ":org": self.tenant.org_id, ":kind": filter.kind, ":user": filter.user_id,
                ":from": filter.from.map(Timestamp::as_millis), ":to": filter.to.map(Timestamp::as_millis),
                ":cursor": cursor, ":rows": limit as i64 + 1,
            };
            let rows = statement.query_map(parameters, AuditEntry::from_row)?.collect::<Result<_, _>>()?;
            Ok(Page::from_rows(rows, limit, |entry: &AuditEntry| entry.id.clone()))
        })
    }

    /// Writes, and keeps with the same commit what was done.
    pub(super) async fn write_audited<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection, &Tenant) -> Result<(T, Event)> + Send + 'static,
    ) -> Result<T> {
        let via = self.via;
        self.write(move |c, tenant| {
            let (value, event) = work(c, tenant)?;
            note(c, tenant, via, &event)?;
            Ok(value)
        })
        .await
    }
}

/// Keeps what is done in an organization, inside the transaction that does it. A command is nobody's in particular.
pub(super) fn note(c: &Connection, tenant: &Tenant, via: Via, event: &Event) -> Result<()> {
    let user_id = Some(&tenant.user_id).filter(|_| via != Via::Cli);
    let target: String = event.target.chars().take(TARGET_CHARS_MAX).collect();
    c.prepare_cached(
        "INSERT INTO audit (id, org_id, at, user_id, via, kind, target)
         VALUES (:id, :org, :now, :user, :via, :kind, :target)",
    )?
    .execute(named_params! {
        ":id": id::generate(), ":org": tenant.org_id, ":now": Timestamp::now().as_millis(), ":user": user_id,
        ":via": via, ":kind": event.kind, ":target": target,
    })?;
    Ok(())
}

/// Keeps when a person signs in or out, in every organization that they belong to.
pub(super) fn note_of_person(c: &Connection, user_id: &str, via: Via, event: &Event) -> Result<()> {
    let mut statement = c.prepare_cached("SELECT org_id FROM member WHERE user_id = ?1")?;
    let orgs: Vec<String> = statement.query_map([user_id], |row| row.get(0))?.collect::<Result<_, _>>()?;
    for org_id in orgs {
        let tenant = Tenant { org_id, user_id: user_id.to_owned() };
        note(c, &tenant, via, event)?;
        // The condition is that of an index.
        let of_sign_ins = "org_id = :org AND kind IN ('sign_in.began', 'sign_in.ended', 'sign_in.password_changed')";
        c.prepare_cached(&format!(
            "DELETE FROM audit WHERE {of_sign_ins} AND seq <= (SELECT seq FROM audit WHERE {of_sign_ins}
                 ORDER BY seq DESC LIMIT 1 OFFSET :max)"
        ))?
        .execute(named_params! { ":org": tenant.org_id, ":max": SIGN_INS_KEPT_MAX })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    #[tokio::test]
    async fn it_tells_by_kind_person_and_time_and_a_command_is_nobodys() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), 1).unwrap();
        let tenant = store.create_org("acme", "a@example.com", None).unwrap().tenant();
        store.org(&tenant).deposit(5_000_000, "June".into()).await.unwrap();
        store.org(&tenant).via(Via::Browser).deposit(1, String::new()).await.unwrap();
        let org = store.org(&tenant);
        let of = |filter: AuditFilter| org.audit_entries(&filter, 10, None).unwrap().items;
        let all = of(AuditFilter::default());
        assert_eq!(all.iter().map(|entry| entry.via).collect::<Vec<_>>(), [Via::Browser, Via::Cli]);
        assert_eq!((&all[1].user_id, &*all[1].target), (&None, "$5.00 June"));
        assert_eq!(all[0].email.as_deref(), Some("a@example.com"));
        for (kind, many) in [("money", 2), ("money.deposited", 2), ("mon", 0), ("key", 0), ("%", 0)] {
            assert_eq!(of(AuditFilter { kind: Some(kind.into()), ..Default::default() }).len(), many, "{kind}");
        }
        let user_id = Some(tenant.user_id.clone());
        assert_eq!(of(AuditFilter { user_id, ..Default::default() }).len(), 1);
        let (from, to) = (Some(all[0].at.plus(std::time::Duration::from_secs(1))), Some(all[1].at));
        assert!(of(AuditFilter { from, ..Default::default() }).is_empty());
        assert!(of(AuditFilter { to, ..Default::default() }).is_empty());
        let first = org.audit_entries(&AuditFilter::default(), 1, None).unwrap();
        let next = org.audit_entries(&AuditFilter::default(), 1, first.next_cursor.as_deref()).unwrap();
        assert_eq!((next.items[0].id.as_str(), next.next_cursor), (&*all[1].id, None));
    }

    #[tokio::test]
    async fn a_long_target_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), 1).unwrap();
        let tenant = store.create_org("acme", "a@example.com", None).unwrap().tenant();
        for chars in [TARGET_CHARS_MAX - 1, TARGET_CHARS_MAX, TARGET_CHARS_MAX + 1] {
            let long = Event::new(Kind::ToolAdded, "ü".repeat(chars));
            store.org(&tenant).write_audited(move |_, _| Ok(((), long))).await.unwrap();
            let kept = store.org(&tenant).audit_entries(&AuditFilter::default(), 1, None).unwrap();
            assert_eq!(kept.items[0].target.chars().count(), chars.min(TARGET_CHARS_MAX));
        }
    }

    #[tokio::test]
    async fn the_oldest_sign_ins_are_forgotten_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), 1).unwrap();
        let tenant = store.create_org("acme", "a@example.com", None).unwrap().tenant();
        store.org(&tenant).deposit(1, String::new()).await.unwrap();
        let count = || {
            let sql = "SELECT count(*) FROM audit";
            store.org(&tenant).read(|c| Ok(c.query_row(sql, [], |row| row.get::<_, i64>(0))?)).unwrap()
        };
        let sign_in = |times: i64| {
            let user_id = tenant.user_id.clone();
            let work = move |c: &Connection| {
                let event = Event::new(Kind::SignInBegan, "");
                (0..times).try_for_each(|_| note_of_person(c, &user_id, Via::Browser, &event))
            };
            store.writer.write_blocking(work).unwrap();
        };
        sign_in(SIGN_INS_KEPT_MAX - 1);
        assert_eq!(count(), SIGN_INS_KEPT_MAX);
        for _ in [SIGN_INS_KEPT_MAX, SIGN_INS_KEPT_MAX + 1] {
            sign_in(1);
            assert_eq!(count(), SIGN_INS_KEPT_MAX + 1);
        }
        let filter = AuditFilter { kind: Some("money".into()), ..AuditFilter::default() };
        assert_eq!(store.org(&tenant).audit_entries(&filter, 9, None).unwrap().items.len(), 1);
    }

    #[test]
    fn a_family_is_the_word_before_the_dot() {
        assert_eq!((Kind::SignInBegan.family(), Kind::KeyCreated.family()), ("sign_in", "key"));
        assert!(AuditFilter::knows("sign_in") && AuditFilter::knows("key.rotated") && !AuditFilter::knows("key."));
    }
}
