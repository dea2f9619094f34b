//! `kubectl acr uninstall`: prepares the removal of the controller, so that it harms neither ServiceAccounts nor
//! bindings. It needs few rights, and the hook of the chart runs it with no others.

mod error;
mod grant;
mod withdrawal;

pub use self::error::UninstallError;

use std::io;
use std::time::{Duration, Instant};

use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::{Client, ResourceExt};

use self::error::{grant_named, label};
use self::grant::{GRANTS, Grant, named_in};
use crate::api::names;
use crate::cluster::access::{AccessReviewer, AccessRight};
use crate::cluster::clock::monotonic;
use crate::cluster::error::CallError;
use crate::cluster::installed::{BindingMetadata, Installed};
use crate::cluster::owned::is_labelled;
use crate::model::duration;

/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(250);

/// The scope of an uninstallation.
#[derive(Clone, Debug)]
pub struct UninstallOptions {
    /// The namespace of the controller.
    pub namespace: Box<str>,
    /// The ServiceAccount of the controller.
    pub service_account: Box<str>,
    /// Whether the controller first withdraws what the bindings cover.
    pub withdraw: bool,
    /// The longest time of a step.
    pub timeout: Duration,
    /// The longest time of a request.
    pub request_timeout: Duration,
}

/// Prepares the removal of the controller, and writes each step as it is done.
///
/// # Guarantees
/// - It can be repeated, after a failure too, and without a controller or anything else of it.
/// - Afterwards no webhook of the controller is called, and no finalizer of it holds a binding back. The controller has
///   no right to change that, even if it still runs.
/// - Objects of other owners stay, even if they have our names.
///
/// # Errors
/// [`UninstallError`].
pub async fn uninstall(
    client: &Client,
    options: &UninstallOptions,
    out: &mut dyn io::Write,
) -> Result<(), UninstallError> {
    let installed = Installed::new(client.clone(), options.request_timeout);
    let reviewer = AccessReviewer::new(client.clone(), options.request_timeout);
    let mut uninstallation = Uninstallation { installed, reviewer, options, out };
    uninstallation.check_grants().await?;
    if options.withdraw {
        uninstallation.withdraw().await?;
    }
    uninstallation.revoke().await?;
    uninstallation.remove().await?;
    let namespace = &options.namespace;
    let named = match &**namespace {
        names::DEFAULT_NAMESPACE => String::new(),
        other => format!(" --namespace {other}"),
    };
    uninstallation.say(&format!(
        "done: the controller can be removed. Secrets and entries that it left stay; once it is stopped, kubectl acr \
         withdraw --retained{named} lists them, and --yes removes them"
    ));
    Ok(())
}

/// One run.
struct Uninstallation<'a> {
    installed: Installed,
    reviewer: AccessReviewer,
    options: &'a UninstallOptions,
    out: &'a mut dyn io::Write,
}

/// Returns a conversion of failed calls that names the step.
fn of(what: &'static str) -> impl Fn(CallError) -> UninstallError {
    move |why| UninstallError::Call { what, why }
}

/// Returns the rights by which the controller could undo the next steps.
fn rights() -> [AccessRight; 5] {
    let right = |verb: &str, group: &str, resource: &str, name: Option<&str>| AccessRight {
        verb: verb.to_owned(),
        group: group.to_owned(),
        resource: resource.to_owned(),
        name: name.map(str::to_owned),
        namespace: None,
    };
    let webhooks = |verb| {
        let (group, resource) = ("admissionregistration.k8s.io", "mutatingwebhookconfigurations");
        right(verb, group, resource, Some(names::WEBHOOK_NAME))
    };
    let bindings = |verb, name| right(verb, names::GROUP, "acrcredentialbindings", name);
    [
        webhooks("create"),
        webhooks("patch"),
        bindings("patch", None),
        bindings("create", Some(names::LEGACY_NAME)),
        bindings("update", Some(names::LEGACY_NAME)),
    ]
}

impl Uninstallation<'_> {
    /// Writes a line. A reader that has gone must not stop half of an uninstallation, so errors are dropped.
    fn say(&mut self, line: &str) {
        let _ = writeln!(self.out, "{line}").and_then(|()| self.out.flush());
    }

    fn end(&self) -> Instant {
        monotonic() + self.options.timeout
    }

    /// Repeats a step that may succeed later, until its time is over.
    async fn patiently<T>(
        &self,
        what: &'static str,
        mut ask: impl AsyncFnMut() -> Result<T, CallError>,
    ) -> Result<T, UninstallError> {
        let end = self.end();
        loop {
            match ask().await {
                Err(CallError::Later(..) | CallError::Unanswered(_) | CallError::Conflict)
                    if monotonic() < end =>
                {
                    tokio::time::sleep(PAUSE).await;
                }
                answer => return answer.map_err(of(what)),
            }
        }
    }

    fn classify(&self, existing: Option<&ClusterRoleBinding>, name: &str) -> Grant {
        Grant::of(existing, name, &self.options.namespace, &self.options.service_account)
    }

    /// Checks that the rights are those of the controller in this namespace, before anything is changed.
    async fn check_grants(&mut self) -> Result<(), UninstallError> {
        for role_binding in GRANTS {
            let existing = self.installed.role_binding(role_binding).await;
            let existing = existing.map_err(of("a ClusterRoleBinding cannot be read"))?;
            if let Grant::OtherAccount { namespace, name } = self.classify(existing.as_ref(), role_binding) {
                return Err(UninstallError::OtherAccount { role_binding, namespace, name });
            }
        }
        Ok(())
    }

    /// Takes the controller's rights away, and waits until the API server denies them.
    async fn revoke(&mut self) -> Result<(), UninstallError> {
        let (mut foreign, mut managers) = (Vec::new(), Vec::new());
        for name in GRANTS {
            let read = self.patiently("a ClusterRoleBinding cannot be read", async || {
                self.installed.role_binding(name).await
            });
            let existing = read.await?;
            match (self.classify(existing.as_ref(), name), existing) {
                (Grant::Ours, Some(existing)) => {
                    self.delete_grant(&existing).await?;
                    managers = managers_of(&existing);
                    self.say(&format!("ClusterRoleBinding {name}: deleted"));
                }
                (Grant::OtherRole(role), _) => {
                    foreign.push(name);
                    self.say(&format!(
                        "ClusterRoleBinding {name}: left as it is, since it is for the ClusterRole {role}"
                    ));
                }
                _ => self.say(&format!("ClusterRoleBinding {name}: does not exist")),
            }
        }
        let (namespace, account) = (&self.options.namespace, &self.options.service_account);
        let user = format!("{namespace}/{account}");
        let end = self.end();
        while let Some((right, reason)) = self.still_allowed().await? {
            let ours = named_in(&reason).and_then(grant_named).filter(|name| !foreign.contains(name));
            let Some(role_binding) = ours else {
                let role_binding = named_in(&reason).map(str::to_owned);
                return Err(UninstallError::OtherGrant { account: user, right, reason, role_binding });
            };
            let read = self.patiently("a ClusterRoleBinding cannot be read", async || {
                self.installed.role_binding(role_binding).await
            });
            if let Some(again) = read.await? {
                managers = managers_of(&again);
                self.delete_grant(&again).await?;
            }
            if monotonic() > end {
                return Err(UninstallError::CreatedAgain { role_binding, managers });
            }
            tokio::time::sleep(PAUSE).await;
        }
        self.say(&format!("ServiceAccount {user}: has no rights on bindings and webhooks"));
        Ok(())
    }

    async fn delete_grant(&self, existing: &ClusterRoleBinding) -> Result<(), UninstallError> {
        self.patiently("a ClusterRoleBinding cannot be deleted", async || {
            match self.installed.delete_role_binding(existing).await {
                // Another one of its name is there, which is read later.
                Err(CallError::Conflict) => Ok(()),
                done => done,
            }
        })
        .await
    }

    /// Returns a right that the controller still has, and the API server's reason.
    async fn still_allowed(&self) -> Result<Option<(String, String)>, UninstallError> {
        let (namespace, account) = (&self.options.namespace, &self.options.service_account);
        for right in rights() {
            let review = self.patiently("the controller's rights cannot be reviewed", async || {
                self.reviewer.of_account(namespace, account, &right).await
            });
            let answer = review.await?;
            if answer.allowed {
                return Ok(Some((right.to_string(), answer.reason)));
            }
        }
        Ok(None)
    }

    /// Removes the webhook's configuration and the finalizers, until both are found removed: another API server may
    /// still have let the controller write.
    async fn remove(&mut self) -> Result<(), UninstallError> {
        let end = self.end();
        let mut is_first = true;
        loop {
            let stopped = self.stop_admission(is_first).await?;
            let released = self.release().await?;
            if !stopped && released != Some(true) {
                self.say(match released {
                    Some(_) => "bindings: none has a finalizer of the controller",
                    None => "bindings: the API is not installed",
                });
                return Ok(());
            }
            if monotonic() > end {
                return Err(UninstallError::Undone);
            }
            if !is_first {
                tokio::time::sleep(PAUSE).await;
            }
            is_first = false;
        }
    }

    /// Deletes the webhook's configuration. Returns whether there was one to delete.
    async fn stop_admission(&mut self, is_first: bool) -> Result<bool, UninstallError> {
        let name = names::WEBHOOK_NAME;
        let read = self
            .patiently("the webhook's configuration cannot be read", async || self.installed.webhook().await);
        let Some(existing) = read.await? else {
            if is_first {
                self.say(&format!("MutatingWebhookConfiguration {name}: does not exist"));
            }
            return Ok(false);
        };
        if !is_labelled(&existing) {
            if is_first {
                self.say(&format!(
                    "MutatingWebhookConfiguration {name}: left as it is, since it lacks the label {}",
                    label()
                ));
            }
            return Ok(false);
        }
        self.patiently("the webhook's configuration cannot be deleted", async || {
            match self.installed.delete_webhook(&existing).await {
                Err(CallError::Conflict) => Ok(()),
                done => done,
            }
        })
        .await?;
        self.say(&format!("MutatingWebhookConfiguration {name}: deleted"));
        Ok(true)
    }

    /// Removes this controller's finalizer from all bindings. Returns whether there was one to remove; `None` if the
    /// API is not installed.
    async fn release(&mut self) -> Result<Option<bool>, UninstallError> {
        let Some(bindings) = self.list().await? else { return Ok(None) };
        let mut found = false;
        for binding in bindings {
            let name = binding.name_any();
            if binding.finalizers().iter().any(|finalizer| finalizer == names::FINALIZER) {
                found = true;
                let release = self.patiently("the finalizer of a binding cannot be removed", async || {
                    match self.installed.release(&binding).await {
                        // It changed since it was listed, and the next list has it.
                        Err(CallError::Conflict) => Ok(false),
                        done => done.map(|()| true),
                    }
                });
                if release.await? {
                    self.say(&format!("binding {name}: finalizer removed"));
                }
            }
            if self.options.withdraw
                && is_converted(&binding)
                && binding.metadata.deletion_timestamp.is_none()
            {
                found = true;
                self.delete_binding(&binding).await?;
                self.say(&format!(
                    "binding {name}: deleted. It was made from a ConfigMap and has deletionPolicy Retain, so its Secrets and \
                     entries stay"
                ));
            }
        }
        Ok(Some(found))
    }

    async fn list(&self) -> Result<Option<Vec<BindingMetadata>>, UninstallError> {
        self.patiently("the bindings cannot be listed", async || self.installed.bindings().await).await
    }

    async fn delete_binding(&self, binding: &BindingMetadata) -> Result<(), UninstallError> {
        self.patiently("a binding cannot be deleted", async || {
            match self.installed.delete_binding(binding).await {
                Err(CallError::Conflict) => Ok(()),
                done => done,
            }
        })
        .await
    }

    fn limit(&self) -> String {
        duration::format(self.options.timeout)
    }
}

/// Returns whether the controller made a binding from the ConfigMap.
fn is_converted(binding: &BindingMetadata) -> bool {
    binding.name_any() == names::LEGACY_NAME
        && binding.labels().get(names::LABEL_CONVERTED).is_some_and(|value| value == "true")
}

/// Returns the field managers that wrote an object.
fn managers_of(object: &ClusterRoleBinding) -> Vec<String> {
    let entries = object.metadata.managed_fields.iter().flatten();
    let mut managers: Vec<String> = entries.filter_map(|entry| entry.manager.clone()).collect();
    managers.sort();
    managers.dedup();
    managers
}
