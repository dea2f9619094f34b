//! An OIDC issuer without a cluster, for tests of how the cloud treats its tokens.

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::vault::random;

/// Signs tokens with ES256, as the lab's API server does, under a key of its own.
pub struct OidcIssuer {
    key: EcdsaKeyPair,
    kid: String,
}

impl OidcIssuer {
    /// Draws a key.
    ///
    /// # Errors
    /// If the machine has no randomness to give.
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self { key: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?, kid: random(16) })
    }

    /// Returns the key set that verifies its tokens.
    pub fn jwks(&self) -> Value {
        // An uncompressed point: one marker byte, then both coordinates, of 32 bytes each.
        let (x, y) = self.key.public_key().as_ref()[1..].split_at(32);
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        let key = json!({
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.kid, "x": x, "y": y,
        });
        json!({ "keys": [key] })
    }

    /// Returns a token with these claims, valid or not.
    ///
    /// # Errors
    /// If the machine has no randomness to give.
    pub fn token(&self, claims: &Value) -> anyhow::Result<String> {
        let header = json!({ "alg": "ES256", "kid": self.kid });
        let [header, claims] = [&header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let signed = format!("{header}.{claims}");
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes())?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

impl fmt::Debug for OidcIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OidcIssuer").field("kid", &self.kid).finish_non_exhaustive()
    }
}
