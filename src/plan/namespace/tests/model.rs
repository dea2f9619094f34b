//! Any namespace under any bindings: plans are applied to a small model of the cluster until nothing is left to do.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;
use proptest::prelude::*;
use secrecy::ExposeSecret as _;
use serde_json::json;

use crate::api::{Reason, names};
use crate::plan::fixture::{MANAGED, account, at, bound_with, held, record, refuse_create, template};
use crate::plan::record::WriteResult;
use crate::plan::secret::{Listing, ValueDigest};
use crate::plan::view::Provenance;
use crate::plan::{
    Change, Failure, NamespaceRecord, NamespaceView, Phase, Plan, RegistryCredential, ResolvedBinding,
    Retained, SecretContent, SecretView, Snapshot, round,
};

type Map = BTreeMap<String, String>;

/// A Secret as the API server holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Secret {
    uid: u64,
    version: u64,
    type_: &'static str,
    labels: Map,
    annotations: Map,
    data: Map,
    /// Whether the API server recorded a write of this controller. A copy does not have that.
    written_by_us: bool,
}

impl Secret {
    fn view(&self) -> SecretView {
        let data = self.data.iter().map(|(key, value)| (key.clone(), ValueDigest::of(value))).collect();
        let labelled = self.labels.get(MANAGED.0).is_some_and(|value| value == MANAGED.1);
        SecretView {
            uid: self.uid.to_string().into(),
            resource_version: self.version.to_string().into(),
            ours: labelled || self.annotations.contains_key(names::ANNOTATION_REGISTRIES),
            provenance: Provenance::of(
                "n",
                self.annotations.get(names::ANNOTATION_NAMESPACE).map(String::as_str),
                self.written_by_us,
            ),
            retained: self.annotations.get(names::ANNOTATION_RETAINED).is_some_and(|value| value == "true"),
            foreign_type: (self.type_ != names::SECRET_TYPE).then(|| self.type_.into()),
            immutable: false,
            extra_keys: self
                .data
                .keys()
                .filter(|key| *key != names::SECRET_KEY)
                .map(|key| key.as_str().into())
                .collect(),
            listing: self
                .annotations
                .get(names::ANNOTATION_REGISTRIES)
                .map_or_else(Listing::default, |registries| Listing::of(registries)),
            fingerprint: template().fingerprint(&data, &self.labels, &self.annotations),
        }
    }

    fn put(&mut self, content: &SecretContent) {
        self.labels.extend(template().all_labels());
        self.annotations.insert(names::ANNOTATION_REGISTRIES.into(), content.registries.clone());
        self.annotations.insert(names::ANNOTATION_NAMESPACE.into(), "n".into());
        self.written_by_us = true;
        self.annotations.remove(names::ANNOTATION_RETAINED);
        self.data.insert(names::SECRET_KEY.into(), content.data.expose_secret().to_owned());
    }
}

/// A namespace as the cluster holds it, and what this process knows of it.
#[derive(Clone, Debug)]
struct World {
    record: NamespaceRecord,
    secret: Option<Secret>,
    version: u64,
    /// The API server refuses a Secret here.
    refuses: bool,
}

impl World {
    /// Plans it as it is now, `retained` being the bindings whose part stays.
    fn plan(&mut self, snapshot: &Snapshot, retained: &[Retained], now: Timestamp) -> Plan {
        self.record.view.secret = self.secret.as_ref().map(Secret::view);
        round(&mut self.record, snapshot, retained, now)
    }

    /// Does what `cluster::apply` would, and what the API server would say to a wrong precondition.
    fn apply(&mut self, change: &Change) {
        self.version += 1;
        let version = self.version;
        match change {
            Change::CreateSecret { content } => {
                assert!(self.secret.is_none(), "a create where one exists");
                if self.refuses {
                    let refused = WriteResult::Refused(Failure::new(Reason::QuotaExceeded, "no room"));
                    return self.record.record_write(change, refused, false, at(0));
                }
                let (labels, annotations, data) = (Map::new(), Map::new(), Map::new());
                let mut made = Secret {
                    uid: version,
                    version,
                    type_: names::SECRET_TYPE,
                    labels,
                    annotations,
                    data,
                    written_by_us: true,
                };
                made.put(content);
                self.secret = Some(made);
            }
            Change::UpdateSecret { content, resource_version, extra_keys, .. } => {
                let secret = self.at(resource_version);
                secret.put(content);
                secret.data.retain(|key, _| !extra_keys.iter().any(|extra| **extra == **key));
                secret.version = version;
            }
            Change::ReplaceSecret { .. } => panic!("no Secret is immutable here"),
            Change::RetainSecret { resource_version, .. } => {
                let secret = self.at(resource_version);
                secret.annotations.insert(names::ANNOTATION_RETAINED.into(), "true".into());
                secret.annotations.insert(names::ANNOTATION_NAMESPACE.into(), "n".into());
                secret.written_by_us = true;
                secret.version = version;
            }
            Change::DeleteSecret { uid, resource_version } => {
                assert_eq!(self.at(resource_version).uid.to_string(), **uid);
                self.secret = None;
            }
            Change::SetPullSecrets { service_account, resource_version, pull_secrets } => {
                let account = self
                    .record
                    .view
                    .service_accounts
                    .iter_mut()
                    .find(|a| *a.name == **service_account)
                    .unwrap();
                assert_eq!(account.resource_version, *resource_version);
                account.pull_secrets = pull_secrets.as_slice().into();
                account.resource_version = version.to_string().into();
            }
        }
    }

    fn at(&mut self, version: &str) -> &mut Secret {
        let secret = self.secret.as_mut().expect("a write on no Secret");
        assert_eq!(secret.version.to_string(), version, "a wrong precondition");
        secret
    }

    fn others(&self) -> Vec<Vec<Box<str>>> {
        let accounts = self.record.view.service_accounts.iter();
        accounts.map(|a| a.pull_secrets.iter().filter(|n| &***n != "ours").cloned().collect()).collect()
    }
}

fn any_binding() -> impl Strategy<Value = ResolvedBinding> {
    let phase = prop_oneof![
        4 => Just(Phase::Active),
        1 => Just(Phase::Suspended),
        1 => Just(Phase::Withdrawing),
        1 => Just(Phase::Retaining),
    ];
    let credential = prop_oneof![4 => Just(None), 1 => Just(Some(RegistryCredential::Pending)), 1 => Just(Some(RegistryCredential::Missing))];
    let covers = prop::sample::select(vec!["n", "*", "elsewhere"]);
    let accounts = prop::sample::subsequence(vec!["a", "b", "c*"], 1..=2);
    let domains = prop::sample::subsequence(vec!["d1", "d2", "d3"], 1..=2);
    (0_u8..2, phase, credential, covers, accounts, domains, any::<bool>(), 0_u8..9, 0_i64..2).prop_map(
        |(instance, phase, credential, namespace, accounts, domains, adopt, name, age)| {
            let spec = json!({
                "registries": [{ "instanceId": format!("cri-{instance}"), "domains": domains }],
                "watchNamespaces": { "names": [namespace] },
                "serviceAccounts": { "names": accounts },
            });
            let resolved = bound_with(&format!("binding-{name}"), spec).phased(phase).aged(age);
            let resolved = if adopt { resolved.adopting() } else { resolved };
            resolved.with(|b| b.registries[0] = credential.unwrap_or_else(|| b.registries[0].clone()))
        },
    )
}

fn any_secret() -> impl Strategy<Value = Option<Secret>> {
    let type_ = prop_oneof![5 => Just(names::SECRET_TYPE), 1 => Just("Opaque")];
    let marks = (any::<bool>(), any::<bool>(), prop::bool::weighted(0.2), prop::bool::weighted(0.2));
    let written = (prop::sample::select(vec![None, Some("n"), Some("other")]), any::<bool>());
    prop::option::of((type_, marks, written).prop_map(|(type_, marks, (written_for, written_by_us))| {
        let (labelled, annotated, retained, extra) = marks;
        let map = |key: &str, value: &str, there: bool| there.then(|| (key.to_owned(), value.to_owned()));
        let retained = retained && (labelled || annotated);
        let marks =
            [(names::ANNOTATION_REGISTRIES, "[]", annotated), (names::ANNOTATION_RETAINED, "true", retained)];
        Secret {
            uid: 1,
            version: 1,
            type_,
            labels: map(MANAGED.0, MANAGED.1, labelled).into_iter().chain(map("team", "x", true)).collect(),
            annotations: marks
                .into_iter()
                .filter_map(|(k, v, there)| map(k, v, there))
                .chain(written_for.and_then(|name| map(names::ANNOTATION_NAMESPACE, name, true)))
                .collect(),
            data: map(names::SECRET_KEY, "e30=", true)
                .into_iter()
                .chain(map("more", "e30=", extra))
                .collect(),
            written_by_us,
        }
    }))
}

prop_compose! {
    fn any_world()(
        secret in any_secret(),
        lists in prop::collection::vec(prop::collection::vec(prop::sample::select(vec!["x", "y", "ours"]), 0..5), 3),
        skips in prop::collection::vec(prop::bool::weighted(0.2), 4),
        terminating in prop::bool::weighted(0.05),
        refused in prop::bool::weighted(0.1),
        served: bool,
    ) -> World {
        let mut record = record(&[]);
        let accounts = ["a", "b", "cc"].into_iter().zip(&lists).map(|(name, list)| account(name, &list.join(" ")));
        record.view.service_accounts = accounts.collect();
        record.view.service_accounts.iter_mut().zip(&skips).for_each(|(account, skip)| account.skip = *skip);
        record.served = served;
        // What was refused is forgotten as soon as a Secret is seen.
        let refuses = refused && secret.is_none();
        if refuses {
            refuse_create(&mut record, at(-600));
        }
        if let Some(facts) = record.view.facts.as_mut() {
            (facts.skip, facts.terminating) = (skips[3], terminating);
        }
        World { record, secret, version: 7, refuses }
    }
}

/// Returns the bindings that cover this namespace.
fn covering<'a>(world: &World, snapshot: &'a Snapshot) -> Vec<&'a ResolvedBinding> {
    let facts = world.record.view.facts.as_ref().unwrap();
    snapshot.covering("n", facts).into_iter().map(|i| snapshot.resolved(i)).collect()
}

/// Asserts that everything wanted exists, where the namespace is served and nothing prevents it.
fn assert_served(world: &World, snapshot: &Snapshot) {
    let covering = covering(world, snapshot);
    let active = |b: &&&ResolvedBinding| b.phase == Phase::Active;
    let view = NamespaceView { secret: world.secret.as_ref().map(Secret::view), ..world.record.view.clone() };
    let waits = world.refuses
        || covering.iter().filter(active).any(|b| b.is_pending())
        || view.secret.as_ref().is_none_or(|secret| secret.foreign_type.is_some() || !secret.ours);
    if waits
        || world.record.view.facts.as_ref().unwrap().terminating
        || covering.iter().filter(active).count() == 0
    {
        return;
    }
    let retained = |i: &usize| matches!(snapshot.resolved(*i).phase, Phase::Active | Phase::Suspended);
    let facts = world.record.view.facts.as_ref().unwrap();
    let set: Vec<usize> = snapshot.covering("n", facts).into_iter().filter(retained).collect();
    let content = snapshot.content(&set);
    // Without a credential, the existing content stays.
    if !content.is_empty {
        assert_eq!(view.secret.as_ref().map(|s| s.fingerprint), Some(content.fingerprint));
    }
    for account in view.service_accounts.iter().filter(|account| !account.skip) {
        let covers =
            |b: &&&ResolvedBinding| b.binding.service_accounts.covers(&account.name, &account.labels);
        let ours = account.pull_secrets.iter().filter(|name| &***name == "ours").count();
        let wanted = covering.iter().filter(active).any(|b| covers(&b));
        let held =
            snapshot.coverage_unknown() || covering.iter().any(|b| b.phase == Phase::Suspended && covers(&b));
        assert!(if wanted { ours == 1 } else { held || ours == 0 }, "{account:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn plans_converge_and_leave_alone_what_is_not_ours(
        start in any_world(), bindings in prop::collection::vec(any_binding(), 0..4), unknown in prop::bool::weighted(0.1)
    ) {
        let snapshot = Snapshot::new(template(), bindings, unknown);
        let mut world = start.clone();
        let mut rest = false;
        for _ in 0..=3 {
            let plan = world.plan(&snapshot, &[], at(0));
            let deletes = plan.changes.iter().any(|change| matches!(change, Change::DeleteSecret { .. }));
            prop_assert!(!deletes || plan.changes.len() == 1, "beside a delete: {:?}", plan.changes);
            // A create that is refused is all that may be tried again and again.
            let futile = |change: &Change| matches!(change, Change::CreateSecret { .. }) && world.refuses;
            rest = plan.changes.iter().all(futile);
            if rest {
                break;
            }
            plan.changes.iter().for_each(|change| world.apply(change));
        }
        let left = world.plan(&snapshot, &[], at(0)).changes;
        prop_assert!(rest, "still changing after three rounds: {:?}", left);
        prop_assert_eq!(world.others(), start.others());

        let covering = covering(&start, &snapshot);
        let adopted = covering.iter().any(|b| b.phase == Phase::Active && b.binding.adopt);
        let lists = |world: &World| world.record.view.service_accounts.clone();
        if let Some(secret) = &start.secret {
            let touchable = secret.type_ == names::SECRET_TYPE && (secret.view().ours || adopted);
            if !touchable {
                prop_assert_eq!(&world.secret, &start.secret);
                prop_assert_eq!(lists(&world), lists(&start), "entries beside a foreign Secret");
            }
        }
        let removable = |secret: SecretView| match secret.provenance {
            Provenance::Here => secret.ours && !secret.retained,
            Provenance::Unknown => secret.ours && !secret.retained && start.record.served,
            Provenance::Elsewhere => false,
        };
        let ours = start.secret.as_ref().is_some_and(|secret| removable(secret.view()));
        let nothing_of_ours = covering.is_empty() && !ours && !(start.record.served && start.secret.is_none());
        let none_acts = !covering.iter().any(|b| b.phase == Phase::Active)
            && (unknown || covering.iter().any(|b| b.phase == Phase::Suspended));
        if nothing_of_ours || none_acts || start.record.view.facts.as_ref().unwrap().terminating {
            prop_assert_eq!(&world.secret, &start.secret);
            prop_assert_eq!(lists(&world), lists(&start));
        }
        assert_served(&world, &snapshot);
    }

    #[test]
    fn equal_bindings_give_equal_secrets_in_any_order(
        bindings in prop::collection::vec(any_binding(), 0..4)
    ) {
        let mut names = std::collections::HashSet::new();
        let bindings: Vec<ResolvedBinding> = bindings.into_iter().filter(|b| names.insert(b.binding.name.clone())).collect();
        let reversed = Snapshot::new(template(), bindings.iter().rev().cloned().collect(), false);
        let all: Vec<usize> = (0..bindings.len()).collect();
        let forward = Snapshot::new(template(), bindings, false);
        prop_assert_eq!(forward.content(&all).fingerprint, reversed.content(&all).fingerprint);
    }
}

/// The model itself: a token that changed is a change.
#[test]
fn the_model_sees_a_fresh_token() {
    let mut world = World { record: record(&[("a", "")]), secret: None, version: 0, refuses: false };
    let spec = json!({"serviceAccounts": {"names": ["a"]}});
    for (token, expected) in [("one", 2), ("one", 0), ("two", 1)] {
        let resolved = bound_with("b", spec.clone()).with(|b| b.registries[0] = held(token, &["d".into()]));
        let plan = world.plan(&Snapshot::new(template(), vec![resolved], false), &[], at(0));
        assert_eq!(plan.changes.len(), expected, "{token}");
        plan.changes.iter().for_each(|change| world.apply(change));
    }
}

mod guarded;
