//! The part of an AdmissionReview about a ServiceAccount that is read.
//!
//! # Guarantees
//! Any client that reaches the port may send a review. Reading one takes at most a few times its own bytes: it builds
//! no tree of values, and it bounds each map and list.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::api::names;
use crate::model::skip::OptOut;
use crate::plan::ServiceAccountView;

/// Most labels of a ServiceAccount, and most entries of its list.
const MAX_ITEMS: usize = 4096;

/// Bytes of the longest name of a Secret.
const MAX_NAME: usize = 253;

/// Reason why a review cannot be answered.
#[derive(Debug, PartialEq, Eq)]
pub struct InvalidReview(pub String);

/// An admission review.
#[derive(Debug)]
pub struct Review {
    /// UID that the answer must repeat.
    pub uid: String,
    /// ServiceAccount to answer about; `None` if the request is about something else.
    pub subject: Option<ReviewedAccount>,
}

/// ServiceAccount that a review is about.
#[derive(Debug)]
pub struct ReviewedAccount {
    /// Its namespace.
    pub namespace: String,
    /// View of the ServiceAccount. With `generateName`, its name is an example of those that it may get.
    pub account: ServiceAccountView,
    /// Whether it has the list `imagePullSecrets`.
    pub has_list: bool,
}

/// Parses a review.
///
/// # Errors
/// [`InvalidReview`]: it is not an AdmissionReview of a supported version, or its object is not a valid
/// ServiceAccount.
pub fn read(body: &[u8]) -> Result<Review, InvalidReview> {
    let envelope: ReviewEnvelope = serde_json::from_slice(body)
        .map_err(|error| InvalidReview(format!("the body is not an AdmissionReview: {error}")))?;
    let ReviewEnvelope { api_version, request } = envelope;
    if api_version != "admission.k8s.io/v1" {
        return Err(InvalidReview(format!("{api_version:?} is not admission.k8s.io/v1")));
    }
    let is_ours = request.resource.group.is_empty()
        && request.resource.resource == "serviceaccounts"
        && request.sub_resource.is_empty()
        && matches!(request.operation.as_str(), "CREATE" | "UPDATE");
    if !is_ours {
        return Ok(Review { uid: request.uid, subject: None });
    }
    let ReviewWithObject { request: RequestWithObject { object } } = serde_json::from_slice(body)
        .map_err(|error| InvalidReview(format!("request.object is not a ServiceAccount: {error}")))?;
    let has_list = object.image_pull_secrets.is_some();
    let subject = ReviewedAccount { namespace: request.namespace, account: object.view(), has_list };
    Ok(Review { uid: request.uid, subject: Some(subject) })
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReviewEnvelope {
    api_version: String,
    request: ReviewRequest,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReviewRequest {
    uid: String,
    #[serde(default)]
    namespace: String,
    operation: String,
    resource: ReviewResource,
    #[serde(default)]
    sub_resource: String,
}

#[derive(serde::Deserialize)]
struct ReviewResource {
    group: String,
    resource: String,
}

#[derive(serde::Deserialize)]
struct ReviewWithObject {
    request: RequestWithObject,
}

#[derive(serde::Deserialize)]
struct RequestWithObject {
    object: AccountObject,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct AccountObject {
    metadata: AccountMetadata,
    #[serde(default)]
    image_pull_secrets: Option<Bounded<Vec<PullSecretEntry>>>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct AccountMetadata {
    #[serde(default)]
    name: String,
    #[serde(default)]
    generate_name: String,
    #[serde(default)]
    labels: Option<Bounded<BTreeMap<String, String>>>,
    #[serde(default)]
    annotations: Option<SkipAnnotation>,
}

#[derive(serde::Deserialize)]
struct PullSecretEntry {
    #[serde(default)]
    name: Box<str>,
}

impl AccountObject {
    fn view(self) -> ServiceAccountView {
        let AccountMetadata { name, generate_name, labels, annotations } = self.metadata;
        let name = if name.is_empty() && !generate_name.is_empty() { generate_name + "xxxxx" } else { name };
        let labels = labels.map(|bounded| bounded.0).unwrap_or_default();
        let annotation = annotations.as_ref().and_then(|annotation| annotation.0.as_deref());
        let entries = self.image_pull_secrets.into_iter().flat_map(|bounded| bounded.0);
        ServiceAccountView {
            name: name.into(),
            resource_version: Box::default(),
            skip: OptOut::of([labels.get(names::SKIP).map(String::as_str), annotation]).skip,
            unclear_skip: None,
            labels: labels.into(),
            pull_secrets: entries.map(|entry| entry.name).collect(),
        }
    }
}

/// A list or a map with at most [`MAX_ITEMS`] items.
struct Bounded<T>(T);

struct BoundedVisitor<T>(PhantomData<T>);

fn check_bound<E: Error>(count: usize) -> Result<(), E> {
    if count > MAX_ITEMS {
        Err(E::custom(format!("more than {MAX_ITEMS} in one map or list")))
    } else {
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Bounded<Vec<PullSecretEntry>> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(BoundedVisitor(PhantomData::<Vec<PullSecretEntry>>)).map(Bounded)
    }
}

impl<'de> Visitor<'de> for BoundedVisitor<Vec<PullSecretEntry>> {
    type Value = Vec<PullSecretEntry>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of names of Secrets")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut all = Vec::new();
        while let Some(entry) = list.next_element::<PullSecretEntry>()? {
            if entry.name.len() > MAX_NAME {
                return Err(A::Error::custom(format!("a name of more than {MAX_NAME} bytes")));
            }
            all.push(entry);
            check_bound(all.len())?;
        }
        Ok(all)
    }
}

impl<'de> Deserialize<'de> for Bounded<BTreeMap<String, String>> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(BoundedVisitor(PhantomData::<BTreeMap<String, String>>)).map(Bounded)
    }
}

impl<'de> Visitor<'de> for BoundedVisitor<BTreeMap<String, String>> {
    type Value = BTreeMap<String, String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("labels")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut all = BTreeMap::new();
        while let Some((key, value)) = map.next_entry()? {
            all.insert(key, value);
            check_bound(all.len())?;
        }
        Ok(all)
    }
}

/// The annotation by which a ServiceAccount opts out. The others are not kept.
struct SkipAnnotation(Option<String>);

impl<'de> Deserialize<'de> for SkipAnnotation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Annotations;
        impl<'de> Visitor<'de> for Annotations {
            type Value = SkipAnnotation;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("annotations")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SkipAnnotation, A::Error> {
                let mut skip = None;
                while let Some(key) = map.next_key::<String>()? {
                    if key == names::SKIP {
                        skip = Some(map.next_value::<String>()?);
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(SkipAnnotation(skip))
            }
        }
        deserializer.deserialize_map(Annotations)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{MAX_ITEMS, read};

    fn review(object: Value) -> Vec<u8> {
        let resource = json!({ "group": "", "version": "v1", "resource": "serviceaccounts" });
        let request = json!({
            "uid": "u", "namespace": "n", "operation": "CREATE", "resource": resource, "object": object,
        });
        json!({ "apiVersion": "admission.k8s.io/v1", "request": request }).to_string().into_bytes()
    }

    #[test]
    fn an_oversized_service_account_is_refused_and_any_other_is_read() {
        let labels = |count: usize| (0..count).map(|n| (n.to_string(), json!(""))).collect::<Value>();
        let object = |labels: Value, list: Value| json!({ "metadata": { "labels": labels }, "imagePullSecrets": list });
        for (count, is_read) in [(MAX_ITEMS, true), (MAX_ITEMS + 1, false)] {
            let entries = vec![json!({ "name": "a" }); count];
            for object in [object(labels(count), json!([])), object(json!({}), json!(entries))] {
                let answer = read(&review(object));
                assert_eq!(answer.is_ok(), is_read, "{answer:?}");
                assert!(is_read || answer.unwrap_err().0.contains("more than 4096 in one map or list"));
            }
        }
        for (length, is_read) in [(253, true), (254, false)] {
            let list = json!([{ "name": "a".repeat(length) }]);
            assert_eq!(read(&review(object(json!({}), list))).is_ok(), is_read, "{length}");
        }
        // Other annotations may have any value.
        let annotations = json!({ "a": "b", "acrcredential.dev/skip": "true", "c": "d" });
        let about =
            read(&review(json!({ "metadata": { "annotations": annotations } }))).unwrap().subject.unwrap();
        assert!(about.account.skip && !about.has_list);
        let about = read(&review(
            json!({ "metadata": { "labels": null }, "imagePullSecrets": [{}, { "name": "b" }] }),
        ));
        let about = about.unwrap().subject.unwrap();
        assert_eq!((&*about.account.pull_secrets, about.has_list), (&["".into(), "b".into()][..], true));
    }
}
