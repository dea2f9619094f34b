//! HTTPS with a certificate that can be replaced at any time. Open connections keep their certificate and new ones
//! use the next, so that no request is dropped.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::connections::{self, ConnectionLimits};

/// Bounds of the webhook's connections. An API server opens a few, and closes an idle one after 90 s.
const LIMITS: ConnectionLimits = ConnectionLimits {
    connections: 128,
    first_request: Duration::from_secs(10),
    idle: Duration::from_secs(180),
};

/// The certificate that clients are served.
#[derive(Default)]
pub struct ServedCertificate(RwLock<Option<Arc<CertifiedKey>>>);

impl fmt::Debug for ServedCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServedCertificate").field(&self.is_set()).finish()
    }
}

impl ServedCertificate {
    /// Serves this certificate from now on.
    pub fn replace(&self, key: CertifiedKey) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(key));
    }

    /// Returns whether a certificate is set.
    pub fn is_set(&self) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

impl ResolvesServerCert for ServedCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Returns whether a client that trusts these authorities trusts this certificate now, for this name.
pub fn is_trusted(certified: &CertifiedKey, authorities: &[u8], name: &str) -> bool {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(authorities).filter_map(Result::ok));
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider).build();
    let (Ok(verifier), Ok(name), Some((leaf, rest))) =
        (verifier, ServerName::try_from(name), certified.cert.split_first())
    else {
        return false;
    };
    verifier.verify_server_cert(leaf, rest, &name, &[], UnixTime::now()).is_ok()
}

/// Serves until it is stopped, then answers requests in flight for at most two seconds.
///
/// It offers HTTP/2, because a stopping server can then ask the API server to send nothing more on its one
/// connection. The caller must ensure that new connections reach another server.
///
/// # Errors
/// This build does not support the versions of TLS.
pub async fn serve(
    listener: TcpListener,
    certificate: Arc<ServedCertificate>,
    router: Router,
    stop: CancellationToken,
) -> Result<(), rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    connections::serve(listener, Some(acceptor), router, LIMITS, stop).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::Router;
    use axum::routing::get;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::Notify;
    use tokio_util::sync::CancellationToken;

    use super::{ServedCertificate, is_trusted, serve};
    use crate::cluster::certified_key::parse_certified_key;
    use crate::cluster::certified_key::tests::certificate_and_key;

    #[test]
    fn a_certificate_is_trusted_by_its_authority_its_name_and_its_time() {
        let (certificate, key) = certificate_and_key();
        let shown = parse_certified_key(certificate.as_bytes(), &key).unwrap();
        assert!(is_trusted(&shown, certificate.as_bytes(), "127.0.0.1"));
        assert!(!is_trusted(&shown, certificate.as_bytes(), "127.0.0.2"));
        assert!(!is_trusted(&shown, certificate_and_key().0.as_bytes(), "127.0.0.1"));
        assert!(!is_trusted(&shown, b"", "127.0.0.1"));
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
        let past = params.self_signed(&key).unwrap().pem();
        let shown = parse_certified_key(past.as_bytes(), &key.serialize_pem().into()).unwrap();
        assert!(!is_trusted(&shown, past.as_bytes(), "127.0.0.1"));
    }

    #[test]
    fn no_key_shows_in_debug() {
        let (certificate, key) = certificate_and_key();
        let served = ServedCertificate::default();
        assert!(!served.is_set());
        served.replace(parse_certified_key(certificate.as_bytes(), &key).unwrap());
        assert_eq!(format!("{served:?}"), "ServedCertificate(true)");
    }

    #[tokio::test]
    async fn requests_in_flight_are_answered_before_the_server_stops() {
        let (certificate, key) = certificate_and_key();
        let served = Arc::new(ServedCertificate::default());
        served.replace(parse_certified_key(certificate.as_bytes(), &key).unwrap());
        let root = reqwest::Certificate::from_pem(certificate.as_bytes()).unwrap();
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([root]).build().unwrap();
        let (asked, release, stop) =
            (Arc::new(Notify::new()), Arc::new(Notify::new()), CancellationToken::new());
        let handler = {
            let (asked, release) = (asked.clone(), release.clone());
            async move || {
                asked.notify_one();
                release.notified().await;
                "answered"
            }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(handler));
        let server = tokio::spawn(serve(listener, served.clone(), router, stop.clone()));
        let answer = tokio::spawn(client.get(format!("https://{address}/")).send());
        asked.notified().await;
        stop.cancel();
        // New connections are refused, and the request in flight is still answered.
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        release.notify_one();
        assert_eq!(answer.await.unwrap().unwrap().text().await.unwrap(), "answered");
        server.await.unwrap().unwrap();
    }
}
