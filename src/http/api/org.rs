//! The organization itself.

use poem_openapi::{
    Object, OpenApi,
    types::{Example, MaybeUndefined},
};
use serde::Serialize;

use super::{sign_in::Role, tags::Tag};
use crate::{
    error::Result,
    http::{
        auth::{Caller, Owner, Read},
        body::JsonBody,
        wire::{data::Data, envelope::ApiError, moment::Moment},
    },
};

/// An organization, and the caller's role in it.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Org", rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
struct OrgShown {
    id: String,
    slug: String,
    /// `provider/model` for chats that name none; `null` for the built-in model.
    #[oai(nullable)]
    default_model: Option<String>,
    /// The model of chats where neither chat, agent nor organization names one.
    built_in_model: String,
    /// The caller's role. A key has the role of its owner.
    role: Role,
    created_at: Moment,
}

/// Changes to an organization. Absent fields stay as they are.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none, example)]
struct OrgPatch {
    /// `null` for the built-in model.
    #[oai(nullable)]
    default_model: MaybeUndefined<String>,
}

impl Example for OrgPatch {
    fn example() -> Self {
        OrgPatch { default_model: MaybeUndefined::Value("demo/ala".into()) }
    }
}

/// The operations.
#[derive(Default)]
pub struct OrgApi;

#[OpenApi(tag = "Tag::Org")]
impl OrgApi {
    /// Get the organization
    #[oai(path = "/org", method = "get", operation_id = "get_org")]
    async fn get_org(&self, caller: Caller<Read>) -> Result<Data<OrgShown>, ApiError> {
        Ok(Data::of(&shown(&caller)?))
    }

    /// Update the organization
    ///
    /// Requires the owner, signed in with a browser.
    #[oai(path = "/org", method = "patch", operation_id = "update_org")]
    async fn update_org(&self, caller: Caller<Owner>, body: JsonBody<OrgPatch>) -> Result<Data<OrgShown>, ApiError> {
        let model = match body.0.default_model {
            MaybeUndefined::Undefined => return Ok(Data::of(&shown(&caller)?)),
            MaybeUndefined::Null => None,
            MaybeUndefined::Value(id) => {
                let known = caller.app.catalog.resolve(&caller.tenant, &id);
                Some(known.map_err(|error| error.rename_field("model", "defaultModel"))?.model.id)
            }
        };
        caller.org().set_default_model(model).await?;
        Ok(Data::of(&shown(&caller)?))
    }
}

fn shown<A>(caller: &Caller<A>) -> Result<OrgShown> {
    let org = caller.org().details()?;
    Ok(OrgShown {
        id: org.id,
        slug: org.slug,
        default_model: org.default_model,
        built_in_model: caller.app.catalog.default_model(&caller.tenant)?,
        role: caller.org().role()?.into(),
        created_at: org.created_at.into(),
    })
}
