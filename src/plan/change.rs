//! A change to the cluster, as data.

use std::sync::Arc;

use super::secret::SecretContent;

/// One write. `cluster::apply` executes it and decides nothing.
#[derive(Clone, Debug)]
pub enum Change {
    /// Make our Secret. Fails where one stands already.
    CreateSecret {
        /// What it holds.
        content: Arc<SecretContent>,
    },
    /// Bring the Secret that stands there to what it should hold.
    UpdateSecret {
        /// What it should hold.
        content: Arc<SecretContent>,
        /// Precondition.
        resource_version: Box<str>,
        /// Keys of its data that must go.
        extra_keys: Box<[Box<str>]>,
        /// Whether somebody changed what this process wrote. A renewal replaces what it wrote itself.
        undoes: bool,
    },
    /// Mark the Secret as left behind on purpose.
    RetainSecret {
        /// Precondition.
        resource_version: Box<str>,
        /// Keys of its data that must go.
        extra_keys: Box<[Box<str>]>,
    },
    /// Delete the Secret.
    DeleteSecret {
        /// Precondition.
        uid: Box<str>,
        /// Precondition.
        resource_version: Box<str>,
    },
    /// Set a ServiceAccount's `imagePullSecrets`.
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
    /// Whether it may answer to somebody who undoes what this process writes.
    pub fn may_repair(&self) -> bool {
        match self {
            Self::UpdateSecret { undoes, .. } => *undoes,
            Self::CreateSecret { .. } | Self::SetPullSecrets { .. } => true,
            Self::RetainSecret { .. } | Self::DeleteSecret { .. } => false,
        }
    }

    /// What our Secret holds after it, if it writes that.
    pub fn content(&self) -> Option<&SecretContent> {
        match self {
            Self::CreateSecret { content } | Self::UpdateSecret { content, .. } => Some(content),
            Self::RetainSecret { .. } | Self::DeleteSecret { .. } | Self::SetPullSecrets { .. } => None,
        }
    }
}

/// What changes would do to the Secret of this name and to entries for it, as a sentence. No byte of a Secret is in it.
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
    fn changes_are_told_in_one_sentence() {
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
