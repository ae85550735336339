//! Which authorities a request trusts, and what goes around a proxy.

use std::{net::IpAddr, path::Path};

use ureq::{
    http::Uri,
    tls::{PemItem, RootCerts, parse_pem},
};

use crate::error::{Error, Result};

/// The authorities of a PEM file.
pub(super) fn authorities(path: &Path) -> Result<RootCerts> {
    let pem =
        std::fs::read(path).map_err(|e| Error::invalid("ca_file", format!("cannot read {}: {e}", path.display())))?;
    let certificates: Vec<_> = parse_pem(&pem)
        .filter_map(|item| if let Ok(PemItem::Certificate(certificate)) = item { Some(certificate) } else { None })
        .collect();
    if certificates.is_empty() {
        return Err(Error::invalid("ca_file", format!("{} contains no PEM certificate", path.display())));
    }
    Ok(RootCerts::from(certificates))
}

/// Whether a request stays on this machine, where no proxy would find it.
pub(super) fn is_loopback(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
