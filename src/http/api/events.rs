//! What happens in an organization, as it happens: for pages and programs that show it.
//!
//! Rule: what changed is known by name (`store/changes.rs`) and looked up when it is told, by who the listener is by then. So an event
//! says how it is now, of many changes the last is enough, and whoever lost their rights hears no more.
//! Rule: no texts, beside a session's label.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use poem::{Body, IntoResponse, Request, Response};
use poem_openapi::{
    ApiResponse, Object, OpenApi, Union,
    param::Header,
    payload::Payload,
    registry::{MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry},
    types::Type,
};
use serde::Serialize;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{
    requests::LoggedRequest,
    sessions::{SessionOrigin, SessionStatus},
    tags::Tag,
};
use crate::{
    error::{Error, Result},
    http::{
        auth::{
            Caller, ReadOrChat,
            identity::{Credential, Identity},
        },
        state::{App, audience::Seat},
        wire::{
            envelope::ApiError,
            moment::Moment,
            stream::{EVENT_STREAM, event_stream},
        },
    },
    key::Scope,
    store::{
        Tenant,
        changes::{Change, Heard, Listener},
        sessions::Session,
        sign_ins::Role,
    },
};

/// Silence after which a listener gets a comment, so that proxies keep the connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Between two looks at what changed: of one session's changes in between the last is told.
const TELL_INTERVAL: Duration = Duration::from_millis(100);
/// Changes that are looked up at once.
const CHANGES_AT_ONCE: usize = 64;

/// Something that happened.
#[derive(Debug, Union, Serialize)]
#[oai(discriminator_name = "type", one_of)]
#[serde(tag = "type", rename_all = "lowercase")]
#[allow(clippy::large_enum_variant)] // each is written and dropped
enum Event {
    #[oai(mapping = "session")]
    Session(SessionEvent),
    #[oai(mapping = "request")]
    Request(LoggedRequest),
    #[oai(mapping = "approvals")]
    Approvals(ApprovalsEvent),
    #[oai(mapping = "resync")]
    Resync(ResyncEvent),
}

/// A session is new, or otherwise than before. One that is gone has `deleted` and no more than its id.
#[derive(Debug, Default, Object, Serialize)]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
#[serde(rename_all = "camelCase")]
struct SessionEvent {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<SessionStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated_at: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<SessionOrigin>,
    /// `true`, or absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted: Option<bool>,
}

/// How many calls wait for a person, of those that you may see.
#[derive(Debug, Object, Serialize)]
struct ApprovalsEvent {
    waiting: i64,
}

/// You missed something, or may see more or less than before: look at everything again.
#[derive(Debug, Object, Serialize)]
struct ResyncEvent {}

/// The operations.
#[derive(Default)]
pub struct Events;

#[OpenApi(tag = "Tag::Events")]
impl Events {
    /// Hear what happens
    ///
    /// Server-sent events, as long as you listen: sessions that you may see; requests, as `GET /requests` lists them; how many calls
    /// wait. The first says how many wait. Each has an `id:`; with `Last-Event-ID` the stream continues after that event, or says
    /// `resync` where too much was missed. Several changes of one thing within a moment are one event. A key without the scope `read`
    /// hears of no requests.
    #[oai(path = "/events", method = "get", operation_id = "hear_events")]
    async fn hear_events(
        &self,
        request: &Request,
        caller: Caller<ReadOrChat>,
        /// The last event that was received.
        #[oai(name = "Last-Event-ID")]
        last_event_id: Header<Option<String>>,
    ) -> Result<EventStream, ApiError> {
        let app = caller.app.clone();
        app.refuse_while_draining()?;
        let last = last_event_id.0.filter(|id| !id.is_empty());
        let ear = Ear {
            _seat: app.audience.join(&caller.tenant)?,
            credential: Credential::of(request)?,
            listener: caller.org().listen(last.as_deref()),
            draining: app.draining.subscribe(),
            is_new: true,
            told_at: Instant::now(),
            tenant: caller.tenant,
            app,
        };
        Ok(EventStream(ear))
    }
}

/// Events, one after the other.
struct EventStream(Ear);

/// Someone who listens.
struct Ear {
    app: Arc<App>,
    tenant: Tenant,
    credential: Credential,
    listener: Listener,
    draining: watch::Receiver<bool>,
    _seat: Seat,
    is_new: bool,
    told_at: Instant,
}

/// What a listener may hear.
struct Rights {
    /// Of requests.
    reads: bool,
    is_owner: bool,
}

impl Ear {
    /// The next bytes of the stream.
    async fn next(mut self) -> Option<(Bytes, Self)> {
        if std::mem::take(&mut self.is_new) {
            return Some((self.opening()?, self));
        }
        let quiet_until = self.told_at + KEEP_ALIVE;
        loop {
            let rest = self.told_at + TELL_INTERVAL;
            let heard = tokio::select! {
                biased;
                _ = self.draining.wait_for(|draining| *draining) => return None,
                heard = async { sleep_until(rest).await; self.listener.next(CHANGES_AT_ONCE).await } => Some(heard),
                () = sleep_until(quiet_until) => None,
            };
            self.told_at = Instant::now();
            let bytes = match heard {
                Some(heard) => self.tell(heard)?,
                None => self.rights().map(|_| b": keep-alive\n\n".to_vec())?,
            };
            if !bytes.is_empty() {
                return Some((bytes.into(), self));
            }
            // Nothing that this listener may see.
        }
    }

    /// A comment, which carries the response's head through proxies, and where the stream begins.
    fn opening(&mut self) -> Option<Bytes> {
        let mut bytes = b": stream-open\n\n".to_vec();
        if let Some(number) = self.listener.heard() {
            bytes.extend(self.tell(Heard::Changes(vec![(number, Change::Approvals)]))?);
        }
        Some(bytes.into())
    }

    /// The events of what was heard; nothing where the listener may hear no more.
    fn tell(&self, heard: Heard) -> Option<Vec<u8>> {
        let rights = self.rights()?;
        let mut bytes = Vec::new();
        let changes = match heard {
            Heard::Changes(changes) => changes,
            Heard::Missed(number) => vec![(number, Change::Any)],
        };
        for (number, change) in changes {
            let event =
                self.event(change, &rights).inspect_err(|error| tracing::warn!(%error, "cannot see what changed"));
            if let Some(event) = event.ok()? {
                let data = serde_json::to_string(&event).expect("its keys are texts");
                bytes.extend(format!("id: {}\ndata: {data}\n\n", self.listener.name(number)).into_bytes());
            }
        }
        Some(bytes)
    }

    /// A change as its listener sees it, if they do.
    fn event(&self, change: Change, rights: &Rights) -> Result<Option<Event>> {
        let org = self.app.store.org(&self.tenant);
        Ok(match change {
            Change::Session(id) => org.session_if_any(&id)?.map(|session| Event::Session(SessionEvent::of(session))),
            Change::Gone { id, person } => {
                let could_see = person.is_none_or(|person| person == self.tenant.user_id);
                could_see.then(|| Event::Session(SessionEvent { id, deleted: Some(true), ..Default::default() }))
            }
            Change::Request(_) if !rights.reads => None,
            Change::Request(id) => {
                let person = (!rights.is_owner).then_some(&*self.tenant.user_id);
                match org.request(&id, person) {
                    Ok(request) => Some(Event::Request(LoggedRequest::listed(request))),
                    Err(Error::NotFound(_)) => None,
                    Err(error) => return Err(error),
                }
            }
            Change::Approvals => Some(Event::Approvals(ApprovalsEvent { waiting: org.calls_waiting()? })),
            Change::Any => Some(Event::Resync(ResyncEvent {})),
        })
    }

    /// What the listener may hear now; nothing if their key or sign-in has ended, or their place in the organization.
    fn rights(&self) -> Option<Rights> {
        let identity = self.credential.identity(&self.app.store);
        match identity.inspect_err(|error| tracing::warn!(%error, "cannot see who listens")).ok()? {
            Identity::Key(holder) if holder.tenant == self.tenant => {
                Some(Rights { reads: holder.scopes.contains(&Scope::Read), is_owner: false })
            }
            Identity::Person(_, Some(member)) if member.tenant == self.tenant => {
                Some(Rights { reads: true, is_owner: member.role == Role::Owner })
            }
            _ => None,
        }
    }
}

impl SessionEvent {
    fn of(session: Session) -> Self {
        SessionEvent {
            id: session.id,
            status: Some(session.status.into()),
            label: Some(session.label),
            updated_at: Some(session.updated_at.into()),
            origin: Some(session.origin.into()),
            deleted: None,
        }
    }
}

impl Payload for EventStream {
    const CONTENT_TYPE: &'static str = EVENT_STREAM;

    fn schema_ref() -> MetaSchemaRef {
        let items = Some(Box::new(Event::schema_ref()));
        MetaSchemaRef::Inline(Box::new(MetaSchema { items, ..MetaSchema::new_with_format("array", "event-stream") }))
    }

    fn register(registry: &mut Registry) {
        Event::register(registry);
    }
}

impl IntoResponse for EventStream {
    fn into_response(self) -> Response {
        let events = stream::unfold(self.0, async |ear| {
            let (bytes, ear) = ear.next().await?;
            Some((Ok::<_, std::io::Error>(bytes), ear))
        });
        event_stream(Body::from_bytes_stream(events))
    }
}

impl ApiResponse for EventStream {
    fn meta() -> MetaResponses {
        let response = MetaResponse {
            description: "Events, one after the other.",
            status: Some(200),
            status_range: None,
            content: vec![MetaMediaType { content_type: Self::CONTENT_TYPE, schema: Self::schema_ref() }],
            headers: Vec::new(),
        };
        MetaResponses { responses: vec![response] }
    }

    fn register(registry: &mut Registry) {
        <Self as Payload>::register(registry);
    }
}
