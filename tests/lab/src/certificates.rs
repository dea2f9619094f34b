//! The lab's keys: an authority is made anew for each part that needs one, and vouches for nothing else.

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
    /// Returns a new authority, which nobody trusts yet.
    pub fn new() -> anyhow::Result<Authority> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "acr-lab");
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?.pem().into();
        Ok(Authority { issuer: Arc::new(Issuer::new(params, key)), certificate })
    }

    /// Returns the authority's own certificate, for those who shall trust it.
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

    /// Returns a certificate for a server that is reached by these names or addresses.
    pub(crate) fn server(&self, names: &[&str]) -> anyhow::Result<Identity> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        self.sign(CertificateParams::new(names)?, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// Returns a client certificate: the API server takes the common name for the user and the organization
    /// for a group.
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

/// Writes a file that only we can read: keys, kubeconfigs and passwords open what the lab runs.
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
