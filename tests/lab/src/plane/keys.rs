//! The key files that the API server and the controller manager read.

use std::path::Path;

use rcgen::KeyPair;

use crate::certificates::{Authority, write_private};

/// A name of the API server, at any address.
pub(super) const NAME: &str = "kubernetes.default.svc";

/// Writes the authority's certificate and the API server's serving certificate.
pub(super) fn serving(dir: &Path, authority: &Authority) -> anyhow::Result<()> {
    let names = ["127.0.0.1", "10.0.0.1", "localhost", "kubernetes", "kubernetes.default", NAME];
    let identity = authority.server(&names)?;
    write_private(&dir.join("ca.crt"), authority.pem())?;
    write_private(&dir.join("server.crt"), &identity.certificate)?;
    write_private(&dir.join("server.key"), &identity.key)
}

/// Writes the certificate by which the API server calls a kubelet.
pub(super) fn kubelet_client(dir: &Path, authority: &Authority) -> anyhow::Result<()> {
    let identity = authority.client("kube-apiserver", "system:masters")?;
    write_private(&dir.join("kubelet-client.crt"), &identity.certificate)?;
    write_private(&dir.join("kubelet-client.key"), &identity.key)
}

/// Writes the key pair that signs and verifies ServiceAccount tokens (ES256).
pub(super) fn service_accounts(dir: &Path) -> anyhow::Result<()> {
    let key = KeyPair::generate()?;
    write_private(&dir.join("service-account.key"), &key.serialize_pem())?;
    write_private(&dir.join("service-account.pub"), &key.public_key_pem())
}
