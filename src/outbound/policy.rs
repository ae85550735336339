//! What goes around a proxy, which headers are not for others to set, and at which addresses nobody is asked.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use ureq::http::Uri;

/// Headers that say how a request is framed, or what becomes of its connection. They are ours: with another's `content-length` a
/// request may end early, or never.
const FRAMING: [&str; 9] =
    ["connection", "content-length", "expect", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"];
/// How the headers begin that are for a proxy on the way.
const PROXY_PREFIX: &str = "proxy-";

/// Where clouds answer their machines, beside the link-local addresses, which are no model server's either: who asks there gets
/// the machine's own keys.
const METADATA_V4: [Ipv4Addr; 2] = [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16)];
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
/// IPv4 addresses as a translator of IPv6 networks writes them: the last 32 bits.
const TRANSLATED_V4: [u16; 6] = [0x64, 0xff9b, 0, 0, 0, 0];

/// Nobody is asked at that address.
#[derive(Debug, thiserror::Error)]
#[error("link-local and metadata addresses are not asked")]
pub(super) struct ForbiddenAddress;

/// The addresses that may be asked; an error if there are only others. It looks at what is connected to, so it does not matter
/// how the name of it was written or resolved.
pub(super) fn permitted(addresses: &[SocketAddr]) -> io::Result<Vec<SocketAddr>> {
    let permitted: Vec<_> = addresses.iter().filter(|address| !is_forbidden(address.ip())).copied().collect();
    match permitted.is_empty() && !addresses.is_empty() {
        true => Err(io::Error::other(ForbiddenAddress)),
        false => Ok(permitted),
    }
}

fn is_forbidden(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local() || METADATA_V4.contains(&v4),
        IpAddr::V6(v6) => {
            v6.is_unicast_link_local() || v6 == METADATA_V6 || embedded(v6).is_some_and(|v4| is_forbidden(v4.into()))
        }
    }
}

/// The IPv4 address that an IPv6 address stands for.
fn embedded(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let [.., high, low] = v6.segments();
    let translated = v6.segments()[..6] == TRANSLATED_V4;
    let v4 = || Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    v6.to_ipv4().or_else(|| translated.then(v4))
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
mod tests {
    use super::*;

    #[test]
    fn link_local_and_metadata_addresses_are_not_asked_however_they_are_written() {
        let at = |address: &str| SocketAddr::new(address.parse().unwrap(), 80);
        for forbidden in [
            "169.254.169.254",
            "169.254.0.1",
            "100.100.100.200",
            "168.63.129.16",
            "fe80::1",
            "febf::1",
            "fd00:ec2::254",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "64:ff9b::a9fe:a9fe",
        ] {
            let refused = permitted(&[at(forbidden)]).unwrap_err();
            assert!(refused.get_ref().is_some_and(|why| why.is::<ForbiddenAddress>()), "{forbidden}");
        }
        let fine = [
            "127.0.0.1",
            "10.0.0.1",
            "192.168.1.2",
            "100.100.100.201",
            "8.8.8.8",
            "::1",
            "fd00:ec2::253",
            "2001:db8::1",
        ]
        .map(at);
        assert_eq!(permitted(&fine).unwrap(), fine);
        assert_eq!(permitted(&[at("169.254.1.1"), at("10.0.0.1")]).unwrap(), [at("10.0.0.1")]);
        assert_eq!(permitted(&[]).unwrap(), []);
    }

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
