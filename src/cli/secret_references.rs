//! Workloads that reference a Secret that is removed: their new Pods cannot pull without it.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{Pod, ReplicationController};
use kube::api::{ApiResource, DynamicObject};
use kube::{Api, Client, ResourceExt};
use serde_json::Value;

use super::inventory::{ReadError, list};
use crate::cluster::error::classify;

/// References listed of one Secret at most; thousands of Pods may reference it.
const MOST: usize = 20;

/// The references to some Secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretReferences {
    /// Workloads by namespace and Secret, each as `KIND NAME`.
    pub found: BTreeMap<(String, String), Vec<String>>,
    /// Kinds that could not be searched, and why.
    pub unsearched: BTreeSet<String>,
}

/// Returns the kinds to search; owners come before what they create.
fn kinds() -> [(&'static str, ApiResource); 8] {
    [
        ("the Deployments", ApiResource::erase::<Deployment>(&())),
        ("the StatefulSets", ApiResource::erase::<StatefulSet>(&())),
        ("the DaemonSets", ApiResource::erase::<DaemonSet>(&())),
        ("the CronJobs", ApiResource::erase::<CronJob>(&())),
        ("the ReplicationControllers", ApiResource::erase::<ReplicationController>(&())),
        ("the ReplicaSets", ApiResource::erase::<ReplicaSet>(&())),
        ("the Jobs", ApiResource::erase::<Job>(&())),
        ("the Pods", ApiResource::erase::<Pod>(&())),
    ]
}

/// Finds Pods and their owners that reference one of these Secrets in one of these namespaces, in any field of the spec.
/// Objects of an owner that is listed are not listed. A kind that the user may not list is reported as not searched.
pub(super) async fn find_references(
    client: &Client,
    names: &[&str],
    namespaces: &[&str],
) -> SecretReferences {
    let mut references = SecretReferences::default();
    if namespaces.is_empty() {
        return references;
    }
    let namespaces: HashSet<&str> = namespaces.iter().copied().collect();
    let mut known: HashSet<[String; 4]> = HashSet::new();
    for (what, resource) in kinds() {
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        let read = list(&api, None, what, |object| {
            let namespace = object.namespace().unwrap_or_default();
            if !namespaces.contains(&*namespace) {
                return;
            }
            let of =
                |kind: &str, name: &str, secret: &str| [&*namespace, kind, name, secret].map(str::to_owned);
            let owner = object.owner_references().iter().find(|owner| owner.controller == Some(true));
            let mut named = BTreeSet::new();
            named_in(&object.data["spec"], names, &mut named);
            for secret in named {
                let listed = owner.is_some_and(|owner| known.contains(&of(&owner.kind, &owner.name, secret)));
                known.insert(of(&resource.kind, &object.name_any(), secret));
                if !listed {
                    let by = format!("{} {}", resource.kind, object.name_any());
                    references.found.entry((namespace.clone(), secret.to_owned())).or_default().push(by);
                }
            }
        });
        if let Err(ReadError { what, source }) = read.await {
            references.unsearched.insert(format!("{what}: {}", classify(&source)));
        }
    }
    references
}

/// Collects the names that occur anywhere in a value as a whole text.
fn named_in<'a>(value: &Value, names: &[&'a str], found: &mut BTreeSet<&'a str>) {
    match value {
        Value::String(text) => found.extend(names.iter().copied().filter(|name| text == name)),
        Value::Array(items) => items.iter().for_each(|item| named_in(item, names, found)),
        Value::Object(fields) => fields.values().for_each(|field| named_in(field, names, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

impl SecretReferences {
    /// Adds other references.
    pub(super) fn extend(&mut self, others: Self) {
        self.found.extend(others.found);
        self.unsearched.extend(others.unsearched);
    }

    /// Writes the references for people.
    ///
    /// # Errors
    /// The output cannot be written.
    pub(super) fn write(&self, to: &mut dyn io::Write) -> io::Result<()> {
        if !self.found.is_empty() {
            writeln!(
                to,
                "workloads still reference Secrets that are removed; their new Pods cannot pull without them:"
            )?;
        }
        for ((namespace, secret), by) in &self.found {
            let listed = by.iter().take(MOST).map(String::as_str).collect::<Vec<_>>().join(", ");
            let more = by.len().saturating_sub(MOST);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            writeln!(to, "  {namespace}: {secret} is referenced by {listed}{more}")?;
        }
        self.unsearched.iter().try_for_each(|what| writeln!(to, "not searched for references: {what}"))
    }
}

#[cfg(test)]
mod tests {
    use super::{BTreeSet, SecretReferences, named_in};
    use serde_json::json;

    #[test]
    fn a_reference_is_a_whole_text_in_any_field() {
        let spec = json!({
            "imagePullSecrets": [{ "name": "a" }],
            "volumes": [{ "projected": { "sources": [{ "secret": { "name": "b" } }] } }],
            "containers": [{ "args": ["--secret=c", 1, null, true] }],
        });
        let mut found = BTreeSet::new();
        named_in(&spec, &["a", "b", "c", "imagePullSecrets"], &mut found);
        assert_eq!(found, ["a", "b"].into());
    }

    #[test]
    fn long_lists_of_references_are_cut_and_counted() {
        let key = ("n".to_owned(), "s".to_owned());
        let pods = |count: usize| (0..count).map(|n| format!("Pod {n}")).collect();
        let written = |count| {
            let references = SecretReferences {
                found: [(key.clone(), pods(count))].into(),
                unsearched: ["the Jobs: no".into()].into(),
            };
            let mut bytes = Vec::new();
            references.write(&mut bytes).unwrap();
            String::from_utf8(bytes).unwrap()
        };
        assert!(
            written(20).contains("  n: s is referenced by Pod 0, Pod 1,")
                && written(20).contains(", Pod 19\n")
        );
        assert!(written(23).contains(", Pod 19 and 3 more\n"), "{}", written(23));
        assert!(written(1).ends_with("not searched for references: the Jobs: no\n"));
    }
}
