//! What clients of OpenAI read of each fact.

use super::*;

#[test]
fn a_refusal_of_the_models_server_is_told_for_what_it_is() {
    let fault = |why| Fault::from(Error::ModelRefused { why, message: "the provider up refused".into() });
    for (why, status, code) in [
        (Refused::Request, 400, "upstream_refused"),
        (Refused::Field("tools"), 400, "unsupported_parameter"),
        (Refused::Content, 400, "content_filter"),
        (Refused::Credentials, 502, "upstream_credentials"),
    ] {
        assert_eq!((fault(why).status.as_u16(), fault(why).code), (status, Some(code)));
    }
    let waits = |seconds: Option<u64>| {
        let fault = fault(Refused::Limited { retry_after: seconds.map(Duration::from_secs) });
        assert_eq!((fault.status.as_u16(), fault.code), (429, Some("upstream_rate_limited")));
        fault.headers[0].1.to_str().unwrap().parse::<u64>().unwrap()
    };
    let (min, max) = (LIMITED_RETRY_MIN.as_secs(), LIMITED_RETRY_MAX.as_secs());
    assert_eq!([0, min, min + 1].map(|s| waits(Some(s))), [min, min, min + 1]);
    assert_eq!([max - 1, max, max + 1].map(|s| waits(Some(s))), [max - 1, max, max]);
    assert_eq!(waits(None), LIMITED_RETRY.as_secs());
}

#[test]
fn every_fact_has_its_row() {
    let wait = Duration::from_millis(2_001);
    for (error, status, kind, code) in [
        (Error::BadRequest("x".into()), 400, INVALID_REQUEST, None),
        (Error::invalid("a", "b"), 400, INVALID_REQUEST, Some("invalid_value")),
        (Error::invalid("Idempotency-Key", OTHER_BODY), 400, INVALID_REQUEST, Some("idempotency_key_reused")),
        (
            Error::TooLong { model: "m".into(), window: None, prompt: None },
            400,
            INVALID_REQUEST,
            Some("context_length_exceeded"),
        ),
        (Error::Unauthorized("x"), 401, AUTHENTICATION, Some("invalid_api_key")),
        (Error::UnknownModel("x".into()), 404, INVALID_REQUEST, Some("model_not_found")),
        (Error::forbidden("x"), 403, PERMISSION, Some("insufficient_scope")),
        (Error::forbidden(OTHER_ORG), 403, PERMISSION, Some("org_mismatch")),
        (Error::PaymentRequired { balance: 0, model: "m".into() }, 429, INSUFFICIENT_QUOTA, Some("insufficient_quota")),
        (Error::TooManyRequests { retry_after: wait }, 429, RATE_LIMIT, Some("rate_limit_exceeded")),
        (Error::NotFound("x"), 404, INVALID_REQUEST, Some("not_found")),
        (Error::Conflict("x".into()), 409, INVALID_REQUEST, Some("conflict")),
        (Error::PayloadTooLarge("x".into()), 413, INVALID_REQUEST, Some("request_too_large")),
        (Error::ModelUnavailable("x".into()), 502, SERVER, Some("model_unavailable")),
        (Error::Unavailable { message: "x".into(), retry_after: wait }, 503, SERVER, Some("overloaded")),
        (Error::internal("hunter2"), 500, SERVER, Some("internal_error")),
    ] {
        let fault = Fault::from(error);
        assert_eq!((fault.status.as_u16(), fault.kind, fault.code), (status, kind, code), "{fault:?}");
        assert!(!fault.message.contains("hunter2"));
    }
}

#[test]
fn sdks_are_told_whether_and_when_to_try_again() {
    let headers = |error: Error| {
        let fault = Fault::from(error);
        fault
            .headers
            .into_iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect::<Vec<_>>()
    };
    let wait = Duration::from_millis(2_001);
    assert_eq!(headers(Error::TooManyRequests { retry_after: wait }), ["retry-after: 3"]);
    let forbidden = Error::Forbidden { message: "no".into(), step_up: false };
    assert_eq!(headers(forbidden), ["x-should-retry: false"]);
    assert_eq!(headers(Error::Unauthorized("no")), ["www-authenticate: Bearer", "x-should-retry: false"]);
    assert_eq!(headers(Error::PaymentRequired { balance: 0, model: "m".into() }), ["x-should-retry: false"]);
    assert_eq!(Fault::from(Error::TooManyRequests { retry_after: wait }).message, "too many requests: try again in 3s");
}

#[test]
fn an_object_has_four_keys_and_a_fault_of_ours_names_the_request() {
    let object = Fault::new(StatusCode::BAD_REQUEST, INVALID_REQUEST, None, "x").object();
    assert_eq!(
        object,
        json!({ "error": { "message": "x", "type": "invalid_request_error", "param": null, "code": null } })
    );
    let object = Fault::model_not_found("gpt-4o").object();
    assert_eq!(object["error"]["message"], "no model called gpt-4o: GET /v1/models lists those there are");
    assert_eq!((&object["error"]["param"], &object["error"]["code"]), (&json!("model"), &json!("model_not_found")));
}
