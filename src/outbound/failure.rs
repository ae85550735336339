//! Why a request got no response head.

use std::io;

use ureq::Timeout;

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
    },
}

/// What went wrong on the way.
#[derive(Debug)]
pub enum Cause {
    /// The host's name could not be looked up.
    NameUnknown,
    /// No connection in time.
    ConnectTimeout,
    /// No response head in time.
    HeadTimeout,
    /// No secure connection.
    Tls,
    /// The proxy refused.
    Proxy,
    /// What came back was not HTTP.
    NotHttp,
    /// The connection failed.
    Io(io::Error),
    /// Anything else, for the log.
    Other(String),
}

impl From<ureq::Error> for Cause {
    fn from(error: ureq::Error) -> Self {
        match error {
            ureq::Error::HostNotFound => Cause::NameUnknown,
            ureq::Error::Timeout(Timeout::Connect) => Cause::ConnectTimeout,
            ureq::Error::Timeout(_) => Cause::HeadTimeout,
            ureq::Error::Tls(_) | ureq::Error::Rustls(_) | ureq::Error::Pem(_) => Cause::Tls,
            ureq::Error::ConnectProxyFailed(_) | ureq::Error::InvalidProxyUrl => Cause::Proxy,
            ureq::Error::Protocol(_) | ureq::Error::LargeResponseHeader(..) => Cause::NotHttp,
            // The shape in which rustls reports a certificate or a record it does not accept.
            ureq::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => Cause::Tls,
            ureq::Error::Io(error) => Cause::Io(error),
            other => Cause::Other(other.to_string()),
        }
    }
}
