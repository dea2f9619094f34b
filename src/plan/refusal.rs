//! Writes that the API server refuses: who refuses them and why, and what a person does about it.

mod denial;
mod offence;
mod quote;

use std::collections::BTreeSet;

pub use self::denial::{Denial, Denier, unreachable_webhook};
use self::offence::{Breach, Offence, Part};
pub use self::quote::says_the_same;
use self::quote::{fitting, quote};
use super::change::Change;
use super::failure::Failure;
use super::secret::Template;
use crate::api::{Reason, names};

/// The prefix of the names of this controller's own policies.
const OWN_POLICIES: &str = "acr-credential-";

/// The commands that show what may have changed an object during admission. The controller has no right to read it. An
/// API server without MutatingAdmissionPolicy refuses only the second one.
const MUTATORS: &str = "kubectl get mutatingwebhookconfigurations; kubectl get mutatingadmissionpolicies";

/// What to do where the API server answers 401. No right that is granted helps.
pub const UNAUTHORIZED: &str = "the API server does not accept the controller's token: restart the controller's Pods, and \
                                check that its ServiceAccount exists";

/// What this controller's policies say about changes that it never makes, and what another admission controller did then.
const OTHER_OFFENCES: [(&str, &str); 8] = [
    // The API server has no room for the keys.
    ("labels outside the policy's lists", "sets labels of"),
    ("annotations outside the policy's lists", "sets annotations of"),
    ("are not immutable", "makes immutable"),
    ("no owners and no finalizers", "adds owners or finalizers to"),
    (".dockerconfigjson and nothing else", "adds data to"),
    ("does not change the metadata of ServiceAccounts", "changes the metadata of"),
    (
        "does not change the secrets and the token mounting",
        "changes secrets or automountServiceAccountToken of",
    ),
    ("its own entry of imagePullSecrets only", "changes imagePullSecrets of"),
];

/// Returns whether a refusal is that of the token, not of a right.
pub fn is_unauthorized(message: &str) -> bool {
    message.starts_with("Unauthorized")
}

/// A write that the API server refused.
#[derive(Clone, Copy, Debug)]
pub struct RefusedWrite<'a> {
    /// The namespace.
    pub namespace: &'a str,
    /// The write.
    pub change: &'a Change,
    /// What all our Secrets have in common.
    pub template: &'a Template,
    /// The controller's own namespace.
    pub own_namespace: &'a str,
}

impl RefusedWrite<'_> {
    /// Returns the failure after a refusal by a ResourceQuota.
    pub fn by_quota(&self, message: &str) -> Failure {
        let named = message.split_once("quota: ").map(|(_, rest)| rest);
        let quota = named.and_then(|rest| rest.split([',', ' ']).next()).filter(|name| !name.is_empty());
        let edit = quota.map(|name| format!(" (kubectl -n {} edit resourcequota {name})", self.namespace));
        let message = format!(
            "{message}: raise the quota for secrets{}, delete a Secret there, or exclude the namespace from the binding",
            edit.unwrap_or_default()
        );
        Failure::new(Reason::QuotaExceeded, message)
    }

    /// Returns the failure after a refusal by RBAC or by a part of the API server.
    pub fn by_rights(&self, message: &str) -> Failure {
        if is_unauthorized(message) {
            return Failure::new(Reason::Forbidden, UNAUTHORIZED);
        }
        Failure::new(Reason::Forbidden, format!("{message}: apply deploy/rbac.yaml of this version"))
    }

    /// Returns the failure after a denial during admission.
    pub fn by_admission(&self, message: &str) -> Failure {
        let Some(Denial { by, words }) = Denial::of(message) else { return self.by_rights(message) };
        match by {
            Denier::ValidatingPolicy(policy) if policy.starts_with(OWN_POLICIES) => {
                self.by_own_policy(policy, words, message)
            }
            Denier::ValidatingPolicy(name) => {
                self.by_other(&format!("ValidatingAdmissionPolicy {name}"), words)
            }
            Denier::MutatingPolicy(name) => self.by_other(&format!("MutatingAdmissionPolicy {name}"), words),
            Denier::Webhook(name) => self.by_other(&format!("admission webhook {name}"), words),
        }
    }

    /// Returns the failure after an answer that the request is invalid.
    pub fn as_invalid(&self, message: &str) -> Failure {
        if is_too_large(message) {
            return self.too_large(message);
        }
        let object = self.object();
        if self.change.is_of_secret() {
            if message.contains("is immutable when `immutable` is set") {
                return immutable(self.namespace, &self.template.name);
            }
            let delete = self.deletion();
            if message.contains("type: Invalid value") {
                let message = format!(
                    "{object} has another type, which cannot be changed: delete it ({delete}), and the controller writes \
                     its own"
                );
                return Failure::new(Reason::SecretConflict, message);
            }
            let message = format!(
                "the API server does not accept {object}: delete it ({delete}), and the controller writes it again; it \
                 says {}",
                quote(message)
            );
            return Failure::new(Reason::WriteFailing, message);
        }
        let message = format!(
            "the API server does not accept {object} as it is: correct what it names; it says {}",
            quote(message)
        );
        Failure::new(Reason::WriteFailing, message)
    }

    /// Returns the failure after an answer or a silence that may pass.
    pub fn passing(&self, message: &str) -> Failure {
        let Some((webhook, why)) = unreachable_webhook(message) else {
            return Failure::new(Reason::WriteFailing, format!("{message}; the controller retries"));
        };
        let message = format!(
            "the API server cannot call the admission webhook {webhook} and so refuses {}: start its Pods, or delete its \
             configuration if it was uninstalled (kubectl get \
             validatingwebhookconfigurations,mutatingwebhookconfigurations), or exempt the user {} there; the API server \
             says {}",
            self.object(),
            self.user(),
            quote(why)
        );
        Failure::new(Reason::AdmissionUnreachable, message)
    }

    fn by_own_policy(&self, policy: &str, words: &str, message: &str) -> Failure {
        let Some(offence) = Offence::of(words) else {
            let changed = OTHER_OFFENCES.into_iter().find(|(policy, _)| words.contains(policy));
            return match changed {
                Some((_, deed)) => self.added(&format!("{deed} {}", self.object()), None),
                None => outdated(policy, &quote(message)),
            };
        };
        let sent = self.sent(offence.part);
        let (theirs, ours) = offence.divide(&sent);
        let (listed, left) = fitting(&theirs);
        let more = left + offence.more;
        let (verb, one, many, preposition) = match (offence.part, offence.rule) {
            (Part::Label, Breach::Removed) => ("removes", "label", "labels", "of"),
            (Part::Annotation, Breach::Removed) => ("removes", "annotation", "annotations", "of"),
            (Part::Label, _) => ("sets", "label", "labels", "of"),
            (Part::Annotation, _) => ("sets", "annotation", "annotations", "of"),
            (Part::Field, _) => ("sets", "field", "fields", "of"),
            (Part::PullSecret, _) => ("adds", "pull secret", "pull secrets", "to"),
        };
        if listed.is_empty() {
            return self.own_keys(policy, &offence, &ours);
        }
        let noun = if listed.len() + more == 1 { one } else { many };
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        let deed = format!("{verb} the {noun} {}{more} {preposition} {}", listed.join(", "), self.object());
        let exception = (offence.rule == Breach::Unlisted).then(|| {
            let if_false = if offence.part == Part::Field { " if it sets false" } else { "" };
            let keys: Vec<String> = listed
                .iter()
                .map(|key| (*key).to_owned())
                .chain(ours.iter().map(|key| self.pair(key)))
                .collect();
            format!(
                "add the exception to the policy {policy}{if_false} ({})",
                self.exceptions(offence.part, &keys)
            )
        });
        self.added(&deed, exception.as_deref())
    }

    /// Returns the failure where another admission controller did something to the object that the policies deny.
    fn added(&self, deed: &str, exception: Option<&str>) -> Failure {
        let (before, or) = match exception {
            Some(exception) => (exception, ", or "),
            None => ("", ""),
        };
        let exclude = if self.namespace == self.own_namespace {
            ", or exclude the controller's own namespace from the binding (watchNamespaces.exclude)"
        } else {
            ""
        };
        let message = format!(
            "another admission controller, a mutating webhook or policy of this cluster, {deed}: {before}{or}exempt the \
             user {} there ({MUTATORS} lists them){exclude}",
            self.user()
        );
        Failure::new(Reason::MetadataAddedByAdmission, message)
    }

    /// Returns the failure where a policy denies nothing but keys that this controller sent.
    fn own_keys(&self, policy: &str, offence: &Offence<'_>, keys: &[&str]) -> Failure {
        let (kind, flag, from_flags) = match offence.part {
            Part::Label => ("label", "--secret-label", &self.template.labels),
            _ => ("annotation", "--secret-annotation", &self.template.annotations),
        };
        let by_flag: Vec<&str> = keys.iter().copied().filter(|key| from_flags.contains_key(*key)).collect();
        let Some((first, _)) = by_flag.split_first() else {
            return outdated(
                policy,
                &format!("it does not list the controller's own {kind} {}", keys.join(", ")),
            );
        };
        let (listed, more) = fitting(&by_flag);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        let message = match offence.rule {
            Breach::Unlisted => {
                let pairs: Vec<String> = listed.iter().map(|key| self.pair(key)).collect();
                format!(
                    "no exception of the policy {policy} lists what {flag} sets, {}{more}: add the exception ({}), or remove \
                     the flag",
                    listed.join(", "),
                    self.exceptions(offence.part, &pairs)
                )
            }
            Breach::Never if self.namespace == self.own_namespace => format!(
                "the policy {policy} takes no exception in the controller's own namespace for what {flag} sets, {}{more}: \
                 exclude the namespace from the binding (watchNamespaces.exclude), or remove the flag",
                listed.join(", ")
            ),
            Breach::Never | Breach::Removed => format!(
                "no exception of the policy {policy} can allow what {flag} sets, {}{more}: remove {flag} {first} from the \
                 controller's flags",
                listed.join(", ")
            ),
        };
        Failure::new(Reason::Forbidden, message)
    }

    /// Returns the failure after a denial by a policy or webhook of others.
    fn by_other(&self, source: &str, words: &str) -> Failure {
        let user = self.user();
        let is_broken = words.contains("resulted in error") || words.starts_with("failed to configure");
        let cure = match self.change {
            _ if is_broken => format!("correct it, or exempt the user {user} in it"),
            Change::SetPullSecrets { .. } => format!(
                "have the ServiceAccount's owner set what it demands, since the controller sets no metadata there, or \
                 exempt the user {user} in it"
            ),
            // The deletion comes first, and its refusal ends the replacement.
            Change::DeleteSecret { .. } | Change::ReplaceSecret { .. } => {
                format!("exempt the user {user} in it")
            }
            _ => format!(
                "set what it demands by the controller's --secret-label KEY=VALUE (or --secret-annotation) and add the \
                 exception (kubectl acr exceptions --secret-label KEY=VALUE --live | kubectl apply --server-side -f -), or exempt the user {user} in it"
            ),
        };
        let message = format!("the {source} refuses {}: {cure}; it says {}", self.object(), quote(words));
        Failure::new(Reason::RefusedByAdmission, message)
    }

    fn too_large(&self, message: &str) -> Failure {
        let object = self.object();
        let (reason, cure) = match self.change {
            Change::SetPullSecrets { .. } => {
                (Reason::WriteFailing, "remove annotations or entries of imagePullSecrets from it".to_owned())
            }
            Change::CreateSecret { .. } => {
                (Reason::SecretTooLarge, "cover the namespace with fewer registries or domains".to_owned())
            }
            _ => (
                Reason::SecretTooLarge,
                format!(
                    "delete it ({}) if others annotated it, and the controller writes it again; else cover the namespace \
                     with fewer registries or domains",
                    self.deletion()
                ),
            ),
        };
        let message =
            format!("{object} is too large for this cluster: {cure}; the API server says {}", quote(message));
        Failure::new(reason, message)
    }

    /// Returns the keys of one part that this controller sends.
    fn sent(&self, part: Part) -> BTreeSet<&str> {
        match (self.change, part) {
            (Change::SetPullSecrets { pull_secrets, .. }, Part::PullSecret) => {
                pull_secrets.iter().map(|name| &**name).collect()
            }
            (Change::SetPullSecrets { .. }, _) | (_, Part::Field | Part::PullSecret) => BTreeSet::new(),
            (_, Part::Label) => self.template.label_keys().collect(),
            (_, Part::Annotation) => self.template.annotation_keys().collect(),
        }
    }

    /// Returns the command that adds keys of one part to the exceptions that the cluster has.
    fn exceptions(&self, part: Part, keys: &[String]) -> String {
        let of_secret = self.change.is_of_secret();
        let flag = match (part, of_secret) {
            (Part::Label, true) => "--secret-label",
            (Part::Annotation, true) => "--secret-annotation",
            (Part::Label, false) => "--service-account-label",
            (Part::Annotation, false) => "--service-account-annotation",
            (Part::PullSecret, _) => "--pull-secret",
            (Part::Field, _) => "--automount-false",
        };
        let flags: String = match part {
            Part::Field => format!(" {flag}"),
            _ => keys.iter().map(|key| format!(" {flag} {key}")).collect(),
        };
        format!("kubectl acr exceptions{flags} --live | kubectl apply --server-side -f -")
    }

    /// Returns a key that a flag sets, with its value where a shell reads that as one word.
    fn pair(&self, key: &str) -> String {
        let value = self.template.labels.get(key).or_else(|| self.template.annotations.get(key));
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '/' | ':');
        match value.filter(|value| value.len() <= 63 && value.chars().all(plain)) {
            Some(value) if !value.is_empty() => format!("{key}={value}"),
            _ => key.to_owned(),
        }
    }

    /// Returns the object, with its kind and namespace.
    fn object(&self) -> String {
        match self.change {
            Change::SetPullSecrets { service_account, .. } => {
                format!("the ServiceAccount {}/{service_account}", self.namespace)
            }
            _ => format!("the Secret {}/{}", self.namespace, self.template.name),
        }
    }

    fn deletion(&self) -> String {
        deletion(self.namespace, &self.template.name)
    }

    /// Returns the user by which admission knows this controller.
    fn user(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.own_namespace, names::MANAGER)
    }
}

/// Returns the command that deletes a Secret.
pub fn deletion(namespace: &str, secret: &str) -> String {
    format!("kubectl -n {namespace} delete secret {secret}")
}

/// Returns the failure where a Secret is immutable that this controller may not replace: nothing proves that it wrote it.
pub fn immutable(namespace: &str, secret: &str) -> Failure {
    let message = format!(
        "the Secret {namespace}/{secret} is immutable, so its credential cannot be renewed: delete it ({}), and the \
         controller writes it again",
        deletion(namespace, secret)
    );
    Failure::new(Reason::SecretImmutable, message)
}

fn outdated(policy: &str, why: &str) -> Failure {
    let message = format!(
        "the policy {policy} is not of this version: apply deploy/policies.yaml of this version; {why}"
    );
    Failure::new(Reason::Forbidden, message)
}

/// Returns whether the API server or etcd finds an object too large.
pub fn is_too_large(message: &str) -> bool {
    const WORDS: [&str; 5] = [
        "request is too large",
        "larger than max",
        "Request entity too large",
        "Too long: may not be more",
        "Too long: must have at most",
    ];
    WORDS.iter().any(|words| message.contains(words))
}

#[cfg(test)]
mod tests;
