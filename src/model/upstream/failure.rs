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
        Error::Unavailable { message, retry_after: Duration::from_secs(1) }
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
mod tests {
    use super::*;

    fn failed(cause: Cause, reused: bool, answered: bool) -> Failure {
        Failure::of_send(&SendError::Failed { cause, reused, answered, sent: true })
    }

    fn status(code: u16, retry_after: Option<u64>) -> Failure {
        Failure::Status { code, retry_after: retry_after.map(Duration::from_secs) }
    }

    #[test]
    fn only_an_unanswered_request_is_sent_again() {
        for kind in [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset, ErrorKind::BrokenPipe] {
            let cause = || Cause::Io(kind.into());
            assert_eq!(failed(cause(), true, false), Failure::Stale);
            assert_eq!(failed(cause(), false, false), Failure::Lost);
            assert_eq!(failed(cause(), true, true).pause(0, 0.5), None);
            assert_eq!(failed(cause(), false, true).pause(0, 0.5), None);
        }
        for timeout in [Cause::ConnectTimeout, Cause::HeadTimeout] {
            assert_eq!(failed(timeout, false, false).pause(0, 0.5), None);
        }
        for code in [400, 401, 404, 408, 500, 502, 504] {
            assert_eq!(status(code, Some(1)).pause(0, 0.5), None, "{code}");
        }
    }

    #[test]
    fn pauses_double_vary_by_half_and_end() {
        let millis = |retries, chance| Failure::Refused.pause(retries, chance).map(|p| p.as_millis());
        assert_eq!([millis(0, 0.0), millis(0, 0.5), millis(0, 1.0)], [Some(100), Some(200), Some(300)]);
        assert_eq!([millis(1, 0.0), millis(1, 0.5), millis(1, 1.0)], [Some(200), Some(400), Some(600)]);
        assert_eq!(millis(RETRIES_MAX, 0.5), None);
        assert_eq!(Failure::Stale.pause(0, 0.5), Some(Duration::ZERO));
    }

    #[test]
    fn retry_after_is_honoured_up_to_its_cap() {
        assert_eq!(status(429, Some(3)).pause(0, 0.5), Some(Duration::from_secs(3)));
        assert_eq!(status(503, Some(10)).pause(1, 0.5), Some(Duration::from_secs(10)));
        assert_eq!(status(429, Some(11)).pause(0, 0.5), None);
        assert_eq!(status(503, None).pause(0, 0.5), Some(Duration::from_millis(200)));
    }

    #[test]
    fn a_page_is_no_reply_and_everything_else_may_be_one() {
        let head = |kind: &'static str| {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, header::HeaderValue::from_static(kind))]);
            Failure::of_head(StatusCode::OK, &headers)
        };
        assert_eq!(head("text/html; charset=utf-8"), Some(Failure::WebPage));
        assert_eq!([head("text/event-stream"), head("application/json"), head("text/plain")], [None, None, None]);
        assert_eq!(Failure::of_head(StatusCode::OK, &HeaderMap::new()), None);
    }

    #[test]
    fn a_conversation_that_is_too_long_is_said_so_in_words_of_ours() {
        let said =
            r#"{"error":{"code":"context_length_exceeded","message":"at most 8192 tokens, and by the way: sk-1"}}"#;
        let error = status(400, None).explained(said).into_error("h", Purpose::Reply("tiny")).to_string();
        let expected = "this message is too long for tiny, which holds 8192 tokens: shorten it, or give the model a larger context";
        assert_eq!(error, expected);
        for (code, said) in [(401, said), (400, "no reason"), (422, "")] {
            assert_eq!(status(code, None).explained(said), status(code, None));
        }
    }

    #[test]
    fn every_sentence_names_the_provider_and_what_to_do() {
        let who = "the provider ollama";
        let said = |failure: Failure| match failure.into_error(who, Purpose::Reply("llama3.2:3b")) {
            Error::ModelUnavailable(sentence) | Error::ModelRefused { message: sentence, .. } => sentence,
            other => panic!("{other:?}"),
        };
        assert_eq!(said(Failure::Refused), "cannot connect to the provider ollama: is the model server running?");
        let cases = [
            (Failure::NameUnknown, "base URL"),
            (Failure::Forbidden, "metadata"),
            (Failure::NotNamed, "--upstream-allow"),
            (Failure::Unreachable, "network"),
            (Failure::HeadTimeout, "loading"),
            (Failure::Tls(Untrusted::Other), "--ca-file"),
            (Failure::Tls(Untrusted::Issuer), "--ca-file"),
            (Failure::Tls(Untrusted::Name), "another name"),
            (Failure::Tls(Untrusted::Expired), "expired"),
            (Failure::Tls(Untrusted::NotYetValid), "clock"),
            (Failure::Proxy, "NO_PROXY"),
            (Failure::Stale, "try again"),
            (Failure::Lost, "try again"),
            (Failure::NotHttp, "base URL"),
            (Failure::WebPage, "/v1"),
            (Failure::NoList, "base URL"),
            (Failure::Packed("br"), "compressed (br)"),
            (Failure::Other, "log"),
            (status(302, None), "base URL"),
            (status(400, None), "llama3.2:3b"),
            (status(401, None), "API key"),
            (status(403, None), "API key"),
            (status(404, None), "llama3.2:3b"),
            (status(413, None), "too large"),
            (status(418, None), "418"),
            (status(422, None), "tools"),
            (status(429, None), "quota"),
            (status(500, None), "try again"),
            (status(503, None), "503"),
        ];
        for (failure, advice) in cases {
            let sentence = said(failure);
            assert!(sentence.contains(who) && sentence.contains(advice), "{sentence}");
        }
        let busy = Failure::TooMany.into_error(who, Purpose::Models);
        assert!(matches!(busy, Error::Unavailable { .. }));
    }

    #[test]
    fn a_pause_that_is_asked_for_is_kept_up_to_the_bound() {
        let pause = |wanted| Failure::Status { code: 429, retry_after: Some(wanted) }.pause(0, 0.5);
        let second = Duration::from_secs(1);
        for (wanted, kept) in
            [(RETRY_AFTER_MAX - second, true), (RETRY_AFTER_MAX, true), (RETRY_AFTER_MAX + second, false)]
        {
            assert_eq!(pause(wanted), kept.then_some(wanted));
        }
        let again = |retries| Failure::Lost.pause(retries, 0.5).is_some();
        assert_eq!([again(RETRIES_MAX - 1), again(RETRIES_MAX), again(RETRIES_MAX + 1)], [true, false, false]);
    }
}
