//! Tools of a program that carries `alm` inside: code of its own.
//!
//! Rule: they have the names, checks, limits and states of every other tool; a panic and a time-out are sentences for the model.

use std::{fmt, panic::AssertUnwindSafe, pin::Pin, sync::Arc, time::Duration};

use futures_util::FutureExt;
use serde_json::Value;
use tokio::time::timeout;

use super::{
    call::{Call, Ended, duration},
    declare::{self, Faults},
    schema::Schema,
};
use crate::error::{Error, Result};

/// How long a call may take unless its tool says otherwise.
const HOST_PATIENCE: Duration = Duration::from_secs(30);

/// A tool that is code of the program that runs the server: every agent that may use it is offered it, in every organization.
///
/// ```
/// use alm::{Server, Tool, ToolCall, ToolSpec};
/// use serde_json::{Value, json};
///
/// struct Weather;
/// impl Tool for Weather {
///     fn spec(&self) -> ToolSpec {
///         ToolSpec::new("weather", "The weather of a town.", json!({ "type": "object", "required": ["town"] }))
///     }
///     async fn run(&self, call: ToolCall) -> Result<Value, String> {
///         Ok(json!({ "town": call.input["town"], "sky": "clear" })) // an Err is a sentence for the model
///     }
/// }
///
/// let builder = Server::builder().data_dir("alm-data").tool(Weather);
/// # drop(builder);
/// ```
pub trait HostTool: Send + Sync + 'static {
    /// What models are told of it. Asked for once, when the server is built.
    fn spec(&self) -> ToolSpec;

    /// Runs one call, whose input fits the schema. An `Err` is a sentence for the model. A stop, or the end of its time, drops the
    /// future: what it is to undo then is undone by a `Drop`. It shares the threads that serve, so what blocks belongs into
    /// `tokio::task::spawn_blocking`.
    fn run(&self, call: ToolCall) -> impl Future<Output = Result<Value, String>> + Send;
}

/// What a tool is.
#[derive(Debug, Clone)]
pub struct ToolSpec {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) input_schema: Value,
    pub(super) approval: Approval,
    pub(super) price: i64,
    pub(super) time_max: Duration,
}

/// Who allows a call of a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Approval {
    /// Nobody needs to.
    Never,
    /// Whoever may chat in the session.
    #[default]
    Ask,
    /// An owner at a browser.
    Owner,
}

/// One call of a tool.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ToolCall {
    /// What the model wants, as the tool's schema says.
    pub input: Value,
    /// Unique to the call.
    pub id: String,
    /// The id of the organization.
    pub organization_id: String,
    /// The id of the person who asks.
    pub user_id: String,
    /// The id of the session; empty: the conversation is not stored.
    pub session_id: String,
}

impl ToolSpec {
    /// One that asks before each call, is free, and may take 30 seconds. The schema is a JSON Schema of type `object`.
    pub fn new(name: impl Into<String>, description: impl Into<String>, input_schema: Value) -> Self {
        ToolSpec {
            name: name.into(),
            description: description.into(),
            input_schema,
            approval: Approval::Ask,
            price: 0,
            time_max: HOST_PATIENCE,
        }
    }

    /// Who allows its calls.
    #[must_use]
    pub fn approval(self, approval: Approval) -> Self {
        ToolSpec { approval, ..self }
    }

    /// What each call costs the organization, in millionths of a US cent.
    #[must_use]
    pub fn price_microcents(self, price: i64) -> Self {
        ToolSpec { price, ..self }
    }

    /// How long a call may take: 100 ms to 10 minutes.
    #[must_use]
    pub fn timeout(self, time_max: Duration) -> Self {
        ToolSpec { time_max, ..self }
    }

    /// Whether there can be such a tool.
    fn check(&self) -> Result<()> {
        let mut faults = Faults::default();
        faults.also(declare::check_name(&self.name));
        faults.also(declare::check_description(&self.description));
        faults.also(declare::check_time("timeout", u32::try_from(self.time_max.as_millis()).unwrap_or(u32::MAX)));
        faults.also(declare::check_price(self.price));
        if let Err(fault) = Schema::compile(&self.input_schema) {
            faults.unless(false, "inputSchema", &fault);
        }
        faults.done()
    }
}

/// How such a tool runs.
#[derive(Clone)]
pub struct Code(Arc<dyn Run>);

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code")
    }
}

/// A tool whose type is forgotten.
trait Run: Send + Sync {
    fn run(&self, call: ToolCall) -> Pin<Box<dyn Future<Output = Result<Value, String>> + Send + '_>>;
}

impl<T: HostTool> Run for T {
    fn run(&self, call: ToolCall) -> Pin<Box<dyn Future<Output = Result<Value, String>> + Send + '_>> {
        Box::pin(HostTool::run(self, call))
    }
}

/// A tool of the host.
pub struct Given {
    pub(super) spec: ToolSpec,
    pub(super) code: Code,
}

impl Given {
    /// One that the host hands in.
    pub fn new(tool: impl HostTool) -> Self {
        Given { spec: tool.spec(), code: Code(Arc::new(tool)) }
    }
}

/// Whether there can be all of these tools.
pub fn check(given: &[Given]) -> Result<()> {
    for (at, Given { spec, .. }) in given.iter().enumerate() {
        spec.check().map_err(|error| Error::invalid("tool", format!("{}: {error}", spec.name)))?;
        if given[..at].iter().any(|other| other.spec.name == spec.name) {
            return Err(Error::invalid("tool", format!("two tools are called {}", spec.name)));
        }
    }
    Ok(())
}

impl Code {
    /// Runs a call of the tool that has this name and so much time. Dropping it drops what the host's code was doing.
    pub(super) async fn run(&self, name: &str, time_max: Duration, input: &Value, call: Call) -> Ended {
        let call = ToolCall {
            input: input.clone(),
            id: call.id,
            organization_id: call.tenant.org_id,
            user_id: call.tenant.user_id,
            session_id: call.session_id,
        };
        // What panics before its future begins is caught as well.
        let ran = AssertUnwindSafe(async { self.0.run(call).await }).catch_unwind();
        match timeout(time_max, ran).await {
            Ok(Ok(Ok(output))) => Ended::done(output),
            Ok(Ok(Err(sentence))) => Ended::Failed(sentence),
            Ok(Err(_)) => Ended::Failed(format!("The tool {name} failed.")),
            Err(_) => Ended::Unknown(format!("No answer came within {}", duration(time_max))),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    struct Named(ToolSpec);

    impl HostTool for Named {
        fn spec(&self) -> ToolSpec {
            self.0.clone()
        }

        async fn run(&self, _: ToolCall) -> Result<Value, String> {
            Ok(Value::Null)
        }
    }

    fn named(name: &str) -> ToolSpec {
        ToolSpec::new(name, "Says so.", json!({ "type": "object" }))
    }

    fn made(specs: Vec<ToolSpec>) -> Result<()> {
        check(&specs.into_iter().map(|spec| Given::new(Named(spec))).collect::<Vec<_>>())
    }

    #[test]
    fn what_can_be_no_tool_is_said_when_the_server_is_built() {
        let wrong = [
            named("Weather"),
            named("a__b"),
            named("current_time"),
            named("w").timeout(Duration::from_millis(99)),
            named("w").timeout(Duration::from_millis(600_001)),
            named("w").price_microcents(-1),
            ToolSpec::new("w", "", json!({ "type": "object" })),
            ToolSpec::new("w", "Says so.", json!({ "type": "string" })),
        ];
        for spec in wrong {
            assert!(made(vec![spec.clone()]).is_err(), "{spec:?}");
        }
        made(vec![
            named("b"),
            named("a").timeout(Duration::from_secs(600)),
            named("c").timeout(Duration::from_millis(100)),
        ])
        .unwrap();
        assert!(made(vec![named("a"), named("a")]).unwrap_err().to_string().contains("two tools are called a"));
    }
}
