//! The leader's loop: the configuration by which the API server calls the webhook, and our own certificates.

use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::admissionregistration::v1::{MutatingWebhook, MutatingWebhookConfiguration};
use kube::Client;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{info, warn};

use super::replica::{CertificateState, WebhookReplica};
use crate::api::names;
use crate::cluster::certificates::{CertificateStore, StoredCertificates};
use crate::cluster::error::CallError;
use crate::cluster::last_writer::writer;
use crate::cluster::owned::is_labelled;
use crate::cluster::webhook::{ObservedWebhook, WebhookWriter};
use crate::controller::clock;
use crate::controller::reconciles;
use crate::controller::state::SharedState;
use crate::plan::admission::enabling;
use crate::plan::admission_mode::ModeResult;
use crate::plan::certificate_rotation::{merge_bundles, overlap};
use crate::plan::certificates::{AuthorityTrust, CertificateStep, TrustTracker, next};
use crate::plan::refresh::backoff;
use crate::plan::webhook::{Target, webhooks};
use crate::plan::webhook_configuration::{
    ConfigurationObservation, ConfigurationStep, DemandStep, WebhookDemand, contended, left_of,
};
use crate::plan::write_history::Enforced;
use crate::server::Metrics;
use crate::server::metrics::Reconciler;

/// Reason where the RBAC of the webhook is missing.
const NOT_GRANTED: &str =
    "this controller may not write the webhook's configuration: apply deploy/webhook.yaml";

/// Wait after certificates that cannot be renewed, while the last ones are valid.
const UNREADABLE_WAIT: Duration = Duration::from_secs(60);

/// Maintains the configuration while some binding requests it and no MutatingAdmissionPolicy works.
pub struct WebhookLoop {
    /// The webhook.
    pub webhook: WebhookReplica,
    /// The shared state.
    pub shared: Arc<SharedState>,
    /// For writes.
    pub write: Client,
    /// The controller's own namespace.
    pub namespace: Box<str>,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

/// State of the loop.
struct LeaderState {
    began: Instant,
    configuration: WebhookWriter,
    store: CertificateStore,
    observed: watch::Sender<ObservedWebhook>,
    /// The watch on the configuration, once it is granted.
    watching: JoinSet<()>,
    /// Whether no configuration of an earlier process is left.
    removed: bool,
    /// The last write, and whether another writer reverts it.
    enforced: Enforced<Vec<MutatingWebhook>>,
    trust: TrustTracker,
}

/// When to reconcile again at the latest, or why the webhook is not in force.
type Reconciled = Result<Option<Duration>, String>;

/// The authorities to trust, and when they change.
struct TrustedBundle {
    bundle: Arc<[u8]>,
    changes_after: Option<Duration>,
}

impl WebhookLoop {
    /// Runs the loop.
    pub async fn run(self) {
        let observed = watch::Sender::default();
        let (mut snapshots, mut modes) = (self.shared.snapshots(), self.shared.modes());
        let (mut certificate, mut configuration) =
            (self.webhook.certificate.subscribe(), observed.subscribe());
        let mut state = LeaderState {
            began: Instant::now(),
            configuration: WebhookWriter::new(self.write.clone()),
            store: CertificateStore::new(self.write.clone(), &self.namespace),
            observed,
            watching: JoinSet::new(),
            removed: false,
            enforced: Enforced::default(),
            trust: TrustTracker::default(),
        };
        let mut attempt = 0;
        loop {
            let started = Instant::now();
            let result = self.reconcile(&mut state).await;
            reconciles::record(&self.metrics, Reconciler::Webhook, started, &result);
            let wait = match result {
                Ok(wait) => {
                    attempt = 0;
                    wait
                }
                Err(why) => {
                    if attempt == 0 {
                        warn!(why, "webhook not in force");
                    }
                    self.report(Some(Err(why.into())));
                    attempt += 1;
                    Some(backoff(attempt, Duration::from_secs(2), Duration::from_secs(60), "webhook"))
                }
            };
            // The senders are never dropped while this process runs.
            tokio::select! {
                _ = snapshots.changed() => {}
                _ = modes.changed() => {}
                _ = certificate.changed() => {}
                _ = configuration.changed() => {}
                () = clock::sleep(wait) => {}
            }
        }
    }

    fn report(&self, result: Option<ModeResult>) {
        self.shared.change_modes(|modes| modes.webhook = result);
    }

    async fn reconcile(&self, state: &mut LeaderState) -> Reconciled {
        let snapshot = self.shared.snapshot();
        let policy = self.shared.modes().borrow().policy.clone();
        let demand = WebhookDemand {
            requested: enabling(snapshot.bindings()).next().is_some(),
            enabled: self.webhook.is_on(),
            policy: policy.as_ref(),
            leading_for: state.began.elapsed(),
        };
        match demand.step() {
            DemandStep::WaitForPolicy(left) => return Ok(Some(left)),
            DemandStep::Remove(report) => {
                self.report(report);
                return state.remove().await;
            }
            DemandStep::Maintain => state.removed = false,
        }
        state.watch_configuration().await?;
        let Some(existing) = state.observed.borrow().clone() else { return Ok(None) };
        // `None`: the watches bring what is missing.
        let Some(trusted) = self.trusted_bundle(state, existing.as_ref()).await? else { return Ok(None) };
        let target = Target {
            namespace: &self.namespace,
            address: &self.webhook.settings.address,
            ca_bundle: &trusted.bundle,
            on_update: self.webhook.settings.on_update,
        };
        let wanted = webhooks(enabling(snapshot.bindings()), &target);
        match self.observe(state, existing.as_ref(), &wanted).step() {
            ConfigurationStep::Keep => {
                self.report(Some(Ok(())));
                Ok(trusted.changes_after)
            }
            ConfigurationStep::Wait(left, why) => {
                self.report(Some(Err(why)));
                Ok(Some(left))
            }
            ConfigurationStep::Write => {
                state.write(existing.as_ref(), wanted).await?;
                Ok(trusted.changes_after)
            }
        }
    }

    fn observe(
        &self,
        state: &LeaderState,
        existing: Option<&MutatingWebhookConfiguration>,
        wanted: &[MutatingWebhook],
    ) -> ConfigurationObservation {
        let now = clock::now();
        let is_current = |existing: &MutatingWebhookConfiguration| {
            is_labelled(existing) && existing.webhooks.as_deref().unwrap_or_default() == wanted
        };
        let report = || {
            contended(
                names::WEBHOOK_NAME,
                existing.map(|existing| writer(&existing.metadata).to_string()).as_deref(),
            )
        };
        let quiet_until = state.enforced.quiet_until(now);
        ConfigurationObservation {
            exists: existing.is_some(),
            is_current: existing.is_some_and(is_current),
            replicas_pending: self.replicas_pending(),
            contended: quiet_until.map(|until| (clock::until(until, now), report())),
        }
    }

    /// Returns for how long other replicas may lack the certificate. Where it could not be read at first, each retries
    /// ever more seldom. The API server calls a replica that is ready, and one without a certificate answers nothing.
    fn replicas_pending(&self) -> Option<Duration> {
        let since = self.webhook.certificate.borrow().readable_since?;
        left_of(self.webhook.settings.settle(), since.elapsed())
    }

    /// Returns the authorities to trust; `None` where that is not known yet.
    async fn trusted_bundle(
        &self,
        state: &mut LeaderState,
        existing: Option<&MutatingWebhookConfiguration>,
    ) -> Result<Option<TrustedBundle>, String> {
        let certificate = self.webhook.certificate.borrow().clone();
        match self.webhook.settings.certificates {
            Some(_) => self.bundle_of_files(state, certificate, existing),
            None => self.bundle_of_own_secret(state, &certificate, existing).await,
        }
    }

    /// Returns the authorities of the files. Other replicas may present what the former leader had trusted.
    fn bundle_of_files(
        &self,
        state: &LeaderState,
        certificate: CertificateState,
        existing: Option<&MutatingWebhookConfiguration>,
    ) -> Result<Option<TrustedBundle>, String> {
        let left = left_of(overlap(self.webhook.settings.settle()), state.began.elapsed());
        match (certificate.bundle, certificate.fault) {
            (Some(bundle), _) if left.is_some() => {
                let configured = existing.and_then(|existing| bundles(existing).next().flatten());
                let bundle = merge_bundles(&bundle, configured.unwrap_or_default()).into();
                Ok(Some(TrustedBundle { bundle, changes_after: left }))
            }
            (Some(bundle), _) => Ok(Some(TrustedBundle { bundle, changes_after: None })),
            (None, Some(fault)) => Err(fault.into()),
            (None, None) => Ok(None),
        }
    }

    /// Returns the authorities of our own Secret. Where the certificates are to be renewed, writes the Secret, which
    /// comes back by its watch.
    async fn bundle_of_own_secret(
        &self,
        state: &mut LeaderState,
        certificate: &CertificateState,
        existing: Option<&MutatingWebhookConfiguration>,
    ) -> Result<Option<TrustedBundle>, String> {
        if let (Some(stored), false) = (&certificate.stored, certificate.absent) {
            if let CertificateStep::Wait(at) = self.next_step(state, stored, existing) {
                let changes_after = Some(clock::until(at, clock::now()));
                return Ok(Some(TrustedBundle { bundle: stored.bundle().into(), changes_after }));
            }
        } else if !certificate.absent && certificate.fault.is_none() {
            return Ok(None);
        }
        let loaded = state.store.load().await.map_err(describe)?;
        let current = match (loaded.certificates, &certificate.stored) {
            (Some(Ok(stored)), _) => stored,
            (Some(Err(invalid)), Some(last)) => {
                warn!(error = %invalid, "webhook certificates cannot be renewed");
                let changes_after = Some(UNREADABLE_WAIT);
                return Ok(Some(TrustedBundle { bundle: last.bundle().into(), changes_after }));
            }
            (Some(Err(invalid)), None) => return Err(invalid.to_string()),
            // The Secret was deleted: what every replica serves is written again.
            (None, Some(last)) => StoredCertificates::clone(last),
            (None, None) => StoredCertificates::default(),
        };
        self.renew(state, current, loaded.resource_version, existing).await?;
        Ok(None)
    }

    fn next_step(
        &self,
        state: &mut LeaderState,
        stored: &StoredCertificates,
        existing: Option<&MutatingWebhookConfiguration>,
    ) -> CertificateStep {
        let (now, settings) = (clock::now(), &self.webhook.settings);
        let trust = state.trust(stored, existing);
        next(&stored.without_keys(), &[settings.host(&self.namespace)], trust, &settings.lifetimes, now)
    }

    /// Renews certificates until nothing is due, and writes them where that changed anything.
    async fn renew(
        &self,
        state: &mut LeaderState,
        mut stored: StoredCertificates,
        resource_version: Option<String>,
        existing: Option<&MutatingWebhookConfiguration>,
    ) -> Result<(), String> {
        let settings = &self.webhook.settings;
        let mut changed = resource_version.is_none();
        loop {
            let step = self.next_step(state, &stored, existing);
            if matches!(step, CertificateStep::Wait(_)) {
                break;
            }
            info!(?step, "webhook certificates renewed");
            let names = [settings.host(&self.namespace)];
            stored
                .execute(step, &names, &settings.lifetimes, clock::now())
                .map_err(|error| error.to_string())?;
            changed = true;
        }
        if !changed {
            return Ok(());
        }
        match state.store.save(&stored, resource_version.as_deref()).await {
            Ok(()) | Err(CallError::Conflict) => Ok(()),
            Err(error) => Err(describe(error)),
        }
    }
}

impl LeaderState {
    /// Starts the watch on the configuration, once it is granted.
    async fn watch_configuration(&mut self) -> Result<(), String> {
        if !self.watching.is_empty() {
            return Ok(());
        }
        if !self.configuration.is_granted().await.map_err(describe)? {
            return Err(NOT_GRANTED.to_owned());
        }
        self.watching.spawn(self.configuration.clone().watch(self.observed.clone()));
        Ok(())
    }

    async fn write(
        &mut self,
        existing: Option<&MutatingWebhookConfiguration>,
        wanted: Vec<MutatingWebhook>,
    ) -> Result<(), String> {
        match self.configuration.write(existing, &wanted).await {
            Ok(()) => {
                info!(webhooks = wanted.len(), "MutatingWebhookConfiguration updated");
                self.enforced.wrote(wanted, clock::now(), names::WEBHOOK_NAME);
                Ok(())
            }
            // The watch brings what it is now.
            Err(CallError::Conflict | CallError::NotFound) => Ok(()),
            Err(error) => Err(describe(error)),
        }
    }

    /// Removes the configuration: with `Fail` it would block ServiceAccounts for which no binding requests it.
    async fn remove(&mut self) -> Reconciled {
        if self.removed {
            return Ok(None);
        }
        match self.configuration.read().await {
            Ok(Some(existing)) => {
                self.configuration.remove(&existing).await.map_err(describe)?;
                info!("MutatingWebhookConfiguration removed");
            }
            // Without the right, none was made.
            Ok(None) | Err(CallError::Forbidden(_)) => {}
            Err(error) => return Err(describe(error)),
        }
        self.removed = true;
        Ok(None)
    }

    /// Returns whether the configuration names the newest authority.
    fn trust(
        &mut self,
        stored: &StoredCertificates,
        existing: Option<&MutatingWebhookConfiguration>,
    ) -> AuthorityTrust {
        let bundles = existing.into_iter().flat_map(bundles);
        self.trust.observe(stored.newest(), bundles, clock::now())
    }
}

/// Returns the bundle of each webhook.
fn bundles(configuration: &MutatingWebhookConfiguration) -> impl Iterator<Item = Option<&[u8]>> {
    let webhooks = configuration.webhooks.iter().flatten();
    webhooks.map(|webhook| webhook.client_config.ca_bundle.as_ref().map(|bundle| bundle.0.as_slice()))
}

/// Describes a call that failed, with its cure.
fn describe(error: CallError) -> String {
    match error {
        CallError::Forbidden(words) => format!("{NOT_GRANTED} ({words})"),
        other => format!("the webhook {} cannot be configured: {other}", names::WEBHOOK_NAME),
    }
}
