//! A stream that a key reads ends when its key is revoked; one that a person reads, when they are removed.

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use poem::{
    Body, Endpoint, Request, Response,
    endpoint::BoxEndpoint,
    http::{HeaderValue, header},
};

use crate::{
    http::{
        auth::identity::{Identity, app_of},
        state::readers::{Reader, Who},
        wire::{
            envelope::ApiError,
            stream::{EVENT_STREAM, UI_MESSAGE_STREAM},
        },
    },
    turn::chunk::{Chunk, DONE},
};

/// Around an operation: what it streams to a key.
pub struct Revocable(pub BoxEndpoint<'static>);

impl Endpoint for Revocable {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let app = app_of(&request).map_err(ApiError)?.clone();
        // A caller who cannot be told is refused by the operation itself.
        let who = match Identity::keep(&mut request) {
            Ok(Identity::Key(holder)) => Some(Who::Key(holder.key_id)),
            Ok(Identity::Person(_, Some(member))) => Some(Who::Person(member.tenant)),
            _ => None,
        };
        let mut response = self.0.call(request).await?;
        let streams = response.headers().get(header::CONTENT_TYPE) == Some(&HeaderValue::from_static(EVENT_STREAM));
        if let Some(who) = who.filter(|_| streams) {
            let is_reply = response.headers().contains_key(UI_MESSAGE_STREAM);
            let body = response.take_body();
            response.set_body(until_revoked(body, app.readers.open(who), is_reply));
        }
        Ok(response)
    }
}

/// The stream, or what there is of it when the key ends, and the words that end a reply.
fn until_revoked(body: Body, reader: Reader, is_reply: bool) -> Body {
    let last = is_reply.then(last_words);
    let stream = stream::unfold(Some((body.into_bytes_stream(), reader, last)), async |state| {
        let (mut body, mut reader, last) = state?;
        tokio::select! {
            biased;
            piece = body.next() => piece.map(|piece| (piece, Some((body, reader, last)))),
            () = reader.ended() => last.map(|last| (Ok(last), None)),
        }
    });
    Body::from_bytes_stream(stream)
}

fn last_words() -> Bytes {
    let mut frames = Vec::new();
    Chunk::Abort.write_to(&mut frames);
    frames.extend_from_slice(DONE.as_bytes());
    frames.into()
}
