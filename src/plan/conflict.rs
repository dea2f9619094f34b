//! Conflicts with another writer of the same object: whom to name, and what to do about it.

use k8s_openapi::jiff::Timestamp;

use super::change::{Change, ObjectKey};
use super::failure::Failure;
use crate::api::Reason;

/// A conflict with another writer, who is to be identified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The object.
    pub object: ObjectKey,
    /// The part of ours that is reverted.
    pub part: RevertedPart,
    /// The course of the conflict.
    pub kind: ConflictKind,
}

/// The course of a conflict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConflictKind {
    /// The object is written faster than it can be held, and is left alone.
    LeftAlone {
        /// The time of the next attempt.
        until: Timestamp,
    },
    /// Our part is restored each time.
    Reverted {
        /// The time of the first write.
        since: Timestamp,
    },
}

/// The part of ours that another writer reverts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevertedPart {
    /// The content of our Secret.
    Secret,
    /// Our entry of a list.
    Entry,
    /// The removal of our entry from a list.
    Withdrawal,
}

impl RevertedPart {
    fn of(change: &Change, secret: &str) -> Self {
        match change {
            Change::SetPullSecrets { pull_secrets, .. }
                if pull_secrets.iter().any(|name| **name == *secret) =>
            {
                Self::Entry
            }
            Change::SetPullSecrets { .. } => Self::Withdrawal,
            _ => Self::Secret,
        }
    }

    fn cure(self) -> &'static str {
        match self {
            Self::Secret => {
                "have it leave this Secret alone, as the documented component does once its add-on is uninstalled"
            }
            Self::Entry => {
                "state our entry in its manifest, or set spec.webhook.enable so that admission adds it to each write \
                 (by webhook only with the controller's --webhook-on-update), or have it ignore the field (Argo CD: \
                 ignoreDifferences for /imagePullSecrets with RespectIgnoreDifferences=true)"
            }
            Self::Withdrawal => {
                "take our entry out of its manifest, or cover the ServiceAccount by a binding"
            }
        }
    }

    fn harm(self) -> &'static str {
        match self {
            Self::Secret => "without our part, which is restored each time, but a pull in between fails",
            Self::Entry => {
                "without our entry, which is restored each time, but a Pod that is created in between cannot pull"
            }
            Self::Withdrawal => "with our entry, though no binding covers it, and it is removed each time",
        }
    }
}

impl Conflict {
    /// Returns the conflict that a change answers to, where `secret` is the name of our Secret.
    pub fn of(change: &Change, secret: &str, kind: ConflictKind) -> Self {
        Self { object: change.object(), part: RevertedPart::of(change, secret), kind }
    }

    /// Returns whether the conflict is none, since the ServiceAccount was created after our first write: a new object reverts
    /// nothing.
    pub fn is_new_object(&self, created_at: Option<Timestamp>) -> bool {
        match (&self.object, self.kind) {
            (ObjectKey::ServiceAccount(_), ConflictKind::Reverted { since }) => {
                created_at.is_some_and(|at| at > since)
            }
            _ => false,
        }
    }

    /// Returns the report, which names the other writer.
    pub fn report(&self, site: ConflictSite<'_>, writer: &str) -> Failure {
        let ConflictSite { namespace, secret } = site;
        let what = match &self.object {
            ObjectKey::Secret => format!("the Secret {namespace}/{secret}"),
            ObjectKey::ServiceAccount(name) => {
                format!("imagePullSecrets of the ServiceAccount {namespace}/{name}")
            }
        };
        let course = match self.kind {
            ConflictKind::LeftAlone { .. } => "; it is left alone for a while".to_owned(),
            ConflictKind::Reverted { .. } => format!(" {}", self.part.harm()),
        };
        let cure = self.part.cure();
        let message =
            format!("{what} is written again and again by {writer}{course}: stop that writer, or {cure}");
        Failure::new(Reason::Contended, message)
    }
}

/// The names that a report needs.
#[derive(Clone, Copy, Debug)]
pub struct ConflictSite<'a> {
    /// The namespace.
    pub namespace: &'a str,
    /// The name of our Secret.
    pub secret: &'a str,
}

#[cfg(test)]
mod tests {
    use super::{Conflict, ConflictKind, ConflictSite};
    use crate::plan::Change;
    use crate::plan::fixture::at;

    fn set(list: &[&str]) -> Change {
        Change::SetPullSecrets {
            service_account: "default".into(),
            resource_version: "1".into(),
            pull_secrets: list.iter().map(|name| (*name).into()).collect(),
        }
    }

    fn report(change: &Change, kind: ConflictKind) -> String {
        let site = ConflictSite { namespace: "n", secret: "ours" };
        Conflict::of(change, "ours", kind).report(site, "the field manager flux").message.to_string()
    }

    #[test]
    fn the_cure_is_that_of_the_reverted_part() {
        let reverted = ConflictKind::Reverted { since: at(0) };
        let entry = report(&set(&["theirs", "ours"]), reverted);
        assert!(
            entry.contains("by the field manager flux") && entry.contains("spec.webhook.enable"),
            "{entry}"
        );
        assert!(entry.contains("only with the controller's --webhook-on-update"), "{entry}");
        let withdrawn = report(&set(&["theirs"]), reverted);
        assert!(withdrawn.contains("out of its manifest") && !withdrawn.contains("webhook"), "{withdrawn}");
        let delete = Change::DeleteSecret { uid: "u".into(), resource_version: "1".into() };
        assert!(report(&delete, reverted).contains("leave this Secret alone"));
        let left_alone = report(&set(&["ours"]), ConflictKind::LeftAlone { until: at(9) });
        assert!(left_alone.contains("RespectIgnoreDifferences"));
    }

    #[test]
    fn a_service_account_that_was_created_since_reverts_nothing() {
        let conflict = Conflict::of(&set(&["ours"]), "ours", ConflictKind::Reverted { since: at(5) });
        assert!(conflict.is_new_object(Some(at(6))));
        assert!(!conflict.is_new_object(Some(at(5))) && !conflict.is_new_object(None));
        let left_alone = Conflict { kind: ConflictKind::LeftAlone { until: at(9) }, ..conflict };
        assert!(!left_alone.is_new_object(Some(at(6))));
    }
}
