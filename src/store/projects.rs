//! Projects: sessions with a purpose, and a prompt for all of them.
//!
//! Rule: a private project is its creator's alone. To everyone else it is not there.

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::{Org, Page, Tenant, fault::unless_taken};
use crate::{
    error::{Error, Result},
    time::Timestamp,
};

/// A project.
#[derive(Debug, Clone, PartialEq)]
pub struct Project {
    pub id: String,
    /// Who made it.
    pub user_id: String,
    pub slug: String,
    pub name: String,
    pub emoji: Option<String>,
    /// Whether it is its creator's alone.
    pub is_private: bool,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub description: String,
    /// Goes before the agent's system prompt.
    pub prompt: String,
}

const COLUMNS: &str =
    "id, user_id, slug, name, emoji, visibility = 'private', created_at, updated_at, description, prompt";
const VISIBLE: &str = "org_id = :org AND deleted_at IS NULL AND (visibility = 'team' OR user_id = :user)";

impl Project {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Project {
            id: row.get(0)?,
            user_id: row.get(1)?,
            slug: row.get(2)?,
            name: row.get(3)?,
            emoji: row.get(4)?,
            is_private: row.get(5)?,
            created_at: Timestamp::from_millis(row.get(6)?),
            updated_at: Timestamp::from_millis(row.get(7)?),
            description: row.get(8)?,
            prompt: row.get(9)?,
        })
    }

    fn visibility(&self) -> &'static str {
        if self.is_private { "private" } else { "team" }
    }
}

impl Org<'_> {
    /// Projects, the oldest first; the cursor is a project's id.
    pub fn projects(&self, limit: usize, cursor: Option<&str>) -> Result<Page<Project>> {
        self.read(|c| {
            let mut statement = c.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM project WHERE {VISIBLE} AND (:cursor IS NULL OR id > :cursor)
                 ORDER BY id LIMIT :rows"
            ))?;
            let parameters = named_params! {
                ":org": self.tenant.org_id, ":user": self.tenant.user_id, ":cursor": cursor, ":rows": limit as i64 + 1,
            };
            let rows = statement.query_map(parameters, Project::from_row)?.collect::<Result<_, _>>()?;
            Ok(Page::from_rows(rows, limit, |project: &Project| project.id.clone()))
        })
    }

    /// The project of that id or slug.
    pub fn project(&self, id_or_slug: &str) -> Result<Project> {
        self.read(|c| find(c, self.tenant, id_or_slug))
    }

    /// The project of that id or slug, if the person may see it.
    pub fn project_if_any(&self, id_or_slug: &str) -> Result<Option<Project>> {
        match self.project(id_or_slug) {
            Err(Error::NotFound(_)) => Ok(None),
            found => found.map(Some),
        }
    }

    /// Keeps a new project. Its creator is who is asking.
    pub async fn create_project(&self, project: Project) -> Result<Project> {
        self.write(move |c, tenant| {
            let project = Project { user_id: tenant.user_id.clone(), ..project };
            refuse_taken(c, tenant, &project)?;
            let inserted = c.execute(
                "INSERT INTO project (id, org_id, user_id, slug, name, emoji, visibility, created_at, updated_at,
                     description, prompt)
                 VALUES (:id, :org, :user, :slug, :name, :emoji, :visibility, :created, :updated, :description,
                     :prompt)",
                named_params! {
                    ":id": project.id, ":org": tenant.org_id, ":user": project.user_id, ":slug": project.slug,
                    ":name": project.name, ":emoji": project.emoji, ":visibility": project.visibility(),
                    ":created": project.created_at.as_millis(), ":updated": project.updated_at.as_millis(),
                    ":description": project.description, ":prompt": project.prompt,
                },
            );
            unless_taken(inserted, || slug_taken(&project.slug))?;
            Ok(project)
        })
        .await
    }

    /// Lets `edit` change a project. Only its creator may make it private, or it would vanish under the others.
    pub async fn update_project(
        &self,
        id_or_slug: String,
        edit: impl FnOnce(&mut Project) -> Result<()> + Send + 'static,
    ) -> Result<Project> {
        self.write(move |c, tenant| {
            let mut project = find(c, tenant, &id_or_slug)?;
            let was_private = project.is_private;
            edit(&mut project)?;
            if project.is_private && project.user_id != tenant.user_id {
                return Err(Error::forbidden("only its creator can make a project private"));
            }
            if project.is_private && !was_private {
                refuse_others_sessions(c, tenant, &project.id)?;
            }
            refuse_taken(c, tenant, &project)?;
            project.updated_at = Timestamp::now();
            let updated = c.execute(
                "UPDATE project SET slug = :slug, name = :name, emoji = :emoji, visibility = :visibility,
                     updated_at = :updated, description = :description, prompt = :prompt WHERE id = :id",
                named_params! {
                    ":id": project.id, ":slug": project.slug, ":name": project.name, ":emoji": project.emoji,
                    ":visibility": project.visibility(), ":updated": project.updated_at.as_millis(),
                    ":description": project.description, ":prompt": project.prompt,
                },
            );
            unless_taken(updated, || slug_taken(&project.slug))?;
            Ok(project)
        })
        .await
    }

    /// Deletes a project; its sessions keep their history.
    pub async fn delete_project(&self, id_or_slug: String) -> Result<()> {
        self.write(move |c, tenant| {
            let project = find(c, tenant, &id_or_slug)?;
            c.execute("UPDATE project SET deleted_at = ?1 WHERE id = ?2", (Timestamp::now().as_millis(), project.id))?;
            Ok(())
        })
        .await
    }
}

fn find(c: &Connection, tenant: &Tenant, id_or_slug: &str) -> Result<Project> {
    let mut statement = c.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM project WHERE {VISIBLE} AND (id = :key OR slug = :key)
         ORDER BY id = :key DESC, visibility = 'private' DESC LIMIT 1"
    ))?;
    let parameters = named_params! { ":org": tenant.org_id, ":user": tenant.user_id, ":key": id_or_slug };
    statement.query_row(parameters, Project::from_row).optional()?.ok_or(Error::NotFound("project"))
}

/// A slug is taken by what the person sees. Others' private projects take none, or it would be learned that they are there; to
/// their creators a slug is then their own project.
fn refuse_taken(c: &Connection, tenant: &Tenant, project: &Project) -> Result<()> {
    let mut statement =
        c.prepare_cached(&format!("SELECT 1 FROM project WHERE {VISIBLE} AND slug = :slug AND id <> :id"))?;
    let parameters = named_params! {
        ":org": tenant.org_id, ":user": tenant.user_id, ":slug": project.slug, ":id": project.id,
    };
    if statement.exists(parameters)? { Err(slug_taken(&project.slug)) } else { Ok(()) }
}

/// Nobody's session vanishes under them because somebody else made its project private.
fn refuse_others_sessions(c: &Connection, tenant: &Tenant, project_id: &str) -> Result<()> {
    let others = c
        .prepare_cached(
            "SELECT 1 FROM session WHERE org_id = :org AND project_id = :project AND user_id <> :user
                 AND deleted_at IS NULL",
        )?
        .exists(named_params! { ":org": tenant.org_id, ":project": project_id, ":user": tenant.user_id })?;
    match others {
        true => Err(Error::Conflict("sessions of other people are in this project: it cannot become private".into())),
        false => Ok(()),
    }
}

fn slug_taken(slug: &str) -> Error {
    Error::Conflict(format!("a project with the slug {slug} exists: choose another"))
}
