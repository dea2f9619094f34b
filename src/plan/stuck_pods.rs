//! Pods that were created before their ServiceAccount was served. A Pod copies `imagePullSecrets` once, at its
//! creation. One that copied too early never gets its image, and only a new Pod in its place can.

use k8s_openapi::jiff::Timestamp;

use super::duty::filled_by;
use super::resolved_binding::RegistryCredential;
use super::service_account::Want;
use super::snapshot::Snapshot;
use super::view::NamespaceView;
use super::withdrawal_guard::Retained;
use crate::model::pattern::Pattern;

/// A Pod that waits for an image which its registry refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StuckPod {
    /// Its namespace.
    pub namespace: Box<str>,
    /// Its name.
    pub name: Box<str>,
    /// Distinguishes it from the Pod that replaces it.
    pub uid: Box<str>,
    /// The precondition of its deletion.
    pub resource_version: Box<str>,
    /// When it was created, by the API server's clock.
    pub created_at: Timestamp,
    /// Its ServiceAccount.
    pub service_account: Box<str>,
    /// Names in its `imagePullSecrets`: a copy of the ServiceAccount's list, unless it was created with its own.
    pub pull_secrets: Box<[Box<str>]>,
    /// The owner, which creates a new Pod in its place; `None` for a bare Pod.
    pub owner: Option<Owner>,
    /// The images that are refused to it.
    pub images: Box<[Box<str>]>,
}

/// The controller of a Pod, from the owner reference that says `controller: true`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its API version.
    pub api_version: Box<str>,
    /// Its kind.
    pub kind: Box<str>,
    /// Its name.
    pub name: Box<str>,
    /// Its UID.
    pub uid: Box<str>,
}

/// The decision on a Pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodDecision {
    /// A new Pod in its place would have its image.
    Replace,
    /// Not now: something that a new Pod needs does not exist yet.
    Wait(&'static str),
    /// A new Pod would not be better off, or would not be created.
    Leave(&'static str),
}

/// The circumstances of a stuck Pod.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// Its namespace.
    pub view: &'a NamespaceView,
    /// All bindings.
    pub snapshot: &'a Snapshot,
    /// The bindings whose part stays in the namespace, though they do not cover it.
    pub retained: &'a [Retained],
    /// When another Pod of its owner was last replaced. A Pod that was created since and still lacks our entry shows
    /// that its template has a list of its own.
    pub replaced_at: Option<Timestamp>,
    /// The time.
    pub now: Timestamp,
}

/// Decides whether a new Pod in the place of this one would get its image.
pub fn decide(pod: &StuckPod, circumstances: Circumstances<'_>) -> PodDecision {
    let Circumstances { view, snapshot, retained, replaced_at, now } = circumstances;
    let ours = snapshot.secret_name();
    match pod.owner.as_ref().map(|owner| &*owner.kind) {
        None => return PodDecision::Leave("no owner would create a new Pod"),
        Some("Node") => return PodDecision::Leave("it is a static Pod"),
        Some("Job") => return PodDecision::Leave("its Job would count it as a failure"),
        Some(_) => {}
    }
    if pod.pull_secrets.iter().any(|name| name.as_ref() == ours) {
        return PodDecision::Leave("it carries our entry");
    }
    // Times of creation are whole seconds.
    if replaced_at.is_some_and(|at| pod.created_at.as_second() >= at.as_second()) {
        return PodDecision::Leave(
            "a Pod of its owner was replaced before, and this one lacks our entry again",
        );
    }
    let Some(account) = view.service_accounts.iter().find(|account| *account.name == *pod.service_account)
    else {
        return PodDecision::Wait("its ServiceAccount does not exist");
    };
    let others = super::service_account::pull_secrets(&account.pull_secrets, ours, Want::Detached);
    let Some(others) = others else {
        return PodDecision::Wait("its ServiceAccount does not carry our entry");
    };
    if !pod.pull_secrets.is_empty() && *pod.pull_secrets != *others {
        return PodDecision::Leave("it carries imagePullSecrets of its own");
    }
    let Some(set) = filled_by(view, snapshot, retained) else {
        return PodDecision::Wait("its namespace is being deleted");
    };
    let holds_all =
        |secret: &super::SecretView| secret.ours && secret.fingerprint == snapshot.content(&set).fingerprint;
    if !view.secret.as_ref().is_some_and(holds_all) {
        return PodDecision::Wait("our Secret is not up to date");
    }
    let held =
        set.iter().flat_map(|&i| &snapshot.resolved(i).registries).filter_map(
            |credential| match credential {
                RegistryCredential::Held { credential, domains } if credential.expires_at > now => {
                    Some(domains)
                }
                _ => None,
            },
        );
    let domains: Vec<&String> = held.flat_map(|domains| domains.iter()).collect();
    let served = |image: &str| domains.iter().any(|domain| is_for(domain, image));
    match !pod.images.is_empty() && pod.images.iter().all(|image| served(image)) {
        true => PodDecision::Replace,
        false => PodDecision::Leave("no credential of ours is for its image"),
    }
}

/// Returns whether a key of `auths` is used for an image, as the kubelet matches them: the same port, as many labels in the
/// host, each by its glob, and a path that begins with the key's.
pub fn is_for(key: &str, image: &str) -> bool {
    fn parts(text: &str) -> (&str, &str, &str) {
        let (authority, path) = text.split_once('/').unwrap_or((text, ""));
        let (host, port) = authority.split_once(':').unwrap_or((authority, ""));
        (host, port, path)
    }
    let ((host, port, path), (of_host, of_port, of_path)) = (parts(key), parts(image));
    // A name without a registry, such as `nginx` or `team/app`, is Docker Hub's.
    if !of_host.contains('.') && of_port.is_empty() && of_host != "localhost" {
        return false;
    }
    let labels = |host: &str| host.split('.').count();
    port == of_port
        && labels(host) == labels(of_host)
        && host.split('.').zip(of_host.split('.')).all(|(glob, label)| Pattern::new(glob).matches(label))
        && repository(of_path).starts_with(path)
}

/// Returns the path of an image without its tag and digest.
fn repository(path: &str) -> &str {
    let named = path.split_once('@').map_or(path, |(name, _)| name);
    named.rsplit_once(':').map_or(named, |(name, _)| name)
}

/// Messages of container runtimes about a pull without a valid credential, in lower case: containerd, CRI-O and Docker,
/// each with the registry's own words. A registry may refuse a repository that does not exist in the same words.
const REFUSALS: [&str; 11] = [
    "401 unauthorized",
    "403 forbidden",
    "registry 401",
    "registry 403",
    "unauthorized:",
    "authentication required",
    "pull access denied",
    "insufficient_scope",
    "authorization failed",
    "requested access to the resource is denied",
    "no basic auth credentials",
];

/// Returns whether a message says that a registry refused an image without a valid credential. The name of the image
/// does not count.
pub fn is_refusal(message: &str, image: &str) -> bool {
    let words = without_image(message, image).to_lowercase();
    REFUSALS.iter().any(|refusal| words.contains(refusal))
}

/// Returns a message without the name of its image.
pub fn without_image(message: &str, image: &str) -> String {
    let words = message.replace(image, "");
    // Addresses name it without its tag. A path of one word could be a part of what a registry says.
    let path = image.split_once('/').map_or(image, |(_, path)| repository(path));
    if path.contains('/') { words.replace(path, "") } else { words }
}

#[cfg(test)]
mod tests;
