//! Money: what there is, what came and went, what was used for what.

use poem_openapi::{Enum, Object, OpenApi, param::Query, types::Example};
use serde::Serialize;

use super::{models::Pricing, tags::Tag};
use crate::{
    catalog,
    error::{Error, Result},
    http::{
        auth::{Caller, OwnerSteppedUp, Read},
        wire::{
            body::JsonBody,
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
    /// What running turns may still need of it.
    held_microcents: i64,
    /// Always `USD`.
    currency: String,
    /// Since the first of the month, UTC.
    current_month: Usage,
}

/// Sums of some turns.
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

/// Sums of one group of turns.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
struct UsageGroup {
    /// A model's id, an agent's, a project's, a session's, or a day; `null`: turns that have none.
    #[oai(nullable)]
    key: Option<String>,
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
    /// What it added to the balance, or took.
    amount_microcents: i64,
    /// What it added to what is held, or let go of.
    held_microcents: i64,
    #[oai(nullable)]
    turn_id: Option<String>,
    note: String,
    created_at: Moment,
}

/// Why an entry was made.
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

/// A deposit of the operator's own.
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
    /// `null`: free.
    #[oai(nullable)]
    pricing: Option<Pricing>,
}

/// What usage is summed by.
#[derive(Debug, Clone, Copy, Enum)]
#[oai(rename_all = "lowercase")]
enum GroupBy {
    Model,
    Agent,
    Project,
    Session,
    /// A day of UTC.
    Day,
}

/// The operations.
#[derive(Default)]
pub struct BillingApi;

#[OpenApi(tag = "Tag::Billing")]
impl BillingApi {
    /// Read the balance and this month's usage
    #[oai(path = "/billing", method = "get", operation_id = "get_billing")]
    async fn get_billing(&self, caller: Caller<Read>) -> Result<Data<Billing>, ApiError> {
        Ok(Data::of(&billing(&caller).await?))
    }

    /// List the ledger's entries, the newest first
    #[oai(path = "/billing/transactions", method = "get", operation_id = "list_transactions")]
    async fn list_transactions(
        &self,
        caller: Caller<Read>,
        /// 1 to 100; 50 when absent.
        limit: Query<Option<i64>>,
        /// The `nextCursor` of the page before.
        cursor: Query<Option<String>>,
    ) -> Result<Data<Items<Transaction>>, ApiError> {
        let page = caller.org().ledger_entries(page_limit(limit.0)?, cursor.0.as_deref())?;
        Ok(Data::of(&Items::page(page, Transaction::from)))
    }

    /// Add to the balance
    ///
    /// Needs a signed-in browser session of the owner's. Operators have `alm deposit` as well.
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

    /// Sum what turns used
    #[oai(path = "/billing/usage", method = "get", operation_id = "list_usage")]
    async fn list_usage(
        &self,
        caller: Caller<Read>,
        /// `model` when absent.
        #[oai(name = "groupBy")]
        group_by: Query<Option<GroupBy>>,
        /// RFC 3339, included; the first of this month when absent.
        from: Query<Option<String>>,
        /// RFC 3339, not included; now when absent.
        to: Query<Option<String>>,
    ) -> Result<Data<Items<UsageGroup>>, ApiError> {
        let group_by = group_by.0.unwrap_or(GroupBy::Model).into();
        let (from, to) = span(from.0, to.0)?;
        let groups = caller.scan(move |org| org.usage_by(group_by, from, to)).await?;
        Ok(Data::of(&Items::all(groups)))
    }

    /// List what models cost
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
        Timestamp::parse(&text)
            .ok_or_else(|| Error::invalid(field, "must be a moment such as 2026-11-23T14:00:00.000Z"))
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

impl From<(Option<String>, usage::Usage)> for UsageGroup {
    fn from((key, usage): (Option<String>, usage::Usage)) -> Self {
        UsageGroup {
            key,
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
        }
    }
}

impl From<catalog::Model> for ModelPricing {
    fn from(model: catalog::Model) -> Self {
        ModelPricing { model: model.id, is_free: model.pricing.is_none(), pricing: model.pricing.map(Into::into) }
    }
}

impl From<GroupBy> for usage::GroupBy {
    fn from(group_by: GroupBy) -> Self {
        match group_by {
            GroupBy::Model => usage::GroupBy::Model,
            GroupBy::Agent => usage::GroupBy::Agent,
            GroupBy::Project => usage::GroupBy::Project,
            GroupBy::Session => usage::GroupBy::Session,
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
