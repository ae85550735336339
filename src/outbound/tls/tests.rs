//! What a file of certificates makes trusted, over real handshakes.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::{ServerConfig, pki_types::PrivateKeyDer};

use super::*;
use crate::{
    model::scripted::Server,
    outbound::{
        Cause, Connection, Options, ProviderClients, SendError, Untrusted, Whose,
        http::{Request, StatusCode},
    },
};

/// A certificate, its key, and what it is made of.
struct Made {
    certificate: rcgen::Certificate,
    key: KeyPair,
    params: CertificateParams,
}

impl Made {
    fn pem(&self) -> String {
        self.certificate.pem()
    }
}

fn make(name: &str, is_ca: bool, by: Option<&Made>, change: impl FnOnce(&mut CertificateParams)) -> Made {
    let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = if is_ca { IsCa::Ca(BasicConstraints::Unconstrained) } else { IsCa::NoCa };
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    let certificate = match by {
        Some(by) => params.signed_by(&key, &Issuer::from_params(&by.params, &by.key)),
        None => params.self_signed(&key),
    };
    Made { certificate: certificate.unwrap(), key, params }
}

/// What comes of asking a server that shows `chain`, when `file` is what is trusted.
fn ask(file: &[u8], chain: &[&Made]) -> Result<StatusCode, Untrusted> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let key = PrivateKeyDer::try_from(chain[0].key.serialize_der()).unwrap();
    let shown = chain.iter().map(|made| made.certificate.der().clone()).collect();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let tls = tls.with_no_client_auth().with_single_cert(shown, key).unwrap();
    let server = Server::start_with(Some(Arc::new(tls)), |_, peer| {
        while peer.request()?.is_some() {
            peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")?;
        }
        Ok(())
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca");
    std::fs::write(&path, file).unwrap();
    let clients = ProviderClients::new(&Options { ca_file: Some(path), ..Options::default() }).unwrap();
    let request = Request::get(format!("https://{}/", server.address)).body(Default::default()).unwrap();
    match runtime.block_on(clients.of(Whose::Operators).send(request, Connection::Any)) {
        Ok(response) => Ok(response.status()),
        Err(SendError::Failed { cause: Cause::Tls(why), .. }) => Err(why),
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn a_certificate_that_is_its_own_authority_is_trusted_if_it_is_in_the_file() {
    for is_ca in [true, false] {
        let own = make("own", is_ca, None, |_| ());
        assert_eq!(ask(own.pem().as_bytes(), &[&own]), Ok(StatusCode::OK), "an authority: {is_ca}");
        let other = make("own", is_ca, None, |_| ());
        assert!(ask(other.pem().as_bytes(), &[&own]).is_err(), "another of the same name");
    }
}

#[test]
fn a_servers_own_certificate_is_trusted_whoever_signed_it() {
    let root = make("root", true, None, |_| ());
    let leaf = make("leaf", false, Some(&root), |_| ());
    assert_eq!(ask(leaf.pem().as_bytes(), &[&leaf]), Ok(StatusCode::OK));
    assert_eq!(ask(make("other", true, None, |_| ()).pem().as_bytes(), &[&leaf]), Err(Untrusted::Issuer));
}

#[test]
fn dates_and_names_are_checked_of_a_certificate_in_the_file_too() {
    for is_ca in [true, false] {
        let over = make("over", is_ca, None, |params| params.not_after = date_time_ymd(2001, 1, 1));
        assert_eq!(ask(over.pem().as_bytes(), &[&over]), Err(Untrusted::Expired));
        let early = make("early", is_ca, None, |params| params.not_before = date_time_ymd(4000, 1, 1));
        assert_eq!(ask(early.pem().as_bytes(), &[&early]), Err(Untrusted::NotYetValid));
        let elsewhere = CertificateParams::new(["h.example".to_owned()]).unwrap().subject_alt_names;
        let other = make("other", is_ca, None, |params| params.subject_alt_names = elsewhere);
        assert_eq!(ask(other.pem().as_bytes(), &[&other]), Err(Untrusted::Name));
    }
}

#[test]
fn a_chain_ends_at_any_certificate_of_the_file() {
    let root = make("root", true, None, |_| ());
    let between = make("between", true, Some(&root), |_| ());
    let leaf = make("leaf", false, Some(&between), |_| ());
    assert_eq!(ask(root.pem().as_bytes(), &[&leaf, &between]), Ok(StatusCode::OK));
    assert_eq!(ask(root.pem().as_bytes(), &[&leaf]), Err(Untrusted::Issuer), "the server leaves one out");
    assert_eq!(ask(between.pem().as_bytes(), &[&leaf]), Ok(StatusCode::OK));
    assert_eq!(ask(format!("{}{}", root.pem(), between.pem()).as_bytes(), &[&leaf]), Ok(StatusCode::OK));
}

#[test]
fn a_file_is_read_as_it_comes() {
    let own = make("own", true, None, |_| ());
    let (pem, more) = (own.pem(), make("more", true, None, |_| ()).pem());
    for file in [
        format!("# our authority\n\n{more}\nsubject=CN=own\n{pem}").into_bytes(),
        pem.replace('\n', "\r\n").replace("\r\r", "\r").into_bytes(),
        format!("\u{feff}{pem}").into_bytes(),
        format!("{}{pem}", own.key.serialize_pem()).into_bytes(),
        own.certificate.der().to_vec(),
    ] {
        assert_eq!(ask(&file, &[&own]), Ok(StatusCode::OK), "{}", String::from_utf8_lossy(&file));
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca");
    for file in [b"".as_slice(), b"hello", b"\x30\x03\x01\x01\x00", own.key.serialize_pem().as_bytes()] {
        std::fs::write(&path, file).unwrap();
        assert!(trusting(&path).err().unwrap().to_string().contains("contains no certificate"));
    }
    assert!(trusting(&folder.path().join("none")).err().unwrap().to_string().contains("cannot read"));
}
