//! JSON Web Tokens as Kubernetes signs them: parsed, and verified with a provider's published keys.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::Value;

/// A token in its compact form, decoded but not yet verified.
#[derive(Debug)]
pub(super) struct Jwt<'a> {
    header: Header,
    /// The token's claims.
    pub(super) claims: Claims,
    /// The first two parts as sent, which the signature covers.
    signed: &'a str,
    signature: Vec<u8>,
}

#[derive(Debug, Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
}

/// The claims that STS reads; OpenID Connect requires all but `nbf`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Claims {
    /// The issuer.
    pub(super) iss: String,
    /// The subject.
    pub(super) sub: String,
    /// The audience.
    #[serde(deserialize_with = "one_or_more")]
    pub(super) aud: Vec<String>,
    /// The expiry, in seconds.
    pub(super) exp: i64,
    /// When it was issued.
    pub(super) iat: i64,
    /// Not valid before this.
    pub(super) nbf: Option<i64>,
}

fn one_or_more<'de, D: serde::Deserializer<'de>>(written: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Audience {
        One(String),
        More(Vec<String>),
    }
    Ok(match Audience::deserialize(written)? {
        Audience::One(one) => vec![one],
        Audience::More(more) => more,
    })
}

impl<'a> Jwt<'a> {
    /// Parses a token; `None` if it is malformed or lacks a claim.
    pub(super) fn parse(token: &'a str) -> Option<Self> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        Some(Self {
            header: serde_json::from_slice(&decoded(header)?).ok()?,
            claims: serde_json::from_slice(&decoded(claims)?).ok()?,
            signed,
            signature: decoded(signature)?,
        })
    }

    /// Returns whether one of these keys signed it. A token that names its key is verified with no other.
    pub(super) fn is_signed_by(&self, jwks: &Value) -> bool {
        let keys = jwks["keys"].as_array().map(Vec::as_slice).unwrap_or_default();
        let mut meant = keys.iter().filter(|key| match &self.header.kid {
            Some(kid) => key["kid"] == kid.as_str(),
            None => true,
        });
        meant.any(|key| self.is_signed_with(key).unwrap_or(false))
    }

    /// Returns whether this key signed it, or `None` if the key's kind does not fit the token's algorithm.
    /// `none` and the symmetric algorithms fit no key.
    fn is_signed_with(&self, key: &Value) -> Option<bool> {
        let field = |name: &str| key[name].as_str();
        let number = |name: &str| decoded(field(name)?);
        if field("alg").is_some_and(|alg| alg != self.header.alg) {
            return Some(false);
        }
        let message = self.signed.as_bytes();
        let verified = match (self.header.alg.as_str(), field("kty")?) {
            ("ES256", "EC") if field("crv") == Some("P-256") => {
                let point = [vec![4], number("x")?, number("y")?].concat();
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, &self.signature)
            }
            ("RS256", "RSA") => RsaPublicKeyComponents { n: number("n")?, e: number("e")? }.verify(
                &RSA_PKCS1_2048_8192_SHA256,
                message,
                &self.signature,
            ),
            _ => return None,
        };
        Some(verified.is_ok())
    }
}

fn decoded(written: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(written).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Claims, Header, Jwt, decoded};

    /// The payload that both examples of RFC 7515 sign; it lacks claims that a login needs.
    const PAYLOAD: &str =
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

    fn example<'a>(alg: &str, kid: Option<&str>, signed: &'a str, signature: &str) -> Jwt<'a> {
        let claims = json!({ "iss": "joe", "sub": "", "aud": "", "exp": 0, "iat": 0 });
        Jwt {
            header: Header { alg: alg.to_owned(), kid: kid.map(str::to_owned) },
            claims: serde_json::from_value(claims).unwrap(),
            signed,
            signature: decoded(signature).unwrap(),
        }
    }

    fn rsa_key() -> Value {
        json!({
            "kty": "RSA",
            "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-\
                  yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KX\
                  BdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9ia\
                  GNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
            "e": "AQAB",
        })
    }

    fn ec_key() -> Value {
        json!({
            "kty": "EC",
            "crv": "P-256",
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        })
    }

    const RS256: &str = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujG\
        bds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN93\
        83LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVm\
        tVrBp0igcN_IoypGlUPQGe77Rw";

    const ES256: &str =
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";

    #[test]
    fn the_examples_of_rfc_7515_for_both_algorithms_pass_and_not_with_each_others_key() {
        let (rsa, ec) =
            (format!("eyJhbGciOiJSUzI1NiJ9.{PAYLOAD}"), format!("eyJhbGciOiJFUzI1NiJ9.{PAYLOAD}"));
        let of_rsa = example("RS256", None, &rsa, RS256);
        let of_ec = example("ES256", None, &ec, ES256);
        let (rsa_only, ec_only) = (json!({ "keys": [rsa_key()] }), json!({ "keys": [ec_key()] }));
        let both = json!({ "keys": [ec_key(), rsa_key()] });
        assert!(of_rsa.is_signed_by(&rsa_only) && of_rsa.is_signed_by(&both));
        assert!(of_ec.is_signed_by(&ec_only) && of_ec.is_signed_by(&both));
        assert!(!of_rsa.is_signed_by(&ec_only) && !of_ec.is_signed_by(&rsa_only));
        assert!(!of_ec.is_signed_by(&json!({ "keys": [] })) && !of_ec.is_signed_by(&json!(null)));
        assert!(!example("ES256", None, &rsa, ES256).is_signed_by(&ec_only), "other words, other signature");
        for alg in ["none", "HS256", "ES384"] {
            assert!(!example(alg, None, &ec, ES256).is_signed_by(&both), "{alg}");
        }
    }

    #[test]
    fn a_named_key_is_the_only_one_that_counts() {
        let signed = format!("eyJhbGciOiJFUzI1NiJ9.{PAYLOAD}");
        let named = |kid| example("ES256", Some(kid), &signed, ES256);
        let mut key = ec_key();
        key["kid"] = json!("a");
        let mut jwks = json!({ "keys": [key] });
        assert!(named("a").is_signed_by(&jwks) && !named("b").is_signed_by(&jwks));
        assert!(!named("a").is_signed_by(&json!({ "keys": [ec_key()] })));
        jwks["keys"][0]["alg"] = json!("RS256");
        assert!(!named("a").is_signed_by(&jwks), "a key fits its own algorithm only");
    }

    #[test]
    fn an_audience_is_one_or_a_list_and_a_token_without_a_claim_is_none() {
        let claims = json!({ "iss": "i", "sub": "s", "aud": "a", "exp": 2, "iat": 1 });
        let read = |claims: &Value| serde_json::from_value::<Claims>(claims.clone());
        assert_eq!(read(&claims).unwrap().aud, ["a"]);
        let mut more = claims.clone();
        more["aud"] = json!(["a", "b"]);
        assert_eq!(read(&more).unwrap().aud, ["a", "b"]);
        for name in ["iss", "sub", "aud", "exp", "iat"] {
            let mut less = claims.clone();
            less.as_object_mut().unwrap().remove(name);
            assert!(read(&less).is_err(), "{name}");
        }
        for written in ["", "a.b", "a.b.c", "e30.e30.", "eyJhbGciOiJFUzI1NiJ9.e30.AA"] {
            assert!(Jwt::parse(written).is_none(), "{written}");
        }
    }
}
