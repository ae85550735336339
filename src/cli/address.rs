//! Where a server listens, as people write it: an address, a port, or a name of this machine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs, UdpSocket};

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub socket: SocketAddr,
    /// The name that it was looked up by; a server is reached by it too.
    pub name: Option<String>,
}

/// Reads `127.0.0.1:2560`, `[::1]:2560`, `:2560`, `2560`, `localhost:2560`, or another name of this machine with a port.
pub fn parse(text: &str) -> Result<Address, String> {
    let of = |socket| Address { socket, name: None };
    if let Ok(socket) = text.parse() {
        return Ok(of(socket));
    }
    let shape = || "must be ADDRESS:PORT, such as 127.0.0.1:2560 or [::1]:2560".to_owned();
    let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
    let port: u16 = port.parse().map_err(|_| shape())?;
    if host.contains([':', '/', '[', ']', ' ']) {
        return Err(shape());
    }
    if host.is_empty() || host.eq_ignore_ascii_case("localhost") {
        return Ok(of((Ipv4Addr::LOCALHOST, port).into()));
    }
    let found = (host, port).to_socket_addrs().map_err(|error| format!("{host} cannot be looked up: {error}"))?;
    let mut found: Vec<SocketAddr> = found.collect();
    found.sort_by_key(SocketAddr::is_ipv6);
    let own = found.iter().find(|socket| is_own(socket.ip()));
    let all = || found.iter().map(|socket| socket.ip().to_string()).collect::<Vec<_>>().join(", ");
    let socket = own.copied().ok_or_else(|| format!("{host} is {}, which is no address of this machine", all()))?;
    Ok(Address { socket, name: Some(host.to_owned()) })
}

/// The same with the address by which others reach this machine, where it is every one: that of the way out. Nothing is sent.
pub fn reached(listening: SocketAddr) -> SocketAddr {
    if !listening.ip().is_unspecified() {
        return listening;
    }
    let (any, outside) = match listening {
        SocketAddr::V4(_) => ("0.0.0.0:0", "192.0.2.1:9"),
        SocketAddr::V6(_) => ("[::]:0", "[2001:db8::1]:9"),
    };
    let way_out = UdpSocket::bind(any).and_then(|socket| {
        socket.connect(outside)?;
        socket.local_addr()
    });
    let loopback = match listening {
        SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(way_out.map_or(loopback, |way| way.ip()), listening.port())
}

/// Whether this machine has that address.
fn is_own(address: IpAddr) -> bool {
    TcpListener::bind((address, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_people_write_it() {
        for (text, socket) in [
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("0.0.0.0:80", "0.0.0.0:80"),
            ("[::1]:2560", "[::1]:2560"),
            ("2560", "127.0.0.1:2560"),
            (":2560", "127.0.0.1:2560"),
            ("localhost:0", "127.0.0.1:0"),
            ("LocalHost:65535", "127.0.0.1:65535"),
        ] {
            assert_eq!(parse(text), Ok(Address { socket: socket.parse().unwrap(), name: None }), "{text}");
        }
        for wrong in [
            "",
            "127.0.0.1",
            "localhost",
            "127.0.0.1:65536",
            "::1:80x",
            "::1",
            "http://127.0.0.1:1",
            "127.0.0.1:",
            "a b:1",
        ] {
            assert!(parse(wrong).unwrap_err().starts_with("must be ADDRESS:PORT"), "{wrong}");
        }
    }

    #[test]
    fn every_address_is_reached_by_one() {
        for named in ["127.0.0.1:2560", "10.1.2.3:80", "[::1]:2560"] {
            assert_eq!(reached(named.parse().unwrap()), named.parse().unwrap());
        }
        for every in ["0.0.0.0:2560", "[::]:2560"] {
            let found = reached(every.parse().unwrap());
            assert!(!found.ip().is_unspecified() && found.port() == 2560, "{found}");
        }
    }

    #[test]
    fn a_name_is_looked_up_and_must_be_this_machines() {
        // Decimal notation is looked up as a name is: without asking anybody.
        let this = parse("2130706433:2560").unwrap();
        assert_eq!((this.socket.to_string().as_str(), this.name.as_deref()), ("127.0.0.1:2560", Some("2130706433")));
        // TEST-NET-1, 192.0.2.1.
        assert!(parse("3221225985:1").unwrap_err().ends_with("192.0.2.1, which is no address of this machine"));
    }
}
