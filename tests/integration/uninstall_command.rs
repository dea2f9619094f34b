//! `kubectl acr uninstall`, by an account that has exactly its rights.

use std::path::Path;
use std::time::Duration;

use acr_lab::controller::ControllerOptions;
use acr_lab::docs::commands;
use acr_lab::plane::{Fault, FaultProxy, Options, Plane, Target};
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use crate::harness::{DOMAIN, Lab, NAMESPACE, SECRET, root};
use crate::rights::{account, acr, command, done};
use crate::uninstall::{Mode, created, install_with};

const FINALIZER: &str = "acrcredential.dev/withdraw";
const DONE: &str = "done: the controller can be removed.";
const CONVERTED: &str = "acr-configuration";

/// Starts a controller whose Lease ends soon, with bindings, a ConfigMap and the mode of admission under `Fail`.
async fn installed(mode: Mode) -> Lab {
    let (plane, _) = mode.plane().await;
    let lab =
        install_with(plane, mode, |options: ControllerOptions| options.arg("--lease-duration=3s")).await;
    for binding in ["goes", "stays", CONVERTED] {
        assert_eq!(finalizers(&lab, binding).await, [FINALIZER]);
    }
    lab
}

async fn finalizers(lab: &Lab, binding: &str) -> Vec<String> {
    lab.bindings().get(binding).await.unwrap().finalizers().to_vec()
}

async fn configuration(client: &Client) -> Option<MutatingWebhookConfiguration> {
    Api::all(client.clone()).get_opt("acr-credential-webhook").await.unwrap()
}

fn lines<'a>(out: &'a str, with: &str) -> Vec<&'a str> {
    out.lines().filter(|line| line.contains(with)).collect()
}

/// Checks that nothing of the controller is in the way of others, though it may still run.
async fn assert_harmless(lab: &Lab) {
    assert!(configuration(&lab.client).await.is_none());
    assert_eq!(created(lab).await.unwrap(), [""; 0], "no webhook is called, and none adds an entry");
    for binding in lab.bindings().list(&Default::default()).await.unwrap() {
        assert_eq!(binding.finalizers(), [""; 0], "{}", binding.name_any());
    }
    // Without --wait=false, it returns once they are gone.
    lab.plane.kubectl_ok(&["delete", "acrcredentialbindings", "--all", "--timeout=10s"]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_that_runs_loses_its_rights_its_webhook_and_its_finalizers() {
    let lab = installed(Mode::Webhook).await;
    let hook = account(&lab.plane, "hook", &["uninstall.yaml"]).await;
    let (code, out, err) = acr(&hook, &["uninstall"]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    for line in [
        "ClusterRoleBinding acr-credential-controller: deleted",
        "ClusterRoleBinding acr-credential-webhook: deleted",
        "ClusterRoleBinding acr-credential-heal: does not exist",
        "ServiceAccount acr-credential-system/acr-credential-controller: has no rights on bindings and webhooks",
        "MutatingWebhookConfiguration acr-credential-webhook: deleted",
        "binding goes: finalizer removed",
        "binding stays: finalizer removed",
        "binding acr-configuration: finalizer removed",
        "bindings: none has a finalizer of the controller",
        DONE,
    ] {
        assert_eq!(lines(&out, line).len(), 1, "{line} in {out}");
    }
    // The controller runs, and tries to restore both.
    lab.until("the controller is refused", async || {
        lab.controller.log().contains("is forbidden") || lab.controller.log().contains("orbidden")
    })
    .await;
    for namespace in ["home-a", "home-b", "home-c"] {
        assert!(lab.token(namespace, DOMAIN).await.is_some(), "{namespace}: nothing is withdrawn");
        assert_eq!(lab.pull_secrets(namespace, "own").await, ["mine", SECRET]);
    }
    assert_harmless(&lab).await;
    let (code, out, err) = acr(&hook, &["uninstall"]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(lines(&out, "deleted").is_empty() && lines(&out, "finalizer removed").is_empty(), "{out}");
    assert!(out.contains(DONE), "{out}");
    assert_harmless(&lab).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_is_removed_as_the_last_line_says() {
    let lab = installed(Mode::Policy).await;
    let hook = account(&lab.plane, "hook", &["uninstall.yaml"]).await;
    let line = &commands("docs/kubectl-acr.md", "Uninstall").unwrap()[0];
    let args: Vec<&str> = line.strip_prefix("kubectl acr ").unwrap().split(' ').collect();
    let (code, out, err) = acr(&hook, &args);
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.contains("MutatingWebhookConfiguration acr-credential-webhook: does not exist"), "{out}");
    assert!(
        out.contains(
            "once it is stopped, kubectl acr withdraw --retained lists them, and --yes removes them"
        )
    );
    lab.plane.kubectl_ok(&["delete", "acrcredentialbindings", "--all", "--timeout=10s"]).await.unwrap();
    lab.plane
        .kubectl_ok(&["delete", "--timeout=10s", "-f", "crds/acrcredentialbindings.yaml"])
        .await
        .unwrap();
    lab.controller.kill();
    let admin = lab.plane.kubeconfig();
    let (code, out, err) = acr(admin, &["withdraw", "--retained"]);
    assert!(code == Some(0) && out.contains("home-a") && out.contains("home-c"), "{out}{err}");
    let (code, out, err) = acr(admin, &["withdraw", "--retained", "--yes"]);
    assert_eq!(code, Some(0), "{out}{err}");
    for namespace in ["home-a", "home-b", "home-c"] {
        assert!(lab.secret(namespace).await.is_none(), "{namespace}");
        assert_eq!(lab.pull_secrets(namespace, "own").await, ["mine"], "{namespace}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_controller_leaves_a_webhook_and_finalizers_that_are_removed_also_with_withdraw() {
    for flags in [&["uninstall"][..], &["uninstall", "--withdraw"]] {
        let lab = installed(Mode::Webhook).await;
        let files = ["uninstall.yaml", "uninstall-withdraw.yaml"];
        let hook = account(&lab.plane, "hook", &files[..flags.len()]).await;
        lab.controller.kill();
        assert!(created(&lab).await.is_err(), "the webhook is called under Fail, and nothing answers");
        let (code, out, err) = acr(&hook, flags);
        assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
        let said = lines(&out, "not possible, since no controller renews the Lease acr-credential-system/");
        assert_eq!(said.len(), flags.len() - 1, "{out}");
        for binding in ["goes", "stays"] {
            assert!(lab.bindings().get(binding).await.unwrap().metadata.deletion_timestamp.is_none());
        }
        assert!(lab.token("home-a", DOMAIN).await.is_some(), "nothing is withdrawn");
        assert_harmless(&lab).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_withdraw_the_controller_removes_what_it_wrote_before_it_loses_its_rights() {
    let lab = installed(Mode::Webhook).await;
    let hook = account(&lab.plane, "hook", &["uninstall.yaml", "uninstall-withdraw.yaml"]).await;
    let (code, out, err) = acr(&hook, &["uninstall", "--withdraw"]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    for line in [
        "binding goes: deletion requested",
        "binding stays: deletion requested",
        "withdrawal: the controller has withdrawn all of these bindings",
        "binding acr-configuration: deleted. It was made from a ConfigMap and has deletionPolicy Retain",
        "MutatingWebhookConfiguration acr-credential-webhook: deleted",
        DONE,
    ] {
        assert_eq!(lines(&out, line).len(), 1, "{line} in {out}");
    }
    assert!(lab.secret("home-a").await.is_none(), "it is withdrawn");
    assert_eq!(lab.pull_secrets("home-a", "own").await, ["mine"]);
    assert!(
        lab.secret("home-b").await.is_some() && lab.secret("home-c").await.is_some(),
        "these are retained"
    );
    assert_eq!(lab.bindings().list(&Default::default()).await.unwrap().items.len(), 0);
    assert_harmless(&lab).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_anything_of_the_controller_there_is_nothing_to_do() {
    let plane = Plane::start(Options::default()).await.unwrap();
    let hook = account(&plane, "hook", &["uninstall.yaml", "uninstall-withdraw.yaml"]).await;
    for flags in [&["uninstall"][..], &["uninstall", "--withdraw"]] {
        let (code, out, err) = acr(&hook, flags);
        assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
        assert_eq!(lines(&out, "does not exist").len(), 4, "{out}");
        assert!(out.contains("bindings: the API is not installed") && out.contains(DONE), "{out}");
    }
    // A half of it, without the API: the configuration of the webhook alone.
    let mut webhook = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": { "name": "acr-credential-webhook" },
    });
    plane.apply(&webhook.to_string()).await.unwrap();
    let (code, out, _) = acr(&hook, &["uninstall"]);
    assert_eq!(code, Some(0), "{out}");
    let left =
        "left as it is, since it lacks the label app.kubernetes.io/managed-by=acr-credential-controller";
    assert!(
        out.contains(left) && configuration(&plane.client()).await.is_some(),
        "another tool made it: {out}"
    );
    webhook["metadata"]["labels"] = json!({ "app.kubernetes.io/managed-by": "acr-credential-controller" });
    plane.apply(&webhook.to_string()).await.unwrap();
    let (code, out, _) = acr(&hook, &["uninstall"]);
    assert!(code == Some(0) && configuration(&plane.client()).await.is_none(), "{out}");
    // A role of another tool under one of the names.
    let mut view = grant("acr-credential-heal", "view", NAMESPACE, "acr-credential-controller");
    plane.apply(&view.to_string()).await.unwrap();
    let (code, out, _) = acr(&hook, &["uninstall"]);
    assert!(code == Some(0) && out.contains("left as it is, since it is for the ClusterRole view"), "{out}");
    // Once it gives what matters, it is in the way.
    plane.kubectl_ok(&["delete", "clusterrolebinding", "acr-credential-heal"]).await.unwrap();
    view["roleRef"]["name"] = json!("cluster-admin");
    plane.apply(&view.to_string()).await.unwrap();
    let (code, out, err) = acr(&hook, &["uninstall"]);
    assert!(
        code == Some(1) && err.contains("by kubectl edit clusterrolebinding acr-credential-heal"),
        "{out}{err}"
    );
}

fn grant(name: &str, role: &str, namespace: &str, account: &str) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": { "name": name },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role },
        "subjects": [{ "kind": "ServiceAccount", "namespace": namespace, "name": account }],
    })
}

/// Runs it, expects what is in its way, and returns the error.
fn obstructed(hook: &Path, flags: &[&str], words: &str) -> String {
    let (code, out, err) = acr(hook, &[&["uninstall"], flags].concat());
    assert_eq!(code, Some(1), "{out}{err}");
    assert!(err.contains(words) && !out.contains(DONE), "{words} in {err}");
    err
}

fn unobstructed(hook: &Path, flags: &[&str]) {
    let (code, out, err) = acr(hook, &[&["uninstall"], flags].concat());
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_the_way_is_named_and_its_cure_works() {
    let lab = installed(Mode::Not).await;
    let plane = &lab.plane;
    let hook = account(plane, "hook", &["uninstall.yaml", "uninstall-withdraw.yaml"]).await;

    // The controller of another namespace.
    let flags = ["--namespace", "elsewhere"];
    let said = obstructed(&hook, &flags, "and nothing was changed: to uninstall that controller, run ");
    let run = acr_lab::message::after(&said, "run ").trim().to_owned();
    assert_eq!(finalizers(&lab, "goes").await, [FINALIZER], "nothing was changed");
    let run: Vec<&str> = run.strip_prefix("kubectl acr ").unwrap().split(' ').collect();

    // A right that the account lacks.
    let roles = ["get", "clusterrole", "acr-credential-uninstall", "-o", "json"];
    let role: Value = serde_json::from_str(&plane.kubectl_ok(&roles).await.unwrap()).unwrap();
    let mut less = role.clone();
    less["rules"][3]["verbs"] = json!(["list"]);
    less["metadata"] = json!({ "name": "acr-credential-uninstall" });
    plane.apply(&less.to_string()).await.unwrap();
    let said = obstructed(&hook, &[], "grant that right to the user, and run it again");
    assert!(
        said.contains("the finalizer of a binding cannot be removed") && said.contains("patch"),
        "{said}"
    );
    plane.apply_file(root().join("tests/integration/rights/uninstall.yaml")).await.unwrap();

    // A policy of others that refuses it.
    let refusing = |exempt: &str| {
        json!({ "apiVersion": "v1", "kind": "List", "items": [
            {
                "apiVersion": "admissionregistration.k8s.io/v1",
                "kind": "ValidatingAdmissionPolicy",
                "metadata": { "name": "frozen" },
                "spec": {
                    "matchConstraints": { "resourceRules": [{
                        "apiGroups": ["acrcredential.dev"],
                        "apiVersions": ["*"],
                        "operations": ["UPDATE"],
                        "resources": ["acrcredentialbindings"],
                    }] },
                    "matchConditions": [{ "name": "exempt", "expression": exempt }],
                    "validations": [{ "expression": "false", "message": "bindings are frozen" }],
                },
            },
            {
                "apiVersion": "admissionregistration.k8s.io/v1",
                "kind": "ValidatingAdmissionPolicyBinding",
                "metadata": { "name": "frozen" },
                "spec": { "policyName": "frozen", "validationActions": ["Deny"] },
            },
        ] })
    };
    plane.apply(&refusing("true").to_string()).await.unwrap();
    let is_refused = async || {
        let patch = json!({ "metadata": { "annotations": { "a": "b" } } });
        let params = PatchParams { dry_run: true, ..PatchParams::default() };
        lab.bindings().patch("goes", &params, &Patch::Merge(&patch)).await.is_err()
    };
    lab.until("the policy is enforced", is_refused).await;
    let said = obstructed(&hook, &[], "exempt the user in that policy or webhook, and run it again");
    assert!(said.contains("bindings are frozen"), "{said}");
    let exempt = format!("request.userInfo.username != 'system:serviceaccount:{NAMESPACE}:hook'");
    plane.apply(&refusing(&exempt).to_string()).await.unwrap();
    lab.until("the account is exempt", async || acr(&hook, &["uninstall"]).0 == Some(0)).await;
    assert_eq!(finalizers(&lab, "goes").await, [""; 0]);
    plane.kubectl_ok(&["delete", "validatingadmissionpolicybinding", "frozen"]).await.unwrap();

    // Another ClusterRoleBinding gives the same rights.
    let extra = grant("extra", "cluster-admin", NAMESPACE, "acr-credential-controller");
    plane.apply(&extra.to_string()).await.unwrap();
    let said =
        obstructed(&hook, &[], "Remove that account there, such as by kubectl edit clusterrolebinding extra");
    assert!(said.contains("acr-credential-system/acr-credential-controller may still"), "{said}");
    let none: Api<ClusterRoleBinding> = Api::all(lab.client.clone());
    let patch = Patch::Merge(json!({ "subjects": [] }));
    none.patch("extra", &PatchParams::default(), &patch).await.unwrap();
    unobstructed(&hook, &run[1..]);

    // A tool applies the ClusterRoleBinding whenever it is missing.
    let applying = {
        let client = lab.client.clone();
        tokio::spawn(async move {
            let role = "acr-credential-controller";
            let object = grant(role, role, NAMESPACE, role);
            let role_bindings: Api<ClusterRoleBinding> = Api::all(client);
            loop {
                let params = PostParams { field_manager: Some("gitops".to_owned()), ..PostParams::default() };
                let _ = role_bindings.create(&params, &serde_json::from_value(object.clone()).unwrap()).await;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
    };
    let said =
        obstructed(&hook, &["--timeout=2s"], "stop the tool that applies it (gitops), and run it again");
    assert!(said.contains("acr-credential-controller is there again after each deletion"), "{said}");
    applying.abort();
    unobstructed(&hook, &[]);

    // A policy restores the finalizer with each change.
    let restoring = json!({ "apiVersion": "v1", "kind": "List", "items": [
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingAdmissionPolicy",
            "metadata": { "name": "restoring" },
            "spec": {
                "reinvocationPolicy": "Never",
                "matchConstraints": { "resourceRules": [{
                    "apiGroups": ["acrcredential.dev"],
                    "apiVersions": ["*"],
                    "operations": ["UPDATE"],
                    "resources": ["acrcredentialbindings"],
                }] },
                "mutations": [{ "patchType": "JSONPatch", "jsonPatch": { "expression": format!(
                    "[JSONPatch{{op: 'add', path: '/metadata/finalizers', value: ['{FINALIZER}']}}]"
                ) } }],
            },
        },
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingAdmissionPolicyBinding",
            "metadata": { "name": "restoring" },
            "spec": { "policyName": "restoring" },
        },
    ] });
    plane.apply(&restoring.to_string()).await.unwrap();
    lab.until("it is restored", async || {
        lab.annotate("stays", "example.com/touched", "now").await;
        finalizers(&lab, "stays").await == [FINALIZER]
    })
    .await;
    obstructed(&hook, &["--timeout=2s"], "stop what writes them, and run it again");
    plane.kubectl_ok(&["delete", "mutatingadmissionpolicybinding", "restoring"]).await.unwrap();
    lab.until("the policy is gone", async || acr(&hook, &["uninstall", "--timeout=1s"]).0 == Some(0)).await;
    lab.controller.kill();
    assert_harmless(&lab).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawal_that_does_not_end_says_what_the_binding_says_and_goes_without() {
    let lab = installed(Mode::Not).await;
    let hook = account(&lab.plane, "hook", &["uninstall.yaml", "uninstall-withdraw.yaml"]).await;
    // Another owner's finalizer keeps it.
    let keep = Patch::Merge(json!({ "metadata": { "finalizers": [FINALIZER, "example.com/keep"] } }));
    lab.bindings().patch("goes", &PatchParams::default(), &keep).await.unwrap();
    let words = "Follow these messages and run it again, or leave out --withdraw: their Secrets and entries stay then";
    let said = obstructed(&hook, &["--withdraw", "--timeout=3s"], words);
    assert!(said.contains("has not withdrawn these bindings within 3s: goes: "), "{said}");
    unobstructed(&hook, &[]);
    assert_eq!(finalizers(&lab, "goes").await, ["example.com/keep"], "others' finalizers stay");
    let free = Patch::Merge(json!({ "metadata": { "finalizers": [] } }));
    lab.bindings().patch("goes", &PatchParams::default(), &free).await.unwrap();
    assert_harmless(&lab).await;
}

/// The controller ends while its bindings are withdrawn, and nothing waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_controller_that_dies_during_the_withdrawal_is_noticed() {
    let lab = installed(Mode::Not).await;
    let hook = account(&lab.plane, "hook", &["uninstall.yaml", "uninstall-withdraw.yaml"]).await;
    let keep = Patch::Merge(json!({ "metadata": { "finalizers": [FINALIZER, "example.com/keep"] } }));
    lab.bindings().patch("stays", &PatchParams::default(), &keep).await.unwrap();
    let mut command = command(&hook, &["uninstall", "--withdraw"]);
    let running = std::thread::spawn(move || done(&command.output().unwrap()));
    lab.until("the deletion is requested", async || {
        let binding = lab.bindings().get("stays").await.unwrap();
        binding.metadata.deletion_timestamp.is_some()
    })
    .await;
    lab.controller.kill();
    let (code, out, err) = running.join().unwrap();
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.contains("not possible, since no controller renews the Lease"), "{out}");
    let free = Patch::Merge(json!({ "metadata": { "finalizers": [] } }));
    lab.bindings().patch("stays", &PatchParams::default(), &free).await.unwrap();
    assert_harmless(&lab).await;
}

/// An API server that does not answer fails the command in the end, and says what to check.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_api_server_is_named() {
    let plane = Plane::start(Options::default()).await.unwrap();
    let hook = account(&plane, "hook", &["uninstall.yaml"]).await;
    let proxy = FaultProxy::start(&plane).await.unwrap();
    let by_proxy = proxy.kubeconfig_for(NAMESPACE, "hook").await.unwrap();
    let held = proxy.hold(Target::resource("clusterrolebindings"));
    let said =
        obstructed(&by_proxy, &["--request-timeout=1s"], "check the API server with kubectl cluster-info");
    assert!(said.contains("a ClusterRoleBinding cannot be read"), "{said}");
    drop(held);
    unobstructed(&by_proxy, &[]);
    unobstructed(&hook, &[]);
    // A failure that passes is waited for.
    proxy.inject(Target::resource("acrcredentialbindings"), Fault::Answer(503), 3);
    unobstructed(&by_proxy, &[]);
    assert_eq!(proxy.pending(), 0);
}
