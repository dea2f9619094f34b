//! The control plane's keys: one authority, made anew for each plane, and never written outside its directory.

use std::{
    fs::OpenOptions,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::Context;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// Signs the API server's certificate and those of its clients.
pub(super) struct Authority {
    dir: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    /// The authority's own certificate, as clients trust it.
    pub(super) certificate: String,
}

/// A certificate and its key, both PEM.
pub(super) struct Identity {
    /// The certificate.
    pub(super) certificate: String,
    /// The private key.
    pub(super) key: String,
}

impl Authority {
    pub(super) fn new(dir: &Path) -> anyhow::Result<Authority> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "acr-lab");
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?.pem();
        write_private(&dir.join("ca.crt"), &certificate)?;
        Ok(Authority { dir: dir.to_owned(), issuer: Issuer::new(params, key), certificate })
    }

    /// The API server's serving certificate; written, since it is read from files.
    pub(super) fn serving(&self) -> anyhow::Result<()> {
        let names = ["127.0.0.1", "10.0.0.1", "localhost", "kubernetes", "kubernetes.default.svc"];
        let params = CertificateParams::new(names.map(str::to_owned))?;
        let identity = self.sign(params, ExtendedKeyUsagePurpose::ServerAuth)?;
        write_private(&self.dir.join("server.crt"), &identity.certificate)?;
        write_private(&self.dir.join("server.key"), &identity.key)
    }

    /// A client certificate: the API server takes the common name for the user and the organization for a group.
    pub(super) fn client(&self, user: &str, group: &str) -> anyhow::Result<Identity> {
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

/// The pair that signs and checks ServiceAccount tokens (ES256).
pub(super) fn service_account_keys(dir: &Path) -> anyhow::Result<()> {
    let key = KeyPair::generate()?;
    write_private(&dir.join("service-account.key"), &key.serialize_pem())?;
    write_private(&dir.join("service-account.pub"), &key.public_key_pem())
}

/// Writes a file that only we can read: kubeconfigs and keys open the whole plane.
pub(super) fn write_private(path: &Path, contents: &str) -> anyhow::Result<()> {
    OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(contents.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))
}
