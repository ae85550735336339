//! Projects: sessions with a purpose, and a prompt for all of them.

use poem_openapi::{
    Enum, Object, OpenApi,
    param::{Path, Query},
    types::{Example, MaybeUndefined},
};
use serde::Serialize;

use super::tags::Tag;
use crate::{
    error::Result,
    http::{
        auth::{Caller, Read, Write},
        body::JsonBody,
        wire::{
            check::{Checks, collapse_space, page_limit},
            data::{Created, Data, Deleted, Items},
            envelope::ApiError,
            moment::Moment,
        },
    },
    id,
    store::projects as stored,
    time::Timestamp,
};

const NAME_CHARS_MAX: usize = 255;
const DESCRIPTION_CHARS_MAX: usize = 5_000;
const PROMPT_CHARS_MAX: usize = 12_000;
const EMOJI_CHARS_MAX: usize = 16;

/// A project.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
struct Project {
    id: String,
    org_id: String,
    /// Who created it.
    user_id: String,
    name: String,
    /// Its name in URLs. Unique in the organization.
    slug: String,
    description: String,
    /// Precedes the agent's system prompt.
    prompt: String,
    #[oai(nullable)]
    emoji: Option<String>,
    visibility: Visibility,
    created_at: Moment,
    updated_at: Moment,
}

/// Who can see a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, Serialize)]
#[oai(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
enum Visibility {
    /// The organization.
    Team,
    /// Its creator alone.
    Private,
}

/// A new project.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none, example)]
struct NewProject {
    /// 1 to 255 characters.
    name: String,
    /// Default: derived from the name.
    slug: Option<String>,
    /// At most 5,000 characters.
    description: Option<String>,
    /// At most 12,000 characters.
    prompt: Option<String>,
    /// At most 16 characters.
    emoji: Option<String>,
    /// Default `team`.
    visibility: Option<Visibility>,
}

impl Example for NewProject {
    fn example() -> Self {
        NewProject {
            name: "Handbook".into(),
            slug: None,
            description: Some("How we work.".into()),
            prompt: Some("Answer for people who are new here.".into()),
            emoji: Some("📘".into()),
            visibility: Some(Visibility::Team),
        }
    }
}

/// Changes to a project. Absent fields stay as they are.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none, example)]
struct ProjectPatch {
    name: Option<String>,
    slug: Option<String>,
    description: Option<String>,
    prompt: Option<String>,
    /// `null` removes it.
    #[oai(nullable)]
    emoji: MaybeUndefined<String>,
    visibility: Option<Visibility>,
}

impl Example for ProjectPatch {
    fn example() -> Self {
        ProjectPatch {
            name: None,
            slug: None,
            description: Some("How we work, and why.".into()),
            prompt: None,
            emoji: MaybeUndefined::Undefined,
            visibility: None,
        }
    }
}

/// The operations.
#[derive(Default)]
pub struct Projects;

#[OpenApi(tag = "Tag::Projects")]
impl Projects {
    /// List projects, oldest first
    #[oai(path = "/projects", method = "get", operation_id = "list_projects")]
    async fn list_projects(
        &self,
        caller: Caller<Read>,
        /// 1 to 100. Default 50.
        limit: Query<Option<i64>>,
        /// The `nextCursor` of the previous page.
        cursor: Query<Option<String>>,
    ) -> Result<Data<Items<Project>>, ApiError> {
        let page = caller.org().projects(page_limit(limit.0)?, cursor.0.as_deref())?;
        Ok(Data::of(&Items::page(page, |project| Project::of(project, &caller.tenant.org_id))))
    }

    /// Create a project
    #[oai(path = "/projects", method = "post", operation_id = "create_project")]
    async fn create_project(
        &self,
        caller: Caller<Write>,
        body: JsonBody<NewProject>,
    ) -> Result<Created<Project>, ApiError> {
        let project = caller.org().create_project(body.0.into_project(&caller.tenant.user_id)?).await?;
        Ok(Data::of(&Project::of(project, &caller.tenant.org_id)))
    }

    /// Get a project
    #[oai(path = "/projects/:id", method = "get", operation_id = "get_project")]
    async fn get_project(
        &self,
        caller: Caller<Read>,
        /// The project's id or slug.
        id: Path<String>,
    ) -> Result<Data<Project>, ApiError> {
        Ok(Data::of(&Project::of(caller.org().project(&id)?, &caller.tenant.org_id)))
    }

    /// Update a project
    #[oai(path = "/projects/:id", method = "patch", operation_id = "update_project")]
    async fn update_project(
        &self,
        caller: Caller<Write>,
        /// The project's id or slug.
        id: Path<String>,
        body: JsonBody<ProjectPatch>,
    ) -> Result<Data<Project>, ApiError> {
        let project = caller.org().update_project(id.0, move |project| body.0.apply(project)).await?;
        Ok(Data::of(&Project::of(project, &caller.tenant.org_id)))
    }

    /// Delete a project
    ///
    /// Its sessions keep their history.
    #[oai(path = "/projects/:id", method = "delete", operation_id = "delete_project")]
    async fn delete_project(
        &self,
        caller: Caller<Write>,
        /// The project's id or slug.
        id: Path<String>,
    ) -> Result<Data<Deleted>, ApiError> {
        caller.org().delete_project(id.0).await?;
        Ok(Data::deleted())
    }
}

impl Project {
    fn of(project: stored::Project, org_id: &str) -> Self {
        Project {
            id: project.id,
            org_id: org_id.to_owned(),
            user_id: project.user_id,
            name: project.name,
            slug: project.slug,
            description: project.description,
            prompt: project.prompt,
            emoji: project.emoji,
            visibility: if project.is_private { Visibility::Private } else { Visibility::Team },
            created_at: project.created_at.into(),
            updated_at: project.updated_at.into(),
        }
    }
}

impl NewProject {
    fn into_project(self, user_id: &str) -> Result<stored::Project> {
        let name = collapse_space(&self.name);
        let now = Timestamp::now();
        let project = stored::Project {
            id: id::generate(),
            user_id: user_id.to_owned(),
            slug: self.slug.unwrap_or_else(|| id::slug_from_name(&name, "project")),
            name,
            emoji: self.emoji,
            is_private: self.visibility == Some(Visibility::Private),
            created_at: now,
            updated_at: now,
            description: self.description.unwrap_or_default(),
            prompt: self.prompt.unwrap_or_default(),
        };
        check(&project).map(|()| project)
    }
}

impl ProjectPatch {
    fn apply(self, project: &mut stored::Project) -> Result<()> {
        set(&mut project.name, self.name.map(|name| collapse_space(&name)));
        set(&mut project.slug, self.slug);
        set(&mut project.description, self.description);
        set(&mut project.prompt, self.prompt);
        set(&mut project.is_private, self.visibility.map(|visibility| visibility == Visibility::Private));
        self.emoji.update_to(&mut project.emoji);
        check(project)
    }
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

/// The ranges of every field.
fn check(project: &stored::Project) -> Result<()> {
    let mut checks = Checks::default();
    checks.chars("name", &project.name, 1..=NAME_CHARS_MAX);
    checks.chars("description", &project.description, 0..=DESCRIPTION_CHARS_MAX);
    checks.chars("prompt", &project.prompt, 0..=PROMPT_CHARS_MAX);
    checks.chars("emoji", project.emoji.as_deref().unwrap_or_default(), 0..=EMOJI_CHARS_MAX);
    checks.also(id::check_slug("slug", &project.slug))?;
    checks.done()
}
