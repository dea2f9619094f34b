use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::jiff::Timestamp;
use kube::api::DynamicObject;
use serde_json::{Value, json};

use super::fact::{
    CheckedBinding, ComponentFacts, ControllerFacts, DefinitionFacts, DeploymentFacts, Fact, PoliciesFacts,
    PolicyFacts, ServerFacts,
};
use super::{CheckLine, CheckOptions, CheckReport, LineResult, before, decide, rights};
use crate::cli::lease::LeaseState;
use crate::cluster::access::AccessRight;

fn options() -> CheckOptions {
    CheckOptions {
        namespace: "acr".into(),
        service_account: "writer".into(),
        secret_name: "pull".into(),
        request_timeout: Duration::from_secs(1),
        clock: || Timestamp::UNIX_EPOCH,
    }
}

fn server(version: &str, ahead: Option<i64>) -> ServerFacts {
    let second = |second| Timestamp::from_second(second).unwrap();
    ServerFacts {
        version: version.to_owned(),
        time: ahead.map(|ahead| second(10_000 - ahead)),
        local_time: second(10_000),
    }
}

/// Checks a line's result, and words of its message and cure.
#[track_caller]
fn assert_line(line: &CheckLine, result: LineResult, words: &str) {
    let said = format!("{} => {}", line.message, line.cure.as_deref().unwrap_or("-"));
    assert!(line.result == result && said.contains(words), "{words:?} {result:?}: {line:?}");
    assert_eq!(
        line.cure.is_some(),
        matches!(result, LineResult::Failed | LineResult::Warning),
        "a failure or a warning has a cure, and nothing else: {line:?}"
    );
}

use LineResult::{Failed, NotChecked, Passed, Warning};

#[test]
fn the_version_of_kubernetes() {
    for (version, result, words) in [
        ("v1.24.17-aliyun.1", Failed, "older than 1.25 => upgrade the cluster to Kubernetes 1.25"),
        ("v1.25.0", Passed, "v1.25.0; the policies need 1.30"),
        ("v1.29.9", Passed, "the policies need 1.30"),
        ("v1.30.1-aliyun.1", Passed, "v1.30.1-aliyun.1 => -"),
        ("unknown", NotChecked, "cannot be read"),
    ] {
        assert_line(&decide::kubernetes(&server(version, None)), result, words);
    }
}

#[test]
fn the_clock() {
    for (ahead, result, words) in [
        (Some(0), Passed, "agree"),
        (Some(300), Passed, "agree"),
        (Some(301), Failed, "is 5 min ahead of the API server's => set the clock"),
        (Some(-3600), Failed, "is 60 min behind the API server's"),
        (None, NotChecked, "has no time"),
    ] {
        assert_line(&decide::clock(&server("v1.37.2", ahead)), result, words);
    }
}

#[test]
fn the_api() {
    let definition = |change: fn(&mut DefinitionFacts)| {
        let mut facts = DefinitionFacts::default();
        change(&mut facts);
        Fact::Known(Some(facts))
    };
    let unknown = || Fact::Unknown("may not".to_owned());
    for (definition, served, result, words) in [
        (definition(|_| {}), Fact::Known(true), Passed, "acrcredential.dev/v1alpha1 is served"),
        (unknown(), Fact::Known(true), Passed, "is served"),
        (
            unknown(),
            Fact::Known(false),
            Failed,
            "not served => apply it: kubectl apply --server-side -f crds/",
        ),
        (definition(|_| {}), Fact::Unknown("may not".to_owned()), NotChecked, "may not"),
        (Fact::Known(None), Fact::Known(false), Failed, "does not exist => apply it"),
        (definition(|d| d.is_terminating = true), Fact::Known(true), Failed, "being deleted"),
        (
            definition(|d| d.not_established = Some("\"acb\" is taken".to_owned())),
            Fact::Known(false),
            Failed,
            "is not established: \"acb\" is taken => rename or delete",
        ),
        (
            definition(|d| d.missing_fields = (0..7).map(|n| format!("spec.f{n}")).collect()),
            Fact::Known(true),
            Failed,
            "lacks spec.f0, spec.f1, spec.f2, spec.f3, spec.f4 and 2 others => apply that of this version",
        ),
    ] {
        assert_line(&decide::api(&definition, &served), result, words);
    }
}

fn right(verb: &str) -> AccessRight {
    AccessRight { verb: verb.to_owned(), resource: "secrets".to_owned(), ..AccessRight::default() }
}

#[test]
fn the_rights_of_the_controller_and_of_the_caller() {
    let all = Fact::Known(vec![(right("get"), true), (right("list"), true)]);
    let half = Fact::Known(vec![(right("get"), true), (right("list"), false)]);
    let none = Fact::Unknown("may not review".to_owned());
    let of_controller = |facts| decide::rights(facts, &options());
    assert_line(&of_controller(&all), Passed, "acr/writer has all 2 rights");
    let words = "acr/writer lacks 1 right: list secrets => apply deploy/rbac.yaml of this version";
    assert_line(&of_controller(&half), Failed, words);
    assert_line(&of_controller(&none), NotChecked, "may not review");
    assert_line(&before::rights(&all), Passed, "you may create all");
    assert_line(
        &before::rights(&half),
        Failed,
        "you lack 1 right: list secrets => install it as a cluster administrator",
    );
    assert_line(&before::rights(&none), NotChecked, "may not review");
}

#[test]
fn the_reviewed_rights_are_those_of_the_manifest() {
    let rights: Vec<String> = rights::of_controller("acr", "pull").iter().map(ToString::to_string).collect();
    for expected in [
        "get secrets/pull",
        "patch serviceaccounts",
        "update acrcredentialbindings/status.acrcredential.dev",
        "create acrcredentialbindings.acrcredential.dev/acr-configuration",
        "patch leases.coordination.k8s.io/acr-credential-controller in acr",
        "get secrets/acr-credential-cache-7 in acr",
    ] {
        assert!(rights.iter().any(|right| right == expected), "{expected} in {rights:#?}");
    }
    let unexpected = |right: &&String| right.contains("kube-system") || right.contains("acr-access-key");
    assert_eq!(rights.iter().find(unexpected), None);
    let installing: Vec<String> = rights::of_installation("acr").iter().map(ToString::to_string).collect();
    assert!(installing.contains(&"create deployments.apps in acr".to_owned()), "{installing:#?}");
    assert!(installing.contains(&"patch roles.rbac.authorization.k8s.io in kube-system".to_owned()));
}

fn binding(webhook: bool, conditions: &[(&str, &str, &str)]) -> CheckedBinding {
    let conditions: Vec<Value> = conditions
        .iter()
        .map(|(kind, status, message)| json!({ "type": kind, "status": status, "message": message }))
        .collect();
    let object: DynamicObject = serde_json::from_value(json!({
        "metadata": { "name": "b" },
        "spec": { "webhook": { "enable": webhook } },
        "status": { "conditions": conditions },
    }))
    .unwrap();
    CheckedBinding::from(&object)
}

#[test]
fn the_policies() {
    let served = |change: fn(&mut PolicyFacts)| {
        let mut facts = PolicyFacts { name: "p".to_owned(), exists: true, denies: true, names_user: true };
        change(&mut facts);
        Fact::Known(PoliciesFacts::Served(vec![facts]))
    };
    let good = || Fact::Known(vec![binding(false, &[("Ready", "True", "")])]);
    let missing = "The ValidatingAdmissionPolicy p is not enforced: apply deploy/policies.yaml";
    let bad = Fact::Known(vec![binding(false, &[("PoliciesEnforced", "False", missing)])]);
    let none = || Fact::Known(Vec::new());
    let unknown = || Fact::Unknown("may not".to_owned());
    for (policies, bindings, result, words) in [
        (served(|_| {}), good(), Passed, "all 1 exist, deny and name the controller"),
        (served(|_| {}), Fact::Unknown(String::new()), Passed, "all 1 exist"),
        (served(|_| {}), bad, Failed, "p is not enforced => apply deploy/policies.yaml"),
        (unknown(), good(), Passed, "reports none as missing"),
        (unknown(), none(), NotChecked, "may not"),
        (unknown(), Fact::Known(vec![binding(false, &[])]), NotChecked, "may not"),
        (Fact::Known(PoliciesFacts::Unserved), good(), Failed, "serves no ValidatingAdmissionPolicy"),
        (served(|p| p.exists = false), good(), Failed, "do not exist: p => apply deploy/policies.yaml"),
        (served(|p| p.denies = false), good(), Failed, "no binding of their name that denies: p => apply"),
        (served(|p| p.names_user = false), good(), Failed, "another account than acr/writer: p => write"),
    ] {
        assert_line(
            &decide::policies(&policies, &bindings, &server("v1.30.1", None), &options()),
            result,
            words,
        );
    }
    // An older API server cannot have them. What the controller reports on bindings is then no failure either.
    let reported = || Fact::Known(vec![binding(false, &[("PoliciesEnforced", "False", missing)])]);
    for policies in [Fact::Known(PoliciesFacts::Unserved), unknown()] {
        let line = decide::policies(&policies, &reported(), &server("v1.29.4", None), &options());
        assert_line(
            &line,
            Warning,
            "before 1.30 has no ValidatingAdmissionPolicy, so none restricts the controller => upgrade",
        );
        assert!(CheckReport { lines: vec![line] }.has_passed());
    }
}

#[test]
fn admission() {
    let missing = "The entry is added right after the creation: apply deploy/admission.yaml";
    for (bindings, result, words) in [
        (vec![], Passed, "no binding asks for it"),
        (vec![binding(false, &[("AdmissionConfigured", "False", missing)])], Passed, "no binding asks"),
        (vec![binding(true, &[])], NotChecked, "has not reported on the binding b yet"),
        (
            vec![binding(true, &[("AdmissionConfigured", "True", "")])],
            Passed,
            "1 binding asks for it and gets it",
        ),
        (
            vec![binding(true, &[("AdmissionConfigured", "False", missing)])],
            Failed,
            "the binding b: The entry is added right after the creation => apply deploy/admission.yaml",
        ),
        (
            vec![binding(true, &[("AdmissionConfigured", "Unknown", "not known")])],
            Failed,
            "not known => wait, and check again",
        ),
    ] {
        assert_line(&decide::admission(&Fact::Known(bindings)), result, words);
    }
    assert_line(&decide::admission(&Fact::Unknown("may not".to_owned())), NotChecked, "may not");
}

fn deployment(desired: i32, ready: i32) -> DeploymentFacts {
    DeploymentFacts {
        namespace: "acr".to_owned(),
        name: "ours".to_owned(),
        desired,
        ready,
        ..DeploymentFacts::default()
    }
}

#[test]
fn the_replicas() {
    for (deployments, result, words) in [
        (
            vec![],
            Failed,
            "no Deployment in acr has the label app.kubernetes.io/name=acr-credential-controller",
        ),
        (
            vec![deployment(0, 0)],
            Failed,
            "scaled to 0 => scale it: kubectl -n acr scale deployment ours --replicas=2",
        ),
        (vec![deployment(2, 1)], Failed, "1 of 2 replicas of the Deployment acr/ours are ready => see why"),
        (vec![deployment(2, 2)], Passed, "2 replicas are ready"),
        (vec![deployment(1, 1)], Passed, "1 replica is ready"),
        (vec![deployment(1, 1), deployment(2, 0)], Failed, "0 of 2"),
    ] {
        assert_line(&decide::replicas(&Fact::Known(deployments), &options()), result, words);
    }
    let unknown = Fact::Unknown("may not".to_owned());
    assert_line(&decide::replicas(&unknown, &options()), NotChecked, "may not");
}

#[test]
fn the_lease() {
    let holder = || "pod-a".to_owned();
    let real = || Fact::Known(vec![deployment(1, 1)]);
    let dry = || Fact::Known(vec![DeploymentFacts { is_dry_run: true, ..deployment(1, 1) }]);
    for (state, deployments, result, words) in [
        (LeaseState::Renewed { holder: holder() }, real(), Passed, "pod-a holds it, and renews it"),
        (LeaseState::Absent, real(), Failed, "no controller has run there => apply deploy/controller.yaml"),
        (LeaseState::Absent, dry(), NotChecked, "--dry-run holds none"),
        (LeaseState::Absent, Fact::Known(vec![]), Failed, "no controller has run there"),
        (
            LeaseState::Released,
            real(),
            Failed,
            "no controller holds the Lease acr/acr-credential-controller => start",
        ),
        (LeaseState::Stale { holder: holder() }, real(), Failed, "pod-a holds the Lease"),
    ] {
        assert_line(&decide::lease(&Fact::Known(state), &deployments, &options()), result, words);
    }
    let unknown = Fact::Unknown("may not".to_owned());
    assert_line(&decide::lease(&unknown, &real(), &options()), NotChecked, "may not");
}

#[test]
fn the_region() {
    let held = || Fact::Known(LeaseState::Renewed { holder: "pod-a".to_owned() });
    let lost = || Fact::Known(LeaseState::Absent);
    let named = DeploymentFacts { region: Some("cn-hangzhou".to_owned()), ..deployment(1, 0) };
    for (deployments, lease, result, words) in [
        (vec![named], lost(), Passed, "cn-hangzhou, from the Deployment"),
        (vec![deployment(1, 1)], held(), Passed, "known to the controller"),
        (vec![], held(), Passed, "known to the controller"),
        (vec![deployment(1, 0)], lost(), Failed, "kubectl -n acr set env deployment/ours ACR_REGION=REGION"),
        (vec![deployment(0, 0)], lost(), NotChecked, "nothing that can be read"),
        (vec![], lost(), NotChecked, "nothing that can be read"),
    ] {
        assert_line(&decide::region(&Fact::Known(deployments), &lease, &options()), result, words);
    }
    let unknown = Fact::Unknown("may not".to_owned());
    assert_line(&decide::region(&unknown, &held(), &options()), Passed, "known to the controller");
}

#[test]
fn flags_and_variables_of_a_deployment_are_read() {
    let of = |args: Value, env: Value| {
        let object: Deployment = serde_json::from_value(json!({
            "metadata": { "name": "ours", "namespace": "acr" },
            "spec": { "selector": {}, "template": { "spec": { "containers": [
                { "name": "controller", "args": args, "env": env },
            ] } } },
            "status": { "readyReplicas": 2 },
        }))
        .unwrap();
        DeploymentFacts::from(&object)
    };
    let plain = of(json!([]), json!([]));
    assert_eq!((plain.desired, plain.ready, plain.region, plain.is_dry_run), (1, 2, None, false));
    assert_eq!(of(json!(["--region=cn-beijing"]), json!([])).region.as_deref(), Some("cn-beijing"));
    assert_eq!(of(json!(["--region", "cn-beijing"]), json!([])).region.as_deref(), Some("cn-beijing"));
    assert_eq!(of(json!(["--regional=no"]), json!([])).region, None);
    let env = json!([{ "name": "ACR_REGION", "value": "cn-hangzhou" }]);
    assert_eq!(of(json!([]), env).region.as_deref(), Some("cn-hangzhou"));
    assert!(of(json!(["--dry-run"]), json!([])).is_dry_run);
    assert!(of(json!([]), json!([{ "name": "ACR_DRY_RUN", "value": "true" }])).is_dry_run);
}

#[test]
fn before_an_installation_another_controller_and_the_documented_component_are_named() {
    let controllers = |deployments: &[&str], accounts: &[&str]| {
        let deployment =
            |namespace: &&str| DeploymentFacts { namespace: (*namespace).to_owned(), ..deployment(1, 1) };
        Fact::Known(ControllerFacts {
            deployments: deployments.iter().map(deployment).collect(),
            accounts: accounts
                .iter()
                .map(|namespace| ((*namespace).to_owned(), "writer".to_owned()))
                .collect(),
        })
    };
    for (controllers, result, words) in [
        (controllers(&[], &[]), Passed, "none is installed"),
        (controllers(&["acr"], &["acr"]), Passed, "one is installed in acr already: this is an upgrade"),
        (controllers(&["other"], &[]), Failed, "the namespace other has one"),
        (controllers(&["acr"], &["other"]), Failed, "run kubectl acr uninstall --namespace other"),
        (Fact::Unknown("may not".to_owned()), NotChecked, "may not"),
    ] {
        assert_line(&before::controller(&controllers, &options()), result, words);
    }
    for (runs, has_config_map, words) in [
        (false, false, "does not run here; a managed one is not visible"),
        (false, true, "the controller makes a binding of it"),
        (true, true, "the controller takes over its Secrets"),
    ] {
        let facts = Fact::Known(ComponentFacts { runs, has_config_map });
        assert_line(&before::component(&facts), Passed, words);
    }
    assert_line(&before::component(&Fact::Unknown("may not".to_owned())), NotChecked, "may not");
}

#[test]
fn a_report_passes_unless_a_line_failed_and_prints_the_cure_below_its_line() {
    let mut report = CheckReport {
        lines: vec![CheckLine::passed("api", "served"), CheckLine::not_checked("lease", "may not")],
    };
    assert!(report.has_passed());
    report.lines.push(CheckLine::failed("rights", "lacks one", "apply it"));
    assert!(!report.has_passed());
    let mut text = Vec::new();
    report.write_text(&mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    let expected = [
        "ok          api        served",
        "not checked lease      may not",
        "failed      rights     lacks one",
        "            =>         apply it",
    ];
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    let mut printed = Vec::new();
    report.write_json(&mut printed).unwrap();
    let printed: Value = serde_json::from_slice(&printed).unwrap();
    assert_eq!(printed["passed"], false);
    assert_eq!(
        printed["checks"][1],
        json!({ "part": "lease", "result": "notChecked", "message": "may not" })
    );
    assert_eq!(printed["checks"][2]["cure"], "apply it");
}
