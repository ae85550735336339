//! Which addresses are public, and which belong to the machine, its network or its cloud.
//!
//! Rule: an address that carries another one, as translators and tunnels write it, is as public as what it carries. What nobody routes
//! is not public.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::LazyLock,
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Where clouds answer their machines: who asks there gets the machine's own keys.
const METADATA: [&str; 5] = ["169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "fd00:ec2::254"];
/// What the same is called.
const METADATA_NAME: &str = "metadata.google.internal";

/// IPv4 that is not public: this network, private ones, carriers', loopback, link-local, protocols', documentation, 6to4 relays,
/// benchmarks, multicast, reserved.
const CLOSED_V4: [&str; 15] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
];
/// IPv6 that is not public: unspecified, loopback, a translator of one network's own (where it puts the IPv4 address is its own
/// choice), discard and dummy, benchmarks, documentation, segments, unique local, link-local, site-local, multicast.
const CLOSED_V6: [&str; 13] = [
    "::/128",
    "::1/128",
    "64:ff9b:1::/48",
    "100::/64",
    "100:0:0:1::/64",
    "2001:2::/48",
    "2001:db8::/32",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
];

/// IPv4 at the end: mapped, compatible (long out of use, but some stacks connect), and of the well-known translator.
const CARRIED_AT_END: [&str; 3] = ["::ffff:0:0/96", "::/96", "64:ff9b::/96"];
/// IPv4 behind the first 16 bits.
const SIX_TO_FOUR: &str = "2002::/16";
/// A server's IPv4 behind the first 32 bits, and a client's at the end, inverted.
const TEREDO: &str = "2001::/32";

/// The tables above, read once.
struct Networks {
    closed: Vec<IpNet>,
    metadata: Vec<IpAddr>,
    carried_at_end: Vec<Ipv6Net>,
    six_to_four: Ipv6Net,
    teredo: Ipv6Net,
}

static NETWORKS: LazyLock<Networks> = LazyLock::new(|| {
    let v6 = |network: &str| network.parse::<Ipv6Net>().expect("a network");
    let closed = CLOSED_V4.iter().map(|network| network.parse::<Ipv4Net>().expect("a network").into());
    Networks {
        closed: closed.chain(CLOSED_V6.iter().map(|network| v6(network).into())).collect(),
        metadata: METADATA.iter().map(|address| address.parse().expect("an address")).collect(),
        carried_at_end: CARRIED_AT_END.iter().map(|network| v6(network)).collect(),
        six_to_four: v6(SIX_TO_FOUR),
        teredo: v6(TEREDO),
    }
});

/// Whether an address is one of the Internet's, and all that it carries.
pub(super) fn is_public(address: IpAddr) -> bool {
    all_of(address, &|address| !NETWORKS.closed.iter().any(|network| network.contains(&address)))
}

/// Whether a cloud answers its machines there.
pub(super) fn is_metadata(address: IpAddr) -> bool {
    !all_of(address, &|address| !NETWORKS.metadata.contains(&address))
}

/// Whether a cloud answers its machines by that name.
pub(super) fn is_metadata_name(host: &str) -> bool {
    host == METADATA_NAME
}

/// Whether it is an address without a router, where nobody serves others: clouds answer their machines there.
pub(super) fn is_link_local(address: IpAddr) -> bool {
    !all_of(address, &|address| match address {
        IpAddr::V4(v4) => !v4.is_link_local(),
        IpAddr::V6(v6) => !v6.is_unicast_link_local(),
    })
}

/// Whether something holds for an address and for all that it carries.
fn all_of(address: IpAddr, holds: &dyn Fn(IpAddr) -> bool) -> bool {
    holds(address)
        && match address {
            IpAddr::V4(_) => true,
            IpAddr::V6(v6) => carried(v6).into_iter().flatten().all(|v4| holds(v4.into())),
        }
}

/// The IPv4 addresses that an IPv6 address stands for.
fn carried(v6: Ipv6Addr) -> [Option<Ipv4Addr>; 2] {
    let four_at = |byte: usize| {
        let octets = v6.octets();
        Ipv4Addr::new(octets[byte], octets[byte + 1], octets[byte + 2], octets[byte + 3])
    };
    let networks = &*NETWORKS;
    // These two are IPv6's own, and carry nothing.
    if v6.is_unspecified() || v6.is_loopback() {
        return [None, None];
    }
    if networks.carried_at_end.iter().any(|network| network.contains(&v6)) {
        return [Some(four_at(12)), None];
    }
    if networks.six_to_four.contains(&v6) {
        return [Some(four_at(2)), None];
    }
    if networks.teredo.contains(&v6) {
        return [Some(four_at(4)), Some(Ipv4Addr::from(!u32::from(four_at(12))))];
    }
    [None, None]
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Addresses that are not public, each of its own kind.
    pub(in crate::outbound) const NOT_PUBLIC: [&str; 76] = [
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.0",
        "10.255.255.255",
        "100.64.0.1",
        "100.127.255.255",
        "100.100.100.200",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.0.1",
        "169.254.169.254",
        "169.254.170.2",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.0.170",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.0.1",
        "192.168.255.255",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::2",
        "::127.0.0.1",
        "::10.0.0.1",
        "::169.254.169.254",
        "::ffff:127.0.0.1",
        "::ffff:0.0.0.0",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:192.168.1.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b::c0a8:101",
        "64:ff9b:1::7f00:1",
        "64:ff9b:1:7f00:0:100::",
        "64:ff9b:1::808:808",
        "100::1",
        "100:0:0:1::1",
        "2001::7f00:1",
        "2001:0:7f00:1::f7f7:f7f7",
        "2001:0:808:808::80ff:fffe",
        "2001:0:808:808::f5ff:fffe",
        "2001:2::1",
        "2001:db8::1",
        "2001:db8:ffff:ffff::1",
        "2002:7f00:1::",
        "2002:7f00:1::1",
        "2002:a00:1::1",
        "2002:a9fe:a9fe::1",
        "2002:c0a8:101::1",
        "2002:e000:1::1",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd00::1",
        "fd00:ec2::254",
        "fdff:ffff::1",
        "fe80::1",
        "fe80::ffff:ffff:ffff:ffff",
        "febf::1",
        "fec0::1",
        "feff::1",
        "ff00::1",
        "ff02::1",
        "ff05::2",
        "ff0e::1",
    ];
    /// Public ones beside them.
    pub(in crate::outbound) const PUBLIC: [&str; 22] = [
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "223.255.255.255",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
        "2001:0:808:808::f7f7:f7f7",
        "2002:808:808::1",
        "2606:4700:4700::1111",
    ];

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_is_public_if_all_that_it_carries_is() {
        for closed in NOT_PUBLIC {
            assert!(!is_public(address(closed)), "{closed}");
        }
        for public in PUBLIC {
            assert!(is_public(address(public)), "{public}");
        }
    }

    #[test]
    fn the_first_and_the_last_address_of_every_closed_network_are_not_public() {
        for network in &NETWORKS.closed {
            assert!(!is_public(network.network()) && !is_public(network.broadcast()), "{network}");
        }
    }

    #[test]
    fn metadata_and_link_local_addresses_are_known_in_every_wrapping() {
        for metadata in METADATA.into_iter().chain([
            "::ffff:169.254.169.254",
            "::a9fe:a9fe",
            "64:ff9b::a83f:8110",
            "2002:6464:64c8::1",
            "2001:0:a9fe:aa02::1",
        ]) {
            assert!(is_metadata(address(metadata)), "{metadata}");
        }
        for link_local in ["169.254.0.1", "fe80::1", "febf::1", "::ffff:169.254.1.1", "64:ff9b::a9fe:1"] {
            assert!(is_link_local(address(link_local)) && !is_metadata(address(link_local)), "{link_local}");
        }
        for other in
            ["127.0.0.1", "10.0.0.1", "100.100.100.201", "8.8.8.8", "::1", "::", "fd00:ec2::253", "2001:db8::1"]
        {
            assert!(!is_link_local(address(other)) && !is_metadata(address(other)), "{other}");
        }
    }
}
