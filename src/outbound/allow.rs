//! What an operator names as reachable: hosts, addresses and networks, each with a port or without.
//!
//! Rule: a name allows what is asked by that name; an address or a network allows what is connected to, by whatever name.

use std::{
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use ipnet::IpNet;

use super::networks::{is_metadata, is_metadata_name};
use crate::error::{Error, Result};

/// Longest name of a host, in bytes, as the domain name system has it.
const HOST_BYTES_MAX: usize = 253;

/// Where a request wants to go: its host, in small letters and without brackets or a last dot, and its port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Target {
    pub(super) host: String,
    pub(super) port: u16,
}

/// What may be reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowed(Vec<Entry>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    place: Place,
    /// None is every port.
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Name(String),
    Network(IpNet),
}

impl Allowed {
    /// Reads `HOST[:PORT]` and `CIDR[:PORT]`; what is wrong is said of the setting `field`.
    pub fn parse(entries: &[String], field: &'static str) -> Result<Self> {
        let entry = |text: &String| {
            text.parse::<Entry>().map_err(|()| {
                let wants = "a host, an address or a network, each with a port or without, such as tools.example.com:8080, 10.0.0.7 or [fd00::/8]:443";
                Error::invalid(field, format!("{text} is not {wants}"))
            })
        };
        Ok(Allowed(entries.iter().map(entry).collect::<Result<_>>()?))
    }

    /// Whether nothing is named.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether that address may be connected to for that target.
    pub(super) fn permits(&self, target: &Target, address: SocketAddr) -> bool {
        let ip = address.ip();
        self.of_port(address.port()).any(|place| match place {
            Place::Name(name) => *name == target.host && (!is_metadata(ip) || is_metadata_name(name)),
            Place::Network(network) if is_metadata(ip) => is_one(network) && network.contains(&ip),
            // The mapped form of an IPv4 address leads to that very address; other wrappings lead through somebody else.
            Place::Network(network) => network.contains(&ip) || network.contains(&ip.to_canonical()),
        })
    }

    /// Whether that target is named by its name, or by its address where its name is one.
    pub(super) fn names(&self, target: &Target) -> bool {
        match target.host.parse::<IpAddr>() {
            Ok(ip) => self.permits(target, SocketAddr::new(ip, target.port)),
            Err(_) => self.of_port(target.port).any(|place| matches!(place, Place::Name(name) if *name == target.host)),
        }
    }

    fn of_port(&self, port: u16) -> impl Iterator<Item = &Place> {
        self.0.iter().filter(move |entry| entry.port.is_none_or(|own| own == port)).map(|entry| &entry.place)
    }
}

/// Whether a network is one address.
fn is_one(network: &IpNet) -> bool {
    network.prefix_len() == network.max_prefix_len()
}

impl FromStr for Entry {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let text = text.trim();
        // An IPv6 address without brackets is full of colons: it has no port.
        if let Some(network) = network(text) {
            return Ok(Entry { place: Place::Network(network), port: None });
        }
        let (host, port) = match text.strip_prefix('[').and_then(|text| text.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, port)) => (host, Some(port.strip_prefix(':').ok_or(())?)),
            None => text.rsplit_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
        };
        let port = port.map(|port| port.parse().ok().filter(|port| *port != 0).ok_or(())).transpose()?;
        let is_bracketed = text.starts_with('[');
        let place = match network(host) {
            Some(network) => Place::Network(network),
            None if is_bracketed => return Err(()),
            None => Place::Name(name(host).ok_or(())?),
        };
        Ok(Entry { place, port })
    }
}

fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// A name as it is compared. A number is none: resolvers read it as an address in another spelling.
fn name(text: &str) -> Option<String> {
    let name = plain(text);
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let whole = (1..=HOST_BYTES_MAX).contains(&name.len()) && name.bytes().all(known);
    (whole && !name.split('.').any(str::is_empty) && !is_number(&name)).then_some(name)
}

/// A host as it is compared: in small letters, without brackets and without a last dot.
pub(super) fn plain(host: &str) -> String {
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

/// Whether resolvers take a host for an address, in whatever spelling: its last part is a number.
pub(super) fn is_number(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or_default();
    let is_hex = last.strip_prefix("0x").is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    is_hex || (!last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(entries: &[&str]) -> Allowed {
        Allowed::parse(&entries.iter().map(|entry| entry.to_string()).collect::<Vec<_>>(), "tool_allow").unwrap()
    }

    fn permits(entry: &str, host: &str, address: &str) -> bool {
        let address: SocketAddr = address.parse().unwrap();
        allowed(&[entry]).permits(&Target { host: host.into(), port: address.port() }, address)
    }

    #[test]
    fn an_entry_allows_what_it_names_and_nothing_beside_it() {
        for (entry, host, address, is_allowed) in [
            ("10.0.0.7", "10.0.0.7", "10.0.0.7:80", true),
            ("10.0.0.7", "intern.example", "10.0.0.7:443", true),
            ("10.0.0.7", "10.0.0.7", "[::ffff:10.0.0.7]:80", true),
            ("10.0.0.7", "10.0.0.7", "[64:ff9b::a00:7]:80", false),
            ("10.0.0.7", "10.0.0.8", "10.0.0.8:80", false),
            ("10.0.0.7:8080", "10.0.0.7", "10.0.0.7:8080", true),
            ("10.0.0.7:8080", "10.0.0.7", "10.0.0.7:80", false),
            ("10.0.0.0/8:443", "a", "10.9.9.9:443", true),
            ("10.0.0.0/8:443", "a", "10.9.9.9:80", false),
            ("10.0.0.0/8", "a", "11.0.0.1:80", false),
            ("fd00::/8", "a", "[fd12::1]:80", true),
            ("[fd00::/8]:443", "a", "[fd12::1]:443", true),
            ("[fd00::/8]:443", "a", "[fd12::1]:80", false),
            ("::1", "::1", "[::1]:1", true),
            ("[::1]:8080", "::1", "[::1]:8080", true),
            ("Tools.Example.", "tools.example", "127.0.0.1:80", true),
            ("tools.example:81", "tools.example", "127.0.0.1:80", false),
            ("tools.example", "a.tools.example", "127.0.0.1:80", false),
            ("localhost:8080", "localhost", "127.0.0.1:8080", true),
            ("localhost:8080", "127.0.0.1", "127.0.0.1:8080", false),
        ] {
            assert_eq!(permits(entry, host, address), is_allowed, "{entry}: {host} at {address}");
        }
        assert!(!Allowed::default().permits(&Target { host: "a".into(), port: 1 }, "8.8.8.8:1".parse().unwrap()));
    }

    #[test]
    fn metadata_is_allowed_by_its_very_address_or_name_alone() {
        let metadata = "169.254.169.254:80";
        for (entry, host, is_allowed) in [
            ("169.254.169.254", "169.254.169.254", true),
            ("169.254.169.254/32", "a", true),
            ("169.254.169.254:80", "a", true),
            ("169.254.169.254:81", "a", false),
            ("169.254.0.0/16", "169.254.169.254", false),
            ("169.254.169.254/31", "a", false),
            ("0.0.0.0/0", "a", false),
            ("a", "a", false),
            ("metadata.google.internal", "metadata.google.internal", true),
            ("metadata.google.internal", "a", false),
        ] {
            assert_eq!(permits(entry, host, metadata), is_allowed, "{entry}: {host}");
        }
        assert!(!permits("169.254.169.254", "a", "[64:ff9b::a9fe:a9fe]:80"));
    }

    #[test]
    fn a_target_is_named_by_its_name_or_address() {
        let named = |entry: &str, host: &str| allowed(&[entry]).names(&Target { host: host.into(), port: 80 });
        for (entry, host) in [("a.example", "a.example"), ("10.0.0.0/8:80", "10.1.1.1"), ("fd00::/8", "fd00::1")] {
            assert!(named(entry, host), "{entry}: {host}");
        }
        for (entry, host) in [("a.example", "b.example"), ("a.example:81", "a.example"), ("10.0.0.0/8", "a.example")] {
            assert!(!named(entry, host), "{entry}: {host}");
        }
    }

    #[test]
    fn what_is_no_host_and_no_network_is_refused_by_its_setting() {
        let long = format!("{}.example", "a".repeat(HOST_BYTES_MAX - 8));
        assert_eq!(long.len(), HOST_BYTES_MAX);
        assert!(long.parse::<Entry>().is_ok() && long[1..].parse::<Entry>().is_ok());
        assert!(format!("a{long}").parse::<Entry>().is_err());
        for wrong in [
            "",
            " ",
            "a b",
            "*.example",
            "http://a.example",
            "a.example/x",
            "a.example:0",
            "a.example:65536",
            "a.example:x",
            "a..example",
            "10.0.0.0/33",
            "[::1",
            "[::1]8080",
            "[a.example]:80",
            "2130706433",
            "0x7f.1",
            "127.1",
            "user@a.example",
        ] {
            let refused = Allowed::parse(&[wrong.to_owned()], "tool_allow").unwrap_err().to_string();
            assert!(refused.contains("tool_allow") || refused.contains("is not a host"), "{wrong}: {refused}");
        }
    }

    #[test]
    fn a_host_whose_last_part_is_a_number_is_an_address() {
        for number in ["1", "127.1", "0x7f000001", "0177.0.0.1", "127.0.0.1", "a.1", "0x", "a.0xff"] {
            assert!(is_number(number), "{number}");
        }
        for name in ["localhost", "a.example", "1.example", "0xg", "x0", ""] {
            assert!(!is_number(name), "{name}");
        }
    }
}
