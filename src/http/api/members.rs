//! The people of an organization, and whom it invites.
//!
//! Rule: the link of an invitation is in the response that made it and nowhere else.

use poem_openapi::{Object, OpenApi, param::Path, types::Example};
use serde::Serialize;

use super::{sign_in::Role, tags::Tag};
use crate::{
    error::Result,
    http::{
        auth::{Caller, Owner, OwnerSteppedUp},
        body::JsonBody,
        wire::{
            data::{Created, Data, Deleted, Items},
            envelope::ApiError,
            moment::Moment,
        },
    },
    key,
    store::{invitations as stored, members, sign_ins},
};

/// The page that a link opens. The code is a fragment, which browsers send nowhere.
const INVITE_PAGE: &str = "/invite#";

/// Somebody in the organization.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
struct Member {
    user_id: String,
    email: String,
    role: Role,
    /// Since when.
    created_at: Moment,
    /// Whether they have a password.
    can_sign_in: bool,
}

/// A new role.
#[derive(Debug, Object)]
#[oai(example)]
struct RoleChange {
    role: Role,
}

impl Example for RoleChange {
    fn example() -> Self {
        RoleChange { role: Role::Owner }
    }
}

/// Whom to invite.
#[derive(Debug, Object)]
#[oai(example)]
struct InvitationRequest {
    email: String,
    role: Role,
}

impl Example for InvitationRequest {
    fn example() -> Self {
        InvitationRequest { email: "sam@example.com".into(), role: Role::Member }
    }
}

/// An invitation that nobody has used yet.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
struct Invitation {
    id: String,
    email: String,
    role: Role,
    /// The address of who invites.
    invited_by: String,
    created_at: Moment,
    /// Seven days later.
    expires_at: Moment,
}

/// A new invitation. Its link is shown only this once.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
struct NewInvitation {
    id: String,
    email: String,
    role: Role,
    expires_at: Moment,
    /// The path of the link on this server: `/invite#…`. It opens once. Copy it now: it is not shown again.
    url: String,
}

/// The operations.
#[derive(Default)]
pub struct Members;

#[OpenApi(tag = "Tag::People")]
impl Members {
    /// List the organization's people
    ///
    /// Requires the owner, signed in with a browser.
    #[oai(path = "/members", method = "get", operation_id = "list_members")]
    async fn list_members(&self, caller: Caller<Owner>) -> Result<Data<Items<Member>>, ApiError> {
        Ok(Data::of(&Items::all(caller.org().members()?)))
    }

    /// Change somebody's role
    ///
    /// The last owner stays one: 409. Requires the owner, signed in with a browser.
    #[oai(path = "/members/:id", method = "patch", operation_id = "update_member")]
    async fn update_member(
        &self,
        caller: Caller<OwnerSteppedUp>,
        id: Path<String>,
        body: JsonBody<RoleChange>,
    ) -> Result<Data<Member>, ApiError> {
        Ok(Data::of(&caller.org().set_role(id.0, body.0.role.into()).await?.into()))
    }

    /// Remove somebody
    ///
    /// Their keys here are revoked and what they read ends, at once. What they made stays. The last owner stays: 409. Requires the
    /// owner, signed in with a browser.
    #[oai(path = "/members/:id", method = "delete", operation_id = "delete_member")]
    async fn delete_member(&self, caller: Caller<OwnerSteppedUp>, id: Path<String>) -> Result<Data<Deleted>, ApiError> {
        caller.org().remove_member(id.0).await?;
        caller.app.end_revoked();
        Ok(Data::deleted())
    }

    /// List invitations that are open, newest first
    ///
    /// Requires the owner, signed in with a browser.
    #[oai(path = "/invitations", method = "get", operation_id = "list_invitations")]
    async fn list_invitations(&self, caller: Caller<Owner>) -> Result<Data<Items<Invitation>>, ApiError> {
        Ok(Data::of(&Items::all(caller.org().invitations()?)))
    }

    /// Invite somebody
    ///
    /// Whoever opens the link becomes a member: once, within seven days. An older link for the same address opens no more. Requires the
    /// owner, signed in with a browser.
    #[oai(path = "/invitations", method = "post", operation_id = "create_invitation")]
    async fn create_invitation(
        &self,
        caller: Caller<OwnerSteppedUp>,
        body: JsonBody<InvitationRequest>,
    ) -> Result<Created<NewInvitation>, ApiError> {
        let code = key::generate_token()?;
        let made = caller.org().invite(body.0.email, body.0.role.into(), key::hash(&code)).await?;
        let (role, expires_at, url) = (made.role.into(), made.expires_at.into(), format!("{INVITE_PAGE}{code}"));
        Ok(Data::of(&NewInvitation { id: made.id, email: made.email, role, expires_at, url }))
    }

    /// Withdraw an invitation
    ///
    /// Its link opens no more. Requires the owner, signed in with a browser.
    #[oai(path = "/invitations/:id", method = "delete", operation_id = "delete_invitation")]
    async fn delete_invitation(
        &self,
        caller: Caller<OwnerSteppedUp>,
        id: Path<String>,
    ) -> Result<Data<Deleted>, ApiError> {
        caller.org().withdraw_invitation(id.0).await?;
        Ok(Data::deleted())
    }
}

impl From<members::Member> for Member {
    fn from(member: members::Member) -> Self {
        Member {
            user_id: member.user_id,
            email: member.email,
            role: member.role.into(),
            created_at: member.created_at.into(),
            can_sign_in: member.can_sign_in,
        }
    }
}

impl From<stored::Invitation> for Invitation {
    fn from(invitation: stored::Invitation) -> Self {
        Invitation {
            id: invitation.id,
            email: invitation.email,
            role: invitation.role.into(),
            invited_by: invitation.invited_by,
            created_at: invitation.created_at.into(),
            expires_at: invitation.expires_at.into(),
        }
    }
}

impl From<Role> for sign_ins::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::Owner => sign_ins::Role::Owner,
            Role::Member => sign_ins::Role::Member,
        }
    }
}
