//! Bodies: how one arrives, what it may cost, and what it holds.
//!
//! Rule: a body is bounded three times. In bytes, by its operation's row; in values, before any of them is built, because a
//! value costs sixty times its bytes; and with all the others that are here, by a budget.
//! Rule: what takes long is not decoded on the threads that serve.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::StreamExt;
use poem::{Body, Request, RequestBody};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaMediaType, MetaRequest, Registry},
    types::ParseFromJSON,
};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use tokio::{task::spawn_blocking, time::timeout};

pub use self::decode::decode;
use self::decode::values_in;
use crate::{
    error::{Error, Result},
    http::{
        state::{App, budget::Share},
        wire::{data, envelope::ApiError},
    },
};

mod decode;

/// How long a whole body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
/// A body of more bytes is decoded off the threads that serve.
const LARGE_BODY_BYTES: usize = 1024 * 1024;
/// So is one of more values.
const LARGE_BODY_VALUES: usize = 20_000;

/// A body that holds a `T`, of at most the bytes that its operation's row allows.
pub struct JsonBody<T>(pub T);

/// JSON, or nothing at all.
pub struct MaybeBody<T>(pub Option<T>);

/// The same where whole histories travel: what is made of one may take long.
pub struct HistoryBody<T> {
    value: T,
    weight: Weight,
}

/// Whether what a body holds takes long to walk through.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Weight {
    Light,
    Heavy,
}

impl<T: Send + 'static> HistoryBody<T> {
    /// What `make` makes of it, beside the threads that serve if that takes long.
    pub async fn into<U, E>(self, make: impl FnOnce(T) -> Result<U, E> + Send + 'static) -> Result<U, E>
    where
        U: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        match self.weight {
            Weight::Light => make(self.value),
            Weight::Heavy => spawn_blocking(move || make(self.value)).await.map_err(Error::internal)?,
        }
    }
}

/// The body of one request, on its way. It is in the request's data, and ends with it.
pub struct Arrival {
    app: Arc<App>,
    /// Whose share of everybody's memory it takes.
    who: String,
    bytes_max: usize,
    /// Every schema a body may have.
    schemas: &'static Registry,
    received: Mutex<Option<Received>>,
}

struct Received {
    bytes: Bytes,
    /// Taken until the request is over: what the bytes become is as large.
    _share: Share,
}

impl Arrival {
    /// Of a body that has at most `bytes_max`.
    pub fn new(app: Arc<App>, who: String, bytes_max: usize, schemas: &'static Registry) -> Arc<Self> {
        Arc::new(Arrival { app, who, bytes_max, schemas, received: Mutex::default() })
    }

    /// The one of a request; every operation with a row has it.
    pub fn of(request: &Request) -> Result<&Arc<Self>> {
        request.data().ok_or_else(|| Error::internal("a body is read of an operation without a row"))
    }

    /// Receives it, whole.
    pub async fn receive(&self, request: &Request, body: Body) -> Result<()> {
        let too_large = || Error::PayloadTooLarge(format!("the body is larger than {} bytes", self.bytes_max));
        // Looked at first, so that a body that cannot fit is refused before a byte of it is read.
        let declared = request.header("content-length").and_then(|value| value.parse::<usize>().ok());
        if declared.is_some_and(|bytes| bytes > self.bytes_max) {
            return Err(too_large());
        }
        let (mut bytes, mut share) = (Vec::new(), self.app.bodies.share(&self.who));
        let mut pieces = body.into_bytes_stream();
        let all = async {
            while let Some(piece) = pieces.next().await {
                let piece = piece.map_err(|_| Error::BadRequest("the body ended early".into()))?;
                if bytes.len() + piece.len() > self.bytes_max {
                    return Err(too_large());
                }
                share.grow(piece.len())?;
                bytes.extend_from_slice(&piece);
            }
            Ok(())
        };
        let late = |_| Error::BadRequest("the body took longer than 60 seconds to arrive".into());
        timeout(BODY_TIMEOUT, all).await.map_err(late)??;
        *self.received() = Some(Received { bytes: bytes.into(), _share: share });
        Ok(())
    }

    /// The hash of what was received.
    pub async fn hash(&self) -> Result<[u8; 32]> {
        let bytes = self.received().as_ref().map(|received| received.bytes.clone()).unwrap_or_default();
        let hash = |bytes: &[u8]| Sha256::digest(bytes).into();
        match bytes.len() > LARGE_BODY_BYTES {
            true => self.app.large.run(move || Ok(hash(&bytes))).await,
            false => Ok(hash(&bytes)),
        }
    }

    /// What it holds. Its bytes are gone after that.
    async fn decode<T: ParseFromJSON + 'static>(&self) -> Result<(T, Weight)> {
        let bytes = self.received().as_mut().map(|received| mem::take(&mut received.bytes)).unwrap_or_default();
        let schemas = self.schemas;
        if bytes.len() > LARGE_BODY_BYTES || values_in(&bytes, LARGE_BODY_VALUES) > LARGE_BODY_VALUES {
            return Ok((self.app.large.run(move || decode(&bytes, schemas)).await?, Weight::Heavy));
        }
        Ok((decode(&bytes, schemas)?, Weight::Light))
    }

    fn received(&self) -> MutexGuard<'_, Option<Received>> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// They are one to the document but for whether there has to be one, and differ in what they keep.
macro_rules! extract_body {
    ($type:ident, $required:expr, $read:ident, $made:expr) => {
        impl<'a, T: ParseFromJSON + 'static> ApiExtractor<'a> for $type<T> {
            const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
            type ParamType = ();
            type ParamRawType = ();

            fn register(registry: &mut Registry) {
                T::register(registry);
            }

            fn request_meta() -> Option<MetaRequest> {
                let content = vec![MetaMediaType { content_type: data::JSON, schema: T::schema_ref() }];
                Some(MetaRequest { description: None, content, required: $required })
            }

            async fn from_request(
                request: &'a Request,
                body: &mut RequestBody,
                _options: ExtractParamOptions<()>,
            ) -> poem::Result<Self> {
                Ok($read(request, body).await.map($made).map_err(ApiError)?)
            }
        }
    };
}

extract_body!(JsonBody, T::IS_REQUIRED, read, |(value, _)| JsonBody(value));
extract_body!(HistoryBody, T::IS_REQUIRED, read, |(value, weight)| HistoryBody { value, weight });
extract_body!(MaybeBody, false, maybe, MaybeBody);

async fn maybe<T: ParseFromJSON + 'static>(request: &Request, body: &mut RequestBody) -> Result<Option<T>> {
    let arrival = Arrival::of(request)?;
    if arrival.received().is_none() {
        arrival.receive(request, body.take().map_err(Error::internal)?).await?;
    }
    if arrival.received().as_ref().is_none_or(|received| received.bytes.is_empty()) {
        return Ok(None);
    }
    read(request, body).await.map(|(value, _)| Some(value))
}

/// Any JSON, where another protocol says what it is to be.
pub async fn json(request: &Request, body: &mut RequestBody) -> Result<Value> {
    read(request, body).await.map(|(value, _)| value)
}

/// An object of any keys, the same way.
pub async fn object(request: &Request, body: &mut RequestBody) -> Result<HistoryBody<Map<String, Value>>> {
    match read(request, body).await? {
        (Value::Object(value), weight) => Ok(HistoryBody { value, weight }),
        _ => Err(Error::BadRequest("the body: expected an object".into())),
    }
}

async fn read<T: ParseFromJSON + 'static>(request: &Request, body: &mut RequestBody) -> Result<(T, Weight)> {
    if !request.content_type().is_some_and(is_json) {
        return Err(Error::BadRequest("send the header `Content-Type: application/json`".into()));
    }
    let arrival = Arrival::of(request)?;
    // The layer for `Idempotency-Key` may have received it already.
    if arrival.received().is_none() {
        arrival.receive(request, body.take().map_err(Error::internal)?).await?;
    }
    arrival.decode().await
}

fn is_json(content_type: &str) -> bool {
    content_type.split(';').next().is_some_and(|essence| essence.trim().eq_ignore_ascii_case(data::JSON))
}
