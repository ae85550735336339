//! What is said of every failure.

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
    let said = r#"{"error":{"code":"context_length_exceeded","message":"at most 8192 tokens, and by the way: sk-1"}}"#;
    let error = status(400, None).explained(said).into_error("h", Purpose::Reply("tiny")).to_string();
    let expected =
        "this message is too long for tiny, which holds 8192 tokens: shorten it, or give the model a larger context";
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
    for (wanted, kept) in [(RETRY_AFTER_MAX - second, true), (RETRY_AFTER_MAX, true), (RETRY_AFTER_MAX + second, false)]
    {
        assert_eq!(pause(wanted), kept.then_some(wanted));
    }
    let again = |retries| Failure::Lost.pause(retries, 0.5).is_some();
    assert_eq!([again(RETRIES_MAX - 1), again(RETRIES_MAX), again(RETRIES_MAX + 1)], [true, false, false]);
}
