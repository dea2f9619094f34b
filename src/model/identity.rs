//! Who asks the cloud for a credential.

use std::fmt;

/// An Alibaba Cloud resource name that is known to have the right shape.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Arn(Box<str>);

impl Arn {
    /// Reads `acs:ram::<account>:role/<name>`.
    ///
    /// # Errors
    /// What a role's ARN looks like.
    pub fn role(text: &str) -> Result<Self, String> {
        Self::parse(text, "role")
    }

    /// Reads `acs:ram::<account>:oidc-provider/<name>`.
    ///
    /// # Errors
    /// What a provider's ARN looks like.
    pub fn oidc_provider(text: &str) -> Result<Self, String> {
        Self::parse(text, "oidc-provider")
    }

    fn parse(text: &str, kind: &str) -> Result<Self, String> {
        let complaint = || format!("{text:?} is no ARN of the form acs:ram::<account>:{kind}/<name>");
        let (account, resource) =
            text.strip_prefix("acs:ram::").and_then(|rest| rest.split_once(':')).ok_or_else(complaint)?;
        let name =
            resource.strip_prefix(kind).and_then(|rest| rest.strip_prefix('/')).ok_or_else(complaint)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let account_ok = !account.is_empty() && account.chars().all(|c| c.is_ascii_digit());
        if account_ok && !name.is_empty() && name.chars().all(plain) {
            Ok(Self(text.into()))
        } else {
            Err(complaint())
        }
    }

    /// The ARN as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What follows the last `/`.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
}

impl fmt::Debug for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where the first credential comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CredentialSource {
    /// The controller's own: what `--token-mode` finds.
    ControllerIdentity,
    /// An OIDC token of the cluster, exchanged for a role of the cluster's owner (RRSA).
    Rrsa {
        /// The role.
        role: Arn,
        /// The provider that vouches for the token.
        provider: Arn,
    },
    /// An AccessKey pair in a Secret of the controller's own namespace.
    AccessKey {
        /// Name of the Secret.
        secret: Box<str>,
    },
}

/// The chain that ends in the identity which asks for the registry credential.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    /// The first link.
    pub base: CredentialSource,
    /// A role to assume from there.
    pub assume: Option<Arn>,
    /// Seconds that the session of the last role lasts.
    pub session_seconds: u32,
}

impl Identity {
    /// The chain as the status shows it: `worker-role → acr-pull`. `own` names the controller's own identity.
    pub fn chain(&self, own: &str) -> String {
        let base = match &self.base {
            CredentialSource::ControllerIdentity => own.to_owned(),
            CredentialSource::Rrsa { role, .. } => format!("rrsa:{}", role.name()),
            CredentialSource::AccessKey { secret } => format!("access-key:{secret}"),
        };
        match &self.assume {
            Some(role) => format!("{base} → {}", role.name()),
            None => base,
        }
    }
}

impl fmt::Display for Identity {
    /// The chain as long as nobody knows what the controller's own identity is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.chain("own"))
    }
}

#[cfg(test)]
mod tests {
    use super::{Arn, CredentialSource, Identity};

    #[test]
    fn an_arn_has_an_account_and_a_name() {
        assert_eq!(
            Arn::role("acs:ram::1234:role/acr-pull").map(|a| a.name().to_owned()),
            Ok("acr-pull".to_owned())
        );
        assert!(Arn::oidc_provider("acs:ram::1:oidc-provider/ack-rrsa-c1").is_ok());
        for text in [
            "",
            "acs:ram::.*:role/x",
            "acs:ram::1:role/",
            "acs:ram::1:user/x",
            "acs:ram:1:role/x",
            "acs:ram::1:role/a/b",
            "arn:aws:iam::1:role/x",
        ] {
            assert!(Arn::role(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_chain_names_its_links() {
        let role = |name: &str| Arn::role(&format!("acs:ram::1:role/{name}")).unwrap();
        let provider = Arn::oidc_provider("acs:ram::1:oidc-provider/p").unwrap();
        for (base, assume, chain) in [
            (CredentialSource::ControllerIdentity, None, "worker-role"),
            (CredentialSource::ControllerIdentity, Some(role("b")), "worker-role → b"),
            (CredentialSource::Rrsa { role: role("a"), provider }, Some(role("b")), "rrsa:a → b"),
            (CredentialSource::AccessKey { secret: "ak".into() }, None, "access-key:ak"),
        ] {
            assert_eq!(Identity { base, assume, session_seconds: 3600 }.chain("worker-role"), chain);
        }
    }
}
