//! Answers that are not small: what they hold of everybody's memory, for as long as their reader likes.
//!
//! Rule: such an answer takes its bytes from a budget before it is sent, and is written in pieces, so that it gives them back when
//! the last piece is on its way. Deliberately absent: replies, which are read from their turn's journal; and files, which are
//! part of the program.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::Stream;
use poem::{
    Body, Endpoint, Request, Response,
    endpoint::BoxEndpoint,
    http::{HeaderValue, header},
};

use crate::{
    error::{Error, Result},
    http::{
        auth::identity::{Speaker, app_of},
        state::{App, budget::Share},
        wire::{data::AnswerBytes, envelope::ApiError, stream::EVENT_STREAM},
    },
};

/// An answer of more bytes takes them from the budget. What is smaller waits in the buffers of its connection.
const SMALL_ANSWER_BYTES: usize = 16 * 1024;
/// Bytes of an answer that are handed over at once.
const PIECE_BYTES: usize = 64 * 1024;

/// Around one operation.
pub struct Answers(pub BoxEndpoint<'static>);

impl Endpoint for Answers {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let app = app_of(&request).map_err(ApiError)?.clone();
        let speaker = Speaker::default();
        request.set_data(speaker.clone());
        let response = self.0.call(request).await?;
        match response.data::<AnswerBytes>() {
            Some(AnswerBytes(bytes)) if *bytes > SMALL_ANSWER_BYTES => {
                let share = share(&app, &speaker, *bytes).map_err(ApiError)?;
                in_pieces(response, share).await
            }
            _ => Ok(response),
        }
    }
}

fn share(app: &App, speaker: &Speaker, bytes: usize) -> Result<Share> {
    let mut share = app.answers.share(speaker.user_id());
    share.grow(bytes)?;
    Ok(share)
}

async fn in_pieces(mut response: Response, share: Share) -> poem::Result<Response> {
    let left = response.take_body().into_bytes().await.map_err(|error| ApiError(Error::internal(error)))?;
    // A stream has no length: it ends early when the key that reads it is revoked.
    if response.headers().get(header::CONTENT_TYPE) != Some(&HeaderValue::from_static(EVENT_STREAM)) {
        response.headers_mut().insert(header::CONTENT_LENGTH, left.len().into());
    }
    response.set_body(Body::from_bytes_stream(Pieces { left, _share: share }));
    Ok(response)
}

/// The rest of an answer, and the memory that it holds.
struct Pieces {
    left: Bytes,
    _share: Share,
}

impl Stream for Pieces {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let bytes = self.left.len().min(PIECE_BYTES);
        Poll::Ready((bytes > 0).then(|| Ok(self.left.split_to(bytes))))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;
    use crate::http::state::budget::Budget;

    #[tokio::test]
    async fn an_answer_comes_in_pieces_and_gives_its_memory_back_with_the_last() {
        for (bytes, sizes) in [
            (PIECE_BYTES - 1, vec![PIECE_BYTES - 1]),
            (PIECE_BYTES, vec![PIECE_BYTES]),
            (PIECE_BYTES + 1, vec![PIECE_BYTES, 1]),
        ] {
            let budget = Budget::new(2 * bytes, "busy");
            let mut share = budget.share("a");
            share.grow(bytes).unwrap();
            let response = Response::builder().body(vec![b'x'; bytes]);
            let mut response = in_pieces(response, share).await.unwrap();
            assert_eq!(response.headers()[header::CONTENT_LENGTH], bytes.to_string());
            let body = response.take_body().into_bytes_stream();
            assert!(budget.share("a").grow(1).is_err());
            let pieces: Vec<_> = body.map(|piece| piece.unwrap().len()).collect().await;
            assert_eq!(pieces, sizes);
            budget.share("a").grow(bytes).unwrap();
        }
    }
}
