//! The key files that the API server and the controller manager read.

use std::path::Path;

use rcgen::KeyPair;

use crate::certificates::{Authority, write_private};

/// Writes the authority's certificate and the API server's serving certificate.
pub(super) fn serving(dir: &Path, authority: &Authority) -> anyhow::Result<()> {
    let names = ["127.0.0.1", "10.0.0.1", "localhost", "kubernetes", "kubernetes.default.svc"];
    let identity = authority.server(&names)?;
    write_private(&dir.join("ca.crt"), authority.pem())?;
    write_private(&dir.join("server.crt"), &identity.certificate)?;
    write_private(&dir.join("server.key"), &identity.key)
}

/// Writes the key pair that signs and verifies ServiceAccount tokens (ES256).
pub(super) fn service_accounts(dir: &Path) -> anyhow::Result<()> {
    let key = KeyPair::generate()?;
    write_private(&dir.join("service-account.key"), &key.serialize_pem())?;
    write_private(&dir.join("service-account.pub"), &key.public_key_pem())
}
