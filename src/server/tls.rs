//! HTTPS whose certificate can be replaced at any moment: a connection that stands keeps the one it began with, and
//! the next one sees the new one, so that no request is dropped.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::debug;

/// A client that takes longer for its handshake is none.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// What is under way when the server is stopped may take so long.
const DRAIN: Duration = Duration::from_secs(2);

/// Connections at a time. An API server holds a few.
const CONNECTIONS: usize = 128;

/// Bytes that one request may bring before anybody reads them: most are shorter.
const STREAM: u32 = 16 * 1024;

/// Bytes that all requests of a connection may bring so, and more than those of a few that wait.
const CONNECTION: u32 = 256 * 1024;

/// The certificate that is shown to clients.
#[derive(Default)]
pub struct ServedCertificate(RwLock<Option<Arc<CertifiedKey>>>);

impl fmt::Debug for ServedCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServedCertificate").field(&self.is_set()).finish()
    }
}

impl ServedCertificate {
    /// Shows this certificate from now on.
    pub fn replace(&self, key: CertifiedKey) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(key));
    }

    /// Whether there is one to show.
    pub fn is_set(&self) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

impl ResolvesServerCert for ServedCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Whether a client that trusts these authorities believes this certificate now, for this name.
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

/// Serves until it is stopped; what is under way then is answered first, for a moment.
///
/// HTTP/2 is offered: the API server then holds one connection, which a stopping server can tell to send nothing more.
/// Its next one must find another server, so whoever stops this one sees to it that nobody is led here any more.
///
/// # Errors
/// The versions of TLS are not what this build knows.
pub async fn serve(
    listener: TcpListener,
    presented: Arc<ServedCertificate>,
    router: Router,
    stop: CancellationToken,
) -> Result<(), rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(presented);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { break };
        tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let (acceptor, router, stop) = (acceptor.clone(), router.clone(), stop.clone());
                    connections.spawn(async move {
                        connection(stream, acceptor, router, stop).await;
                        drop(permit);
                    });
                }
                // The machine has no file descriptor left; connections that end free some.
                Err(error) => {
                    debug!(%error, "a connection cannot be taken");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
        }
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    let rest = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(DRAIN, rest).await;
    Ok(())
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, router: Router, stop: CancellationToken) {
    // A socket that will not take the option is only slower.
    let _ = stream.set_nodelay(true);
    let stream = match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return debug!(%error, "a handshake failed"),
        Err(_) => return debug!("a handshake took too long"),
    };
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).max_buf_size(4 * STREAM as usize);
    let mut http2 = builder.http2();
    http2.timer(TokioTimer::new()).max_concurrent_streams(100);
    http2.initial_connection_window_size(CONNECTION).initial_stream_window_size(STREAM);
    let served = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(served);
    let result = tokio::select! {
        result = served.as_mut() => result,
        () = stop.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = result {
        debug!(%error, "a connection broke");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::Router;
    use axum::routing::get;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};
    use secrecy::SecretString;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::Notify;
    use tokio_util::sync::CancellationToken;

    use super::{ServedCertificate, is_trusted, serve};
    use crate::cluster::certified_key::parse_certified_key;

    fn pair() -> (String, SecretString) {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().self_signed(&key).unwrap();
        (certificate.pem(), key.serialize_pem().into())
    }

    #[test]
    fn a_certificate_is_believed_by_its_authority_its_name_and_its_time() {
        let (certificate, key) = pair();
        let shown = parse_certified_key(certificate.as_bytes(), &key).unwrap();
        assert!(is_trusted(&shown, certificate.as_bytes(), "127.0.0.1"));
        assert!(!is_trusted(&shown, certificate.as_bytes(), "127.0.0.2"));
        assert!(!is_trusted(&shown, pair().0.as_bytes(), "127.0.0.1"));
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
        let (certificate, key) = pair();
        let presented = ServedCertificate::default();
        assert!(!presented.is_set());
        presented.replace(parse_certified_key(certificate.as_bytes(), &key).unwrap());
        assert_eq!(format!("{presented:?}"), "ServedCertificate(true)");
    }

    #[tokio::test]
    async fn what_is_under_way_is_answered_before_the_server_ends() {
        let (certificate, key) = pair();
        let presented = Arc::new(ServedCertificate::default());
        presented.replace(parse_certified_key(certificate.as_bytes(), &key).unwrap());
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
        let server = tokio::spawn(serve(listener, presented.clone(), router, stop.clone()));
        let answer = tokio::spawn(client.get(format!("https://{address}/")).send());
        asked.notified().await;
        stop.cancel();
        // Nobody new is taken any more, and who asked before is not forgotten.
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        release.notify_one();
        assert_eq!(answer.await.unwrap().unwrap().text().await.unwrap(), "answered");
        server.await.unwrap().unwrap();
    }
}
