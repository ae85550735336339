//! Secrets as requests bring them: the text itself, or where the server finds it.
//!
//! Rule: they come in and never go out; a variable that an owner at a browser names begins with [`TOOL_VARIABLE_PREFIX`].

use std::collections::BTreeMap;

use poem_openapi::Object;

use crate::{
    error::{Error, Result},
    secret::{Secret, TOOL_VARIABLE_PREFIX, trimmed},
    tools::secrets::NewSecret,
};

/// A secret: its text, or the variable that holds it.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct SecretSource {
    /// Sealed at rest and never shown.
    pub value: Option<String>,
    /// Instead: an environment variable of the server whose name begins with `ALM_TOOL_SECRET_`.
    pub env: Option<String>,
}

/// The secrets of a request's field, by name.
pub(super) fn taken(field: &str, sources: BTreeMap<String, SecretSource>) -> Result<Vec<(String, NewSecret)>> {
    let one = |(name, source): (String, SecretSource)| {
        let credential = credential(&format!("{field}.{name}"), source)?;
        Ok((name, credential))
    };
    sources.into_iter().map(one).collect()
}

fn credential(field: &str, source: SecretSource) -> Result<NewSecret> {
    match (source.value, source.env) {
        (Some(text), None) => Ok(NewSecret::Text(Secret::new(trimmed(&text)))),
        (None, Some(name)) if name.trim().starts_with(TOOL_VARIABLE_PREFIX) => {
            Ok(NewSecret::Variable(name.trim().to_owned()))
        }
        (None, Some(_)) => {
            Err(Error::invalid(format!("{field}.env"), format!("must begin with {TOOL_VARIABLE_PREFIX}")))
        }
        _ => Err(Error::invalid(field, "must have either value or env")),
    }
}

/// The value of `authorization` that a bearer token is sent as.
pub(super) fn bearer(field: &str, source: SecretSource) -> Result<NewSecret> {
    Ok(match credential(field, source)? {
        NewSecret::Text(token) => NewSecret::Text(Secret::new(format!("Bearer {}", token.expose()))),
        NewSecret::Variable(name) => NewSecret::Bearer(name),
        other => other,
    })
}
