//! A serving certificate with its private key, as read from PEM.

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use secrecy::{ExposeSecret, SecretString};

/// Reason why a certificate cannot be served, as the predicate of a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCertificate {
    /// The PEM certificate is missing.
    #[error("holds no PEM certificate")]
    Certificate,
    /// The PEM private key is missing or unusable.
    #[error("holds no usable private key in PEM")]
    Key,
    /// The certificate and the key belong to different pairs.
    #[error("holds a private key that does not match the certificate")]
    Mismatch,
}

/// Parses a certificate with its chain, and its key.
///
/// # Errors
/// [`InvalidCertificate`].
pub fn parse_certified_key(chain: &[u8], key: &SecretString) -> Result<CertifiedKey, InvalidCertificate> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<_, _>>()
        .map_err(|_| InvalidCertificate::Certificate)?;
    if chain.is_empty() {
        return Err(InvalidCertificate::Certificate);
    }
    let key =
        PrivateKeyDer::from_pem_slice(key.expose_secret().as_bytes()).map_err(|_| InvalidCertificate::Key)?;
    let key = aws_lc_rs::sign::any_supported_type(&key).map_err(|_| InvalidCertificate::Key)?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) => Ok(certified),
        Err(rustls::Error::InconsistentKeys(_)) => Err(InvalidCertificate::Mismatch),
        Err(_) => Err(InvalidCertificate::Certificate),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use rcgen::{CertificateParams, KeyPair};
    use secrecy::SecretString;

    use super::{InvalidCertificate, parse_certified_key};

    /// Returns a certificate of 127.0.0.1 that signs itself, and its key, in PEM.
    pub(crate) fn certificate_and_key() -> (String, SecretString) {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().self_signed(&key).unwrap();
        (certificate.pem(), key.serialize_pem().into())
    }

    #[test]
    fn a_certificate_is_accepted_with_its_own_key_only() {
        let ((a, key_a), (b, key_b)) = (certificate_and_key(), certificate_and_key());
        assert!(parse_certified_key(a.as_bytes(), &key_a).is_ok());
        assert!(parse_certified_key(b.as_bytes(), &key_b).is_ok());
        let refused =
            |chain: &str, key: &SecretString| parse_certified_key(chain.as_bytes(), key).unwrap_err();
        assert_eq!(refused(&a, &key_b), InvalidCertificate::Mismatch);
        assert_eq!(refused("", &key_a), InvalidCertificate::Certificate);
        assert_eq!(
            refused("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", &key_a),
            InvalidCertificate::Certificate
        );
        assert_eq!(refused(&a, &SecretString::from(a.clone())), InvalidCertificate::Key);
    }
}
