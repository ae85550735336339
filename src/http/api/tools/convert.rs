//! Tools between the wire and what is kept of them.

use poem_openapi::types::MaybeUndefined;

use super::{
    super::secrets,
    wire::{AcceptedDefinition, NewTool, SentRequest, Tool, ToolPatch, ToolTest},
};
use crate::{
    error::{Error, Result},
    http::wire::moment::StoredJson,
    money::{format_usd, parse_usd},
    store::{mcp::McpTool, tools::Policy},
    tools::{
        call::Ended,
        declare::{self, ToolChange},
        fingerprint,
        http::Tried,
        listing::Shown,
        place,
        secrets::Secrets,
    },
};

impl From<Shown> for Tool {
    fn from(shown: Shown) -> Self {
        let estimated_tokens = shown.estimated_tokens() as u64;
        let declared = shown.declared.as_ref();
        let secret_headers = |text: &str| -> Vec<String> {
            Secrets::from_json(text).unwrap_or_default().names().map(str::to_owned).collect()
        };
        Tool {
            estimated_tokens,
            method: declared.map(|tool| tool.method.clone()),
            url: declared.map(|tool| tool.url.clone()),
            headers: declared.map(|tool| place::headers_of(&tool.headers).into_iter().collect()),
            secret_headers: declared.map(|tool| secret_headers(&tool.secrets)),
            body: declared.map(|tool| tool.body.into()),
            timeout_ms: declared.map(|tool| tool.timeout_ms.into()),
            response_bytes_max: declared.map(|tool| tool.response_bytes_max.into()),
            added_by: declared.map(|tool| tool.added_by.into()),
            created_at: declared.map(|tool| tool.created_at.into()),
            updated_at: declared.map(|tool| tool.updated_at.into()),
            name: shown.name,
            title: shown.title,
            description: shown.description,
            input_schema: StoredJson::new(shown.input_schema),
            origin: shown.origin.map(Into::into),
            server: shown.server,
            approval: shown.policy.into(),
            is_on: shown.is_on,
            state: shown.state.into(),
            fault: shown.fault,
            fingerprint: fingerprint::hex(&shown.fingerprint),
            changed: shown.is_changed,
            accepted: shown
                .accepted
                .map(|(description, schema)| AcceptedDefinition { description, input_schema: StoredJson::new(schema) }),
            idempotent: shown.is_idempotent,
            price_per_call: (shown.price > 0).then(|| format_usd(shown.price)),
        }
    }
}

impl From<Tried> for ToolTest {
    fn from(tried: Tried) -> Self {
        let duration_ms = tried.duration.as_millis() as u64;
        let request =
            tried.sent.map(|sent| SentRequest { method: sent.method, url: sent.url, header_names: sent.header_names });
        let (output, error) = match tried.ended {
            Ended::Done { output, .. } => (Some(output), None),
            Ended::Failed(sentence) => (None, Some(tried.forbidden.unwrap_or(sentence))),
            Ended::Unknown(why) => (None, Some(format!("{why}. It may have taken effect."))),
        };
        ToolTest { ok: error.is_none(), output, error, status: tried.status, duration_ms, request }
    }
}

impl TryFrom<NewTool> for declare::NewTool {
    type Error = Error;

    fn try_from(new: NewTool) -> Result<Self> {
        let price = new.price_per_call.as_deref().map(price_of).transpose()?;
        let more = ToolChange {
            headers: new.headers.map(|headers| headers.into_iter().collect()),
            secrets: new.secret_headers.map(|sources| secrets::taken("secretHeaders", sources)).transpose()?,
            body: new.body.map(Into::into),
            timeout_ms: new.timeout_ms,
            response_bytes_max: new.response_bytes_max,
            approval: new.approval.map(Into::into),
            is_idempotent: new.idempotent,
            price,
            is_active: new.is_active,
            ..ToolChange::default()
        };
        Ok(declare::NewTool {
            name: new.name,
            description: new.description,
            input_schema: new.input_schema,
            method: new.method,
            url: new.url,
            more,
        })
    }
}

impl TryFrom<ToolPatch> for ToolChange {
    type Error = Error;

    fn try_from(patch: ToolPatch) -> Result<Self> {
        if patch.accept.is_some() {
            return Err(Error::invalid("accept", "must not be given: only tools of MCP servers change by themselves"));
        }
        if matches!(patch.approval, MaybeUndefined::Null) {
            return Err(Error::invalid("approval", "must not be null: an HTTP tool has an approval of its own"));
        }
        Ok(ToolChange {
            description: patch.description,
            input_schema: patch.input_schema,
            method: patch.method,
            url: patch.url,
            headers: patch.headers.map(|headers| headers.into_iter().collect()),
            secrets: patch.secret_headers.map(|sources| secrets::taken("secretHeaders", sources)).transpose()?,
            body: patch.body.map(Into::into),
            timeout_ms: patch.timeout_ms,
            response_bytes_max: patch.response_bytes_max,
            approval: patch.approval.take().map(Into::into),
            is_idempotent: patch.idempotent,
            price: changed_price(patch.price_per_call)?,
            is_active: patch.is_active.or(patch.is_on),
        })
    }
}

impl ToolPatch {
    /// Changes what a person sets of a tool of an MCP server.
    pub(super) fn apply(self, tool: &mut McpTool) -> Result<()> {
        let of_http = [
            ("description", self.description.is_some()),
            ("inputSchema", self.input_schema.is_some()),
            ("method", self.method.is_some()),
            ("url", self.url.is_some()),
            ("headers", self.headers.is_some()),
            ("secretHeaders", self.secret_headers.is_some()),
            ("body", self.body.is_some()),
            ("timeoutMs", self.timeout_ms.is_some()),
            ("responseBytesMax", self.response_bytes_max.is_some()),
        ];
        if let Some((field, _)) = of_http.into_iter().find(|(_, is_given)| *is_given) {
            return Err(Error::invalid(field, "must not be given: it is its MCP server's"));
        }
        if let Some(read) = self.accept {
            if read != fingerprint::hex(&tool.fingerprint) {
                return Err(Error::Conflict(
                    "the tool has changed since it was read: read it again, then accept it".into(),
                ));
            }
            tool.accepted = Some(tool.fingerprint);
            tool.accepted_definition = Some(tool.definition.clone());
        }
        match self.approval {
            MaybeUndefined::Undefined => {}
            MaybeUndefined::Null => tool.approval = None,
            MaybeUndefined::Value(approval) => tool.approval = Some(Policy::from(approval)),
        }
        tool.price = changed_price(self.price_per_call)?.unwrap_or(tool.price);
        tool.is_idempotent = self.idempotent.unwrap_or(tool.is_idempotent);
        tool.is_on = self.is_on.or(self.is_active).unwrap_or(tool.is_on);
        declare::check_price(tool.price)
    }
}

fn changed_price(price: MaybeUndefined<String>) -> Result<Option<i64>> {
    match price {
        MaybeUndefined::Undefined => Ok(None),
        MaybeUndefined::Null => Ok(Some(0)),
        MaybeUndefined::Value(text) => price_of(&text).map(Some),
    }
}

/// US dollars as microcents.
fn price_of(text: &str) -> Result<i64> {
    parse_usd(text).map_err(|error| Error::invalid("pricePerCall", error.to_string()))
}
