//! The name by which a browser has reached this server.
//!
//! Rule: bound to loopback, the server answers to the names of loopback and to those it was told. Else a page of any site could have
//! its own name resolve to 127.0.0.1 and read everything as a page of this server would (DNS rebinding).

use std::net::IpAddr;

use poem::{
    Request,
    http::{header, uri::Authority},
};

use crate::error::{Error, Result};

/// The names a server answers to.
#[derive(Debug, Clone, Default)]
pub struct Hosts {
    /// Absent: every name, since the server is meant to be reached from elsewhere.
    allowed: Option<Vec<String>>,
}

impl Hosts {
    /// Of a server that listens on `address`; `names` are those it is reached by besides loopback's own.
    pub fn of_listener(address: IpAddr, names: &[String]) -> Self {
        let names = names.iter().map(|name| name.to_ascii_lowercase()).collect();
        Hosts { allowed: address.is_loopback().then_some(names) }
    }

    /// Refuses a request that came for another server. One that names none comes from no browser.
    pub fn check(&self, request: &Request) -> Result<()> {
        let (Some(allowed), Some(host)) = (&self.allowed, of(request)) else { return Ok(()) };
        let authority = host.parse::<Authority>().ok();
        let name = authority.as_ref().map_or("", Authority::host);
        let is_loopback = name.eq_ignore_ascii_case("localhost")
            || name.trim_matches(['[', ']']).parse().is_ok_and(|address: IpAddr| address.is_loopback());
        if is_loopback || allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(name)) {
            return Ok(());
        }
        Err(Error::forbidden("this `Host` is not allowed: start the server with --allow-host NAME"))
    }
}

/// Name and port as the browser wrote them: HTTP/1's `Host`, HTTP/2's `:authority`. A `Host` that cannot be read is no name.
pub fn of(request: &Request) -> Option<&str> {
    let host = request.headers().get(header::HOST).map(|host| host.to_str().unwrap_or_default());
    host.or_else(|| authority(request))
}

/// Whether a request says two hosts: in its `Host` and in what it asks for.
pub fn are_two(request: &Request) -> bool {
    let differs = |host: &str| authority(request).is_some_and(|authority| !authority.eq_ignore_ascii_case(host));
    request.header(header::HOST).is_some_and(differs)
}

fn authority(request: &Request) -> Option<&str> {
    request.original_uri().authority().map(|authority| authority.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(address: &str, host: &str) -> bool {
        let hosts = Hosts::of_listener(address.parse().unwrap(), &["Alm.Example.com".into()]);
        hosts.check(&Request::builder().header("host", host).finish()).is_ok()
    }

    #[test]
    fn a_server_on_loopback_answers_to_loopback_and_to_names_it_was_told() {
        for host in
            ["127.0.0.1", "127.0.0.1:2560", "localhost:1", "LOCALHOST", "[::1]", "[::1]:2560", "alm.example.com:443"]
        {
            assert!(check("127.0.0.1", host), "{host}");
            assert!(check("::1", host), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1:2560", "", "[::1"] {
            assert!(!check("127.0.0.1", host), "{host}");
        }
    }

    #[test]
    fn a_host_that_is_not_ascii_is_no_name() {
        let mut request = Request::builder().finish();
        let odd = poem::http::HeaderValue::from_bytes("localhöst".as_bytes()).unwrap();
        request.headers_mut().insert(header::HOST, odd);
        Hosts::of_listener([127, 0, 0, 1].into(), &[]).check(&request).unwrap_err();
    }

    #[test]
    fn a_server_for_others_answers_to_every_name() {
        assert!(check("0.0.0.0", "alm.lan:2560") && check("10.0.0.1", "whatever"));
    }
}
