//! A change to the cluster, as data.

use std::sync::Arc;

use super::secret::{Fingerprint, SecretContent};

/// One object of a namespace that changes write.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ObjectKey {
    /// The Secret of our name.
    Secret,
    /// The ServiceAccount of this name.
    ServiceAccount(Box<str>),
}

impl ObjectKey {
    /// Returns the name of the ServiceAccount, if it is one.
    pub fn service_account(&self) -> Option<&str> {
        match self {
            Self::Secret => None,
            Self::ServiceAccount(name) => Some(name),
        }
    }
}

/// Identifies a write: another version of the object, or another wanted content, gives another key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteKey {
    /// A create of the Secret.
    Create(Fingerprint),
    /// An update of the Secret.
    Update(Box<str>, Fingerprint),
    /// A replacement of the Secret of this UID.
    Replace(Box<str>, Fingerprint),
    /// A mark on the Secret.
    Retain(Box<str>),
    /// A deletion of the Secret.
    Delete(Box<str>),
    /// A list of a ServiceAccount.
    SetPullSecrets(Box<str>, Vec<Box<str>>),
}

/// One write. `cluster::apply` executes it and decides nothing.
#[derive(Clone, Debug)]
pub enum Change {
    /// Creates our Secret. Fails if one exists.
    CreateSecret {
        /// Its content.
        content: Arc<SecretContent>,
    },
    /// Updates the existing Secret in place.
    UpdateSecret {
        /// Its new content.
        content: Arc<SecretContent>,
        /// Precondition.
        resource_version: Box<str>,
        /// Keys of its data to remove.
        extra_keys: Box<[Box<str>]>,
        /// Whether another writer changed it since this process wrote it.
        reverts: bool,
    },
    /// Deletes the existing Secret and creates it again: an immutable one cannot be updated.
    ReplaceSecret {
        /// Its new content.
        content: Arc<SecretContent>,
        /// Precondition.
        uid: Box<str>,
        /// Precondition.
        resource_version: Box<str>,
    },
    /// Marks the Secret as left behind on purpose.
    RetainSecret {
        /// Precondition.
        resource_version: Box<str>,
        /// Keys of its data to remove.
        extra_keys: Box<[Box<str>]>,
    },
    /// Deletes the Secret.
    DeleteSecret {
        /// Precondition.
        uid: Box<str>,
        /// Precondition.
        resource_version: Box<str>,
    },
    /// Sets a ServiceAccount's `imagePullSecrets`.
    SetPullSecrets {
        /// The ServiceAccount.
        service_account: Box<str>,
        /// Precondition.
        resource_version: Box<str>,
        /// The whole list.
        pull_secrets: Vec<Box<str>>,
    },
}

impl Change {
    /// Returns the object that it writes.
    pub fn object(&self) -> ObjectKey {
        match self {
            Self::SetPullSecrets { service_account, .. } => {
                ObjectKey::ServiceAccount(service_account.clone())
            }
            Self::CreateSecret { .. }
            | Self::UpdateSecret { .. }
            | Self::ReplaceSecret { .. }
            | Self::RetainSecret { .. }
            | Self::DeleteSecret { .. } => ObjectKey::Secret,
        }
    }

    /// Returns whether it writes our Secret.
    pub fn is_of_secret(&self) -> bool {
        self.object() == ObjectKey::Secret
    }

    /// Returns the key of this write.
    pub fn key(&self) -> WriteKey {
        match self {
            Self::CreateSecret { content } => WriteKey::Create(content.fingerprint),
            Self::UpdateSecret { content, resource_version, .. } => {
                WriteKey::Update(resource_version.clone(), content.fingerprint)
            }
            Self::ReplaceSecret { content, uid, .. } => WriteKey::Replace(uid.clone(), content.fingerprint),
            Self::RetainSecret { resource_version, .. } => WriteKey::Retain(resource_version.clone()),
            Self::DeleteSecret { resource_version, .. } => WriteKey::Delete(resource_version.clone()),
            Self::SetPullSecrets { resource_version, pull_secrets, .. } => {
                WriteKey::SetPullSecrets(resource_version.clone(), pull_secrets.clone())
            }
        }
    }

    /// Returns a name for its kind, for logs and metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::CreateSecret { .. } => "create",
            Self::UpdateSecret { .. } => "update",
            Self::ReplaceSecret { .. } => "replace",
            Self::RetainSecret { .. } => "retain",
            Self::DeleteSecret { .. } => "delete",
            Self::SetPullSecrets { .. } => "set-pull-secrets",
        }
    }

    /// Returns whether another writer may have made it necessary by reverting an earlier write.
    pub fn may_repair(&self) -> bool {
        match self {
            Self::UpdateSecret { reverts, .. } => *reverts,
            Self::CreateSecret { .. } | Self::ReplaceSecret { .. } | Self::SetPullSecrets { .. } => true,
            Self::RetainSecret { .. } | Self::DeleteSecret { .. } => false,
        }
    }

    /// Returns the content that it writes to the Secret, if it writes one.
    pub fn content(&self) -> Option<&SecretContent> {
        match self {
            Self::CreateSecret { content }
            | Self::UpdateSecret { content, .. }
            | Self::ReplaceSecret { content, .. } => Some(content),
            Self::RetainSecret { .. } | Self::DeleteSecret { .. } | Self::SetPullSecrets { .. } => None,
        }
    }
}

/// Describes changes to the Secret of this name and to its entries, as a sentence without any secret.
pub fn describe(changes: &[Change], secret: &str) -> String {
    let accounts = |attached: bool, what: &str| {
        let names = changes.iter().filter_map(|change| match change {
            Change::SetPullSecrets { service_account, pull_secrets, .. }
                if pull_secrets.iter().any(|name| **name == *secret) == attached =>
            {
                Some(&**service_account)
            }
            _ => None,
        });
        let names: Vec<&str> = names.collect();
        let listed = names.iter().take(5).copied().collect::<Vec<_>>().join(", ");
        match names.len() {
            0 => None,
            1..=5 => Some(format!("{what} imagePullSecrets of {listed}")),
            more => Some(format!("{what} imagePullSecrets of {listed} and {} more", more - 5)),
        }
    };
    let put = changes.iter().find_map(|change| match change {
        Change::CreateSecret { .. } => Some("create the Secret"),
        Change::UpdateSecret { .. } => Some("change the Secret in place"),
        Change::ReplaceSecret { .. } => Some("replace the immutable Secret"),
        _ => None,
    });
    let gone = changes.iter().find_map(|change| match change {
        Change::RetainSecret { .. } => Some("mark the Secret as left behind"),
        Change::DeleteSecret { .. } => Some("delete the Secret"),
        _ => None,
    });
    let all = [
        put.map(str::to_owned),
        accounts(true, "add our entry to"),
        accounts(false, "take our entry out of"),
        gone.map(str::to_owned),
    ];
    format!("would {}", all.into_iter().flatten().collect::<Vec<_>>().join(" and "))
}

#[cfg(test)]
mod tests {
    use super::{Change, describe};

    #[test]
    fn changes_are_described_in_one_sentence() {
        let delete = Change::DeleteSecret { uid: "u".into(), resource_version: "1".into() };
        let set = |name: &str, list: &[&str]| Change::SetPullSecrets {
            service_account: name.into(),
            resource_version: "1".into(),
            pull_secrets: list.iter().map(|name| (*name).into()).collect(),
        };
        assert_eq!(describe(std::slice::from_ref(&delete), "ours"), "would delete the Secret");
        assert_eq!(
            describe(&[set("default", &["mine"]), set("new", &["mine", "ours"]), delete], "ours"),
            "would add our entry to imagePullSecrets of new and take our entry out of imagePullSecrets of default and \
             delete the Secret"
        );
        let many: Vec<Change> = (0..7).map(|n| set(&format!("sa-{n}"), &["ours"])).collect();
        assert_eq!(
            describe(&many, "ours"),
            "would add our entry to imagePullSecrets of sa-0, sa-1, sa-2, sa-3, sa-4 and 2 more"
        );
    }
}
