//! The signed tokens that carry a bearer's rights to a registry.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use rcgen::{CertificateParams, DnType, KeyPair, PKCS_RSA_SHA256, SigningKey};
use serde_json::{Value, json};

/// Long enough for one pull, and far shorter than any password's lifetime: the password is under test.
const LIFE: Duration = Duration::from_secs(60);

/// The issuer, as the tokens and the registry's configuration name it.
pub(super) const ISSUER: &str = "acr-lab";

/// Signs tokens with a key of its own.
pub(super) struct Signer {
    key: KeyPair,
    header: String,
    certificate: String,
}

impl Signer {
    /// Creates a new key. It is RSA, whose signatures are already in a token's form; those of ECDSA would
    /// need another encoding.
    pub(super) fn new() -> anyhow::Result<Signer> {
        let key = KeyPair::generate_for(&PKCS_RSA_SHA256)?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, ISSUER);
        let certificate = params.self_signed(&key)?;
        let chain = [STANDARD.encode(certificate.der())];
        let header = encoded(&json!({ "typ": "JWT", "alg": "RS256", "x5c": chain }));
        Ok(Signer { key, header, certificate: certificate.pem() })
    }

    /// Returns the certificate with which a registry verifies these tokens.
    pub(super) fn certificate(&self) -> &str {
        &self.certificate
    }

    /// Returns a token for a subject at a service, with the rights of `access`.
    pub(super) fn sign(&self, service: &str, subject: &str, access: &Value) -> anyhow::Result<Signed> {
        let now = now().as_secs();
        let claims = encoded(&json!({
            "iss": ISSUER,
            "sub": subject,
            "aud": service,
            "iat": now,
            "nbf": now,
            "exp": now + LIFE.as_secs(),
            "jti": format!("{:032x}", fastrand::u128(..)),
            "access": access,
        }));
        let payload = format!("{}.{claims}", self.header);
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(payload.as_bytes())?);
        Ok(Signed { token: format!("{payload}.{signature}"), expires_in: LIFE.as_secs() })
    }
}

/// A token and its lifetime in seconds.
pub(super) struct Signed {
    pub(super) token: String,
    pub(super) expires_in: u64,
}

fn encoded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

#[expect(clippy::disallowed_methods, reason = "the registry, a process of its own, uses the machine's clock")]
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
