//! `alm org`: organizations.

use std::path::PathBuf;

use serde_json::json;

use super::{
    globals::{Globals, block_on},
    models,
    text::{count_text, read_secret, table},
};
use crate::{
    error::{Error, Result},
    id,
    money::format_usd,
    password,
};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Org {
    /// Create an organization and its owner
    Create {
        /// Lower-case letters and digits, words joined by hyphens
        slug: String,
        /// The owner's e-mail address
        #[arg(long, value_name = "EMAIL")]
        owner: String,
        /// A file with the owner's password; - asks for it, or reads it from standard input
        #[arg(long, value_name = "FILE")]
        password_file: PathBuf,
    },
    /// Change an organization
    Set {
        /// The organization's slug
        slug: String,
        /// The model for chats that name none, as `alm models` lists it; demo/ala is built in
        #[arg(long, value_name = "PROVIDER/MODEL")]
        default_model: String,
    },
    /// Set a person's password and end all their sign-ins
    Password {
        /// Their e-mail address
        email: String,
        /// A file with the new password; - asks for it, or reads it from standard input
        #[arg(long, value_name = "FILE")]
        password_file: PathBuf,
    },
    /// List organizations
    List,
}

impl Org {
    pub(super) fn run(self, globals: &Globals) -> Result<()> {
        match self {
            Org::Create { slug, owner, password_file } => create(globals, &slug, &owner, &password_file),
            Org::Set { slug, default_model } => set_default_model(globals, &slug, default_model),
            Org::Password { email, password_file } => set_password(globals, &email, &password_file),
            Org::List => list(globals),
        }
    }
}

fn create(globals: &Globals, slug: &str, owner: &str, password_file: &std::path::Path) -> Result<()> {
    id::check_email("--owner", owner)?;
    let next = globals.command(&format!("keys create --org {slug} --name first"))?;
    let hash = password::hash(&read_secret(password_file)?)?;
    let org = match globals.new_store()?.create_org(slug, owner, Some(hash)) {
        Err(Error::Conflict(taken)) => return Err(Error::Conflict(format!("{taken}; to use it: {next}"))),
        made => made?,
    };
    globals.report(
        || json!({ "id": org.id, "slug": org.slug, "owner": org.owner_email }),
        || format!("created the organization {slug}, owned by {}\nnext: {next}", org.owner_email),
    );
    Ok(())
}

fn set_password(globals: &Globals, email: &str, password_file: &std::path::Path) -> Result<()> {
    let hash = password::hash(&read_secret(password_file)?)?;
    let store = globals.store()?;
    let user_id = store.credentials(email)?.ok_or(Error::NotFound("person"))?.user_id;
    let ended = block_on(store.person(&user_id).set_password(hash, None))?;
    globals.report(
        || json!({ "email": email, "signInsEnded": ended }),
        || format!("password changed; {} ended", count_text(ended as u64, "sign-in")),
    );
    Ok(())
}

fn set_default_model(globals: &Globals, slug: &str, model: String) -> Result<()> {
    let store = globals.store()?;
    let tenant = globals.tenant(&store, slug)?;
    let model = match globals.catalog(&store)?.resolve(&tenant, &model) {
        Err(Error::UnknownModel(id)) if models::beside(globals, &store, &tenant)?.iter().any(|own| own.id == id) => id,
        resolved => resolved?.model.id,
    };
    block_on(store.org(&tenant).set_default_model(Some(model.clone())))?;
    globals.report(
        || json!({ "slug": slug, "defaultModel": model }),
        || format!("the default model of {slug} is now {model}"),
    );
    Ok(())
}

fn list(globals: &Globals) -> Result<()> {
    let orgs = globals.store()?.orgs()?;
    let json = || {
        let one = |org: &crate::store::orgs::OrgDetails| {
            json!({
                "id": org.id, "slug": org.slug, "owner": org.owner_email, "defaultModel": org.default_model,
                "balanceMicrocents": org.balance, "createdAt": org.created_at.to_string(),
            })
        };
        orgs.iter().map(one).collect()
    };
    let text = || {
        let row = |org: &crate::store::orgs::OrgDetails| {
            let model = org.default_model.clone().unwrap_or_else(|| "-".into());
            vec![org.slug.clone(), org.owner_email.clone(), model, format_usd(org.balance)]
        };
        table(&["SLUG", "OWNER", "DEFAULT MODEL", "BALANCE USD"], &orgs.iter().map(row).collect::<Vec<_>>())
    };
    globals.print(json, text)
}
