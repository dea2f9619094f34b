//! Identities that mint credentials in the cloud.

use std::fmt;

/// An Alibaba Cloud resource name (ARN) of a RAM role or an OIDC provider, of valid form.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Arn(Box<str>);

impl Arn {
    /// Parses `acs:ram::<account>:role/<name>`.
    ///
    /// # Errors
    /// A message with the text and the expected form.
    pub fn role(text: &str) -> Result<Self, String> {
        Self::parse(text, "role")
    }

    /// Parses `acs:ram::<account>:oidc-provider/<name>`.
    ///
    /// # Errors
    /// A message with the text and the expected form.
    pub fn oidc_provider(text: &str) -> Result<Self, String> {
        Self::parse(text, "oidc-provider")
    }

    fn parse(text: &str, kind: &str) -> Result<Self, String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let digits = |account: &str| !account.is_empty() && account.chars().all(|c| c.is_ascii_digit());
        let name = text.strip_prefix("acs:ram::").and_then(|rest| {
            let (account, resource) = rest.split_once(':')?;
            let name = resource.strip_prefix(kind)?.strip_prefix('/')?;
            Some(name).filter(|name| digits(account) && !name.is_empty() && name.chars().all(plain))
        });
        if name.is_some() {
            return Ok(Self(text.into()));
        }
        let fault = Self::fault(text, kind).map(|fault| format!(" ({fault})")).unwrap_or_default();
        Err(format!("{text:?} is not an ARN of the form acs:ram::<account>:{kind}/<name>{fault}"))
    }

    /// Returns the part of a text that is wrong, where it is plain.
    fn fault(text: &str, kind: &str) -> Option<String> {
        let parts: Vec<&str> = text.splitn(5, ':').collect();
        let [scheme, service, region, account, resource] = parts[..] else {
            let bare = !text.is_empty() && !text.contains([':', '/']);
            return bare.then(|| "a name alone: the console shows the whole ARN".to_owned());
        };
        let found = resource.split('/').next().unwrap_or_default();
        match (scheme, service) {
            ("arn", _) => Some("an ARN of another cloud, or one with arn: before it".to_owned()),
            ("acs", "ram") if !region.is_empty() => {
                Some("RAM has no region: leave the third part empty".to_owned())
            }
            ("acs", "ram") if account.is_empty() || !account.chars().all(|c| c.is_ascii_digit()) => {
                Some("the account is its number, not its name".to_owned())
            }
            ("acs", "ram") if found != kind => Some(format!("a {found} and not a {kind}")),
            _ => None,
        }
    }

    /// Returns the ARN as given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the part after the last `/`.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
}

impl fmt::Debug for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Source of a chain's first credential.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CredentialSource {
    /// The controller's own identity, selected by `--token-mode`.
    ControllerIdentity,
    /// A RAM role in the cluster's account, assumed with an OIDC token of the cluster (RRSA).
    Rrsa {
        /// ARN of the role.
        role: Arn,
        /// ARN of the OIDC provider that the role trusts.
        provider: Arn,
    },
    /// An AccessKey pair in a Secret of the controller's own namespace.
    AccessKey {
        /// Name of the Secret.
        secret: Box<str>,
    },
}

/// A chain of identities. The last one mints the registry credential.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    /// Source of the first credential.
    pub source: CredentialSource,
    /// Role to assume with the first credential.
    pub assume: Option<Arn>,
    /// Duration of the last role's session in seconds.
    pub session_seconds: u32,
}

impl Identity {
    /// Formats the chain for the status: `worker-role → acr-pull`. `controller` names the controller's own identity.
    pub fn chain(&self, controller: &str) -> String {
        let source = match &self.source {
            CredentialSource::ControllerIdentity => controller.to_owned(),
            CredentialSource::Rrsa { role, .. } => format!("rrsa:{}", role.name()),
            CredentialSource::AccessKey { secret } => format!("access-key:{secret}"),
        };
        match &self.assume {
            Some(role) => format!("{source} → {}", role.name()),
            None => source,
        }
    }
}

impl fmt::Display for Identity {
    /// Formats the chain, with `own` for the controller's own identity.
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
        for (source, assume, chain) in [
            (CredentialSource::ControllerIdentity, None, "worker-role"),
            (CredentialSource::ControllerIdentity, Some(role("b")), "worker-role → b"),
            (CredentialSource::Rrsa { role: role("a"), provider }, Some(role("b")), "rrsa:a → b"),
            (CredentialSource::AccessKey { secret: "ak".into() }, None, "access-key:ak"),
        ] {
            assert_eq!(Identity { source, assume, session_seconds: 3600 }.chain("worker-role"), chain);
        }
    }
}
