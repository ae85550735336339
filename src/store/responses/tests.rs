//! What is kept of responses, and for how long.

use std::time::Duration;

use super::*;
use crate::{
    id,
    store::{
        Store,
        decisions::Decider,
        messages::{NewMessage, Role},
        sessions::Origin,
        turns::{EndedTurn, NewTurn, Plan},
    },
};

const KEEP: Duration = Duration::from_secs(60);

struct World {
    _folder: tempfile::TempDir,
    store: Store,
    tenant: Tenant,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), 1).unwrap();
        let tenant = store.create_org("acme", "a@example.com", None).unwrap().tenant();
        World { _folder: folder, store, tenant }
    }

    /// Begins a response to `question`.
    async fn begin(&self, question: &str, previous: Option<Previous>) -> Result<crate::store::turns::Begun> {
        let org = self.store.org(&self.tenant);
        let new = NewTurn {
            id: id::generate(),
            session: NewSession {
                origin: Some(Origin::Responses),
                kept_until: Some(Timestamp::now().plus(KEEP)),
                ..NewSession::default()
            },
            agent_id: Some(org.agent("ala")?.id),
            project_id: None,
            key_id: None,
            came: Default::default(),
            model: "demo/ala".into(),
            message_id: id::generate(),
            hold: None,
            decider: Decider { via: String::new(), is_owner: true, is_test: false },
            response: Some(NewResponse { previous, is_background: false, asked: "{}".into() }),
            keep: KEEP,
        };
        let asked = NewMessage::new(Role::User, question.into(), "[]".into());
        org.begin_turn(new, move |_| Ok(Plan { insert: vec![asked], ..Plan::default() })).await
    }

    /// A response that is over.
    async fn say(&self, question: &str, previous: Option<Previous>) -> Response {
        let begun = self.begin(question, previous).await.unwrap();
        let answer = NewMessage::new(Role::Assistant, format!("to {question}"), "[]".into());
        let ended = EndedTurn {
            turn: begun.turn,
            turn_id: begun.turn_id.clone(),
            session: begun.session_row(),
            outcome: Outcome::Complete,
            message: Some(NewMessage { id: begun.message_id, ..answer }),
            input_tokens: 0,
            cache_read_tokens: 0,
            output_tokens: 0,
            cost: 0,
            cut: None,
            calls: Vec::new(),
            ending: Some("{}".into()),
            noted: Default::default(),
        };
        let org = self.store.org(&self.tenant);
        org.end_turn(ended).await.unwrap();
        org.response(&begun.turn_id).unwrap().unwrap()
    }

    fn said(&self, session_id: &str) -> Vec<String> {
        let org = self.store.org(&self.tenant);
        let (history, _) = org.history(org.session(session_id).unwrap().seq, usize::MAX).unwrap();
        history.into_iter().map(|message| message.content).collect()
    }
}

fn after(response: &Response) -> Option<Previous> {
    Some(Previous { turn: response.turn, is_apart: false })
}

#[tokio::test]
async fn the_last_response_goes_on_and_any_other_begins_a_branch() {
    let world = World::new();
    let first = world.say("1", None).await;
    let second = world.say("2", after(&first)).await;
    assert_eq!(second.session_id, first.session_id);
    let branch = world.say("3", after(&first)).await;
    assert_ne!(branch.session_id, first.session_id);
    assert_eq!(world.said(&first.session_id), ["1", "to 1", "2", "to 2"]);
    assert_eq!(world.said(&branch.session_id), ["1", "to 1", "3", "to 3"]);
    let apart = world.say("4", Some(Previous { turn: second.turn, is_apart: true })).await;
    assert_eq!(world.said(&apart.session_id), ["1", "to 1", "2", "to 2", "4", "to 4"]);
    let brought = world.store.org(&world.tenant).input_of(&branch).unwrap();
    assert_eq!(brought.iter().map(|(message, _)| &*message.content).collect::<Vec<_>>(), ["3"]);
}

#[tokio::test]
async fn a_second_response_at_the_same_time_begins_a_branch_and_leaves_no_trace_when_it_is_undone() {
    let world = World::new();
    let first = world.say("1", None).await;
    let running = world.begin("2", after(&first)).await.unwrap();
    let beside = world.begin("3", after(&first)).await.unwrap();
    assert!(beside.session_is_new && !running.session_is_new);
    let org = world.store.org(&world.tenant);
    org.withdraw_turn(beside.clone(), Default::default()).await.unwrap();
    assert!(org.session_if_any(beside.session_id()).unwrap().is_none());
    assert!(org.response(&beside.turn_id).unwrap().is_none());
    let second = org.response(&running.turn_id).unwrap().unwrap();
    assert!(world.begin("4", after(&second)).await.is_err(), "it runs");
    assert!(org.delete_response(second.id).await.is_err(), "it runs");
}

#[tokio::test]
async fn a_session_goes_with_its_last_response_and_when_its_time_is_over() {
    let world = World::new();
    let org = world.store.org(&world.tenant);
    let first = world.say("1", None).await;
    let second = world.say("2", after(&first)).await;
    org.delete_response(first.id.clone()).await.unwrap();
    assert!(org.response(&first.id).unwrap().is_none() && org.delete_response(first.id.clone()).await.is_err());
    assert!(world.begin("3", after(&first)).await.is_err());
    assert!(org.session_if_any(&first.session_id).unwrap().is_some());
    org.delete_response(second.id).await.unwrap();
    assert!(org.session_if_any(&first.session_id).unwrap().is_none());
    let old = world.say("4", None).await;
    let kept = world.say("5", None).await;
    let id = old.session_id.clone();
    let age = move |c: &Connection| Ok(c.execute("UPDATE session SET kept_until = 1 WHERE id = ?1", [id])?);
    world.store.writer.write(age).await.unwrap();
    let counted = async || world.store.prune_unkept().await.unwrap();
    assert_eq!((counted().await, counted().await), (1, 0));
    assert!(org.response(&old.id).unwrap().is_none() && org.response(&kept.id).unwrap().is_some());
    let left = "SELECT (SELECT count(*) FROM response) || ' ' || (SELECT group_concat(content, ', ') FROM message)";
    let left: String = world.store.read(|c| Ok(c.query_row(left, [], |row| row.get(0))?)).unwrap();
    assert_eq!(left, "3 1, to 1, 2, to 2, 5, to 5");
}

#[tokio::test]
async fn a_branch_begins_with_so_many_messages() {
    let world = World::new();
    let first = world.say("1", None).await;
    let org = world.store.org(&world.tenant);
    let session = org.session(&first.session_id).unwrap().seq;
    for (messages, fits) in
        [(FORKED_MESSAGES_MAX - 1, true), (FORKED_MESSAGES_MAX, true), (FORKED_MESSAGES_MAX + 1, false)]
    {
        let turn = first.turn;
        let fill = move |c: &Connection| {
            let there: i64 =
                c.query_row("SELECT count(*) FROM message WHERE session = ?1", [session], |row| row.get(0))?;
            // As if the response had said more.
            (there..messages as i64).try_for_each(|_| {
                let said = NewMessage::new(Role::User, String::new(), "[]".into());
                messages::insert(c, session, Some(turn), &said, Place::default())
            })
        };
        world.store.writer.write(fill).await.unwrap();
        let previous = Some(Previous { turn: first.turn, is_apart: true });
        assert_eq!(world.begin("x", previous).await.is_ok(), fits, "{messages}");
    }
}
