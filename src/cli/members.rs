//! `alm members`: the people of an organization.
//!
//! Rule: it writes the same rows as the API, beside a running server or without one. A link is printed once; its hash is kept.

use serde_json::json;

use super::{
    globals::{Globals, block_on},
    text::table,
};
use crate::{
    error::{Error, Result},
    key,
    store::{invitations::INVITATION_LIFE, members::Member, sign_ins::Role},
};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Members {
    /// List people and open invitations
    List {
        /// The organization's slug
        #[arg(long)]
        org: String,
    },
    /// Invite somebody: print a link that opens once, within seven days
    Invite {
        /// The organization's slug
        #[arg(long)]
        org: String,
        /// Their e-mail address
        email: String,
        /// `member`, or `owner` for whoever may do everything
        #[arg(long, default_value = "member")]
        role: String,
        /// Where people reach the server
        #[arg(long, default_value = "http://127.0.0.1:2560")]
        url: String,
    },
    /// Remove somebody: their keys here stop working at once
    Remove {
        /// The organization's slug
        #[arg(long)]
        org: String,
        /// Their e-mail address
        email: String,
    },
}

impl Members {
    pub(super) fn run(self, globals: &Globals) -> Result<()> {
        match self {
            Members::List { org } => list(globals, &org),
            Members::Invite { org, email, role, url } => invite(globals, &org, email, &role, &url),
            Members::Remove { org, email } => remove(globals, &org, &email),
        }
    }
}

fn list(globals: &Globals, slug: &str) -> Result<()> {
    let store = globals.store()?;
    let tenant = globals.tenant(&store, slug)?;
    let (members, invited) = (store.org(&tenant).members()?, store.org(&tenant).invitations()?);
    let json = || {
        let members = members.iter().map(|member| {
            json!({
                "userId": member.user_id, "email": member.email, "role": member.role.as_str(),
                "createdAt": member.created_at.to_string(), "canSignIn": member.can_sign_in,
            })
        });
        let invited = invited.iter().map(|one| {
            json!({
                "id": one.id, "email": one.email, "role": one.role.as_str(), "invitedBy": one.invited_by,
                "expiresAt": one.expires_at.to_string(),
            })
        });
        json!({ "members": members.collect::<Vec<_>>(), "invitations": invited.collect::<Vec<_>>() })
    };
    let text = || {
        let there = |member: &Member| {
            let note = if member.can_sign_in { "" } else { ", no password" };
            vec![member.email.clone(), member.role.as_str().into(), format!("since {}{note}", member.created_at)]
        };
        let asked = invited
            .iter()
            .map(|one| vec![one.email.clone(), one.role.as_str().into(), format!("invited, until {}", one.expires_at)]);
        let rows: Vec<_> = members.iter().map(there).chain(asked).collect();
        table(&["EMAIL", "ROLE", "STATE"], &rows)
    };
    globals.print(json, text)
}

fn invite(globals: &Globals, slug: &str, email: String, role: &str, url: &str) -> Result<()> {
    let role = Role::parse(role).ok_or_else(|| Error::invalid("--role", "must be member or owner"))?;
    let store = globals.store()?;
    let tenant = globals.tenant(&store, slug)?;
    let code = key::generate_token()?;
    let made = block_on(store.org(&tenant).invite(email, role, key::hash(&code)))?;
    let link = format!("{}/invite#{code}", url.trim_end_matches('/'));
    let days = INVITATION_LIFE.as_secs() / (24 * 60 * 60);
    globals.print(
        || json!({ "id": made.id, "url": link, "expiresAt": made.expires_at.to_string() }),
        || format!("{link}\nSend this to {}: it opens once, within {days} days, and is not shown again.", made.email),
    )
}

fn remove(globals: &Globals, slug: &str, email: &str) -> Result<()> {
    let store = globals.store()?;
    let tenant = globals.tenant(&store, slug)?;
    let person = store.credentials(email)?.ok_or(Error::NotFound("member"))?;
    block_on(store.org(&tenant).remove_member(person.user_id))?;
    globals.report(|| json!({ "removed": email }), || format!("{email} is no longer a member of {slug}"));
    Ok(())
}
