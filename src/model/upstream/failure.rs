//! Why a model did not answer, whether to ask again, and what to say.
//!
//! Rule: plain functions over plain values. A sentence names the provider as its organization does; nothing that an
//! upstream wrote, no address and no key is ever in it.

use std::{io::ErrorKind, time::Duration};

use super::unpack::unreadable;
use crate::{
    error::{Error, NO_DESCRIPTOR, Refused, is_out_of_descriptors},
    model::openai::{TOO_LONG, TooLong, explain, is_loading, refusal, too_long},
    outbound::{
        Cause, SendError, Untrusted,
        http::{HeaderMap, StatusCode, header},
    },
};

/// How often a request is sent again, at most.
pub(super) const RETRIES_MAX: u32 = 2;
/// The first pause, doubled with each retry, then varied by half so that many callers do not come back as one.
const PAUSE_FIRST: Duration = Duration::from_millis(200);
/// A longer pause is not waited for: the caller should know of it and decide.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(10);

/// Why a request got no reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// Nothing listens there.
    Refused,
    /// The host's name could not be looked up.
    NameUnknown,
    /// No way there, or none in time.
    Unreachable,
    /// No response head in time.
    HeadTimeout,
    /// No secure connection.
    Tls(Untrusted),
    /// The proxy of the environment refused.
    Proxy,
    /// A pooled connection had died before it was used.
    Stale,
    /// A new connection ended before anything was answered.
    Lost,
    /// What came was not HTTP.
    NotHttp,
    /// It answered, and not with success.
    Status {
        /// Its status.
        code: u16,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// It refused the request for a reason that is known, with this status.
    Explained { code: u16, why: &'static str },
    /// The conversation is too long for the model.
    TooLong(TooLong),
    /// It is loading the model.
    Loading,
    /// It answered with a page for people.
    WebPage,
    /// It answered with something compressed in a way that is not read.
    Packed(&'static str),
    /// It answered with something else than a list of models.
    NoList,
    /// It is at an address where nobody is asked.
    Forbidden,
    /// It is at an address that owners' providers may not reach.
    NotNamed,
    /// As many requests wait for their heads as may.
    TooMany,
    /// There is no descriptor left to connect with.
    NoDescriptor,
    /// Anything else, which is in the log.
    Other,
}

/// What a request was for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose<'a> {
    /// A reply of this model.
    Reply(&'a str),
    /// The list of models.
    Models,
}

impl Failure {
    /// The reason no head came.
    pub(super) fn of_send(error: &SendError) -> Self {
        let SendError::Failed { cause, reused, answered, .. } = error else { return Failure::TooMany };
        match cause {
            Cause::NameUnknown => Failure::NameUnknown,
            Cause::Forbidden(forbidden) if forbidden.is_for_nobody() => Failure::Forbidden,
            Cause::Forbidden(_) => Failure::NotNamed,
            Cause::ConnectTimeout => Failure::Unreachable,
            Cause::HeadTimeout => Failure::HeadTimeout,
            Cause::Tls(why) => Failure::Tls(*why),
            Cause::Proxy => Failure::Proxy,
            Cause::NotHttp => Failure::NotHttp,
            Cause::Io(e) => match e.kind() {
                ErrorKind::ConnectionRefused => Failure::Refused,
                ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => Failure::Unreachable,
                ErrorKind::UnexpectedEof
                | ErrorKind::ConnectionReset
                | ErrorKind::ConnectionAborted
                | ErrorKind::BrokenPipe
                    if !answered =>
                {
                    if *reused {
                        Failure::Stale
                    } else {
                        Failure::Lost
                    }
                }
                _ if is_out_of_descriptors(e) => Failure::NoDescriptor,
                _ => Failure::Other,
            },
            Cause::TooMany => Failure::TooMany,
            Cause::Other(_) => Failure::Other,
        }
    }

    /// The reason a head is of no use, if it is of none.
    pub(super) fn of_head(status: StatusCode, headers: &HeaderMap) -> Option<Self> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        if !status.is_success() {
            let seconds = text(header::RETRY_AFTER).and_then(|value| value.trim().parse().ok());
            return Some(Failure::Status { code: status.as_u16(), retry_after: seconds.map(Duration::from_secs) });
        }
        // Anything but a page may be a stream: some servers call theirs `application/json`.
        let page = text(header::CONTENT_TYPE).is_some_and(|kind| kind.trim_start().starts_with("text/html"));
        page.then_some(Failure::WebPage).or_else(|| unreadable(headers).map(Failure::Packed))
    }

    /// The same, but for a refused request whose reason the body shows; the words are ours.
    pub(super) fn explained(self, said: &str) -> Self {
        let why = explain(said);
        match self {
            Failure::Status { code: 400 | 413 | 422 | 500, .. } if why == TOO_LONG => Failure::TooLong(too_long(said)),
            Failure::Status { code: 503, .. } if is_loading(said) => Failure::Loading,
            Failure::Status { code: code @ (400 | 413 | 422), .. } if why != explain("") => {
                Failure::Explained { code, why }
            }
            _ => self,
        }
    }

    /// The status of a refusal.
    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Failure::Status { code, .. } | Failure::Explained { code, .. } => Some(*code),
            Failure::TooLong(_) => Some(400),
            _ => None,
        }
    }

    /// How long to wait before the request is sent again; none if that would be useless or not safe. `retries` were
    /// made before; `chance` is uniform in 0..1.
    pub(super) fn pause(&self, retries: u32, chance: f64) -> Option<Duration> {
        if retries >= RETRIES_MAX {
            return None;
        }
        let back_off = (PAUSE_FIRST * 2_u32.pow(retries)).mul_f64(0.5 + chance);
        match self {
            Failure::Stale => Some(Duration::ZERO),
            Failure::Refused | Failure::Lost => Some(back_off),
            Failure::Status { code: 429 | 503, retry_after } => {
                Some(retry_after.unwrap_or(back_off)).filter(|pause| *pause <= RETRY_AFTER_MAX)
            }
            _ => None,
        }
    }

    /// What the caller reads. `who` is such as `the provider ollama`.
    pub(super) fn into_error(self, who: &str, purpose: Purpose) -> Error {
        let message = match self {
            Failure::TooMany => "too many requests are waiting for models: try again in a moment",
            Failure::NoDescriptor => NO_DESCRIPTOR,
            Failure::TooLong(TooLong { window, prompt }) => {
                let model = match purpose {
                    Purpose::Reply(model) => model.to_owned(),
                    Purpose::Models => who.to_owned(),
                };
                return Error::TooLong { model, window, prompt };
            }
            failure => {
                let message = failure.sentence(who, purpose);
                return match failure.refusal() {
                    Some(why) => Error::ModelRefused { why, message },
                    None => Error::ModelUnavailable(message),
                };
            }
        };
        Error::Unavailable { message: message.into(), retry_after: Duration::from_secs(1) }
    }

    fn refusal(&self) -> Option<Refused> {
        match self {
            Failure::Status { code: 429, retry_after } => Some(Refused::Limited { retry_after: *retry_after }),
            Failure::Status { code: 401..=403, .. } => Some(Refused::Credentials),
            Failure::Status { code: 400 | 404 | 413 | 415 | 422, .. } => Some(Refused::Request),
            Failure::Explained { why, .. } => Some(refusal(why).unwrap_or(Refused::Request)),
            _ => None,
        }
    }

    fn sentence(&self, who: &str, purpose: Purpose) -> String {
        match self {
            Failure::Refused => format!("cannot connect to {who}: is the model server running?"),
            Failure::NameUnknown => {
                format!("the host name of {who} cannot be resolved: check the provider's base URL")
            }
            Failure::Unreachable => format!("no connection to {who}: check the address and the network"),
            Failure::HeadTimeout => {
                format!("{who} accepted the request but did not reply in time: is the model still loading?")
            }
            Failure::Tls(why) => format!("no secure connection to {who}: {}", untrusted_sentence(*why)),
            Failure::Proxy => format!(
                "the proxy refused to connect to {who}: check HTTPS_PROXY and NO_PROXY (SOCKS is not supported)"
            ),
            Failure::Stale | Failure::Lost => format!("{who} closed the connection without a response: try again"),
            Failure::Forbidden => format!(
                "{who} is at a link-local or metadata address, where nobody is asked: correct the provider's base URL"
            ),
            Failure::NotNamed => {
                format!(
                    "{who} is where owners' providers may not go: whoever runs alm can name it with --upstream-allow"
                )
            }
            Failure::NotHttp => format!("{who} does not speak HTTP: check the provider's base URL"),
            Failure::Status { code, .. } => status_sentence(*code, who, purpose),
            Failure::Explained { why, .. } => (*why).to_owned(),
            Failure::Loading => format!("{who} is still loading the model after 10 minutes"),
            Failure::WebPage => {
                format!("{who} returned a web page: check the provider's base URL, which often ends in /v1")
            }
            Failure::Packed(how) => format!(
                "{who} sent its response compressed ({how}), which was not asked for: turn that off in the server or \
                 the proxy before it"
            ),
            Failure::NoList => format!("{who} returned no list of models: check the provider's base URL"),
            Failure::TooMany | Failure::NoDescriptor | Failure::TooLong(_) | Failure::Other => {
                format!("the request to {who} failed: see the server log")
            }
        }
    }
}

/// The error of a refusal that was recorded, as one that has just come.
pub(in crate::model) fn refused(code: u16, retry_after: Option<Duration>, said: &str, who: &str, model: &str) -> Error {
    Failure::Status { code, retry_after }.explained(said).into_error(who, Purpose::Reply(model))
}

fn untrusted_sentence(why: Untrusted) -> &'static str {
    match why {
        Untrusted::Issuer => {
            "its certificate is signed by nobody who is trusted: name the authority's certificate with --ca-file; if the server \
             leaves out certificates in between, that file may hold them too"
        }
        Untrusted::Name => "its certificate is for another name: use a name of the certificate in the base URL",
        Untrusted::Expired => "its certificate has expired: renew it, or set this machine's clock",
        Untrusted::NotYetValid => "its certificate is not valid yet: set this machine's clock, or the server's",
        Untrusted::Other => {
            "if a private authority signed its certificate, start the server with --ca-file; if it speaks plain HTTP, begin the \
             base URL with http://"
        }
    }
}

fn status_sentence(code: u16, who: &str, purpose: Purpose) -> String {
    match (code, purpose) {
        (300..=399, _) => {
            format!("{who} redirects elsewhere, and redirects are not followed: check the provider's base URL")
        }
        (401 | 403, _) => format!("{who} rejected the key: check the provider's API key"),
        (404, Purpose::Reply(model)) => {
            format!("{who} does not know the model {model}: pull it, or check the base URL")
        }
        (404 | 405, _) => format!("{who} has no such path: check the provider's base URL"),
        (413, _) => format!("the conversation is too large for {who}"),
        (429, _) => format!("{who} is limiting requests: wait, or check its quota"),
        (400 | 422, Purpose::Reply(model)) => format!(
            "{who} rejected the request: the model {model} may not support the agent's tools, \
             settings or files"
        ),
        (500.., _) => format!("{who} failed with status {code}: try again"),
        _ => format!("{who} rejected the request with status {code}"),
    }
}

#[cfg(test)]
mod tests;
