//! `kubectl acr plan`: previews the controller's writes with the user's own rights, and writes nothing.

mod diff;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, PartialObjectMeta};
use kube::{Api, Client, ResourceExt};
use secrecy::SecretString;

pub use self::diff::ObjectDiff;

use self::diff::LiveObjects;
use super::inventory::{self, ReadError, unreadable};
use super::preview::preview;
use super::secret_references::{SecretReferences, find_references};
use crate::api::binding::{AcrCredentialBinding, AcrCredentialBindingSpec, DeletionPolicy};
use crate::api::names;
use crate::cluster::Index;
use crate::cluster::notices::foreign_hosts;
use crate::model::credential::Origin;
use crate::model::{Binding, Credential, Edition, RegistryKey, count};
use crate::plan::duty::filled_by;
use crate::plan::notice::{Notice, NoticeReason};
use crate::plan::{
    NamespaceRecord, NamespaceView, Phase, RegistryCredential, ResolvedBinding, ServiceAccountView, Snapshot,
    Template, change,
};

/// Secrets that the documented component left in `default` in 2018. Exact names, since other Secrets share the prefix.
const LEFTOVERS: [&str; 2] = ["aliyun-acr-credential-a", "aliyun-acr-credential-b"];

/// A plan that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The cluster cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The binding is invalid.
    #[error("the binding {name} is invalid: {faults}")]
    Invalid {
        /// Its name.
        name: String,
        /// Each invalid field with its fault.
        faults: String,
    },
}

/// Settings that the cluster does not reveal.
#[derive(Clone, Debug)]
pub struct PlanOptions {
    /// Region of the cluster, for registries without `regionId`.
    pub region: Box<str>,
    /// Name of the Secret in every covered namespace.
    pub secret_name: Box<str>,
    /// Whether the report has the written objects too.
    pub with_objects: bool,
}

/// The previewed writes, and what else the user needs to know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlanReport {
    /// Namespaces that would change, with a description of the changes.
    pub namespaces: Vec<(String, String)>,
    /// Covered namespaces that are up to date; the token itself is not compared.
    pub unchanged: usize,
    /// Covered namespaces that would not be served, with the reason.
    pub refused: Vec<(String, String)>,
    /// Circumstances that prevent or delay some of the changes.
    pub notes: Vec<String>,
    /// References to the Secrets that would be removed, and to the leftovers.
    pub references: SecretReferences,
    /// Secrets of the documented component that are no longer updated, as `namespace/name`.
    pub leftovers: Vec<String>,
    /// The objects that would be written, if the options ask for them.
    pub objects: Vec<ObjectDiff>,
}

/// Previews the changes in a cluster if the ConfigMap's binding had this spec. Other bindings keep theirs.
///
/// # Errors
/// [`PlanError`]
pub async fn plan(
    client: &Client,
    spec: AcrCredentialBindingSpec,
    options: &PlanOptions,
) -> Result<PlanReport, PlanError> {
    let template = Arc::new(Template {
        name: options.secret_name.clone(),
        labels: Default::default(),
        annotations: Default::default(),
    });
    let mut objects = inventory::bindings(client).await?;
    let index = inventory::index(client, &template).await?;
    let (now, _) = snapshot(&template, &objects, &options.region);
    let existing = objects.iter().position(|object| object.name_any() == names::LEGACY_NAME);
    let planned = planned(spec, existing.map(|at| objects.swap_remove(at)));
    resolved(&planned, &options.region)?;
    objects.push(planned);
    let (then, notes) = snapshot(&template, &objects, &options.region);

    let mut found = PlanReport { notes, ..PlanReport::default() };
    found.notes.extend(retained_first(&index, &now, &then));
    let metadata = match options.with_objects {
        true => inventory::pull_secret_metadata(client, &template).await?,
        false => BTreeMap::new(),
    };
    let placeholders = placeholders(&then);
    let mut losing = Vec::new();
    let mut all = index.matching(|_, _| true);
    all.sort();
    for view in all.iter().filter_map(|namespace| index.read(namespace, NamespaceView::clone)) {
        let namespace = view.name.to_string();
        let before = options.with_objects.then(|| view.clone());
        let mut record = as_served(view, &now, &then);
        let foreign = record.view.secret.as_ref().filter(|secret| !secret.ours);
        if let Some(version) = foreign.map(|secret| secret.resource_version.clone()) {
            let hosts = foreign_hosts(client, &namespace, &template.name, &version).await;
            record.foreign = Some(Box::new(hosts));
        }
        let preview = preview(record, &then);
        found.notes.extend(preview.notices.iter().map(|notice| note(notice, &then)));
        let ours = preview.results.iter().find(|result| *result.binding == *names::LEGACY_NAME);
        let failure = ours.and_then(|result| result.secret.as_ref().err());
        match failure.filter(|failure| failure.reason.needs_human()) {
            Some(failure) => found.refused.push((namespace.clone(), failure.message.to_string())),
            None => found.unchanged += usize::from(ours.is_some() && preview.changes.is_empty()),
        }
        if preview.loses_secret() {
            losing.push(namespace.clone());
        }
        if let Some(view) = &before {
            let metadata = metadata.get(&namespace);
            let live = LiveObjects { view, template: &template, metadata, placeholders: &placeholders };
            found.objects.extend(live.diffs(&preview.changes));
        }
        if !preview.changes.is_empty() {
            found.namespaces.push((namespace, change::describe(&preview.changes, &template.name)));
        }
    }
    let losing: Vec<&str> = losing.iter().map(String::as_str).collect();
    found.references = find_references(client, &[&template.name], &losing).await;
    found.leftovers = leftovers(client).await?;
    if !found.leftovers.is_empty() {
        found.references.extend(find_references(client, &LEFTOVERS, &["default"]).await);
    }
    Ok(found)
}

/// Returns the ConfigMap's binding with this spec. A new one is the youngest, and takes over the Secrets of the documented
/// component.
fn planned(spec: AcrCredentialBindingSpec, existing: Option<AcrCredentialBinding>) -> AcrCredentialBinding {
    let mut object = existing.unwrap_or_else(|| {
        let mut object = AcrCredentialBinding::new(names::LEGACY_NAME, AcrCredentialBindingSpec::default());
        object.labels_mut().insert(names::LABEL_CONVERTED.to_owned(), "true".to_owned());
        object.metadata.creation_timestamp = Some(Time(Timestamp::MAX));
        object
    });
    object.metadata.deletion_timestamp = None;
    object.spec = spec;
    object
}

/// Returns the snapshot of all bindings, and a note for each invalid one: while there is one, nothing is removed.
fn snapshot(
    template: &Arc<Template>,
    objects: &[AcrCredentialBinding],
    region: &str,
) -> (Snapshot, Vec<String>) {
    let (mut resolved_bindings, mut invalid) = (Vec::new(), Vec::new());
    for object in objects {
        match resolved(object, region) {
            Ok(resolved) => resolved_bindings.push(resolved),
            Err(error) => invalid.push(format!("{error}; nothing is removed until it is corrected")),
        }
    }
    (Snapshot::new(template.clone(), resolved_bindings, !invalid.is_empty()), invalid)
}

/// Marks a Secret as up to date if its content is the same before and after. Token and expiry are not known here.
fn as_served(view: NamespaceView, now: &Snapshot, then: &Snapshot) -> NamespaceRecord {
    let content = |view: &NamespaceView, snapshot: &Snapshot| {
        let set = filled_by(view, snapshot, &[]).filter(|set| !set.is_empty());
        set.map(|set| snapshot.content(&set))
    };
    let (before, after) = (content(&view, now), content(&view, then));
    // In a served namespace, an entry of our name is ours even without the Secret.
    let mut record = NamespaceRecord::new(view);
    record.served = before.is_some();
    if let (Some(before), Some(after), Some(secret)) = (before, after, &mut record.view.secret)
        && before.fingerprint == after.fingerprint
        && secret.ours
    {
        secret.fingerprint = after.fingerprint;
    }
    record
}

/// Returns what a notice of the controller says. The domains of a registry without `domains` are known to the cloud only.
fn note(notice: &Notice, then: &Snapshot) -> String {
    let mut registries = then.bindings().iter().flat_map(|resolved| &resolved.binding.registries);
    let is_guess = registries.any(|registry| registry.domains.is_empty());
    match notice.reason {
        NoticeReason::ContentReplaced if is_guess => {
            format!("{}. Hosts of your own instances may be among these, and stay", notice.message)
        }
        _ => notice.message.clone(),
    }
}

/// Returns a note if the binding would no longer select anything: then the controller removes nothing at first.
fn retained_first(index: &Index, now: &Snapshot, then: &Snapshot) -> Option<String> {
    let covers = |snapshot: &Snapshot| {
        let binding = &snapshot.resolved(snapshot.index_of(names::LEGACY_NAME)?).binding;
        let namespaces =
            index.matching(|name, facts| facts.is_open() && binding.namespaces.covers(name, &facts.labels));
        let covered = |account: &ServiceAccountView| {
            !account.skip && binding.service_accounts.covers(&account.name, &account.labels)
        };
        let accounts = namespaces
            .iter()
            .any(|name| index.read(name, |view| view.service_accounts.iter().any(covered)) == Some(true));
        Some((!namespaces.is_empty(), accounts))
    };
    let (kind, kept) = match (covers(now)?, covers(then)?) {
        ((true, _), (false, _)) => ("namespace", "Secrets and entries"),
        ((_, true), (_, false)) => ("ServiceAccount", "entries"),
        _ => return None,
    };
    Some(format!(
        "the binding {} would no longer select any {kind}: its {kept} stay for --withdrawal-grace",
        names::LEGACY_NAME
    ))
}

/// Deletes the leftovers that were found, and nothing else.
///
/// # Errors
/// [`ReadError`]
pub async fn remove_leftovers(client: &Client, found: &[String]) -> Result<(), ReadError> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), "default");
    for name in LEFTOVERS.iter().filter(|name| found.contains(&format!("default/{name}"))) {
        secrets.delete(name, &DeleteParams::default()).await.map_err(unreadable("a Secret"))?;
    }
    Ok(())
}

/// Resolves a binding with an empty token: a plan shows that a token would be written, and never which.
fn resolved(object: &AcrCredentialBinding, region: &str) -> Result<ResolvedBinding, PlanError> {
    let binding = Binding::parse_stored(object, region).map_err(|faults| PlanError::Invalid {
        name: object.name_any(),
        faults: faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
    })?;
    let registries = binding.registries.iter().map(|registry| {
        if !registry.is_served() {
            return RegistryCredential::Missing;
        }
        let domains: Vec<String> = match registry.domains.is_empty() {
            false => registry.domains.clone(),
            true => vec![placeholder(&registry.key)],
        };
        let credential = Credential {
            username: String::new(),
            token: SecretString::from(""),
            minted_at: Timestamp::UNIX_EPOCH,
            expires_at: Timestamp::MAX,
            origin: Origin::default(),
        };
        RegistryCredential::Held { credential: Arc::new(credential), domains: domains.into() }
    });
    let registries = registries.collect();
    let phase = match (object.metadata.deletion_timestamp.is_some(), binding.deletion_policy) {
        (true, DeletionPolicy::Retain) => Phase::Retaining,
        (true, DeletionPolicy::Delete) => Phase::Withdrawing,
        (false, _) if binding.suspend => Phase::Suspended,
        (false, _) => Phase::Active,
    };
    Ok(ResolvedBinding { binding: Arc::new(binding), phase, registries, keeps_entries: false })
}

/// Returns a text in place of the domains of a registry without `domains`, which the cloud knows.
fn placeholder(key: &RegistryKey) -> String {
    match &key.edition {
        Edition::Enterprise(id) => format!("{id}.{}", key.region),
        Edition::Personal => format!("registry.{}.aliyuncs.com", key.region),
    }
}

/// Returns the texts in place of domains, with their registries.
fn placeholders(then: &Snapshot) -> BTreeMap<String, String> {
    let registries = then.bindings().iter().flat_map(|resolved| &resolved.binding.registries);
    let unknown = registries.filter(|registry| registry.domains.is_empty());
    unknown.map(|registry| (placeholder(&registry.key), registry.key.to_string())).collect()
}

async fn leftovers(client: &Client) -> Result<Vec<String>, ReadError> {
    let secrets: Api<PartialObjectMeta<Secret>> = Api::namespaced(client.clone(), "default");
    let mut found = Vec::new();
    for name in LEFTOVERS {
        if secrets.get_opt(name).await.map_err(unreadable("a Secret"))?.is_some() {
            found.push(format!("default/{name}"));
        }
    }
    Ok(found)
}

impl PlanReport {
    /// Writes the plan for people.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn write(&self, to: &mut dyn io::Write) -> io::Result<()> {
        for (namespace, changes) in &self.namespaces {
            writeln!(to, "{namespace}: {changes}")?;
        }
        self.write_remarks(to)
    }

    /// Writes the objects as a unified diff, and everything else of the plan to the other output.
    ///
    /// # Errors
    /// An output cannot be written.
    pub fn write_diff(&self, to: &mut dyn io::Write, remarks: &mut dyn io::Write) -> io::Result<()> {
        self.objects.iter().try_for_each(|object| object.write(to))?;
        self.write_remarks(remarks)
    }

    fn write_remarks(&self, to: &mut dyn io::Write) -> io::Result<()> {
        for (namespace, why) in &self.refused {
            writeln!(to, "{namespace}: would not be served: {why}")?;
        }
        self.notes.iter().try_for_each(|note| writeln!(to, "{note}"))?;
        writeln!(
            to,
            "{} would change, {} up to date, {} not served; nothing was written",
            count(self.namespaces.len(), "namespace", "namespaces"),
            self.unchanged,
            self.refused.len()
        )?;
        self.references.write(to)?;
        if !self.leftovers.is_empty() {
            writeln!(
                to,
                "Secrets of the documented component that are no longer updated (--remove-leftovers deletes them): {}",
                self.leftovers.join(", ")
            )?;
        }
        Ok(())
    }
}
