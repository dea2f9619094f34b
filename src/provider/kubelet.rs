//! The kubelet's protocol: one request on standard input, one response on standard output.

use std::collections::BTreeMap;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;

use super::entries::HostEntries;
use super::failure::ProviderFailure;
use super::pod_identity::RequestingPod;
use crate::api::names::ANNOTATION_ROLE_NAME;

/// Version of the protocol.
pub const API_VERSION: &str = "credentialprovider.kubelet.k8s.io/v1";

/// Bytes that a request may have. A real one has a token of a few KB.
pub const MAX_REQUEST: usize = 256 << 10;

/// A request as sent. Not `Debug`: it contains a token.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RequestFields {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    image: String,
    #[serde(default)]
    service_account_token: Option<String>,
    #[serde(default)]
    service_account_annotations: Option<BTreeMap<String, String>>,
}

/// A valid request.
#[derive(Debug)]
pub struct CredentialRequest {
    /// The image, with its host.
    pub image: String,
    /// Token of the Pod's ServiceAccount.
    pub token: Option<SecretString>,
    role_name: Option<String>,
}

impl CredentialRequest {
    /// Parses a request.
    ///
    /// # Errors
    /// `BadInput` with the fault. It quotes nothing but the version, since a request contains a token.
    pub fn parse(text: &[u8]) -> Result<Self, ProviderFailure> {
        let bad = |message: &str| ProviderFailure::BadInput(message.to_owned());
        if text.is_empty() {
            return Err(bad("standard input is empty: the kubelet runs this program, with a request there"));
        }
        if text.len() > MAX_REQUEST {
            return Err(bad(
                "the request has more than 256 KiB: a CredentialProviderRequest has one image and one token",
            ));
        }
        let fields: RequestFields = serde_json::from_slice(text).map_err(|error| {
            let fault = if error.is_eof() { "is cut short" } else { "is not a CredentialProviderRequest" };
            ProviderFailure::BadInput(format!(
                "the request {fault} (line {}, column {})",
                error.line(),
                error.column()
            ))
        })?;
        if fields.kind != "CredentialProviderRequest" {
            return Err(bad("the request's kind is not CredentialProviderRequest"));
        }
        if fields.api_version != API_VERSION {
            let version: String = fields.api_version.chars().take(64).collect();
            return Err(ProviderFailure::BadInput(format!(
                "the request's version is {version:?}: set apiVersion: {API_VERSION} of this provider in the \
                 CredentialProviderConfig"
            )));
        }
        if fields.image.is_empty() || fields.image.len() > 4096 || fields.image.contains(char::is_whitespace)
        {
            return Err(bad("the request has no valid image"));
        }
        let non_empty = |text: Option<String>| text.filter(|text| !text.is_empty());
        let mut annotations = fields.service_account_annotations.unwrap_or_default();
        Ok(Self {
            image: fields.image,
            token: non_empty(fields.service_account_token).map(SecretString::from),
            role_name: non_empty(annotations.remove(ANNOTATION_ROLE_NAME)),
        })
    }

    /// Returns what it says of the Pod.
    pub fn pod(&self) -> RequestingPod<'_> {
        RequestingPod { has_token: self.token.is_some(), role_name: self.role_name.as_deref() }
    }
}

/// Returns the response as JSON. It contains passwords: that is the protocol.
///
/// Without entries, the response is not kept, so that a corrected file is used at the next pull.
pub fn response(entries: Option<&HostEntries>, now: Timestamp) -> String {
    let Some(entries) = entries else {
        return json!({
            "apiVersion": API_VERSION,
            "kind": "CredentialProviderResponse",
            "cacheKeyType": "Image",
            "cacheDuration": "0s",
            "auth": null,
        })
        .to_string();
    };
    let auth = entries.auths.iter().map(|(entry, credential)| {
        let login = json!({ "username": credential.username, "password": credential.token.expose_secret() });
        (entry.clone(), login)
    });
    let seconds = entries.half_life(now).max(SignedDuration::ZERO).as_secs();
    json!({
        "apiVersion": API_VERSION,
        "kind": "CredentialProviderResponse",
        "cacheKeyType": if entries.is_complete { "Registry" } else { "Image" },
        "cacheDuration": format!("{seconds}s"),
        "auth": auth.collect::<serde_json::Map<_, _>>(),
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;
    use secrecy::{ExposeSecret, SecretString};
    use serde_json::{Value, json};

    use super::{CredentialRequest, HostEntries, response};
    use crate::model::Credential;
    use crate::model::credential::Origin;

    fn request() -> Value {
        json!({
            "apiVersion": "credentialprovider.kubelet.k8s.io/v1", "kind": "CredentialProviderRequest",
            "image": "img.example.com/a", "serviceAccountToken": "eyJ.secret",
            "serviceAccountAnnotations": { "pod-identity.alibabacloud.com/role-name": "acr-pull" },
        })
    }

    #[test]
    fn a_request_has_an_image_a_token_and_a_role() {
        let read = CredentialRequest::parse(request().to_string().as_bytes()).unwrap();
        assert_eq!(read.image, "img.example.com/a");
        assert_eq!(read.token.as_ref().unwrap().expose_secret(), "eyJ.secret");
        assert_eq!((read.pod().has_token, read.pod().role_name), (true, Some("acr-pull")));
        assert!(!format!("{read:?}").contains("eyJ"));
    }

    #[test]
    fn a_bad_request_is_named_and_not_quoted() {
        let changed = |field: &str, value: Value| {
            let mut request = request();
            request[field] = value;
            request.to_string()
        };
        let whole = request().to_string();
        for (text, words) in [
            (String::new(), "standard input is empty"),
            (whole[..whole.len() - 9].to_owned(), "is cut short"),
            (changed("image", json!("")), "has no valid image"),
            (changed("image", json!("a b")), "has no valid image"),
            (changed("image", json!(["eyJ.secret"])), "is not a CredentialProviderRequest"),
            (changed("kind", json!("Pod")), "kind is not CredentialProviderRequest"),
            (
                changed("apiVersion", json!("credentialprovider.kubelet.k8s.io/v1beta1")),
                "v1beta1\": set apiVersion: credentialprovider.kubelet.k8s.io/v1 of",
            ),
            (changed("serviceAccountToken", json!("x".repeat(1 << 20))), "more than 256 KiB"),
            ("eyJ.secret".to_owned(), "is not a CredentialProviderRequest"),
        ] {
            let failure = CredentialRequest::parse(text.as_bytes()).unwrap_err();
            let message = failure.to_string();
            assert!(message.contains(words) && !message.contains("secret"), "{message}");
            assert_eq!(failure.exit_code(), 2);
        }
    }

    #[test]
    fn a_response_is_kept_for_half_of_what_is_left_of_the_first_entry() {
        let now = Timestamp::UNIX_EPOCH;
        let credential = |seconds: i64| Credential {
            username: "cr_temp_user".to_owned(),
            token: SecretString::from("secret"),
            minted_at: now,
            expires_at: Timestamp::from_second(seconds).unwrap(),
            origin: Origin::default(),
        };
        let auths = [("a.com".to_owned(), credential(3600)), ("a.com/b".to_owned(), credential(1201))].into();
        let entries = HostEntries { auths, is_complete: true };
        let all: Value = serde_json::from_str(&response(Some(&entries), now)).unwrap();
        assert_eq!((&all["cacheKeyType"], &all["cacheDuration"]), (&json!("Registry"), &json!("600s")));
        assert_eq!(all["auth"]["a.com/b"], json!({ "username": "cr_temp_user", "password": "secret" }));
        let late = Timestamp::from_second(9_999).unwrap();
        let expired: Value = serde_json::from_str(&response(Some(&entries), late)).unwrap();
        assert_eq!(expired["cacheDuration"], "0s");
        let some: Value =
            serde_json::from_str(&response(Some(&HostEntries { is_complete: false, ..entries }), now))
                .unwrap();
        assert_eq!(some["cacheKeyType"], "Image");
        let none: Value = serde_json::from_str(&response(None, now)).unwrap();
        assert_eq!((&none["auth"], &none["cacheDuration"]), (&Value::Null, &json!("0s")));
    }
}
