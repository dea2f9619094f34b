//! The server's side of TLS, with certificates of a lab's authority.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex},
};

use anyhow::Context;
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio_rustls::TlsAcceptor;

use crate::{certificates::Authority, process::lock};

/// The certificate's name for a client that requests no name: it came by the address.
const LOOPBACK: &str = "127.0.0.1";

/// Accepts TLS connections for any name that the client requests, with a certificate made for that name.
pub(crate) fn acceptor(authority: &Authority) -> anyhow::Result<TlsAcceptor> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let names =
        Names { authority: authority.clone(), provider: Arc::clone(&provider), made: Mutex::default() };
    // Without ALPN, so that clients speak HTTP/1.1.
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(names));
    Ok(TlsAcceptor::from(Arc::new(config)))
}

struct Names {
    authority: Authority,
    provider: Arc<CryptoProvider>,
    made: Mutex<HashMap<String, Arc<CertifiedKey>>>,
}

impl fmt::Debug for Names {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Names").finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Names {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().unwrap_or(LOOPBACK);
        let mut made = lock(&self.made);
        if let Some(key) = made.get(name) {
            return Some(Arc::clone(key));
        }
        // If no certificate can be made for a name, the handshake fails, as such a client should see.
        let key = Arc::new(self.make(name).ok()?);
        made.insert(name.to_owned(), Arc::clone(&key));
        Some(key)
    }
}

impl Names {
    fn make(&self, name: &str) -> anyhow::Result<CertifiedKey> {
        let identity = self.authority.server(&[name])?;
        let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes())
            .map_err(|error| anyhow::anyhow!("{error}"))?;
        let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes())
            .map_err(|error| anyhow::anyhow!("{error}"))?;
        let key = self.provider.key_provider.load_private_key(key).context("the key cannot be used")?;
        Ok(CertifiedKey::new(vec![certificate], key))
    }
}
