//! Each cure that an error of the cloud prints, followed to the letter: fault, error, what it says, no error.
//!
//! A cure of two alternatives has a case for each. `tests/cures` has the table of all of them.

mod docker_helper;
mod identity;
mod provider;
mod registry;
mod sts;
mod transport;

use acr_credential_binding::api::Reason;
use acr_credential_binding::cloud::{Alibaba, CloudError, CloudSettings};
use acr_credential_binding::model::RegistryKey;
use acr_lab::message::after;
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use crate::lab::{Lab, settings};

/// A registry of a binding, the cloud that it is in, and the clock of the node.
pub(crate) struct Trial {
    pub(crate) lab: Lab,
    pub(crate) key: RegistryKey,
    /// How far the node's clock is ahead of the cloud's.
    pub(crate) clock: SignedDuration,
}

impl Trial {
    async fn start(key: RegistryKey) -> Self {
        Self { lab: Lab::start().await, key, clock: SignedDuration::ZERO }
    }

    fn now(&self) -> Timestamp {
        self.lab.now() + self.clock
    }

    /// Restarts the controller with changed flags.
    fn restart(&mut self, change: impl FnOnce(&mut CloudSettings)) {
        let mut settings = settings(&self.lab.cloud, self.lab.cluster.clone());
        change(&mut settings);
        self.lab.alibaba = Alibaba::new(settings).unwrap();
    }

    /// Does what a refresh does: lists the domains, and mints.
    async fn refresh(&self) -> Result<(), CloudError> {
        self.lab.mint_at(&self.key, self.now()).await?;
        self.lab.domains_at(&self.key, self.now()).await.map(drop)
    }
}

/// One cure: the words that print it, and the deeds of one who reads them.
pub(crate) struct Cure {
    pub(crate) reason: Reason,
    /// Words of the message that say what to do.
    pub(crate) words: &'static str,
    pub(crate) fault: fn(&mut Trial),
    /// Does what the message says. Gets the whole message, so that names and numbers come from it.
    pub(crate) follow: fn(&mut Trial, &str),
}

/// Follows each cure, from a registry that works.
async fn follow(key: fn() -> RegistryKey, prepare: fn(&mut Trial), cures: &[Cure]) {
    for Cure { reason, words, fault, follow } in cures {
        let mut trial = Trial::start(key()).await;
        prepare(&mut trial);
        trial.refresh().await.unwrap_or_else(|error| panic!("{words}: before the fault: {error:?}"));
        // A new process, so that no session from before helps.
        let mut trial = Trial::start(key()).await;
        prepare(&mut trial);
        fault(&mut trial);
        let error = trial.refresh().await.expect_err(words);
        assert_eq!(error.reason, *reason, "{words}: {error:?}");
        after(&error.message, words);
        follow(&mut trial, &error.message);
        trial.refresh().await.unwrap_or_else(|error| panic!("{words}: followed, and still: {error:?}"));
    }
}

/// Returns account and name of the role whose ARN begins a message.
fn role_of(message: &str) -> (String, String) {
    let arn = message.split(' ').next().unwrap();
    let (account, name) = after(arn, "acs:ram::").split_once(":role/").unwrap();
    (account.to_owned(), name.to_owned())
}
