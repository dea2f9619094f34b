//! Identities, and what they may do.

use std::fmt;

use super::world::{Policy, World};

/// An identity that can call an API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    /// The account that it belongs to.
    pub(super) account: String,
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Root,
    User(String),
    Role { name: String, session: String },
}

impl Identity {
    /// Returns an account itself.
    pub(super) fn root(account: &str) -> Self {
        Self { account: account.to_owned(), kind: Kind::Root }
    }

    /// Returns a RAM user.
    pub(super) fn user(account: &str, name: &str) -> Self {
        Self { account: account.to_owned(), kind: Kind::User(name.to_owned()) }
    }

    /// Returns a session of a RAM role.
    pub(super) fn role(account: &str, name: &str, session: &str) -> Self {
        let kind = Kind::Role { name: name.to_owned(), session: session.to_owned() };
        Self { account: account.to_owned(), kind }
    }

    /// Returns whether this is an account's own key.
    pub(super) fn is_root(&self) -> bool {
        self.kind == Kind::Root
    }

    /// Returns whether a policy allows this action now. A session asks its role's current policy, so that a
    /// removed right is gone at once. A deleted role may do nothing.
    pub(super) fn may(&self, action: &str, world: &World) -> bool {
        let account = world.accounts.get(&self.account);
        let policy = match &self.kind {
            Kind::Root => return account.is_some(),
            Kind::User(name) => account.and_then(|held| held.users.get(name)).map(|user| &user.policy),
            Kind::Role { name, .. } => world.role(&self.account, name).map(|role| &role.policy),
        };
        policy.is_some_and(|policy| allows(policy, action))
    }

    /// Returns whether a trust policy's principal means this identity: itself, or its whole account.
    pub(super) fn is_meant_by(&self, principal: &str) -> bool {
        principal == format!("acs:ram::{}:root", self.account)
            || principal == format!("acs:ram::{}:{self}", self.account)
    }

    /// Returns `AuthPrincipalType` and `AuthPrincipalDisplayName` of an `AccessDeniedDetail`.
    pub(super) fn principal(&self) -> (&'static str, String) {
        match &self.kind {
            Kind::Root => ("Account", self.account.clone()),
            Kind::User(name) => ("SubUser", name.clone()),
            Kind::Role { name, session } => ("AssumedRoleUser", format!("{name}:{session}")),
        }
    }
}

/// `root`, `user/<name>` or `role/<name>`: the end of the ARN, which counts and logs go by.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Root => f.write_str("root"),
            Kind::User(name) => write!(f, "user/{name}"),
            Kind::Role { name, .. } => write!(f, "role/{name}"),
        }
    }
}

fn allows(policy: &Policy, action: &str) -> bool {
    policy.allow.iter().any(|allowed| match allowed.strip_suffix('*') {
        Some(beginning) => action.starts_with(beginning),
        None => allowed == action,
    })
}

/// Splits `acs:ram::<account>:role/<name>`.
pub(super) fn parse_role_arn(arn: &str) -> Option<(&str, &str)> {
    parse_arn(arn, ":role/")
}

/// Splits `acs:ram::<account>:oidc-provider/<name>`.
pub(super) fn parse_oidc_provider_arn(arn: &str) -> Option<(&str, &str)> {
    parse_arn(arn, ":oidc-provider/")
}

fn parse_arn<'a>(arn: &'a str, kind: &str) -> Option<(&'a str, &'a str)> {
    let (account, name) = arn.strip_prefix("acs:ram::")?.split_once(kind)?;
    let digits = !account.is_empty() && account.bytes().all(|byte| byte.is_ascii_digit());
    let named = !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
    (digits && named).then_some((account, name))
}

#[cfg(test)]
mod tests {
    use super::{Identity, allows, parse_oidc_provider_arn, parse_role_arn};
    use crate::cloud::world::Policy;

    #[test]
    fn a_trust_policy_means_an_identity_by_its_own_arn_or_by_its_account() {
        let worker = Identity::role("1", "worker", "s");
        assert!(worker.is_meant_by("acs:ram::1:role/worker"));
        assert!(worker.is_meant_by("acs:ram::1:root"));
        for other in
            ["acs:ram::2:role/worker", "acs:ram::1:user/worker", "acs:ram::1:role/work", "acs:ram::2:root"]
        {
            assert!(!worker.is_meant_by(other), "{other}");
        }
    }

    #[test]
    fn a_policy_allows_what_it_lists_and_what_its_star_covers() {
        let policy = Policy::allowing(&["cr:Get*", "sts:AssumeRole"]);
        assert!(allows(&policy, "cr:GetAuthorizationToken") && allows(&policy, "sts:AssumeRole"));
        assert!(!allows(&policy, "cr:ListInstanceEndpoint") && !allows(&policy, "sts:AssumeRoleWithOIDC"));
    }

    #[test]
    fn an_arn_has_a_numeric_account_a_kind_and_a_plain_name() {
        let provider = "acs:ram::1:oidc-provider/ack-rrsa-demo";
        assert_eq!(parse_oidc_provider_arn(provider), Some(("1", "ack-rrsa-demo")));
        assert_eq!((parse_role_arn(provider), parse_oidc_provider_arn("acs:ram::1:role/a")), (None, None));
        assert_eq!(parse_role_arn("acs:ram::12:role/acr-pull"), Some(("12", "acr-pull")));
        for wrong in
            ["acs:ram::x:role/a", "acs:ram::1:role/", "acs:ram::1:user/a", "acs:ram::1:role/a/b", "role/a"]
        {
            assert_eq!(parse_role_arn(wrong), None, "{wrong}");
        }
    }
}
