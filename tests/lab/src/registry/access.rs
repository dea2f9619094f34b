//! Decisions about a user's password at a registry.

use std::sync::Arc;

use crate::cloud::Cloud;

/// A registry's decision about a user and a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The user is unknown, or the password has expired.
    Rejected,
    /// The user is known, but may not pull.
    Authenticated,
    /// The user is known, and may pull.
    MayPull,
}

/// Decides about a user and a password at the moment they are shown.
pub type Judge = Arc<dyn Fn(&str, &str) -> Verdict + Send + Sync>;

/// The registry of the cloud that one represents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// The registry of an Enterprise instance, such as `cri-demo0001`.
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

    /// Returns the host names that a cloud has for it.
    pub(super) fn domains(&self, cloud: &Cloud) -> Vec<String> {
        match self {
            Access::Enterprise { instance } => cloud.world(|world| {
                let endpoints = world.instances.get(instance).map(|found| found.endpoints.as_slice());
                let domains = endpoints.unwrap_or_default().iter().flat_map(|endpoint| &endpoint.domains);
                domains.map(|domain| domain.domain.clone()).collect()
            }),
            Access::Personal { region, .. } => {
                ["", "-vpc"].map(|infix| format!("registry{infix}.{region}.aliyuncs.com")).into()
            }
        }
    }

    /// Returns the cloud's own decision.
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
