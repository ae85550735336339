//! A session in memory, for properties of what turns do to a history: the schema and the statements are the real ones.
//!
//! Deliberately absent: the writer and the disk, which the suites exercise.

use std::time::Duration;

use rusqlite::Connection;

use super::{
    Tenant,
    decisions::Decider,
    ending,
    file::schema,
    messages::{self, Message, MessagePage, NewMessage},
    sessions::{self, NewSession},
    turns::{self, EndedTurn, HistoryView, NewTurn, Outcome, Plan},
    writer::in_savepoint,
};
use crate::{error::Result, id};

/// Messages one session may come to.
const MESSAGES_MAX: usize = 100_000;

/// A session that is gone when it was used.
pub struct Sandbox {
    connection: Connection,
    tenant: Tenant,
}

thread_local! {
    static SANDBOX: Sandbox = Sandbox::new().expect("a schema in memory");
}

impl Sandbox {
    /// Lets `run` use an empty session.
    pub fn with(run: impl FnOnce(&Self)) {
        SANDBOX.with(|sandbox| {
            let undone = sandbox.connection.unchecked_transaction().expect("a transaction in memory");
            let session = NewSession { id: Some(SESSION.into()), ..NewSession::default() };
            sessions::insert(&sandbox.connection, &sandbox.tenant, &session).expect("a session in memory");
            run(sandbox);
            undone.rollback().expect("a rollback in memory");
        });
    }

    fn new() -> Result<Self> {
        let connection = Connection::open_in_memory()?;
        schema::create(&connection)?;
        let (org, user, agent) = ("org", "user", "agent");
        connection.execute("INSERT INTO user (id, email, created_at) VALUES (?1, 'a@example.com', 0)", [user])?;
        connection
            .execute("INSERT INTO org (id, slug, owner_id, created_at) VALUES (?1, 'acme', ?2, 0)", [org, user])?;
        connection.execute(
            "INSERT INTO agent (id, org_id, slug, name, created_at, updated_at) VALUES (?1, ?2, 'ala', 'Ala', 0, 0)",
            [agent, org],
        )?;
        Ok(Self { connection, tenant: Tenant { org_id: org.into(), user_id: user.into() } })
    }

    /// One turn, planned by `plan` and answered by `answer` unless it continues another reply.
    pub fn turn(&self, plan: impl FnOnce(&HistoryView<'_>) -> Result<Plan>, answer: NewMessage) -> Result<()> {
        in_savepoint(&self.connection, |c| {
            let new = NewTurn {
                id: id::generate(),
                session: NewSession { id: Some(SESSION.into()), ..NewSession::default() },
                agent_id: Some("agent".into()),
                project_id: None,
                key_id: None,
                came: Default::default(),
                model: "demo/ala".into(),
                message_id: answer.id.clone(),
                hold: None,
                decider: Decider { via: String::new(), is_owner: true, is_test: false },
                response: None,
                keep: Duration::ZERO,
            };
            let begun = turns::begin(c, &self.tenant, new, plan)?;
            let ended = EndedTurn {
                turn: begun.turn,
                session: begun.session_row(),
                turn_id: begun.turn_id,
                outcome: Outcome::Complete,
                message: Some(NewMessage { id: begun.message_id, ..answer }),
                input_tokens: 0,
                cache_read_tokens: 0,
                output_tokens: 0,
                cost: 0,
                cut: None,
                calls: Vec::new(),
                ending: None,
                noted: Default::default(),
            };
            ending::end(c, &self.tenant.org_id, &ended)
        })
    }

    /// What the session holds.
    pub fn history(&self) -> Vec<Message> {
        let read = || {
            let session = sessions::find(&self.connection, &self.tenant, SESSION)?.expect("the session is there");
            let page = MessagePage { page_size: MESSAGES_MAX, ..MessagePage::default() };
            let mut history = Vec::new();
            messages::read_page(&self.connection, &self.tenant.org_id, session.seq, &page, &mut |message, _| {
                history.push(message.to_owned())
            })?;
            Ok::<_, crate::error::Error>(history)
        };
        read().expect("a history in memory")
    }
}

const SESSION: &str = "session";
