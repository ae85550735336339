//! What goes around a proxy, and which headers are not for others to set.

use std::net::IpAddr;

use ureq::http::Uri;

/// Headers that say how a request is framed, or what becomes of its connection. They are ours: with another's `content-length` a
/// request may end early, or never.
const FRAMING: [&str; 9] =
    ["connection", "content-length", "expect", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"];
/// How the headers begin that are for a proxy on the way.
const PROXY_PREFIX: &str = "proxy-";

/// Whether nobody but us may set a request's header of that name.
pub fn frames_request(name: &str) -> bool {
    let name = name.trim().to_ascii_lowercase();
    name.starts_with(PROXY_PREFIX) || FRAMING.contains(&name.as_str())
}

/// Whether a request stays on this machine, where no proxy would find it.
pub(super) fn is_loopback(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_we_frame_a_request() {
        for name in FRAMING.into_iter().chain([
            "Content-Length",
            "TRANSFER-ENCODING",
            "Proxy-Authorization",
            "proxy-",
            " host ",
        ]) {
            assert!(frames_request(name), "{name}");
        }
        for name in ["authorization", "content-type", "x-host", "cookie", "proxy", "", "accept"] {
            assert!(!frames_request(name), "{name}");
        }
    }
}
