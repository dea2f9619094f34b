//! The lines before an installation.

use super::decide::listed;
use super::fact::{ComponentFacts, ControllerFacts, Fact};
use super::report::{CheckLine, CheckOptions};
use crate::cluster::access::AccessRight;
use crate::model::count;

/// Decides on the caller's own rights.
pub(super) fn rights(rights: &Fact<Vec<(AccessRight, bool)>>) -> CheckLine {
    const PART: &str = "rights";
    let rights = match rights {
        Fact::Unknown(why) => return CheckLine::not_checked(PART, why.clone()),
        Fact::Known(rights) => rights,
    };
    let missing: Vec<String> =
        rights.iter().filter(|(_, allowed)| !allowed).map(|(right, _)| right.to_string()).collect();
    match missing.len() {
        0 => CheckLine::passed(PART, "you may create all objects of an installation"),
        lacking => CheckLine::failed(
            PART,
            format!("you lack {}: {}", count(lacking, "right", "rights"), listed(&missing)),
            "install it as a cluster administrator",
        ),
    }
}

/// Decides on other controllers: a cluster has one.
pub(super) fn controller(controllers: &Fact<ControllerFacts>, options: &CheckOptions) -> CheckLine {
    const PART: &str = "controller";
    let controllers = match controllers {
        Fact::Unknown(why) => return CheckLine::not_checked(PART, why.clone()),
        Fact::Known(controllers) => controllers,
    };
    let deployments = controllers.deployments.iter().map(|found| &found.namespace);
    let accounts = controllers.accounts.iter().map(|(namespace, _)| namespace);
    let mut namespaces: Vec<&String> = deployments.chain(accounts).collect();
    namespaces.sort();
    namespaces.dedup();
    match namespaces.iter().find(|namespace| ***namespace != *options.namespace) {
        Some(other) => CheckLine::failed(
            PART,
            format!("the namespace {other} has one, and a cluster has one only"),
            format!(
                "upgrade that one, with --namespace {other}; or run kubectl acr uninstall --namespace {other}, and delete its \
                 Deployment"
            ),
        ),
        None if namespaces.is_empty() => CheckLine::passed(PART, "none is installed"),
        None => CheckLine::passed(
            PART,
            format!("one is installed in {} already: this is an upgrade", options.namespace),
        ),
    }
}

/// Describes the documented component. It may be there: the controller takes over from it.
pub(super) fn component(component: &Fact<ComponentFacts>) -> CheckLine {
    const PART: &str = "component";
    let ComponentFacts { runs, has_config_map } = match component {
        Fact::Unknown(why) => return CheckLine::not_checked(PART, why.clone()),
        Fact::Known(component) => *component,
    };
    let message = match (runs, has_config_map) {
        (false, false) => {
            "aliyun-acr-credential-helper does not run here; a managed one is not visible in the cluster"
        }
        (false, true) => "the ConfigMap acr-configuration exists: the controller makes a binding of it",
        (true, _) => {
            "aliyun-acr-credential-helper runs: the controller takes over its Secrets, and the migration page says when it \
             is stopped"
        }
    };
    CheckLine::passed(PART, message)
}
