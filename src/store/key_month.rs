//! What keys spend in a month, and what they may.
//!
//! Rule: a key's month is the sum of what its turns settled since the first of the month (UTC) and hold now. The ledger's trigger
//! keeps it, and the transaction that holds money looks at it: of any number of turns at once, none passes the limit.
//! A key goes on with the month of the one that it replaced: both are counted at the first of them.

use rusqlite::{Connection, OptionalExtension, named_params};

use crate::{
    error::{Error, Result},
    money::format_usd,
    time::Timestamp,
};

/// What is left to the key that a turn is charged to, in microcents; `None`: no key, or one without a limit. Less than is needed at
/// least is a refusal.
pub(super) fn left(c: &Connection, turn_id: &str, at_least: i64) -> Result<Option<i64>> {
    let now = Timestamp::now();
    let mut statement = c.prepare_cached(
        "SELECT first.monthly_limit, first.held + coalesce(m.spent, 0)
         FROM turn t JOIN api_key k ON k.id = t.key_id JOIN api_key first ON first.id = coalesce(k.rotated_from, k.id)
         LEFT JOIN key_month m ON m.key_id = first.id AND m.month = :month
         WHERE t.id = :turn AND first.monthly_limit IS NOT NULL",
    )?;
    let of = named_params! { ":turn": turn_id, ":month": now.month() };
    let found: Option<(i64, i64)> = statement.query_row(of, |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    match found {
        Some((limit, gone)) if limit - gone < at_least => Err(spent(limit, now)),
        found => Ok(found.map(|(limit, gone)| limit - gone)),
    }
}

fn spent(limit: i64, now: Timestamp) -> Error {
    let resets_at = now.next_month().to_string();
    let day = resets_at.split('T').next().unwrap_or(&resets_at);
    let usd = format_usd(limit);
    let message = format!(
        "this key may spend ${usd} a month, and what is left cannot pay for this: raise its limit, choose a free model, or wait until {day}"
    );
    Error::KeyLimit { limit, message, resets_at }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        id,
        key::{self, Env, Scope},
        store::{
            Org, Store, Tenant,
            keys::{ApiKey, KeyChange, KeyTerms, KeysOf},
            turns::{Begun, EndedTurn, Hold, Outcome},
            unstored::{NewUnstored, TurnKind},
        },
    };

    struct World {
        store: Store,
        tenant: Tenant,
        _folder: tempfile::TempDir,
    }

    impl World {
        async fn with(balance: i64) -> World {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::open(folder.path(), 1).unwrap();
            let tenant = store.create_org("acme", "a@example.com", None).unwrap().tenant();
            store.org(&tenant).deposit(balance, String::new()).await.unwrap();
            World { store, tenant, _folder: folder }
        }

        fn org(&self) -> Org<'_> {
            self.store.org(&self.tenant)
        }

        async fn key(&self, limit: Option<i64>) -> ApiKey {
            let new = key::generate(Env::Live).unwrap();
            let made = self.org().create_key(&new, KeyTerms::live("k", Scope::ALL.to_vec())).await.unwrap();
            self.limit(&made.id, limit).await
        }

        async fn limit(&self, key_id: &str, limit: Option<i64>) -> ApiKey {
            let change = KeyChange { monthly_limit: Some(limit), ..KeyChange::default() };
            self.org().change_key(key_id.into(), KeysOf::Own, change).await.unwrap()
        }

        fn shown(&self, key_id: &str) -> ApiKey {
            self.org().keys(KeysOf::Own).unwrap().into_iter().find(|key| key.id == key_id).unwrap()
        }

        async fn begin(&self, key_id: Option<&str>, at_least: i64, at_most: i64) -> Result<Begun> {
            let new = NewUnstored {
                id: id::generate(),
                agent_id: None,
                project_id: None,
                model: "p/m".into(),
                message_id: id::generate(),
                kind: TurnKind::Embedding,
                input_tokens: 0,
                hold: Some(Hold { at_least, at_most }),
                key_id: key_id.map(str::to_owned),
                came: Default::default(),
            };
            self.org().begin_unstored(new).await
        }

        async fn end(&self, begun: &Begun, cost: i64) {
            let ended = EndedTurn {
                turn: begun.turn,
                turn_id: begun.turn_id.clone(),
                session: None,
                outcome: Outcome::Complete,
                message: None,
                input_tokens: 0,
                cache_read_tokens: 0,
                output_tokens: 0,
                cost,
                cut: None,
                calls: Vec::new(),
                ending: None,
                noted: Default::default(),
            };
            self.org().end_turn(ended).await.unwrap();
        }
    }

    fn is_refused(begun: Result<Begun>, of: i64) -> bool {
        matches!(begun, Err(Error::KeyLimit { limit, .. }) if limit == of)
    }

    #[tokio::test]
    async fn a_key_holds_and_spends_no_more_than_its_limit_and_others_do_not_count() {
        let world = World::with(10_000).await;
        let (key, other) = (world.key(Some(100)).await, world.key(None).await);
        let id = Some(&*key.id);
        let one = world.begin(id, 10, 60).await.unwrap();
        let two = world.begin(id, 10, 60).await.unwrap();
        assert_eq!((one.held, two.held), (60, 40), "the hold shrinks to what is left");
        assert!(is_refused(world.begin(id, 1, 60).await, 100));
        let more = world.org().hold_more(one.turn_id.clone(), "p/m".into(), Hold { at_least: 1, at_most: 9 }).await;
        assert!(matches!(more, Err(Error::KeyLimit { .. })), "a price of a tool counts");
        assert_eq!(world.begin(Some(&other.id), 10, 500).await.unwrap().held, 500);
        assert_eq!(world.begin(None, 10, 500).await.unwrap().held, 500);
        world.end(&one, 7).await;
        world.org().withdraw_turn(two, Default::default()).await.unwrap();
        assert_eq!(world.shown(&key.id).spent_this_month, 7);
        assert_eq!(world.begin(id, 93, 200).await.unwrap().held, 93);
        assert!(is_refused(world.begin(id, 1, 1).await, 100));
        // What is lowered below what runs ends nothing, and what is taken away holds nobody back.
        world.limit(&key.id, Some(5)).await;
        assert!(is_refused(world.begin(id, 1, 1).await, 5));
        world.limit(&key.id, None).await;
        assert_eq!(world.begin(id, 1, 1_000).await.unwrap().held, 1_000);
        assert!(world.store.audit().unwrap().is_sound());
    }

    #[tokio::test]
    async fn a_key_goes_on_with_the_limit_and_the_month_of_the_one_that_it_replaced() {
        let world = World::with(10_000).await;
        let first = world.key(Some(100)).await;
        let running = world.begin(Some(&first.id), 10, 30).await.unwrap();
        let day = Duration::from_secs(86_400);
        let rotate =
            async |id: &str| world.org().rotate_key(id.into(), KeysOf::Own, day, key::generate).await.unwrap().0;
        let second = rotate(&first.id).await;
        let third = rotate(&second.id).await;
        assert_eq!((third.monthly_limit, third.spent_this_month), (Some(100), 0));
        assert_eq!(world.begin(Some(&third.id), 10, 500).await.unwrap().held, 70);
        assert!(is_refused(world.begin(Some(&second.id), 1, 1).await, 100));
        world.end(&running, 30).await;
        for key in [&first, &second, &third] {
            assert_eq!(world.shown(&key.id).spent_this_month, 30);
        }
        world.limit(&third.id, Some(101)).await;
        assert_eq!(world.shown(&first.id).monthly_limit, Some(101));
        assert_eq!(world.begin(Some(&second.id), 1, 9).await.unwrap().held, 1);
    }

    #[tokio::test]
    async fn a_new_month_begins_with_nothing_spent_and_what_still_runs() {
        let world = World::with(10_000).await;
        let key = world.key(Some(100)).await;
        let spent = world.begin(Some(&key.id), 1, 80).await.unwrap();
        world.end(&spent, 80).await;
        let _running = world.begin(Some(&key.id), 1, 15).await.unwrap();
        assert!(is_refused(world.begin(Some(&key.id), 6, 50).await, 100));
        let ago = |c: &Connection| Ok(c.execute("UPDATE key_month SET month = '2001-01'", [])?);
        world.store.writer.write_blocking(ago).unwrap();
        assert_eq!(world.shown(&key.id).spent_this_month, 0);
        assert_eq!(world.begin(Some(&key.id), 6, 500).await.unwrap().held, 85);
    }

    #[tokio::test]
    async fn of_any_turns_at_once_on_two_keys_none_passes_a_limit() {
        let world = World::with(100_000).await;
        let keys = [world.key(Some(1_000)).await, world.key(Some(333)).await];
        let mut seed = 7_u64;
        let mut random = move |below: i64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((seed >> 33) % below as u64) as i64
        };
        for _round in 0..4 {
            let asked: Vec<_> = (0..50).map(|n| (&*keys[n % 2].id, 1 + random(9), 10 + random(90))).collect();
            let begun = asked.into_iter().map(|(id, least, most)| world.begin(Some(id), least, most));
            let begun: Vec<Begun> = futures_util::future::join_all(begun).await.into_iter().flatten().collect();
            let ended = begun.iter().map(|begun| (begun, random(begun.held + 20)));
            let ended: Vec<_> = ended.collect();
            futures_util::future::join_all(ended.into_iter().map(|(begun, cost)| world.end(begun, cost))).await;
            for key in &keys {
                let shown = world.shown(&key.id);
                assert!(shown.spent_this_month <= shown.monthly_limit.unwrap(), "{shown:?}");
                let charged = "SELECT coalesce(sum(cost), 0) FROM turn WHERE key_id = ?1";
                let charged: i64 =
                    world.org().read(|c| Ok(c.query_row(charged, [&key.id], |row| row.get(0))?)).unwrap();
                let held = "SELECT held FROM api_key WHERE id = ?1";
                let held: i64 = world.org().read(|c| Ok(c.query_row(held, [&key.id], |row| row.get(0))?)).unwrap();
                assert_eq!((shown.spent_this_month, held), (charged, 0));
            }
        }
        assert!(keys.iter().all(|key| world.shown(&key.id).spent_this_month > 0));
    }
}
