//! The cluster as an OIDC issuer, registered as a provider in the cloud.

use acr_credential_binding::model::identity::{Arn, CredentialSource};
use acr_lab::cloud::OidcIssuer;
use acr_lab::cloud::world::OidcProvider;
use serde_json::{Value, json};

use crate::lab::Lab;

pub(crate) const ROLE: &str = "acs:ram::1:role/acr-rrsa";
pub(crate) const PROVIDER: &str = "acs:ram::1:oidc-provider/ack-rrsa-demo";
pub(crate) const SUBJECT: &str = "system:serviceaccount:kube-system:aliyun-acr-credential-helper";

const ISSUER: &str = "https://oidc.example.com/demo";

/// Signer of the cluster's tokens.
#[derive(Debug)]
pub(crate) struct Issuer(OidcIssuer);

impl Issuer {
    pub(crate) fn new() -> Self {
        Self(OidcIssuer::new().unwrap())
    }

    /// Registers the provider in the cloud, and issues a token for the ServiceAccount.
    pub(crate) fn enabled_in(lab: &Lab) -> Self {
        let issuer = Self::new();
        let client_ids = ["sts.aliyuncs.com".to_owned()].into();
        let provider = OidcProvider { issuer: ISSUER.to_owned(), client_ids, jwks: issuer.0.jwks() };
        assert_eq!(lab.cloud.register_oidc_provider("1", "ack-rrsa-demo", provider), PROVIDER);
        issuer.renew(lab);
        issuer
    }

    /// Issues a new valid token for the ServiceAccount.
    pub(crate) fn renew(&self, lab: &Lab) {
        self.renew_with(lab, &json!({}));
    }

    /// Issues a new token with some claims replaced.
    pub(crate) fn renew_with(&self, lab: &Lab, other: &Value) {
        let now = lab.cloud.now() / 1000;
        let mut claims = json!({
            "iss": ISSUER, "sub": SUBJECT, "aud": ["sts.aliyuncs.com"], "iat": now, "nbf": now, "exp": now + 3600,
        });
        for (name, value) in other.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let token = self.0.token(&claims).unwrap();
        lab.cluster.edit(|credentials| credentials.oidc_token = Some(token));
    }
}

/// Returns the role of the demonstration, to be assumed with the cluster's tokens.
pub(crate) fn rrsa() -> CredentialSource {
    let (role, provider) = (Arn::role(ROLE).unwrap(), Arn::oidc_provider(PROVIDER).unwrap());
    CredentialSource::Rrsa { role, provider }
}
