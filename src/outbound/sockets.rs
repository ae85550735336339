//! The Unix sockets of our own children, by name: `NAME.child.invalid` is the child `NAME`, and no host of any network.
//!
//! Rule: only the client of children knows these names, and it connects to nothing else: no proxy, no TLS, no look-up. So what
//! names such a host without being ours is refused when it is stored, and would find nobody if it were not.

use std::{
    collections::HashMap,
    fmt,
    io::{self, ErrorKind},
    net::Shutdown,
    path::PathBuf,
    sync::{Arc, Mutex, Weak},
};

use super::socket::{Socket, locked};

/// What the hosts of children end in. Nobody can register a name there.
const CHILD_SUFFIX: &str = ".child.invalid";

/// Where our children are reached, and the connections to them. Clones share it.
#[derive(Clone, Default)]
pub struct Sockets(Arc<Mutex<HashMap<String, Place>>>);

/// One child's.
struct Place {
    path: PathBuf,
    open: Vec<Weak<Socket>>,
}

impl Sockets {
    /// A child of that name is reached at `path` from now on, and connections to where it was end.
    pub fn set(&self, name: &str, path: impl Into<PathBuf>) {
        let place = Place { path: path.into(), open: Vec::new() };
        if let Some(earlier) = locked(&self.0).insert(name.to_ascii_lowercase(), place) {
            earlier.end();
        }
    }

    /// A child of that name is reached no more, and all connections to it end, pooled ones too.
    pub fn close(&self, name: &str) {
        if let Some(place) = locked(&self.0).remove(&name.to_ascii_lowercase()) {
            place.end();
        }
    }

    /// The socket of the child at that host; nobody listens at another's.
    pub(super) fn path_of(&self, host: &str) -> io::Result<PathBuf> {
        let name = child_of(host);
        let path = name.and_then(|name| locked(&self.0).get(&name).map(|place| place.path.clone()));
        path.ok_or_else(|| ErrorKind::ConnectionRefused.into())
    }

    /// Notes a connection that was made to `path`, unless that is the child's no more.
    pub(super) fn note(&self, host: &str, path: &PathBuf, socket: &Arc<Socket>) -> io::Result<()> {
        let mut places = locked(&self.0);
        let place = child_of(host).and_then(|name| places.get_mut(&name)).filter(|place| place.path == *path);
        let place = place.ok_or(ErrorKind::ConnectionRefused)?;
        place.open.retain(|open| open.strong_count() > 0);
        place.open.push(Arc::downgrade(socket));
        Ok(())
    }
}

impl fmt::Debug for Sockets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(locked(&self.0).keys()).finish()
    }
}

impl Place {
    /// It fails on a connection that is closed already, which is what is wanted.
    fn end(self) {
        self.open.iter().filter_map(Weak::upgrade).for_each(|socket| _ = socket.io.get_ref().shutdown(Shutdown::Both));
    }
}

/// What is said of a URL that names one of them.
pub const NO_CHILD_HOST: &str =
    "must not be at a .child.invalid name: those are alm's own, for the models that it runs";

/// The host of the child of that name.
pub fn child_host(name: &str) -> String {
    format!("{name}{CHILD_SUFFIX}")
}

/// Whether a host is one of our children's, which nobody else may name.
pub fn is_child_host(host: &str) -> bool {
    child_of(host).is_some()
}

fn child_of(host: &str) -> Option<String> {
    host.trim_end_matches('.').to_ascii_lowercase().strip_suffix(CHILD_SUFFIX).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_found_by_its_host_alone() {
        let sockets = Sockets::default();
        sockets.set("Small-1.5", "/run/a.sock");
        for host in [&child_host("Small-1.5"), "small-1.5.child.invalid", "SMALL-1.5.CHILD.INVALID."] {
            assert_eq!(sockets.clone().path_of(host).unwrap(), PathBuf::from("/run/a.sock"), "{host}");
            assert!(is_child_host(host));
        }
        for host in [
            "other.child.invalid",
            "small-1.5",
            "small-1.5.invalid",
            "child.invalid",
            "small-1.5.child.invalid.example",
        ] {
            assert_eq!(sockets.path_of(host).unwrap_err().kind(), ErrorKind::ConnectionRefused, "{host}");
        }
        sockets.set("small-1.5", "/run/b.sock");
        assert_eq!(sockets.path_of("small-1.5.child.invalid").unwrap(), PathBuf::from("/run/b.sock"));
        sockets.close("small-1.5");
        assert!(sockets.path_of("small-1.5.child.invalid").is_err());
    }

    #[test]
    fn no_other_host_is_a_childs() {
        for host in
            ["", "invalid", "child.invalid", "childXinvalid", "a.child.invalid.example", "a-child.invalid", "localhost"]
        {
            assert!(!is_child_host(host), "{host}");
        }
    }
}
