//! Everything that the cloud has issued: sessions, registry tokens, metadata tokens, and every secret string
//! ever.

use std::collections::{BTreeSet, HashMap};

use super::clock::Millis;
use super::identity::Identity;

/// Draws letters and digits at random; sufficient for secrets that protect nothing.
pub(super) fn random(length: usize) -> String {
    std::iter::repeat_with(fastrand::alphanumeric).take(length).collect()
}

/// Draws lower-case hexadecimal digits at random.
pub(super) fn random_hex(length: usize) -> String {
    std::iter::repeat_with(|| fastrand::digit(16)).take(length).collect()
}

/// A session's credentials.
#[derive(Clone, Debug)]
pub(super) struct Session {
    /// `STS.…`.
    pub(super) access_key_id: String,
    /// Signs requests.
    pub(super) access_key_secret: String,
    /// Accompanies every request.
    pub(super) security_token: String,
    /// The role and the session.
    pub(super) identity: Identity,
    /// When it began.
    pub(super) began: Millis,
    /// When it expires.
    pub(super) expires: Millis,
}

/// The registries that a token opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Registry {
    /// An Enterprise instance, by its id.
    Instance(String),
    /// Everything of an account in a region under the Personal Edition.
    Personal {
        /// The owner.
        account: String,
        /// The region that minted it.
        region: String,
    },
}

/// A password that a registry would accept.
#[derive(Clone, Debug)]
pub(super) struct RegistryToken {
    /// The user name of the password.
    pub(super) user: String,
    /// The registries that it opens.
    pub(super) opens: Registry,
    /// The identity that requested it; a pull needs this identity's right to pull.
    pub(super) identity: Identity,
    /// When it expires.
    pub(super) expires: Millis,
}

/// Everything issued. Nothing is forgotten, so that an expired token differs from one that never existed.
#[derive(Debug, Default)]
pub(super) struct Vault {
    /// By AccessKeyId.
    sessions: HashMap<String, Session>,
    registry_tokens: HashMap<String, RegistryToken>,
    /// Metadata tokens with their expiry.
    metadata_tokens: HashMap<String, Millis>,
    secrets: BTreeSet<String>,
}

impl Vault {
    /// Opens a session.
    pub(super) fn open_session(&mut self, identity: Identity, began: Millis, expires: Millis) -> Session {
        let session = Session {
            access_key_id: format!("STS.{}", random(24)),
            access_key_secret: random(44),
            // Real ones are long and have all of base64's characters, which show a client's encoding
            // mistakes.
            security_token: format!("CAIS+{}/{}==", random(300), random(300)),
            identity,
            began,
            expires,
        };
        self.remember(&session.access_key_secret);
        self.remember(&session.security_token);
        self.sessions.insert(session.access_key_id.clone(), session.clone());
        session
    }

    /// Returns a session by its AccessKeyId, expired or not.
    pub(super) fn session(&self, access_key_id: &str) -> Option<&Session> {
        self.sessions.get(access_key_id)
    }

    /// Returns whether this security token was ever issued.
    pub(super) fn knows_security_token(&self, token: &str) -> bool {
        self.sessions.values().any(|session| session.security_token == token)
    }

    /// Stores a registry token.
    pub(super) fn keep_registry_token(&mut self, token: &str, facts: RegistryToken) {
        self.remember(token);
        // A client that writes `auth: base64(user:token)` leaks as much as one that writes the token itself.
        self.remember(&format!("{}:{token}", facts.user));
        self.registry_tokens.insert(token.to_owned(), facts);
    }

    /// Returns what a registry token opens, if it has not expired.
    pub(super) fn registry_token(&self, token: &str, now: Millis) -> Option<&RegistryToken> {
        self.registry_tokens.get(token).filter(|facts| now < facts.expires)
    }

    /// Issues a metadata token.
    pub(super) fn open_metadata_token(&mut self, expires: Millis) -> String {
        let token = random(56);
        self.remember(&token);
        self.metadata_tokens.insert(token.clone(), expires);
        token
    }

    /// Returns whether the metadata service accepts this token now.
    pub(super) fn knows_metadata_token(&self, token: &str, now: Millis) -> bool {
        self.metadata_tokens.get(token).is_some_and(|expires| now < *expires)
    }

    /// Adds to the inventory of secrets.
    pub(super) fn remember(&mut self, secret: &str) {
        self.secrets.insert(secret.to_owned());
    }

    /// Returns every secret string ever issued or configured.
    pub(super) fn secrets(&self) -> Vec<String> {
        self.secrets.iter().cloned().collect()
    }
}
