//! A change to the cluster, as data.

use std::sync::Arc;

use super::secret::Content;

/// One write. `cluster::apply` executes it and decides nothing.
#[derive(Clone, Debug)]
pub enum Change {
    /// Make our Secret. Fails where one stands already.
    CreateSecret {
        /// What it holds.
        content: Arc<Content>,
    },
    /// Bring the Secret that stands there to what it should hold.
    UpdateSecret {
        /// What it should hold.
        content: Arc<Content>,
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
    pub fn content(&self) -> Option<&Content> {
        match self {
            Self::CreateSecret { content } | Self::UpdateSecret { content, .. } => Some(content),
            Self::RetainSecret { .. } | Self::DeleteSecret { .. } | Self::SetPullSecrets { .. } => None,
        }
    }
}

/// What changes would do, as a sentence. No byte of a Secret is in it.
pub fn describe(changes: &[Change]) -> String {
    let secret = changes.iter().find_map(|change| match change {
        Change::CreateSecret { .. } => Some("create the Secret"),
        Change::UpdateSecret { .. } => Some("change the Secret in place"),
        Change::RetainSecret { .. } => Some("mark the Secret as left behind"),
        Change::DeleteSecret { .. } => Some("delete the Secret"),
        Change::SetPullSecrets { .. } => None,
    });
    let accounts: Vec<&str> = changes
        .iter()
        .filter_map(|change| match change {
            Change::SetPullSecrets { service_account, .. } => Some(&**service_account),
            _ => None,
        })
        .collect();
    let listed = accounts.iter().take(5).copied().collect::<Vec<_>>().join(", ");
    let attach = match accounts.len() {
        0 => None,
        1..=5 => Some(format!("set imagePullSecrets of {listed}")),
        more => Some(format!("set imagePullSecrets of {listed} and {} more", more - 5)),
    };
    let all: Vec<String> = secret.map(str::to_owned).into_iter().chain(attach).collect();
    format!("would {}", all.join(" and "))
}

#[cfg(test)]
mod tests {
    use super::{Change, describe};

    #[test]
    fn changes_are_told_in_one_sentence() {
        let delete = Change::DeleteSecret { uid: "u".into(), resource_version: "1".into() };
        let set = |name: &str| Change::SetPullSecrets {
            service_account: name.into(),
            resource_version: "1".into(),
            pull_secrets: Vec::new(),
        };
        assert_eq!(describe(std::slice::from_ref(&delete)), "would delete the Secret");
        assert_eq!(
            describe(&[set("default"), delete]),
            "would delete the Secret and set imagePullSecrets of default"
        );
        let many: Vec<Change> = (0..7).map(|n| set(&format!("sa-{n}"))).collect();
        assert_eq!(describe(&many), "would set imagePullSecrets of sa-0, sa-1, sa-2, sa-3, sa-4 and 2 more");
    }
}
