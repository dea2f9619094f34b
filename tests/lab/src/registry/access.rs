//! Whose password a registry accepts, and for what.

use std::sync::Arc;

use crate::cloud::Cloud;

/// What a registry makes of a user and a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nobody it knows, or no longer.
    Rejected,
    /// Somebody it knows, who may not pull.
    Authenticated,
    /// Somebody it knows, who may pull.
    MayPull,
}

/// Judges a user and a password at the moment at which they are shown.
pub type Judge = Arc<dyn Fn(&str, &str) -> Verdict + Send + Sync>;

/// Which of the cloud's registries one stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// That of an Enterprise instance, such as `cri-demo0001`.
    Enterprise {
        /// The instance's id.
        instance: String,
    },
    /// All Personal registries of an account in a region, which share one host and one password.
    Personal {
        /// The account's id.
        account: String,
        /// The region, such as `cn-hangzhou`.
        region: String,
    },
}

impl Access {
    /// Returns an Enterprise instance's registry.
    pub fn enterprise(instance: &str) -> Access {
        Access::Enterprise { instance: instance.to_owned() }
    }

    /// Returns an account's Personal registries.
    pub fn personal(account: &str, region: &str) -> Access {
        Access::Personal { account: account.to_owned(), region: region.to_owned() }
    }

    /// Returns the service that its tokens are for.
    pub(super) fn service(&self) -> String {
        match self {
            Access::Enterprise { instance } => instance.clone(),
            Access::Personal { account, region } => format!("personal-{account}-{region}"),
        }
    }

    /// Returns the cloud's own judgement.
    pub(super) fn judge(self, cloud: &Cloud) -> Judge {
        let cloud = cloud.clone();
        Arc::new(move |user, token| {
            let (valid, may_pull) = match &self {
                Access::Enterprise { instance } => {
                    (cloud.token_valid(user, token, instance), cloud.token_may_pull(user, token, instance))
                }
                Access::Personal { account, region } => (
                    cloud.personal_token_valid(user, token, account, region),
                    cloud.personal_token_may_pull(user, token, account, region),
                ),
            };
            match (valid, may_pull) {
                (false, _) => Verdict::Rejected,
                (true, false) => Verdict::Authenticated,
                (true, true) => Verdict::MayPull,
            }
        })
    }
}
