//! The authorities that a file names, and connections that trust them.
//!
//! Rule: what is trusted is what `curl --cacert` trusts: a chain that ends at a certificate of the file, or a server's own certificate if
//! that very one is in the file. rustls alone takes no certificate of an authority for a server's, which is what `openssl req -x509`
//! makes. Rule: dates, names and the server's proof that it has the key are checked in any case.

use std::{
    fmt,
    io::{Read, Write},
    path::Path,
    sync::Arc,
    time::Duration,
};

use rustls::{
    ALL_VERSIONS, CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore,
    SignatureScheme, StreamOwned,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};
use ureq::{
    Agent,
    config::Config,
    tls::{PemItem, parse_pem},
    unversioned::{
        resolver::DefaultResolver,
        transport::{
            Buffers, ConnectProxyConnector, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout,
            TcpConnector, Transport, TransportAdapter, time::Instant,
        },
    },
};

use crate::error::{Error, Result};

#[cfg(test)]
mod tests;

/// The first byte of a certificate in DER: a sequence.
const DER_SEQUENCE: u8 = 0x30;
/// What some editors put before a text.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();
/// What is left of a time that is over: for ureq, none would be no bound.
const SHORTEST: Duration = Duration::from_millis(1);
/// How rustls says that a server's certificate is an authority's.
pub(super) const AUTHORITY_AS_SERVER: &str = "CaUsedAsEndEntity";

/// TLS for what trusts the certificates of that file, in PEM or DER, and no others.
pub(super) fn trusting(file: &Path) -> Result<Arc<ClientConfig>> {
    let wrong = |what: String| Error::invalid("ca_file", what);
    let bytes = std::fs::read(file).map_err(|e| wrong(format!("cannot read {}: {e}", file.display())))?;
    let certificates = certificates(&bytes);
    if certificates.is_empty() {
        return Err(wrong(format!("{} contains no certificate in PEM or DER", file.display())));
    }
    let mut roots = RootCertStore::empty();
    let (_, unread) = roots.add_parsable_certificates(certificates.iter().cloned());
    if unread == certificates.len() {
        return Err(wrong(format!("{} contains no certificate that can be read", file.display())));
    }
    if unread > 0 {
        tracing::warn!(file = %file.display(), unread, "some certificates cannot be read: they are not trusted");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let usual = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let usual = usual.build().map_err(|e| wrong(format!("{} cannot be used: {e}", file.display())))?;
    let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(ALL_VERSIONS);
    let config = config.map_err(Error::internal)?.dangerous();
    let config = config.with_custom_certificate_verifier(Arc::new(Verifier { usual, certificates }));
    Ok(Arc::new(config.with_no_client_auth()))
}

/// ureq as it is for commands that ask a running server, which trust the certificates of that file, and no others.
pub fn agent_trusting(config: Config, file: &Path) -> Result<Agent> {
    let connectors =
        ().chain(ConnectProxyConnector::default())
            .chain(TcpConnector::default())
            .chain(TlsConnector(Some(trusting(file)?)));
    Ok(Agent::with_parts(config, connectors, DefaultResolver::default()))
}

/// What is no certificate is passed over: bundles have comments, and keys beside their certificates.
fn certificates(bytes: &[u8]) -> Vec<CertificateDer<'static>> {
    if bytes.first() == Some(&DER_SEQUENCE) {
        return vec![bytes.to_vec().into()];
    }
    let of_item = |item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate.der().to_vec().into()),
        _ => None,
    };
    parse_pem(bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes)).filter_map(of_item).collect()
}

/// rustls's own verifier, and the certificates that are trusted as they are.
#[derive(Debug)]
struct Verifier {
    usual: Arc<WebPkiServerVerifier>,
    certificates: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let usual = self.usual.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        // Both of these come after its dates were found right, and before its name was looked at.
        match &usual {
            Err(rustls::Error::InvalidCertificate(why)) if is_of_no_authority(why) => {}
            _ => return usual,
        }
        if self.certificates.iter().all(|trusted| trusted.as_ref() != end_entity.as_ref()) {
            return usual;
        }
        verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.usual.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.usual.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}

fn is_of_no_authority(why: &CertificateError) -> bool {
    match why {
        CertificateError::UnknownIssuer => true,
        CertificateError::Other(other) => format!("{:?}", other.0) == AUTHORITY_AS_SERVER,
        _ => false,
    }
}

/// Puts TLS of ours around a connection; without any it leaves the connection to ureq.
#[derive(Debug)]
pub(super) struct TlsConnector(pub(super) Option<Arc<ClientConfig>>);

impl<In: Transport> Connector<In> for TlsConnector {
    type Out = Either<In, TlsTransport>;

    fn connect(&self, details: &ConnectionDetails, chained: Option<In>) -> Result<Option<Self::Out>, ureq::Error> {
        let Some(transport) = chained else { return Ok(None) };
        let config = match &self.0 {
            Some(config) if details.needs_tls() && !transport.is_tls() => config.clone(),
            _ => return Ok(Some(Either::A(transport))),
        };
        let host = details.uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(host).map_err(|_| ureq::Error::Tls("the host is no name for TLS"))?;
        let mut conn = ClientConnection::new(config, name)?;
        let mut sock = TransportAdapter::new(transport.boxed(), details.current_time.clone());
        sock.set_timeout(left(details));
        conn.complete_io(&mut sock)?;
        let buffers = LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(Either::B(TlsTransport { buffers, stream: StreamOwned { conn, sock } })))
    }
}

/// What is left of the time for TCP and TLS together.
fn left(details: &ConnectionDetails) -> NextTimeout {
    let mut timeout = details.timeout;
    if let (Some(whole), Instant::Exact(began)) = (timeout.not_zero(), details.now) {
        timeout.after = whole.saturating_sub(began.elapsed()).max(SHORTEST).into();
    }
    timeout
}

pub(super) struct TlsTransport {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl fmt::Debug for TlsTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TlsTransport").field(self.stream.sock.inner()).finish()
    }
}

impl Transport for TlsTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        Ok(self.stream.write_all(&self.buffers.output()[..amount])?)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        let n = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(n);
        Ok(n > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.get_mut().get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}
