//! Where a request may go, what goes around a proxy, and which headers are not for others to set.
//!
//! Rule: one guard, at connect time, on the resolved address: what it permits is what is connected to, so it does not matter how a host
//! was written, and a name that resolves differently the next time gains nothing. Two lists: tools reach public addresses, providers all
//! but link-local ones and the clouds' own. Rule: where a proxy resolves, only names and addresses as they are written can be tested.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
};

use ureq::http::Uri;

use super::{
    allow::{Allowed, Target, is_number, plain},
    networks::{is_link_local, is_metadata, is_metadata_name, is_public},
    sockets::Sockets,
};

/// Headers that say how a request is framed, or what becomes of its connection. They are ours: with another's `content-length` a
/// request may end early, or never.
const FRAMING: [&str; 9] =
    ["connection", "content-length", "expect", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"];
/// How the headers begin that are for a proxy on the way.
const PROXY_PREFIX: &str = "proxy-";

/// Who asks, which decides where a request may go.
#[derive(Debug)]
pub(super) enum Guard {
    /// Providers: all but link-local addresses and metadata, or of those only what is named.
    Providers {
        /// None is all.
        only: Option<Allowed>,
    },
    /// Tools: public addresses, and what is named.
    Tools {
        /// What the operator named.
        allowed: Allowed,
        /// The host and port of the one row that these requests are for, if its operator added it.
        own: Option<Target>,
    },
    /// Our own children: their sockets, and no address.
    Children(Sockets),
}

/// Nobody is asked at that address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ForbiddenAddress {
    /// The host as the request names it.
    pub host: String,
    /// What it is, or leads to; none where that was not looked up.
    pub address: Option<IpAddr>,
}

impl fmt::Display for ForbiddenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ForbiddenAddress { host, address } = self;
        let is_cloud = is_metadata_name(host) || address.is_some_and(is_metadata);
        let place = if is_cloud { "is the cloud's own" } else { "is on a private network" };
        match address.map(|address| address.to_string()).filter(|address| address != host) {
            Some(address) => write!(f, "{host} ({address}) {place}"),
            None => write!(f, "{host} {place}"),
        }
    }
}

impl ForbiddenAddress {
    /// Whether nobody is asked there at all, whatever is named.
    pub fn is_for_nobody(&self) -> bool {
        self.address.is_some_and(|address| is_link_local(address) || is_metadata(address))
    }

    /// What whoever owns the machine can do, where that command adds what asks.
    pub fn advice(&self, command: &str) -> String {
        let is_cloud = is_metadata_name(&self.host) || self.address.is_some_and(is_metadata);
        match self.address.filter(|_| is_cloud) {
            Some(address) => format!("{self}. On the machine, start with --tool-allow {address}."),
            None if is_cloud => format!("{self}. On the machine, start with --tool-allow {}.", self.host),
            None => {
                format!("{self}. On the machine, add it with \"{command}\" or start with --tool-allow {}.", self.host)
            }
        }
    }
}

impl Guard {
    /// The addresses that may be connected to for `uri`; an error if there are only others.
    pub(super) fn permitted(&self, uri: &Uri, addresses: &[SocketAddr]) -> io::Result<Vec<SocketAddr>> {
        let target = target(uri);
        let permitted: Vec<_> = addresses.iter().filter(|address| self.permits(&target, **address)).copied().collect();
        match addresses.first().filter(|_| permitted.is_empty()) {
            Some(first) => Err(forbidden(&target, Some(first.ip()))),
            None => Ok(permitted),
        }
    }

    fn permits(&self, target: &Target, address: SocketAddr) -> bool {
        let ip = address.ip();
        match self {
            Guard::Providers { only } => {
                !is_link_local(ip)
                    && !is_metadata(ip)
                    && only.as_ref().is_none_or(|allowed| allowed.permits(target, address))
            }
            Guard::Tools { allowed, own } => {
                let is_own = own.as_ref() == Some(target);
                let is_open = !is_metadata(ip) && !is_metadata_name(&target.host) && (is_own || is_public(ip));
                is_open || allowed.permits(target, address)
            }
            Guard::Children(_) => false,
        }
    }

    /// Whether a proxy may be asked for `uri`, which it resolves for itself.
    pub(super) fn permits_by_name(&self, uri: &Uri) -> io::Result<()> {
        let target = target(uri);
        let address = target.host.parse::<IpAddr>().ok();
        let is_permitted = match (address, self) {
            (Some(ip), _) => self.permits(&target, SocketAddr::new(ip, target.port)),
            (None, Guard::Providers { only }) => only.as_ref().is_none_or(|allowed| allowed.names(&target)),
            (None, Guard::Tools { allowed, own }) => {
                // Other spellings of an address are read by the proxy's resolver, and not by us.
                let is_local = is_local_name(&target.host) || is_number(&target.host);
                let is_open = !is_metadata_name(&target.host) && (!is_local || own.as_ref() == Some(&target));
                is_open || allowed.names(&target)
            }
            (None, Guard::Children(_)) => false,
        };
        if is_permitted { Ok(()) } else { Err(forbidden(&target, address)) }
    }
}

fn forbidden(target: &Target, address: Option<IpAddr>) -> io::Error {
    io::Error::other(ForbiddenAddress { host: target.host.clone(), address })
}

/// Where a request for `uri` goes.
pub(super) fn target(uri: &Uri) -> Target {
    let by_scheme = if uri.scheme_str() == Some("https") { 443 } else { 80 };
    Target { host: plain(uri.host().unwrap_or_default()), port: uri.port_u16().unwrap_or(by_scheme) }
}

fn is_local_name(host: &str) -> bool {
    host == "localhost" || host.ends_with(".localhost")
}

/// Whether nobody but us may set a request's header of that name.
pub fn frames_request(name: &str) -> bool {
    let name = name.trim().to_ascii_lowercase();
    name.starts_with(PROXY_PREFIX) || FRAMING.contains(&name.as_str())
}

/// Whether a request stays on this machine, where no proxy would find it.
pub fn is_loopback(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests;
