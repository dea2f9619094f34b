//! The lab's keys. Each part that needs an authority creates a new one, which signs nothing else.

use std::{fs::OpenOptions, io::Write, os::unix::fs::OpenOptionsExt, path::Path, sync::Arc};

use anyhow::Context;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// Signs the certificates of servers and clients. Clones are the same authority; its key never leaves memory.
#[derive(Clone)]
pub struct Authority {
    issuer: Arc<Issuer<'static, KeyPair>>,
    certificate: Arc<str>,
}

/// A certificate and its key, both PEM.
pub(crate) struct Identity {
    /// The certificate.
    pub(crate) certificate: String,
    /// The private key.
    pub(crate) key: String,
}

impl Authority {
    /// Creates a new authority, which no client trusts yet.
    pub fn new() -> anyhow::Result<Authority> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "acr-lab");
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?.pem().into();
        Ok(Authority { issuer: Arc::new(Issuer::new(params, key)), certificate })
    }

    /// Returns the authority's own certificate, for clients that must trust it.
    pub fn pem(&self) -> &str {
        &self.certificate
    }

    /// Writes a certificate for a server, its key and this authority as the files of a mounted Secret:
    /// `tls.crt`, `tls.key` and `ca.crt`.
    pub fn write_server(&self, folder: &Path, names: &[&str]) -> anyhow::Result<()> {
        let identity = self.server(names)?;
        write_private(&folder.join("tls.crt"), &identity.certificate)?;
        write_private(&folder.join("tls.key"), &identity.key)?;
        write_private(&folder.join("ca.crt"), self.pem())
    }

    /// Creates a certificate for a server that is reached by these names or addresses.
    pub(crate) fn server(&self, names: &[&str]) -> anyhow::Result<Identity> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        self.sign(CertificateParams::new(names)?, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// Creates a client certificate. The API server reads the common name as the user and the organization as
    /// a group.
    pub(crate) fn client(&self, user: &str, group: &str) -> anyhow::Result<Identity> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, user);
        params.distinguished_name.push(DnType::OrganizationName, group);
        self.sign(params, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn sign(
        &self,
        mut params: CertificateParams,
        usage: ExtendedKeyUsagePurpose,
    ) -> anyhow::Result<Identity> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Identity { certificate, key: key.serialize_pem() })
    }
}

/// Writes a file that only the current user can read: it holds a key, a kubeconfig or a password.
pub(crate) fn write_private(path: &Path, contents: &str) -> anyhow::Result<()> {
    OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(contents.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))
}
