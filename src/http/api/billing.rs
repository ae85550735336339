//! Money: what there is, what came and went, what was used for what.

use poem_openapi::{Enum, Object, OpenApi, param::Query, types::Example};
use serde::Serialize;

use super::{models::Pricing, tags::Tag};
use crate::{
    catalog,
    error::{Error, Result},
    http::{
        auth::{Caller, OwnerSteppedUp, Read},
        body::JsonBody,
        wire::{
            check::{Checks, page_limit},
            data::{Created, Data, Items},
            envelope::ApiError,
            moment::Moment,
        },
    },
    money::USD,
    store::{Org, ledger, usage},
    time::Timestamp,
};

/// Longest note of a deposit, in characters.
const NOTE_CHARS_MAX: usize = 200;

/// An organization's money. 1 USD is 1,000,000 microcents.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
struct Billing {
    balance_microcents: i64,
    /// The part held for running turns.
    held_microcents: i64,
    /// Always `USD`.
    currency: String,
    /// Since the first of the month, UTC.
    current_month: Usage,
}

/// Totals of a set of turns.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
struct Usage {
    input_tokens: i64,
    output_tokens: i64,
    /// Input tokens that came from the provider's cache.
    cache_read_tokens: i64,
    cost_microcents: i64,
    turns: i64,
}

/// Totals of one group of turns.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
struct UsageGroup {
    /// The id of a model, agent, project, session or key, or a day; `null` for turns without one.
    #[oai(nullable)]
    key: Option<String>,
    /// What that is called, where it has a name.
    #[oai(nullable)]
    name: Option<String>,
    /// The id of its part. Only with `splitBy`.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    part: Option<String>,
    input_tokens: i64,
    output_tokens: i64,
    cache_read_tokens: i64,
    cost_microcents: i64,
    turns: i64,
}

/// An entry of the ledger.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
struct Transaction {
    id: String,
    kind: TransactionKind,
    /// The change of the balance.
    amount_microcents: i64,
    /// The change of the held amount.
    held_microcents: i64,
    #[oai(nullable)]
    turn_id: Option<String>,
    note: String,
    created_at: Moment,
    /// The balance that it left.
    balance_after_microcents: i64,
    /// What the turn was; `null`: there was none, or it is gone.
    #[oai(nullable)]
    turn: Option<TransactionTurn>,
}

/// The turn of an entry. What the caller may not see is `null`.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
struct TransactionTurn {
    model: String,
    #[oai(nullable)]
    agent_id: Option<String>,
    #[oai(nullable)]
    agent_name: Option<String>,
    #[oai(nullable)]
    session_id: Option<String>,
    /// The API key that asked; `null`: a browser did.
    #[oai(nullable)]
    key_id: Option<String>,
    #[oai(nullable)]
    key_name: Option<String>,
    input_tokens: i64,
    output_tokens: i64,
}

/// The kind of an entry.
#[derive(Debug, Clone, Copy, Enum, Serialize)]
#[oai(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
enum TransactionKind {
    /// Money came.
    Deposit,
    /// A turn began: what it may cost at most is held.
    Reserve,
    /// A turn ended: what it did cost was taken, the rest let go.
    Settle,
    /// A turn ended and cost nothing.
    Release,
}

/// Which holds a list shows.
#[derive(Debug, Clone, Copy, Enum)]
#[oai(rename_all = "lowercase")]
enum Holds {
    All,
    /// Only those of turns that still run: of a turn that ended, its bill stands for both.
    Open,
}

/// A deposit.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none, example)]
struct Deposit {
    amount_microcents: i64,
    note: Option<String>,
}

impl Example for Deposit {
    fn example() -> Self {
        Deposit { amount_microcents: 10 * USD, note: Some("November".into()) }
    }
}

/// What a model costs.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
struct ModelPricing {
    /// `provider/model`.
    model: String,
    is_free: bool,
    /// `null` where no price is set.
    #[oai(nullable)]
    pricing: Option<Pricing>,
}

/// What usage is grouped by.
#[derive(Debug, Clone, Copy, Enum)]
#[oai(rename_all = "lowercase")]
enum GroupBy {
    Model,
    Agent,
    Project,
    Session,
    /// The API key that asked; an owner sees everyone's.
    Key,
    /// A day of UTC.
    Day,
}

/// The operations.
#[derive(Default)]
pub struct BillingApi;

#[OpenApi(tag = "Tag::Billing")]
impl BillingApi {
    /// Get the balance and this month's usage
    #[oai(path = "/billing", method = "get", operation_id = "get_billing")]
    async fn get_billing(&self, caller: Caller<Read>) -> Result<Data<Billing>, ApiError> {
        Ok(Data::of(&billing(&caller).await?))
    }

    /// List ledger entries, newest first
    #[oai(path = "/billing/transactions", method = "get", operation_id = "list_transactions")]
    async fn list_transactions(
        &self,
        caller: Caller<Read>,
        /// Which holds are listed. Default `all`.
        holds: Query<Option<Holds>>,
        /// 1 to 100. Default 50.
        limit: Query<Option<i64>>,
        /// The `nextCursor` of the previous page.
        cursor: Query<Option<String>>,
    ) -> Result<Data<Items<Transaction>>, ApiError> {
        let (all, limit) = (!matches!(holds.0, Some(Holds::Open)), page_limit(limit.0)?);
        let page = caller.scan(move |org| org.ledger_entries(all, limit, cursor.0.as_deref())).await?;
        Ok(Data::of(&Items::page(page, Transaction::from)))
    }

    /// Create a deposit
    ///
    /// Requires the owner, signed in with a browser. Operators can also use `alm deposit`.
    #[oai(path = "/billing/deposit", method = "post", operation_id = "create_deposit")]
    async fn create_deposit(
        &self,
        caller: Caller<OwnerSteppedUp>,
        body: JsonBody<Deposit>,
    ) -> Result<Created<Billing>, ApiError> {
        let note = body.0.note.unwrap_or_default();
        let mut checks = Checks::default();
        checks.chars("note", &note, 0..=NOTE_CHARS_MAX);
        checks.done()?;
        caller.org().deposit(body.0.amount_microcents, note).await?;
        Ok(Data::of(&billing(&caller).await?))
    }

    /// Get usage by group
    #[oai(path = "/billing/usage", method = "get", operation_id = "list_usage")]
    async fn list_usage(
        &self,
        caller: Caller<Read>,
        /// Default `model`.
        #[oai(name = "groupBy")]
        group_by: Query<Option<GroupBy>>,
        /// Splits each group into parts, the dearest first. Default: groups are whole.
        #[oai(name = "splitBy")]
        split_by: Query<Option<GroupBy>>,
        /// RFC 3339, inclusive. Default: the first of this month.
        from: Query<Option<String>>,
        /// RFC 3339, exclusive. Default: now.
        to: Query<Option<String>>,
    ) -> Result<Data<Items<UsageGroup>>, ApiError> {
        let group_by = group_by.0.unwrap_or(GroupBy::Model).into();
        let split_by = split_by.0.map(Into::into);
        let (from, to) = span(from.0, to.0)?;
        let groups = caller.scan(move |org| org.usage_by(group_by, split_by, from, to)).await?;
        Ok(Data::of(&Items::all(groups)))
    }

    /// List model prices
    #[oai(path = "/billing/pricing", method = "get", operation_id = "list_pricing")]
    async fn list_pricing(&self, caller: Caller<Read>) -> Result<Data<Items<ModelPricing>>, ApiError> {
        Ok(Data::of(&Items::all(caller.app.catalog.models(&caller.tenant)?)))
    }
}

/// The balance now, and the month so far.
async fn billing<A>(caller: &Caller<A>) -> Result<Billing> {
    let read = |org: Org<'_>| {
        let now = Timestamp::now();
        Ok((org.details()?, org.usage(month_of(now), later(now))?))
    };
    let (org, usage) = caller.scan(read).await?;
    Ok(Billing {
        balance_microcents: org.balance,
        held_microcents: org.held,
        currency: "USD".into(),
        current_month: usage.into(),
    })
}

/// The first moment of a moment's month, UTC.
fn month_of(at: Timestamp) -> Timestamp {
    let text = at.to_string();
    let first = format!("{}-01T00:00:00.000Z", &text[..text.len().min("2026-11".len())]);
    Timestamp::parse(&first).unwrap_or(at)
}

/// The end of a span that includes the present moment.
fn later(at: Timestamp) -> Timestamp {
    at.plus(std::time::Duration::from_millis(1))
}

fn span(from: Option<String>, to: Option<String>) -> Result<(Timestamp, Timestamp)> {
    let moment = |field: &str, text: String| {
        Timestamp::parse(&text).ok_or_else(|| Error::invalid(field, "must be a time such as 2026-11-23T14:00:00.000Z"))
    };
    let to = to.map_or_else(|| Ok(later(Timestamp::now())), |text| moment("to", text))?;
    let from = from.map_or_else(|| Ok(month_of(to)), |text| moment("from", text))?;
    let mut checks = Checks::default();
    checks.that(from < to, "from", || "must be before to");
    checks.done().map(|()| (from, to))
}

impl From<usage::Usage> for Usage {
    fn from(usage: usage::Usage) -> Self {
        Usage {
            input_tokens: usage.input_tokens,
            output_tokens: usage.output_tokens,
            cache_read_tokens: usage.cache_read_tokens,
            cost_microcents: usage.cost,
            turns: usage.turns,
        }
    }
}

impl From<usage::Group> for UsageGroup {
    fn from(usage::Group { key, name, part, usage }: usage::Group) -> Self {
        UsageGroup {
            key,
            name,
            part,
            input_tokens: usage.input_tokens,
            output_tokens: usage.output_tokens,
            cache_read_tokens: usage.cache_read_tokens,
            cost_microcents: usage.cost,
            turns: usage.turns,
        }
    }
}

impl From<ledger::Entry> for Transaction {
    fn from(entry: ledger::Entry) -> Self {
        Transaction {
            id: entry.id,
            kind: match entry.kind {
                ledger::Kind::Deposit => TransactionKind::Deposit,
                ledger::Kind::Reserve => TransactionKind::Reserve,
                ledger::Kind::Settle => TransactionKind::Settle,
                ledger::Kind::Release => TransactionKind::Release,
            },
            amount_microcents: entry.balance_delta,
            held_microcents: entry.held_delta,
            turn_id: entry.turn_id,
            note: entry.note,
            created_at: entry.created_at.into(),
            balance_after_microcents: entry.balance_after,
            turn: entry.turn.map(Into::into),
        }
    }
}

impl From<ledger::EntryTurn> for TransactionTurn {
    fn from(turn: ledger::EntryTurn) -> Self {
        TransactionTurn {
            model: turn.model,
            agent_id: turn.agent_id,
            agent_name: turn.agent_name,
            session_id: turn.session_id,
            key_id: turn.key_id,
            key_name: turn.key_name,
            input_tokens: turn.input_tokens,
            output_tokens: turn.output_tokens,
        }
    }
}

impl From<catalog::Model> for ModelPricing {
    fn from(model: catalog::Model) -> Self {
        ModelPricing { is_free: model.is_free(), model: model.id, pricing: model.pricing.map(Into::into) }
    }
}

impl From<GroupBy> for usage::GroupBy {
    fn from(group_by: GroupBy) -> Self {
        match group_by {
            GroupBy::Model => usage::GroupBy::Model,
            GroupBy::Agent => usage::GroupBy::Agent,
            GroupBy::Project => usage::GroupBy::Project,
            GroupBy::Session => usage::GroupBy::Session,
            GroupBy::Key => usage::GroupBy::Key,
            GroupBy::Day => usage::GroupBy::Day,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_begins_on_its_first() {
        let at = Timestamp::parse("2026-11-23T14:00:00.123Z").unwrap();
        assert_eq!(month_of(at).to_string(), "2026-11-01T00:00:00.000Z");
    }

    #[test]
    fn a_span_runs_forward() {
        let text = |text: &str| Some(text.to_owned());
        span(text("2026-01-01T00:00:00Z"), text("2026-02-01T00:00:00Z")).unwrap();
        span(text("2026-02-01T00:00:00Z"), text("2026-01-01T00:00:00Z")).unwrap_err();
        span(text("yesterday"), None).unwrap_err();
    }
}
