//! The webhook's own certificates, in one Secret of the controller's own namespace. Every replica reads it; only the
//! leader writes it.

use std::fmt;
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use kube::{Api, Client, ResourceExt};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::certified_key::parse_certified_key;
use super::error::{CallError, call};
use super::named_secret::SecretData;
use super::owned;
use crate::api::names;
use crate::plan::certificates::{
    Authority, CertificateStep, Certificates, Lifetimes, ServingCertificate, end,
};

/// Key of the Secret's data.
pub const KEY: &str = "certificates.json";

/// Certificates become valid this much earlier, for API servers whose clock is slow.
const BACKDATED: Duration = Duration::from_secs(300);

/// A certificate and its key in PEM. Its `Debug` shows no key.
#[derive(Clone)]
struct CertificateAndKey {
    certificate: String,
    key: SecretString,
}

/// The certificates with their private keys, as the Secret stores them.
#[derive(Clone, Default)]
pub struct StoredCertificates {
    authorities: Vec<(Authority, CertificateAndKey)>,
    leaf: Option<(ServingCertificate, CertificateAndKey)>,
}

impl fmt::Debug for StoredCertificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.without_keys(), f)
    }
}

/// Reason why the content of the Secret cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Secret {name}: the key {KEY} {0}; delete the Secret, and the controller creates it again", name = names::WEBHOOK_NAME)]
pub struct InvalidCertificateSecret(String);

/// Failure to generate a certificate.
#[derive(Debug, thiserror::Error)]
#[error("the certificate cannot be generated: {0}")]
pub struct GenerationError(#[from] rcgen::Error);

impl StoredCertificates {
    /// Returns the certificates without their keys, for the plan.
    pub fn without_keys(&self) -> Certificates {
        Certificates {
            authorities: self.authorities.iter().map(|(authority, _)| authority.clone()).collect(),
            serving: self.leaf.as_ref().map(|(leaf, _)| leaf.clone()),
        }
    }

    /// Returns the certificates of the authorities to trust, in PEM, oldest first.
    pub fn bundle(&self) -> Vec<u8> {
        self.authorities.iter().flat_map(|(_, pair)| pair.certificate.bytes()).collect()
    }

    /// Returns the id and the certificate of the newest authority.
    pub fn newest(&self) -> Option<(u64, &str)> {
        self.authorities.last().map(|(authority, pair)| (authority.id, pair.certificate.as_str()))
    }

    /// Returns the certificate and the key that are served.
    pub fn served(&self) -> Option<(&str, &SecretString)> {
        self.leaf.as_ref().map(|(_, pair)| (pair.certificate.as_str(), &pair.key))
    }

    /// Executes a step of the plan.
    ///
    /// # Errors
    /// [`GenerationError`].
    pub fn execute(
        &mut self,
        step: CertificateStep,
        names: &[String],
        lives: &Lifetimes,
        now: Timestamp,
    ) -> Result<(), GenerationError> {
        match step {
            CertificateStep::Wait(_) => {}
            CertificateStep::CreateAuthority => {
                let id = self.authorities.last().map_or(1, |(authority, _)| authority.id + 1);
                let until = end(now, lives.authority, None);
                let authority = Authority { id, since: now, until, needed_until: now };
                let key = KeyPair::generate()?;
                let certificate = authority_params(&authority).self_signed(&key)?.pem();
                self.authorities
                    .push((authority, CertificateAndKey { certificate, key: key.serialize_pem().into() }));
            }
            CertificateStep::Sign(id) => {
                let found = self.authorities.iter_mut().find(|(authority, _)| authority.id == id);
                let Some((authority, pair)) = found else { return Ok(()) };
                let until = end(now, lives.certificate, Some(authority));
                let issuer =
                    Issuer::new(authority_params(authority), KeyPair::from_pem(pair.key.expose_secret())?);
                let mut params = CertificateParams::new(names)?;
                params.distinguished_name.push(DnType::CommonName, names::WEBHOOK_NAME);
                params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
                params.use_authority_key_identifier_extension = true;
                valid(&mut params, now, until);
                let key = KeyPair::generate()?;
                let certificate = params.signed_by(&key, &issuer)?.pem();
                authority.needed_until = authority.needed_until.max(until);
                let leaf = ServingCertificate { authority: id, since: now, until, names: names.to_vec() };
                self.leaf = Some((leaf, CertificateAndKey { certificate, key: key.serialize_pem().into() }));
            }
            CertificateStep::RemoveAuthority(id) => {
                self.authorities.retain(|(authority, _)| authority.id != id)
            }
        }
        Ok(())
    }
}

/// Returns all parameters of an authority. They must be the same each time that its key signs.
fn authority_params(authority: &Authority) -> CertificateParams {
    let mut params = CertificateParams::default();
    let name = format!("{} authority {}", names::WEBHOOK_NAME, authority.id);
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    valid(&mut params, authority.since, authority.until);
    params
}

fn valid(params: &mut CertificateParams, since: Timestamp, until: Timestamp) {
    let date = |at: Timestamp| {
        let seconds = u64::try_from(at.as_second()).unwrap_or_default();
        date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds)
    };
    (params.not_before, params.not_after) = (date(since) - BACKDATED, date(until));
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CertificatesRecord {
    authorities: Vec<AuthorityRecord>,
    leaf: Option<LeafRecord>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AuthorityRecord {
    id: u64,
    since: Timestamp,
    until: Timestamp,
    needed_until: Timestamp,
    certificate: String,
    key: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LeafRecord {
    authority: u64,
    since: Timestamp,
    until: Timestamp,
    names: Vec<String>,
    certificate: String,
    key: String,
}

/// Reads the content of the Secret, and checks that it can be served.
///
/// # Errors
/// [`InvalidCertificateSecret`], without anything of the content.
pub fn read(data: &SecretData) -> Result<StoredCertificates, InvalidCertificateSecret> {
    let text =
        data.get(KEY).ok_or_else(|| InvalidCertificateSecret("is missing, empty or not UTF-8".to_owned()))?;
    let stored: CertificatesRecord = serde_json::from_str(text.expose_secret()).map_err(|error| {
        // serde's own message would quote the content.
        InvalidCertificateSecret(format!("cannot be read at line {} column {}", error.line(), error.column()))
    })?;
    let leaf = stored.leaf.map(|s| {
        let leaf =
            ServingCertificate { authority: s.authority, since: s.since, until: s.until, names: s.names };
        (leaf, CertificateAndKey { certificate: s.certificate, key: s.key.into() })
    });
    let authorities = stored.authorities.into_iter().map(|s| {
        let authority = Authority { id: s.id, since: s.since, until: s.until, needed_until: s.needed_until };
        (authority, CertificateAndKey { certificate: s.certificate, key: s.key.into() })
    });
    let certificates = StoredCertificates { authorities: authorities.collect(), leaf };
    let pairs = certificates
        .authorities
        .iter()
        .map(|(_, pair)| pair)
        .chain(certificates.leaf.iter().map(|(_, pair)| pair));
    for pair in pairs {
        parse_certified_key(pair.certificate.as_bytes(), &pair.key)
            .map_err(|why| InvalidCertificateSecret(why.to_string()))?;
    }
    if certificates.leaf.is_none() || certificates.authorities.is_empty() {
        return Err(InvalidCertificateSecret("has no certificate to serve".to_owned()));
    }
    Ok(certificates)
}

fn render(certificates: &StoredCertificates) -> Vec<u8> {
    let authorities = certificates.authorities.iter().map(|(authority, pair)| AuthorityRecord {
        id: authority.id,
        since: authority.since,
        until: authority.until,
        needed_until: authority.needed_until,
        certificate: pair.certificate.clone(),
        key: pair.key.expose_secret().to_owned(),
    });
    let leaf = certificates.leaf.as_ref().map(|(leaf, pair)| LeafRecord {
        authority: leaf.authority,
        since: leaf.since,
        until: leaf.until,
        names: leaf.names.clone(),
        certificate: pair.certificate.clone(),
        key: pair.key.expose_secret().to_owned(),
    });
    let stored = CertificatesRecord { authorities: authorities.collect(), leaf };
    // Strings and times always serialize.
    serde_json::to_vec(&stored).unwrap_or_default()
}

/// The Secret as read.
#[derive(Debug)]
pub struct LoadedCertificates {
    /// Precondition of the next write; `None` if the Secret does not exist.
    pub resource_version: Option<String>,
    /// Content; `None` if the Secret does not exist.
    pub certificates: Option<Result<StoredCertificates, InvalidCertificateSecret>>,
}

/// Reads and writes the Secret.
#[derive(Clone)]
pub struct CertificateStore {
    secrets: Api<Secret>,
    namespace: Box<str>,
}

impl CertificateStore {
    /// Creates a store for a namespace.
    pub fn new(client: Client, namespace: &str) -> Self {
        Self { secrets: Api::namespaced(client, namespace), namespace: namespace.into() }
    }

    /// Reads the Secret.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn load(&self) -> Result<LoadedCertificates, CallError> {
        let secret = call(self.secrets.get_opt(names::WEBHOOK_NAME)).await?;
        let resource_version = secret.as_ref().and_then(ResourceExt::resource_version);
        Ok(LoadedCertificates { resource_version, certificates: secret.map(|secret| read(&secret.into())) })
    }

    /// Writes the Secret, unless it changed since it was read.
    ///
    /// # Errors
    /// [`CallError`]; `Conflict` if it changed.
    pub async fn save(
        &self,
        certificates: &StoredCertificates,
        resource_version: Option<&str>,
    ) -> Result<(), CallError> {
        let object = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": names::WEBHOOK_NAME,
                "namespace": self.namespace,
                "labels": { names::LABEL_MANAGED_BY: names::MANAGER },
            },
            "type": "Opaque",
            "data": { KEY: ByteString(render(certificates)) },
        });
        owned::put(&self.secrets, names::WEBHOOK_NAME, resource_version, object).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;
    use k8s_openapi::api::core::v1::Secret;
    use secrecy::ExposeSecret;

    use super::{KEY, StoredCertificates, read, render};
    use crate::cluster::certified_key::parse_certified_key;
    use crate::plan::certificates::{CertificateStep, Lifetimes};
    use crate::plan::fixture::at;

    fn secret(bytes: Vec<u8>) -> super::SecretData {
        Secret { data: Some([(KEY.to_owned(), ByteString(bytes))].into()), ..Secret::default() }.into()
    }

    fn stored() -> StoredCertificates {
        let (names, lives) = (["hook.own.svc".to_owned()], Lifetimes::default());
        let mut certificates = StoredCertificates::default();
        for step in
            [CertificateStep::CreateAuthority, CertificateStep::Sign(1), CertificateStep::CreateAuthority]
        {
            certificates.execute(step, &names, &lives, at(0)).unwrap();
        }
        certificates
    }

    #[test]
    fn generated_certificates_are_restored_and_can_be_served() {
        let certificates = stored();
        let back = read(&secret(render(&certificates))).unwrap();
        assert_eq!(back.without_keys(), certificates.without_keys());
        assert_eq!(back.bundle(), certificates.bundle());
        assert_eq!(String::from_utf8(back.bundle()).unwrap().matches("BEGIN CERTIFICATE").count(), 2);
        let (certificate, key) = back.served().unwrap();
        assert!(parse_certified_key(certificate.as_bytes(), key).is_ok());
        assert_eq!(back.newest().map(|(id, _)| id), Some(2));
    }

    #[test]
    fn an_unusable_secret_is_reported_without_its_content() {
        let certificates = stored();
        let json = String::from_utf8(render(&certificates)).unwrap();
        let key = certificates.served().unwrap().1.expose_secret().to_owned();
        let escaped = key.replace('\n', "\\n");
        let other = certificates.authorities[0].1.key.expose_secret().replace('\n', "\\n");
        for broken in [
            String::new(),
            "{".to_owned(),
            json.replace(&escaped, &other),
            json.replace(&escaped, "secret words"),
            json.replace("\"authority\":1", "\"authority\":\"secret words\""),
            "{\"authorities\":[],\"leaf\":null}".to_owned(),
        ] {
            let error = read(&secret(broken.into_bytes())).unwrap_err().to_string();
            assert!(
                error.contains("acr-credential-webhook") && error.contains("delete the Secret"),
                "{error}"
            );
            assert!(!error.contains("secret words") && !error.contains("PRIVATE KEY-----\n"), "{error}");
        }
        assert!(!format!("{certificates:?}").contains("PRIVATE"));
    }
}
