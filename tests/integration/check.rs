//! `kubectl acr check`: each part is made to fail, and does not fail any more once its cure was followed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use acr_lab::controller::ControllerOptions;
use acr_lab::docs::commands;
use acr_lab::plane::{Options, Plane};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};

use crate::documentation::shell;
use crate::harness::{Lab, NAMESPACE, install, installed_without, root, spec};
use crate::rights::{account, acr};

/// Result, message and cure of each part.
struct Report(Vec<(String, String, String, String)>);

impl Report {
    /// Returns result, message and cure of a part.
    fn of(&self, part: &str) -> (&str, &str, &str) {
        let found = self.0.iter().find(|(found, ..)| found == part);
        let (_, result, message, cure) = found.unwrap_or_else(|| panic!("no part {part}"));
        (result, message, cure)
    }

    /// Returns the cure of a part that failed with these words.
    fn cure(&self, part: &str, words: &str) -> &str {
        let (result, message, cure) = self.of(part);
        assert!(result == "failed" && message.contains(words), "{part}: {words:?} in {result}: {message}");
        cure
    }

    /// Returns the parts with a result.
    fn with(&self, result: &str) -> Vec<&str> {
        self.0.iter().filter(|(_, found, ..)| found == result).map(|(part, ..)| part.as_str()).collect()
    }
}

/// Runs the command, and returns its report. Its exit code follows from that.
fn check(kubeconfig: &Path, flags: &[&str]) -> Report {
    let (code, out, err) = acr(kubeconfig, &[&["check", "-o", "json"], flags].concat());
    assert_eq!(err, "", "{out}");
    let printed: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(code, Some(if printed["passed"] == true { 0 } else { 1 }), "{out}");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let lines = printed["checks"].as_array().unwrap().iter();
    let lines = lines.map(|line| {
        (text(&line["part"]), text(&line["result"]), text(&line["message"]), text(&line["cure"]))
    });
    let report = Report(lines.collect());
    assert_eq!(report.with("failed").is_empty(), printed["passed"] == true, "{out}");
    report
}

/// Reports the replicas of the Deployment as a node would: the lab of this test has none.
async fn report_replicas(lab: &Lab, ready: i32) {
    let deployments: Api<Deployment> = lab.namespaced(NAMESPACE);
    let status = json!({ "status": { "replicas": ready, "readyReplicas": ready } });
    deployments
        .patch_status("acr-credential-controller", &PatchParams::default(), &Patch::Merge(&status))
        .await
        .unwrap();
}

/// Runs the command of a cure as it is written.
fn follow(plane: &Plane, cure: &str) {
    let command = acr_lab::message::after(cure, ": ");
    shell(plane, command).unwrap_or_else(|error| panic!("{command}: {error}"));
}

async fn healthy() -> (Lab, PathBuf) {
    let plane = installed_without(&[], Options::default()).await;
    let lab = Lab::start_on(plane, |_, options: ControllerOptions| options.arg("--lease-duration=3s")).await;
    lab.plane.apply_file(root().join("deploy/controller.yaml")).await.unwrap();
    report_replicas(&lab, 2).await;
    let reader = account(&lab.plane, "reader", &["check.yaml"]).await;
    (lab, reader)
}

const PARTS: [&str; 9] =
    ["kubernetes", "clock", "api", "rights", "policies", "replicas", "lease", "region", "admission"];

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_installation_passes_with_a_readers_rights_and_prints_a_line_for_each_part() {
    let (lab, reader) = healthy().await;
    let report = check(&reader, &[]);
    assert_eq!(report.with("passed"), PARTS, "{:?}", report.0);
    assert!(report.of("lease").1.contains("holds it, and renews it"), "{:?}", report.of("lease"));
    let (code, out, _) = acr(&reader, &["check"]);
    assert_eq!((code, out.lines().count()), (Some(0), PARTS.len()), "{out}");
    assert!(out.lines().all(|line| line.starts_with("ok ")), "{out}");

    let admin = lab.plane.kubeconfig();
    assert_eq!(check(admin, &[]).with("passed"), PARTS);
    for line in commands("docs/kubectl-acr.md", "Check").unwrap() {
        let printed = shell(&lab.plane, &line).unwrap_or_else(|error| panic!("{line}: {error}"));
        assert!(printed.contains("kubernetes") && !printed.contains("failed"), "{line}: {printed}");
    }

    // Without any right, nothing fails, and each line says that it was not checked.
    let stranger = account(&lab.plane, "stranger", &[]).await;
    let report = check(&stranger, &[]);
    assert_eq!(report.with("passed"), ["kubernetes", "clock", "api"], "{:?}", report.0);
    assert_eq!(report.with("notChecked").len(), PARTS.len() - 3);
    assert!(report.of("lease").1.contains("cannot get resource \"leases\""), "{:?}", report.of("lease"));
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_that_are_missing_are_named_and_applied_as_the_cure_says() {
    let (lab, reader) = healthy().await;
    let plane = &lab.plane;
    plane.kubectl_ok(&["delete", "clusterrolebinding", "acr-credential-controller"]).await.unwrap();
    lab.until("a right is missing", async || check(&reader, &[]).of("rights").0 == "failed").await;
    let report = check(&reader, &[]);
    let cure = report.cure("rights", "lacks ").to_owned();
    assert!(cure.starts_with("apply deploy/rbac.yaml of this version"), "{cure}");
    plane.apply_file(root().join("deploy/rbac.yaml")).await.unwrap();
    lab.until("it is given", async || check(&reader, &[]).of("rights").0 == "passed").await;

    // Another account than the controller's.
    let flags = ["--service-account", "other"];
    let report = check(&reader, &flags);
    let cure = report.cure("rights", "acr-credential-system/other lacks ");
    assert!(cure.contains("or name the controller's account by --namespace and --service-account"), "{cure}");
    let cure = report.cure("policies", "another account than acr-credential-system/other");
    assert!(cure.ends_with("or name the controller's by --namespace and --service-account"), "{cure}");
    let named = check(&reader, &["--namespace", NAMESPACE, "--service-account", "acr-credential-controller"]);
    assert_eq!(named.with("failed"), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_that_do_not_hold_are_named_and_applied_as_the_cure_says() {
    const APPLY: &str = "apply deploy/policies.yaml of this version";
    let (lab, reader) = healthy().await;
    let plane = &lab.plane;
    let delete = async |kind: &str| {
        plane.kubectl_ok(&["delete", kind, "acr-credential-events"]).await.unwrap();
    };
    let apply = async || {
        plane.apply_file(root().join("deploy/policies.yaml")).await.unwrap();
        assert_eq!(check(&reader, &[]).of("policies").0, "passed");
    };
    delete("validatingadmissionpolicybinding").await;
    assert_eq!(
        check(&reader, &[]).cure("policies", "no binding of their name that denies: acr-credential-events"),
        APPLY
    );
    delete("validatingadmissionpolicy").await;
    assert_eq!(check(&reader, &[]).cure("policies", "do not exist: acr-credential-events"), APPLY);
    apply().await;
    // Those of another account.
    let text = std::fs::read_to_string(root().join("deploy/policies.yaml")).unwrap();
    let other = text.replace(":acr-credential-controller'", ":other'");
    plane.apply(&other).await.unwrap();
    let report = check(&reader, &[]);
    let cure =
        report.cure("policies", "another account than acr-credential-system/acr-credential-controller");
    assert!(cure.starts_with("write this account and namespace into them"), "{cure}");
    apply().await;
    // Without the right to read them, the controller's own report counts.
    let role = ["get", "clusterrole", "acr-credential-check", "-o", "json"];
    let mut role: Value = serde_json::from_str(&plane.kubectl_ok(&role).await.unwrap()).unwrap();
    role["rules"].as_array_mut().unwrap().remove(2);
    role["metadata"] = json!({ "name": "acr-credential-check" });
    plane.apply(&role.to_string()).await.unwrap();
    lab.until("they may not be read", async || check(&reader, &[]).of("policies").0 == "notChecked").await;
    lab.create_namespace("team-a").await;
    lab.bind("team-a", spec(&["team-a"])).await;
    lab.until_ready_is("team-a", "True", "Succeeded").await;
    assert!(check(&reader, &[]).of("policies").1.contains("reports none as missing"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_controller_reports_on_policies_and_admission_fails_the_check_with_its_cure() {
    let plane = installed_without(&["deploy/policies.yaml"], Options::default()).await;
    let lab = Lab::start_on(plane, |_, options| options).await;
    let reader = account(&lab.plane, "reader", &["check.yaml"]).await;
    lab.create_namespace("team-a").await;
    let mut asking = spec(&["team-a"]);
    asking["webhook"] = json!({ "enable": true });
    lab.bind("team-a", asking).await;
    lab.until("both are reported", async || {
        let status = async |kind| lab.condition("team-a", kind).await.map(|(status, ..)| status);
        status("PoliciesEnforced").await.as_deref() == Some("False")
            && status("AdmissionConfigured").await.as_deref() == Some("False")
    })
    .await;
    let report = check(&reader, &[]);
    assert_eq!(report.cure("policies", "are not enforced"), "apply deploy/policies.yaml");
    let cure = report.cure("admission", "the binding team-a: ");
    assert!(cure.contains("deploy/admission.yaml"), "{cure}");
    lab.plane.apply_file(root().join("deploy/policies.yaml")).await.unwrap();
    lab.plane.apply_file(root().join("deploy/admission.yaml")).await.unwrap();
    lab.until("both hold", async || {
        let report = check(&reader, &[]);
        report.of("policies").0 == "passed" && report.of("admission").0 == "passed"
    })
    .await;
    assert!(check(&reader, &[]).of("admission").1.contains("1 binding asks for it and gets it"));
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_lease_and_region_fail_and_are_corrected_as_their_cures_say() {
    let (mut lab, reader) = healthy().await;
    // A controller that was killed.
    lab.controller.kill();
    let report = check(&reader, &[]);
    let cure = report.cure("lease", "and does not renew it").to_owned();
    follow(&lab.plane, &cure);
    lab.controller.restart().unwrap();
    lab.controller.until_ready(crate::harness::PATIENCE).await.unwrap();
    assert_eq!(check(&reader, &[]).of("lease").0, "passed");

    // One that ended, and gave its Lease back. No replica is ready, and nothing gives the region.
    lab.controller.terminate(crate::harness::PATIENCE).await.unwrap();
    report_replicas(&lab, 0).await;
    let report = check(&reader, &[]);
    assert!(report.cure("lease", "no controller holds the Lease").starts_with("start it again: kubectl"));
    let cure = report.cure("replicas", "0 of 2 replicas of the Deployment acr-credential-system/");
    follow(&lab.plane, cure);
    let cure = report.cure("region", "neither --region nor ACR_REGION gives it");
    let command =
        acr_lab::message::between(cure, "give it: ", ", with").replace("REGION=REGION", "REGION=cn-hangzhou");
    shell(&lab.plane, &command).unwrap();
    lab.controller.restart().unwrap();
    lab.controller.until_ready(crate::harness::PATIENCE).await.unwrap();
    assert!(check(&reader, &[]).of("region").1.starts_with("cn-hangzhou"));
    report_replicas(&lab, 2).await;
    assert_eq!(check(&reader, &[]).of("replicas").0, "passed");

    lab.plane
        .kubectl_ok(&["-n", NAMESPACE, "scale", "deployment", "acr-credential-controller", "--replicas=0"])
        .await
        .unwrap();
    let report = check(&reader, &[]);
    follow(&lab.plane, &report.cure("replicas", "is scaled to 0").to_owned());
    assert_eq!(check(&reader, &[]).of("replicas").0, "passed", "the lab's status has two");

    // Nothing is there, such as in another namespace.
    let elsewhere = account(&lab.plane, "elsewhere", &["check.yaml"]).await;
    let deployment = ["-n", NAMESPACE, "delete", "deployment", "acr-credential-controller"];
    lab.plane.kubectl_ok(&deployment).await.unwrap();
    lab.controller.kill();
    lab.plane.kubectl_ok(&["-n", NAMESPACE, "delete", "lease", "acr-credential-controller"]).await.unwrap();
    let report = check(&elsewhere, &[]);
    let cure = "apply deploy/controller.yaml, or name the controller's namespace by --namespace";
    assert_eq!(report.cure("replicas", "no Deployment in acr-credential-system has the label"), cure);
    assert_eq!(report.cure("lease", "no controller has run there"), cure);
    lab.plane.apply_file(root().join("deploy/controller.yaml")).await.unwrap();
    report_replicas(&lab, 2).await;
    lab.controller.restart().unwrap();
    lab.controller.until_ready(crate::harness::PATIENCE).await.unwrap();
    lab.until("it is there", async || {
        let report = check(&elsewhere, &[]);
        report.of("replicas").0 == "passed" && report.of("lease").0 == "passed"
    })
    .await;
    // By an administrator, who may read every namespace.
    let admin = Arc::new(lab.plane.kubeconfig().to_owned());
    let report = check(&admin, &["--namespace", "default", "--service-account", "acr-credential-controller"]);
    assert_eq!(report.cure("replicas", "no Deployment in default"), cure);
    assert_eq!(check(&admin, &["--namespace", NAMESPACE]).of("replicas").0, "passed");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_is_missing_old_or_in_conflict_is_named_and_applied_as_the_cure_says() {
    let plane = Plane::start(Options::default()).await.unwrap();
    let reader = account(&plane, "reader", &["check.yaml"]).await;
    // Another definition has its short name.
    let mut other = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": "others.acrcredential.dev" },
        "spec": {
            "group": "acrcredential.dev",
            "scope": "Cluster",
            "names": { "plural": "others", "kind": "Other", "shortNames": ["acb"] },
            "versions": [{ "name": "v1alpha1", "served": true, "storage": true,
                "schema": { "openAPIV3Schema": { "type": "object" } } }],
        },
    });
    plane.apply(&other.to_string()).await.unwrap();
    plane.kubectl_ok(&["wait", "--for=condition=Established", "crd/others.acrcredential.dev"]).await.unwrap();
    let report = check(&reader, &[]);
    follow(&plane, report.cure("api", "does not exist"));
    let until = async |result: &str, words: &str| {
        let end = std::time::Instant::now() + crate::harness::PATIENCE;
        loop {
            let report = check(&reader, &[]);
            let (found, message, cure) = report.of("api");
            if found == result && message.contains(words) {
                return cure.to_owned();
            }
            assert!(std::time::Instant::now() < end, "{words:?} in {found}: {message}");
        }
    };
    let cure = until("failed", "is not established: \"acb\" is already in use").await;
    assert_eq!(cure, "rename or delete the CustomResourceDefinition that has its names");
    other["spec"]["names"]["shortNames"] = json!([]);
    plane.apply(&other.to_string()).await.unwrap();
    until("passed", "is served").await;

    // One of an older version.
    let crd = std::fs::read_to_string(root().join("crds/acrcredentialbindings.yaml")).unwrap();
    let mut older: Value = serde_saphyr::from_str(&crd).unwrap();
    let spec =
        &mut older["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
    assert!(spec.as_object_mut().unwrap().remove("suspend").is_some());
    plane.apply(&older.to_string()).await.unwrap();
    let cure = until("failed", "it lacks spec.suspend").await;
    follow(&plane, &cure);
    until("passed", "is served").await;

    // One that a binding's finalizer keeps.
    install(&plane, &["crds/acrcredentialbindings.yaml"]).await.unwrap();
    let binding = json!({
        "apiVersion": "acrcredential.dev/v1alpha1",
        "kind": "AcrCredentialBinding",
        "metadata": { "name": "kept", "finalizers": ["acrcredential.dev/withdraw"] },
        "spec": spec_of_one(),
    });
    plane.apply(&binding.to_string()).await.unwrap();
    let name = "crd/acrcredentialbindings.acrcredential.dev";
    plane.kubectl_ok(&["delete", name, "--wait=false"]).await.unwrap();
    let cure = until("failed", "is being deleted, and all bindings with it").await;
    assert!(cure.contains("run kubectl acr uninstall if finalizers keep it; then apply it: "), "{cure}");
    let (code, out, err) = acr(plane.kubeconfig(), &["uninstall"]);
    assert_eq!(code, Some(0), "{out}{err}");
    plane.kubectl_ok(&["wait", "--for=delete", name, "--timeout=20s"]).await.unwrap();
    follow(&plane, acr_lab::message::after(&cure, "; then "));
    until("passed", "is served").await;
}

fn spec_of_one() -> Value {
    spec(&["team-a"])
}

#[tokio::test(flavor = "multi_thread")]
async fn before_an_installation_rights_and_other_controllers_are_checked() {
    let plane = Plane::start(Options::default()).await.unwrap();
    let admin = plane.kubeconfig();
    let report = check(admin, &["--pre"]);
    assert_eq!(report.with("passed"), ["kubernetes", "clock", "rights", "controller", "component"]);
    assert!(
        report.of("controller").1 == "none is installed" && report.of("component").1.contains("does not run")
    );

    let stranger = account(&plane, "stranger", &[]).await;
    let report = check(&stranger, &["--pre"]);
    let cure = report.cure("rights", "you lack 26 rights: create namespaces, patch namespaces, ");
    assert_eq!(cure, "install it as a cluster administrator");
    assert_eq!(report.with("notChecked"), ["controller", "component"]);

    install(&plane, &[]).await.unwrap();
    plane.apply_file(root().join("deploy/controller.yaml")).await.unwrap();
    let component = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": { "name": "acr-configuration", "namespace": "kube-system" },
    });
    plane.apply(&component.to_string()).await.unwrap();
    let report = check(admin, &["--pre"]);
    assert_eq!(report.with("failed"), [""; 0]);
    assert!(report.of("controller").1.contains("in acr-credential-system already: this is an upgrade"));
    assert!(report.of("component").1.contains("the controller makes a binding of it"));

    let report = check(admin, &["--pre", "--namespace", "elsewhere"]);
    let cure =
        report.cure("controller", "the namespace acr-credential-system has one, and a cluster has one only");
    let words = "upgrade that one, with --namespace acr-credential-system; or run kubectl acr uninstall --namespace \
                 acr-credential-system, and delete its Deployment";
    assert_eq!(cure, words);
    assert_eq!(check(admin, &["--pre", "--namespace", NAMESPACE]).of("controller").0, "passed");
    let (code, out, err) = acr(admin, &["uninstall", "--namespace", NAMESPACE]);
    assert_eq!(code, Some(0), "{out}{err}");
    plane.kubectl_ok(&["delete", "-f", "deploy/controller.yaml"]).await.ok();
    let gone = ["-n", NAMESPACE, "delete", "--ignore-not-found", "deployment", "acr-credential-controller"];
    plane.kubectl_ok(&gone).await.unwrap();
    assert_eq!(check(admin, &["--pre", "--namespace", "elsewhere"]).of("controller").0, "passed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_asked_is_named_with_its_cure() {
    let plane = installed_without(&[], Options::default()).await;
    let good = plane.kubeconfig().to_str().unwrap().to_owned();
    let nowhere = plane.dir().join("nowhere");
    std::fs::write(
        &nowhere,
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "a",
            "contexts": [{ "name": "a", "context": { "cluster": "a", "user": "a" } }],
            "users": [{ "name": "a", "user": {} }],
            "clusters": [{ "name": "a", "cluster": { "server": "http://127.0.0.1:1" } }],
        })
        .to_string(),
    )
    .unwrap();
    let missing = plane.dir().join("missing");
    let missing = missing.to_str().unwrap();
    for command in ["check", "uninstall"] {
        let (code, _, err) = acr(&nowhere, &[command, "--kubeconfig", missing]);
        assert!(code == Some(2) && err.contains("cannot be used: correct it, or name another one"), "{err}");
        let (code, _, err) = acr(Path::new(&good), &[command, "--context", "no-such"]);
        assert!(code == Some(2) && err.contains("name one of kubectl config get-contexts"), "{err}");
        let contexts = plane.kubectl_ok(&["config", "get-contexts", "-o", "name"]).await.unwrap();
        let context = contexts.lines().next().unwrap();
        let (code, out, _) = acr(Path::new(&good), &[command, "--context", context]);
        assert!(
            code.is_some_and(|code| code < 2) && out.contains("lease") || command == "uninstall",
            "{out}"
        );
    }
    let (code, _, err) = acr(&nowhere, &["check"]);
    assert!(
        code == Some(2) && err.contains("nothing was checked: the API server cannot be reached"),
        "{err}"
    );
    assert!(err.contains("check the address with kubectl cluster-info, and run it again"), "{err}");
    let (code, out, _) = acr(&nowhere, &["check", "--kubeconfig", &good]);
    assert!(code.is_some_and(|code| code < 2) && out.contains("kubernetes"), "{out}");
}
