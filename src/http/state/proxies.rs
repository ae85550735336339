//! The proxies in front of this server, and whom a request that comes through them comes from.
//!
//! Rule: a header that anyone can write is believed only of a peer that the operator named. From such a peer, a request comes from
//! the last address of `X-Forwarded-For` that is no trusted proxy itself: what stands before it, whoever asked may have written.
//! Rule: an entry that is no address ends the search. The request comes from the proxy that passed it on, then.
//! Deliberately absent: `Forwarded`, `X-Real-IP` and the like, of which a second one could say something else.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use poem::{Addr, Request, http::HeaderMap};

use crate::error::{Error, Result};

const FORWARDED_FOR: &str = "x-forwarded-for";
/// Whoever comes by a Unix socket, in the list of proxies.
const UNIX: &str = "unix";

/// The trusted ones; none by default.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    networks: Vec<Network>,
    unix: bool,
}

/// Addresses that begin alike. IPv4 is the part of IPv6 that it is mapped to.
#[derive(Debug, Clone, Copy)]
struct Network {
    bits: u128,
    prefix_bits: u32,
}

impl Proxies {
    /// Of addresses, networks such as `10.0.0.0/8`, and `unix`; empty ones are none.
    pub fn new(names: &[String]) -> Result<Self> {
        let mut proxies = Self::default();
        for name in names.iter().map(|name| name.trim()).filter(|name| !name.is_empty()) {
            if name.eq_ignore_ascii_case(UNIX) {
                proxies.unix = true;
                continue;
            }
            let network = name.parse().map_err(|()| {
                let wants = "an address, a network such as 10.0.0.0/8, or unix";
                Error::invalid("trust_proxy", format!("{name} is not {wants}"))
            })?;
            proxies.networks.push(network);
        }
        Ok(proxies)
    }

    /// The network that a request comes from: see [`network_of`].
    pub fn client_network(&self, request: &Request) -> IpAddr {
        network_of(self.client(&request.remote_addr().0, request.headers()))
    }

    /// The address that a request comes from; `None` where there is none, by a socket of this machine.
    pub fn client_address(&self, request: &Request) -> Option<IpAddr> {
        Some(self.client(&request.remote_addr().0, request.headers())).filter(|address| !address.is_unspecified())
    }

    /// What a connection is counted as: nothing where many come by one address, through a proxy or on this machine.
    pub fn share_of(&self, peer: SocketAddr) -> Option<IpAddr> {
        let address = peer.ip().to_canonical();
        (!address.is_loopback() && !self.trust(address)).then(|| network_of(address))
    }

    fn client(&self, peer: &Addr, headers: &HeaderMap) -> IpAddr {
        let (mut client, trusted) = match peer {
            Addr::SocketAddr(peer) => (peer.ip().to_canonical(), self.trust(peer.ip())),
            Addr::Unix(_) => (Ipv6Addr::UNSPECIFIED.into(), self.unix),
            Addr::Custom(..) => (Ipv6Addr::UNSPECIFIED.into(), false),
        };
        if !trusted {
            return client;
        }
        let lines: Vec<_> = headers.get_all(FORWARDED_FOR).into_iter().collect();
        let entries = lines.into_iter().rev().flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        for entry in entries.map(<[u8]>::trim_ascii).filter(|entry| !entry.is_empty()) {
            let Some(address) = address_of(entry) else { break };
            client = address;
            if !self.trust(address) {
                break;
            }
        }
        client
    }

    fn trust(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.holds(address))
    }
}

impl Network {
    fn holds(self, address: IpAddr) -> bool {
        // A shift by all 128 bits leaves nothing that could differ.
        (self.bits ^ bits_of(address)).checked_shr(u128::BITS - self.prefix_bits).unwrap_or(0) == 0
    }
}

impl FromStr for Network {
    type Err = ();

    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().map_err(drop)?;
        let bits_max = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(bits_max), |prefix| prefix.parse().map_err(drop))?;
        let prefix_bits = Some(prefix).filter(|prefix| *prefix <= bits_max).ok_or(())? + (128 - bits_max);
        Ok(Network { bits: bits_of(address), prefix_bits })
    }
}

fn bits_of(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// An entry as proxies write it: with a port or without, in brackets, in quotes, with a zone.
fn address_of(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?.trim_matches('"');
    let bare = || {
        let text = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        text.split_once('%').map_or(text, |(address, _zone)| address).parse().ok()
    };
    let address: IpAddr = bare().or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()))?;
    Some(address.to_canonical())
}

/// What an address is counted as: itself, or a whole network for IPv6, where one host has 2^64 of them.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use poem::http::HeaderValue;

    use super::*;

    fn proxies(names: &[&str]) -> Proxies {
        Proxies::new(&names.iter().map(|name| name.to_string()).collect::<Vec<_>>()).unwrap()
    }

    /// Whom a request comes from that a peer passes on with these lines.
    fn client(proxies: &Proxies, peer: &str, lines: &[&[u8]]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, HeaderValue::from_bytes(line).unwrap());
        }
        proxies.client(&SocketAddr::new(peer.parse().unwrap(), 1).into(), &headers).to_string()
    }

    #[test]
    fn the_header_is_believed_of_named_proxies_alone() {
        let line: &[&[u8]] = &[b"6.6.6.6"];
        assert_eq!(client(&proxies(&[]), "127.0.0.1", line), "127.0.0.1");
        assert_eq!(client(&proxies(&["127.0.0.1"]), "127.0.0.2", line), "127.0.0.2");
        for name in [
            "127.0.0.1",
            " 127.0.0.1 ",
            "127.0.0.0/8",
            "127.9.9.9/8",
            "0.0.0.0/0",
            "::ffff:127.0.0.1",
            "::ffff:127.0.0.0/104",
        ] {
            for peer in ["127.0.0.1", "::ffff:127.0.0.1"] {
                assert_eq!(client(&proxies(&["", name]), peer, line), "6.6.6.6", "{name} {peer}");
            }
        }
        assert_eq!(client(&proxies(&["2001:db8::/32"]), "2001:db8:1::1", line), "6.6.6.6");
        assert_eq!(client(&proxies(&["2001:db8::/32"]), "2001:db9::1", line), "2001:db9::1");
    }

    #[test]
    fn a_request_comes_from_the_last_that_is_no_proxy() {
        let behind = proxies(&["127.0.0.1", "10.0.0.0/8"]);
        for (lines, found) in [
            (&[][..], "127.0.0.1"),
            (&[&b""[..]][..], "127.0.0.1"),
            (&[b"9.9.9.9, 6.6.6.6"], "6.6.6.6"),
            (&[b"9.9.9.9,6.6.6.6, 10.1.2.3,10.0.0.1"], "6.6.6.6"),
            (&[b"9.9.9.9", b"6.6.6.6", b"10.0.0.1"], "6.6.6.6"),
            (&[b"6.6.6.6,,"], "6.6.6.6"),
            (&[b"10.0.0.9, 10.0.0.1"], "10.0.0.9"),
            (&[b"::ffff:6.6.6.6"], "6.6.6.6"),
            (&[b"::ffff:10.0.0.1, ::ffff:10.0.0.2"], "10.0.0.1"),
            (&[b"6.6.6.6:4711"], "6.6.6.6"),
            (&[b"[2001:db8::1]:4711"], "2001:db8::1"),
            (&[b"\"[2001:db8::1]\""], "2001:db8::1"),
            (&[b"fe80::1%eth0"], "fe80::1"),
            // What is no address was written by nobody who is trusted.
            (&[b"6.6.6.6, unknown"], "127.0.0.1"),
            (&[b"6.6.6.6, unknown, 10.0.0.1"], "10.0.0.1"),
            (&[b"\xff, 6.6.6.6"], "6.6.6.6"),
            (&[b"6.6.6.6, \xff"], "127.0.0.1"),
            (&[b"1.2.3"], "127.0.0.1"),
        ] {
            assert_eq!(client(&behind, "127.0.0.1", lines), found, "{lines:?}");
        }
    }

    #[test]
    fn what_is_no_proxy_is_refused_by_name() {
        for name in
            ["localhost", "10.0.0.0/33", "::/129", "10.0.0.0/-1", "10.0.0.0/", "10.0.0", "unix:/run/x", "1.2.3.4:80"]
        {
            let refused = Proxies::new(&[name.to_owned()]).unwrap_err().to_string();
            assert!(refused.contains("trust_proxy") && refused.contains(name), "{refused}");
        }
        assert!(proxies(&["UNIX"]).unix && !proxies(&["::1"]).unix);
    }

    #[test]
    fn a_connection_is_counted_as_its_address_or_its_network() {
        let behind = proxies(&["10.0.0.1"]);
        let of = |peer: &str| behind.share_of(SocketAddr::new(peer.parse().unwrap(), 1)).map(|ip| ip.to_string());
        for (address, counted) in [
            ("10.0.0.2", Some("10.0.0.2")),
            ("::ffff:10.0.0.2", Some("10.0.0.2")),
            ("2001:db8::1:2", Some("2001:db8::")),
            ("10.0.0.1", None),
            ("::ffff:10.0.0.1", None),
            ("127.0.0.9", None),
            ("::ffff:127.0.0.1", None),
            ("::1", None),
        ] {
            assert_eq!(of(address).as_deref(), counted, "{address}");
        }
    }
}
