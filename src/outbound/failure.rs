//! Why a request got no response head.

use std::io;

use rustls::CertificateError;
use ureq::Timeout;

use super::{policy::ForbiddenAddress, tls::AUTHORITY_AS_SERVER};

/// Why no head came.
#[derive(Debug)]
pub enum SendError {
    /// As many heads are being waited for as may be.
    TooMany,
    /// The request failed.
    Failed {
        /// How.
        cause: Cause,
        /// The connection had served an earlier request.
        reused: bool,
        /// Something came back, so the request was read and must not be sent twice.
        answered: bool,
        /// The request had begun to leave, so it may have taken effect.
        sent: bool,
    },
}

/// What went wrong on the way.
#[derive(Debug)]
pub enum Cause {
    /// The host's name could not be looked up.
    NameUnknown,
    /// It is at an address where nobody is asked.
    Forbidden(ForbiddenAddress),
    /// No connection in time.
    ConnectTimeout,
    /// No response head in time.
    HeadTimeout,
    /// No secure connection.
    Tls(Untrusted),
    /// The proxy refused.
    Proxy,
    /// What came back was not HTTP.
    NotHttp,
    /// The connection failed.
    Io(io::Error),
    /// As many heads are being waited for as may be.
    TooMany,
    /// Anything else, for the log.
    Other(String),
}

/// What is wrong with a server's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Untrusted {
    /// Nobody who is trusted signed it, or the server does not send what lies between.
    Issuer,
    /// It is for another name.
    Name,
    /// It is over.
    Expired,
    /// It has not begun.
    NotYetValid,
    /// Anything else; also no TLS at all.
    Other,
}

impl Untrusted {
    fn of(error: &rustls::Error) -> Self {
        let rustls::Error::InvalidCertificate(why) = error else { return Untrusted::Other };
        match why {
            CertificateError::UnknownIssuer => Untrusted::Issuer,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Untrusted::Name,
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Untrusted::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Untrusted::NotYetValid,
            // A certificate of an authority that is not in the file: whoever made it signed it.
            CertificateError::Other(other) if format!("{:?}", other.0) == AUTHORITY_AS_SERVER => Untrusted::Issuer,
            _ => Untrusted::Other,
        }
    }

    fn of_io(error: &io::Error) -> Self {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        inner.map_or(Untrusted::Other, Untrusted::of)
    }
}

impl From<ureq::Error> for Cause {
    fn from(error: ureq::Error) -> Self {
        match error {
            ureq::Error::HostNotFound => Cause::NameUnknown,
            ureq::Error::Timeout(Timeout::Connect) => Cause::ConnectTimeout,
            ureq::Error::Timeout(_) => Cause::HeadTimeout,
            ureq::Error::Rustls(error) => Cause::Tls(Untrusted::of(&error)),
            ureq::Error::Tls(_) | ureq::Error::Pem(_) => Cause::Tls(Untrusted::Other),
            ureq::Error::ConnectProxyFailed(_) | ureq::Error::InvalidProxyUrl => Cause::Proxy,
            ureq::Error::Protocol(_) | ureq::Error::LargeResponseHeader(..) => Cause::NotHttp,
            // The shape in which rustls reports a certificate or a record it does not accept.
            ureq::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
                Cause::Tls(Untrusted::of_io(&error))
            }
            ureq::Error::Io(error) => match error.get_ref().and_then(|why| why.downcast_ref::<ForbiddenAddress>()) {
                Some(forbidden) => Cause::Forbidden(forbidden.clone()),
                None => Cause::Io(error),
            },
            other => Cause::Other(other.to_string()),
        }
    }
}
