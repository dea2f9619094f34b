//! The lines of an installation, from what was read of it.

use super::fact::{
    CheckedBinding, DefinitionFacts, DeploymentFacts, Fact, PoliciesFacts, PolicyFacts, ServerFacts, minor,
};
use super::report::{CheckLine, CheckOptions};
use crate::api::{ConditionType, names};
use crate::cli::lease::LeaseState;
use crate::cluster::access::AccessRight;
use crate::model::count;

/// The oldest minor version of Kubernetes.
const OLDEST: u32 = 25;

/// The first minor version that serves the policies.
pub(super) const WITH_POLICIES: u32 = 30;

/// The largest difference of clocks. The cloud refuses calls from 15 minutes on.
const MAX_SKEW_SECONDS: i64 = 300;

/// Names that a message lists at most.
const LISTED: usize = 5;

/// The label of the controller's Deployment and Pods.
pub(super) const LABEL: &str = "app.kubernetes.io/name=acr-credential-controller";

/// Returns a list for a message, with the count of what is left out.
pub(super) fn listed(items: &[String]) -> String {
    let shown = items.iter().take(LISTED).cloned().collect::<Vec<_>>().join(", ");
    match items.len().saturating_sub(LISTED) {
        0 => shown,
        others => format!("{shown} and {}", count(others, "other", "others")),
    }
}

/// Decides on the version of Kubernetes.
pub(super) fn kubernetes(server: &ServerFacts) -> CheckLine {
    const PART: &str = "kubernetes";
    let version = &server.version;
    match minor(version) {
        None => CheckLine::not_checked(PART, format!("the version {version} cannot be read")),
        Some(minor) if minor < OLDEST => CheckLine::failed(
            PART,
            format!("{version} is older than 1.{OLDEST}"),
            format!("upgrade the cluster to Kubernetes 1.{OLDEST} or later"),
        ),
        Some(minor) if minor < WITH_POLICIES => {
            CheckLine::passed(PART, format!("{version}; the policies need 1.{WITH_POLICIES}"))
        }
        Some(_) => CheckLine::passed(PART, version.clone()),
    }
}

/// Decides on the clocks of this machine and of the API server.
pub(super) fn clock(server: &ServerFacts) -> CheckLine {
    const PART: &str = "clock";
    let Some(time) = server.time else {
        return CheckLine::not_checked(PART, "the API server's answer has no time");
    };
    let ahead = server.local_time.as_second() - time.as_second();
    if ahead.abs() <= MAX_SKEW_SECONDS {
        return CheckLine::passed(PART, "this machine and the API server agree");
    }
    let side = if ahead > 0 { "ahead of" } else { "behind" };
    CheckLine::failed(
        PART,
        format!("the clock of this machine is {} min {side} the API server's", ahead.abs() / 60),
        "set the clock that is wrong, as by NTP: the cloud refuses calls of a machine whose clock is off by 15 min",
    )
}

/// Decides on the API: its definition, and whether it is served.
pub(super) fn api(definition: &Fact<Option<DefinitionFacts>>, served: &Fact<bool>) -> CheckLine {
    const PART: &str = "api";
    const APPLY: &str = "apply it: kubectl apply --server-side -f crds/";
    let name = format!("acrcredentialbindings.{}", names::GROUP);
    if let Fact::Known(None) = definition {
        return CheckLine::failed(PART, format!("the CustomResourceDefinition {name} does not exist"), APPLY);
    }
    if let Fact::Known(Some(found)) = definition {
        if found.is_terminating {
            return CheckLine::failed(
                PART,
                format!("the CustomResourceDefinition {name} is being deleted, and all bindings with it"),
                "wait until it is gone, or run kubectl acr uninstall if finalizers keep it; then apply it: kubectl apply \
                 --server-side -f crds/",
            );
        }
        if let Some(why) = &found.not_established {
            return CheckLine::failed(
                PART,
                format!("the CustomResourceDefinition {name} is not established: {why}"),
                "rename or delete the CustomResourceDefinition that has its names",
            );
        }
        if !found.missing_fields.is_empty() {
            return CheckLine::failed(
                PART,
                format!(
                    "the CustomResourceDefinition {name} is of another version: it lacks {}",
                    listed(&found.missing_fields)
                ),
                "apply that of this version: kubectl apply --server-side -f crds/",
            );
        }
    }
    match served {
        Fact::Known(true) => CheckLine::passed(PART, format!("{}/v1alpha1 is served", names::GROUP)),
        Fact::Known(false) => {
            CheckLine::failed(PART, format!("{}/v1alpha1 is not served", names::GROUP), APPLY)
        }
        Fact::Unknown(why) => CheckLine::not_checked(PART, why.clone()),
    }
}

/// Decides on the controller's rights.
pub(super) fn rights(rights: &Fact<Vec<(AccessRight, bool)>>, options: &CheckOptions) -> CheckLine {
    const PART: &str = "rights";
    let account = format!("{}/{}", options.namespace, options.service_account);
    let rights = match rights {
        Fact::Unknown(why) => return CheckLine::not_checked(PART, why.clone()),
        Fact::Known(rights) => rights,
    };
    let missing: Vec<String> =
        rights.iter().filter(|(_, allowed)| !allowed).map(|(right, _)| right.to_string()).collect();
    match missing.len() {
        0 => CheckLine::passed(PART, format!("{account} has all {} rights that were reviewed", rights.len())),
        lacking => CheckLine::failed(
            PART,
            format!(
                "the ServiceAccount {account} lacks {}: {}",
                count(lacking, "right", "rights"),
                listed(&missing)
            ),
            "apply deploy/rbac.yaml of this version, or name the controller's account by --namespace and \
             --service-account",
        ),
    }
}

/// Decides on the policies, first by what the controller reports on bindings.
pub(super) fn policies(
    policies: &Fact<PoliciesFacts>,
    bindings: &Fact<Vec<CheckedBinding>>,
    server: &ServerFacts,
    options: &CheckOptions,
) -> CheckLine {
    const PART: &str = "policies";
    const APPLY: &str = "apply deploy/policies.yaml of this version";
    let upgrade = format!("upgrade to Kubernetes 1.{WITH_POLICIES}, then apply deploy/policies.yaml");
    if minor(&server.version).is_some_and(|minor| minor < WITH_POLICIES) {
        return CheckLine::warning(
            PART,
            format!(
                "Kubernetes before 1.{WITH_POLICIES} has no ValidatingAdmissionPolicy, so none restricts the controller"
            ),
            upgrade,
        );
    }
    let reported = match bindings {
        Fact::Known(bindings) => bindings.iter().filter(|binding| binding.is_reported).collect(),
        Fact::Unknown(_) => Vec::new(),
    };
    let kind = ConditionType::PoliciesEnforced.as_str();
    for binding in &reported {
        if let Some(("False", message)) = binding.condition(kind) {
            let (what, cure) = message.split_once(": ").unwrap_or((message, APPLY));
            return CheckLine::failed(PART, what, cure);
        }
    }
    let policies = match policies {
        Fact::Known(policies) => policies,
        Fact::Unknown(_) if !reported.is_empty() => {
            return CheckLine::passed(PART, "the controller reports none as missing; they may not be read");
        }
        Fact::Unknown(why) => return CheckLine::not_checked(PART, why.clone()),
    };
    let PoliciesFacts::Served(policies) = policies else {
        return CheckLine::failed(
            PART,
            "the API server serves no ValidatingAdmissionPolicy, so none restricts the controller",
            upgrade,
        );
    };
    let named = |keep: &dyn Fn(&PolicyFacts) -> bool| -> Vec<String> {
        policies.iter().filter(|policy| keep(policy)).map(|policy| policy.name.clone()).collect()
    };
    let (absent, unbound) = (named(&|p| !p.exists), named(&|p| p.exists && !p.denies));
    let others = named(&|policy| policy.exists && !policy.names_user);
    if !absent.is_empty() {
        CheckLine::failed(PART, format!("these policies do not exist: {}", listed(&absent)), APPLY)
    } else if !unbound.is_empty() {
        let message =
            format!("these policies have no binding of their name that denies: {}", listed(&unbound));
        CheckLine::failed(PART, message, APPLY)
    } else if !others.is_empty() {
        let account = format!("{}/{}", options.namespace, options.service_account);
        CheckLine::failed(
            PART,
            format!("these policies name another account than {account}: {}", listed(&others)),
            "write this account and namespace into them, or name the controller's by --namespace and --service-account",
        )
    } else {
        CheckLine::passed(PART, format!("all {} exist, deny and name the controller", policies.len()))
    }
}

/// Decides on the replicas.
pub(super) fn replicas(deployments: &Fact<Vec<DeploymentFacts>>, options: &CheckOptions) -> CheckLine {
    const PART: &str = "replicas";
    let namespace = &options.namespace;
    let deployments = match deployments {
        Fact::Unknown(why) => return CheckLine::not_checked(PART, why.clone()),
        Fact::Known(deployments) => deployments,
    };
    if deployments.is_empty() {
        return CheckLine::failed(
            PART,
            format!("no Deployment in {namespace} has the label {LABEL}"),
            "apply deploy/controller.yaml, or name the controller's namespace by --namespace",
        );
    }
    for DeploymentFacts { name, desired, ready, .. } in deployments {
        if *desired == 0 {
            return CheckLine::failed(
                PART,
                format!("the Deployment {namespace}/{name} is scaled to 0"),
                format!("scale it: kubectl -n {namespace} scale deployment {name} --replicas=2"),
            );
        }
        if ready < desired {
            return CheckLine::failed(
                PART,
                format!("{ready} of {desired} replicas of the Deployment {namespace}/{name} are ready"),
                format!("see why, and correct it: kubectl -n {namespace} describe pods -l {LABEL}"),
            );
        }
    }
    let ready: i32 = deployments.iter().map(|deployment| deployment.ready).sum();
    let ready = usize::try_from(ready).unwrap_or_default();
    CheckLine::passed(PART, format!("{} ready", count(ready, "replica is", "replicas are")))
}

fn runs_dry(deployments: &Fact<Vec<DeploymentFacts>>) -> bool {
    matches!(deployments, Fact::Known(all) if !all.is_empty() && all.iter().all(|found| found.is_dry_run))
}

/// Decides on the Lease.
pub(super) fn lease(
    lease: &Fact<LeaseState>,
    deployments: &Fact<Vec<DeploymentFacts>>,
    options: &CheckOptions,
) -> CheckLine {
    const PART: &str = "lease";
    let (namespace, name) = (&options.namespace, names::LEASE_NAME);
    let restart = || format!("start it again: kubectl -n {namespace} rollout restart deployment -l {LABEL}");
    match lease {
        Fact::Unknown(why) => CheckLine::not_checked(PART, why.clone()),
        Fact::Known(LeaseState::Renewed { holder }) => {
            CheckLine::passed(PART, format!("{holder} holds it, and renews it"))
        }
        Fact::Known(_) if runs_dry(deployments) => {
            CheckLine::not_checked(PART, "a controller with --dry-run holds none")
        }
        Fact::Known(LeaseState::Absent) => CheckLine::failed(
            PART,
            format!("the Lease {namespace}/{name} does not exist: no controller has run there"),
            "apply deploy/controller.yaml, or name the controller's namespace by --namespace",
        ),
        Fact::Known(LeaseState::Stale { holder }) => CheckLine::failed(
            PART,
            format!("{holder} holds the Lease {namespace}/{name}, and does not renew it"),
            restart(),
        ),
        Fact::Known(LeaseState::Released | LeaseState::Unknown) => {
            CheckLine::failed(PART, format!("no controller holds the Lease {namespace}/{name}"), restart())
        }
    }
}

/// Decides on the region of the cluster.
pub(super) fn region(
    deployments: &Fact<Vec<DeploymentFacts>>,
    lease: &Fact<LeaseState>,
    options: &CheckOptions,
) -> CheckLine {
    const PART: &str = "region";
    let is_held = matches!(lease, Fact::Known(LeaseState::Renewed { .. }));
    let known = match deployments {
        Fact::Known(deployments) => deployments.as_slice(),
        Fact::Unknown(_) => &[],
    };
    if let Some(region) = known.iter().find_map(|deployment| deployment.region.as_deref()) {
        return CheckLine::passed(PART, format!("{region}, from the Deployment"));
    }
    if is_held {
        return CheckLine::passed(PART, "known to the controller, which does not start without");
    }
    match known.iter().find(|deployment| deployment.desired > 0 && deployment.ready == 0) {
        Some(DeploymentFacts { name, .. }) => CheckLine::failed(
            PART,
            "neither --region nor ACR_REGION gives it, and no replica is ready that has it from its node",
            format!(
                "give it: kubectl -n {} set env deployment/{name} ACR_REGION=REGION, with the region of the cluster such as \
                 cn-hangzhou",
                options.namespace
            ),
        ),
        None => CheckLine::not_checked(PART, "nothing that can be read gives it"),
    }
}

/// Decides on admission, by what the controller reports on the bindings that ask for it.
pub(super) fn admission(bindings: &Fact<Vec<CheckedBinding>>) -> CheckLine {
    const PART: &str = "admission";
    let bindings = match bindings {
        Fact::Unknown(why) => return CheckLine::not_checked(PART, why.clone()),
        Fact::Known(bindings) => bindings,
    };
    let asking: Vec<&CheckedBinding> = bindings.iter().filter(|binding| binding.asks_for_admission).collect();
    let kind = ConditionType::AdmissionConfigured.as_str();
    for binding in &asking {
        match binding.condition(kind) {
            Some(("True", _)) => {}
            Some((_, message)) => {
                let (what, cure) = message.split_once(": ").unwrap_or((message, "wait, and check again"));
                return CheckLine::failed(PART, format!("the binding {}: {what}", binding.name), cure);
            }
            None => {
                let message = format!("the controller has not reported on the binding {} yet", binding.name);
                return CheckLine::not_checked(PART, message);
            }
        }
    }
    match asking.len() {
        0 => CheckLine::passed(PART, "no binding asks for it"),
        asking => CheckLine::passed(
            PART,
            format!("{} it", count(asking, "binding asks for it and gets", "bindings ask for it and get")),
        ),
    }
}
