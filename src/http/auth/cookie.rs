//! The cookie of a browser that is signed in, and the `Origin` that has to come with it.
//!
//! Rule: a call that changes something by the cookie says in `Origin` that a page of this very server makes it. `SameSite=Strict`
//! keeps other sites out already; this keeps out other ports of the same host, which are the same site.
//! Rule: who served the page over TLS is the browser's to say. Its `Origin` begins with `https://` then, and the cookie is `Secure`.
//! Rule: a cookie knows no port, so its name is the data folder's own: two servers on one host live in one browser.
//! Deliberately absent: `X-Forwarded-Proto`, which anyone can write.

use poem::{
    IntoResponse, Request, Response,
    http::{HeaderValue, Method, header},
};
use poem_openapi::{
    ApiResponse,
    registry::{MetaResponses, Registry},
};

use crate::{
    error::{Error, Result},
    http::{state::hosts, wire::envelope::documented_header},
    store::sign_ins::SIGN_IN_LIFE,
};

/// The cookie's name in the document, which is the same for every server.
pub const DOCUMENTED_NAME: &str = "alm_session_<8 hex>";

/// The cookie's name on the server of the data folder with that mark.
pub fn name_of(mark: [u8; 4]) -> String {
    format!("alm_session_{:08x}", u32::from_be_bytes(mark))
}

/// An answer that gives the browser its cookie, or takes it.
pub struct WithCookie<T>(pub T, pub HeaderValue);

impl<T: IntoResponse> IntoResponse for WithCookie<T> {
    fn into_response(self) -> Response {
        self.0.with_header(header::SET_COOKIE, self.1).into_response()
    }
}

impl<T: ApiResponse> ApiResponse for WithCookie<T> {
    fn meta() -> MetaResponses {
        let mut meta = T::meta();
        for response in &mut meta.responses {
            response.headers.push(documented_header((
                "Set-Cookie",
                "`alm_session_<8 hex>`: HttpOnly, SameSite=Strict. The digits are the server's own.",
            )));
        }
        meta
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

/// The value of the cookie of that name, if the request has one.
pub fn presented<'a>(request: &'a Request, cookie: &str) -> Option<&'a str> {
    let lines = request.headers().get_all(header::COOKIE).into_iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, value)| *name == cookie && !value.is_empty()).map(|(_, value)| value)
}

/// What tells the browser to keep the cookie.
pub fn set(cookie: &str, value: &str, request: &Request) -> Result<HeaderValue> {
    line(cookie, value, SIGN_IN_LIFE.as_secs(), request)
}

/// What tells the browser to forget it.
pub fn forget(cookie: &str, request: &Request) -> Result<HeaderValue> {
    line(cookie, "", 0, request)
}

fn line(cookie: &str, value: &str, max_age_s: u64, request: &Request) -> Result<HeaderValue> {
    let secure = if origin(request).is_some_and(|origin| origin.starts_with("https://")) { "; Secure" } else { "" };
    let line = format!("{cookie}={value}; Path=/; Max-Age={max_age_s}; HttpOnly; SameSite=Strict{secure}");
    let mut line = HeaderValue::from_str(&line).map_err(Error::internal)?;
    line.set_sensitive(true);
    Ok(line)
}

/// Refuses a change that no page of this server asked for.
pub fn check_origin(request: &Request) -> Result<()> {
    if matches!(*request.method(), Method::GET | Method::HEAD) || is_same_origin(request) {
        return Ok(());
    }
    Err(Error::forbidden(
        "a browser sign-in can make changes only from this server's own pages: send an `Origin` with the same host as `Host` \
         (a proxy must pass on `Host` as the browser sent it, port included)",
    ))
}

/// Refuses a request of another site's page. Programs send no `Origin`, and that is fine.
pub fn check_no_foreign_origin(request: &Request) -> Result<()> {
    if origin(request).is_none() { Ok(()) } else { check_origin(request) }
}

/// Host and port decide. A page over TLS and its server behind a proxy differ in their scheme and are one all the same.
fn is_same_origin(request: &Request) -> bool {
    let authority = origin(request).and_then(|origin| Some(origin.split_once("://")?.1));
    authority.is_some_and(|authority| hosts::of(request).is_some_and(|host| host.eq_ignore_ascii_case(authority)))
}

fn origin(request: &Request) -> Option<&str> {
    request.header(header::ORIGIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn posted(host: &str, origin: Option<&str>) -> Request {
        let request = Request::builder().method(Method::POST).header("host", host);
        origin.iter().fold(request, |request, origin| request.header("origin", *origin)).finish()
    }

    #[test]
    fn a_change_needs_the_origin_of_a_page_of_this_server() {
        for (host, origin) in [
            ("127.0.0.1:2560", "http://127.0.0.1:2560"),
            ("alm.example.com", "https://alm.example.com"),
            ("Alm.Example.com:8443", "https://alm.example.com:8443"),
            ("[::1]:2560", "http://[::1]:2560"),
        ] {
            check_origin(&posted(host, Some(origin))).unwrap();
        }
        for origin in ["http://127.0.0.1:3000", "http://127.0.0.1", "http://evil.example", "null", "", "127.0.0.1:2560"]
        {
            check_origin(&posted("127.0.0.1:2560", Some(origin))).unwrap_err();
        }
        check_origin(&posted("127.0.0.1:2560", None)).unwrap_err();
        check_no_foreign_origin(&posted("127.0.0.1:2560", None)).unwrap();
        check_no_foreign_origin(&posted("127.0.0.1:2560", Some("null"))).unwrap_err();
    }

    #[test]
    fn the_cookie_is_for_this_server_alone_and_secure_where_the_browser_sees_tls() {
        let name = name_of([0, 0xa0, 1, 0xff]);
        let plain = set(&name, "v", &posted("h", Some("http://h"))).unwrap();
        assert_eq!(plain, "alm_session_00a001ff=v; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict");
        let tls = set(&name, "v", &posted("h", Some("https://h"))).unwrap();
        assert_eq!(tls, "alm_session_00a001ff=v; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict; Secure");
        let forgotten = forget(&name, &posted("h", None)).unwrap();
        assert!(forgotten.to_str().unwrap().starts_with("alm_session_00a001ff=; Path=/; Max-Age=0;"));
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        let cookie =
            |line: &str| presented(&Request::builder().header("cookie", line).finish(), "s_1").map(str::to_owned);
        assert_eq!(cookie("a=b; s_1=v; c=d").as_deref(), Some("v"));
        assert_eq!(cookie("s_2=w; s_1=v").as_deref(), Some("v"));
        for none in ["", "a=b", "s_1=", "xs_1=v", "s_1", "s_11=v", "s_2=v"] {
            assert_eq!(cookie(none), None, "{none}");
        }
    }
}
