//! What models teach, on its way into the file.
//!
//! Rule: a reply does not wait until its lesson is written, and the next one knows it all the same: what is not written yet is
//! laid over what the file holds. Bounded by the lessons that the turns in progress may take.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::model::facts_of;
use crate::{
    error::Result,
    model::facts::{Facts, Lesson},
    store::{
        Store, Tenant,
        providers::{Provider, ProviderModel},
    },
    time::Timestamp,
};

/// One lesson, and of which model.
struct Taught {
    provider_id: String,
    name: String,
    lesson: Lesson,
}

/// The lessons that are not in the file yet. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Lessons(Arc<Mutex<Vec<Arc<Taught>>>>);

/// The lessons that were not in the file at one moment, which must be before what it holds is read.
pub(super) struct Unwritten(Vec<Arc<Taught>>);

impl Lessons {
    /// Those that are not written by now.
    pub fn unwritten(&self) -> Unwritten {
        Unwritten(self.lock().clone())
    }

    /// Writes a lesson down without keeping the caller; `of` is the provider's id and the model's name.
    pub fn keep(&self, store: &Store, tenant: &Tenant, of: (&str, &str), lesson: Lesson) {
        let taught = Arc::new(Taught { provider_id: of.0.to_owned(), name: of.1.to_owned(), lesson });
        self.lock().push(taught.clone());
        let (lessons, store, tenant) = (self.clone(), store.clone(), tenant.clone());
        tokio::spawn(async move {
            if let Err(error) = write(&store, &tenant, &taught).await {
                tracing::warn!(%error, "what a model taught is not kept");
            }
            lessons.lock().retain(|other| !Arc::ptr_eq(other, &taught));
        });
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Taught>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Unwritten {
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is known of a stored model beside what its owner told.
    pub fn facts_of(&self, provider: &Provider, model: &ProviderModel) -> Facts {
        let mut facts = facts_of(model);
        let of_it = self.0.iter().filter(|taught| taught.provider_id == provider.id && taught.name == model.name);
        of_it.for_each(|taught| _ = facts.learn(taught.lesson.clone(), Timestamp::now()));
        facts
    }
}

async fn write(store: &Store, tenant: &Tenant, taught: &Taught) -> Result<()> {
    let lesson = taught.lesson.clone();
    let learn = move |text: Option<String>| {
        let mut facts = text.as_deref().map(Facts::from_text).unwrap_or_default();
        facts.learn(lesson, Timestamp::now()).then(|| facts.to_text())
    };
    store.org(tenant).change_facts(taught.provider_id.clone(), taught.name.clone(), learn).await
}
