//! `kubectl acr plan` beside a running controller: what it predicts is what happens then.

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::Pod;
use kube::Resource;
use kube::api::PostParams;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::harness::{DOMAIN, Lab, NAMESPACE, SECRET, spec};
use crate::uninstall::acr;

const NAME: &str = "acr-configuration";

/// Returns the ConfigMap's data with these namespaces.
fn data(namespaces: &str) -> Value {
    json!({
        "watch-namespace": namespaces,
        "service-account": "default",
        "acr-registry-info": "- instanceId: cri-demo0002\n  regionId: cn-beijing\n",
    })
}

/// Returns the ConfigMap with this data as a file.
fn file(lab: &Lab, data: Value) -> String {
    let path = lab.plane.dir().join("acr-configuration.json");
    std::fs::write(&path, json!({ "data": data }).to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Creates an object, and returns a reference to it as its Pods' controller would.
async fn make<K>(lab: &Lab, namespace: &str, object: Value) -> Value
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    K: Clone + std::fmt::Debug + Serialize + DeserializeOwned,
{
    let object = serde_json::from_value(object).unwrap();
    let made = lab.namespaced::<K>(namespace).create(&PostParams::default(), &object).await.unwrap();
    serde_json::to_value(made.controller_owner_ref(&())).unwrap()
}

/// Returns the spec of a Pod that names a Secret.
fn naming(secret: &str) -> Value {
    json!({ "imagePullSecrets": [{ "name": secret }], "containers": [{ "name": "c", "image": "i" }] })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_counts_every_binding_and_reports_withdrawals() {
    let lab = Lab::start().await;
    for namespace in ["team-x", "shared", "left", "apps"] {
        lab.create_namespace(namespace).await;
    }
    lab.put_config_map(data("shared,left")).await;
    lab.bind("team-a", spec(&["team-x", "shared"])).await;
    for binding in ["team-a", NAME] {
        lab.until_ready_is(binding, "True", "Succeeded").await;
    }
    lab.until("both serve the shared one", async || {
        lab.auths("shared").await.is_some_and(|auths| auths.len() >= 4)
    })
    .await;
    lab.until_settled().await;
    let version = async |namespace: &str| lab.secret(namespace).await.unwrap().metadata.resource_version;
    let before = (version("team-x").await, version("shared").await);

    let (code, out, err) = acr(&lab, &["plan", &file(&lab, data("apps"))]);
    assert_eq!(code, Some(0), "{err}");
    for line in [
        "apps: would create the Secret and add our entry to imagePullSecrets of default",
        "left: would take our entry out of imagePullSecrets of default and delete the Secret",
        "shared: would change the Secret in place",
        "3 namespaces would change, 0 up to date, 0 not served; nothing was written",
    ] {
        assert!(out.lines().any(|l| l == line), "{line} in {out}");
    }
    assert!(!out.contains("team-x"), "another binding serves it: {out}");
    let (code, out, err) = acr(&lab, &["plan", "--live"]);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.starts_with("0 namespaces would change, 2 up to date, 0 not served"), "{out}");
    let (code, out, err) = acr(&lab, &["plan", "--live", "-o", "diff"]);
    assert_eq!((code, out.as_str()), (Some(0), ""), "nothing differs: {err}");
    let (code, diff, err) = acr(&lab, &["plan", &file(&lab, data("apps")), "-o", "diff"]);
    assert_eq!(code, Some(1), "{err}");
    for line in [
        "--- live/v1.Secret.left.acr-credential-secret-aggregation",
        "+++ planned/v1.ServiceAccount.apps.default",
    ] {
        assert!(diff.lines().any(|l| l == line), "{line} in {diff}");
    }
    for namespace in ["left", "shared", "team-x"] {
        for (domain, (_, token)) in lab.auths(namespace).await.unwrap() {
            assert!(!token.is_empty() && !diff.contains(&token) && !err.contains(&token), "{domain}: {diff}");
        }
    }
    let mut no_accounts = data("shared,left");
    no_accounts["service-account"] = json!("unknown");
    // An opted-out namespace is not covered, regardless of its name.
    lab.create_namespace("nowhere").await;
    lab.create_account("shared", "unknown", &[]).await;
    for object in [&["namespace/nowhere"][..], &["serviceaccount/unknown", "-n", "shared"]] {
        lab.plane
            .kubectl_ok(&[&["annotate"], object, &["acrcredential.dev/skip=true"]].concat())
            .await
            .unwrap();
    }
    for (data, held) in [
        (
            data("nowhere"),
            "would no longer select any namespace: its Secrets and entries stay for --withdrawal-grace",
        ),
        (no_accounts, "would no longer select any ServiceAccount: its entries stay for --withdrawal-grace"),
    ] {
        let (_, out, _) = acr(&lab, &["plan", &file(&lab, data)]);
        assert!(out.contains(held), "{out}");
    }
    assert_eq!((version("team-x").await, version("shared").await), before);

    lab.put_config_map(data("apps")).await;
    lab.until("the predicted changes happen", async || {
        lab.secret("left").await.is_none()
            && lab.pull_secrets("left", "default").await.is_empty()
            && lab.auths("apps").await.is_some_and(|auths| !auths.is_empty())
            && version("shared").await != before.1
    })
    .await;
    assert!(lab.token("team-x", DOMAIN).await.is_some());
    assert_eq!(version("team-x").await, before.0);
    assert_eq!(lab.pull_secrets("shared", "default").await, [SECRET]);
}

/// References that would break are reported while they can still be fixed, by `withdraw` as well.
#[tokio::test(flavor = "multi_thread")]
async fn references_to_a_withdrawn_secret_are_reported() {
    let lab = Lab::start().await;
    for namespace in ["left", "stays"] {
        lab.create_namespace(namespace).await;
    }
    lab.put_config_map(data("left,stays")).await;
    lab.until_ready_is(NAME, "True", "Succeeded").await;
    let of = |name: &str, spec: Value| json!({ "metadata": { "name": name }, "spec": spec });
    let selecting = |app: &str| {
        let labels = json!({ "app": app });
        let template = json!({ "metadata": { "labels": labels }, "spec": naming(SECRET) });
        of(app, json!({ "selector": { "matchLabels": labels }, "template": template }))
    };
    let owned = |mut object: Value, owner: Value| {
        object["metadata"]["ownerReferences"] = json!([owner]);
        object
    };
    make::<Deployment>(&lab, "stays", selecting("elsewhere")).await;
    // Objects of a reported owner are not reported again; the lab has no node and no controller that creates
    // them.
    let web = make::<Deployment>(&lab, "left", selecting("web")).await;
    let replicas = make::<ReplicaSet>(&lab, "left", owned(selecting("web-1"), web)).await;
    make::<Pod>(&lab, "left", owned(of("web-1-a", naming(SECRET)), replicas)).await;
    make::<ReplicaSet>(&lab, "left", selecting("bare")).await;
    let mut once = naming(SECRET);
    once["restartPolicy"] = json!("Never");
    let job = json!({ "template": { "spec": once } });
    make::<Job>(&lab, "left", of("once", job.clone())).await;
    let nightly = json!({ "schedule": "0 0 1 1 *", "jobTemplate": { "spec": job } });
    make::<CronJob>(&lab, "left", of("nightly", nightly)).await;
    make::<Pod>(&lab, "left", of("alone", naming(SECRET))).await;
    let mut mounting = naming("another");
    mounting["volumes"] = json!([{ "name": "v", "secret": { "secretName": SECRET } }]);
    make::<Pod>(&lab, "left", of("mounting", mounting)).await;
    let expected = "  left: acr-credential-secret-aggregation is referenced by Deployment web, CronJob nightly, ReplicaSet bare, \
                Job once, Pod alone, Pod mounting";
    let planned = acr(&lab, &["plan", &file(&lab, data("stays"))]);
    assert_eq!(planned.0, Some(0), "{}", planned.2);
    assert!(planned.1.lines().any(|line| line == expected), "{}", planned.1);
    assert!(!planned.1.contains("elsewhere"), "{}", planned.1);

    // A missing right to list is reported, and the rest of the report is unchanged.
    let role = "clusterrole/acr-reader";
    for args in [
        &[
            "create",
            "clusterrole",
            "acr-reader",
            "--verb=list,get",
            "--resource=namespaces,serviceaccounts,secrets",
        ][..],
        &["create", "serviceaccount", "reader", "-n", NAMESPACE],
        &[
            "create",
            "clusterrolebinding",
            "acr-reader",
            "--clusterrole=acr-reader",
            "--serviceaccount=acr-credential-system:reader",
        ],
    ] {
        lab.plane.kubectl_ok(args).await.unwrap();
    }
    let more = [
        ("acrcredential.dev", "acrcredentialbindings"),
        ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
        ("coordination.k8s.io", "leases"),
        ("", "configmaps"),
    ];
    let more = more.map(|(group, resource)| {
        json!({ "op": "add", "path": "/rules/-", "value": {
            "apiGroups": [group], "resources": [resource], "verbs": ["get", "list"],
        } })
    });
    lab.plane.kubectl_ok(&["patch", role, "--type=json", "-p", &json!(more).to_string()]).await.unwrap();
    // Bindings without leftovers may be released; the others stay.
    let may = json!([{ "op": "add", "path": "/rules/-", "value": {
        "apiGroups": ["acrcredential.dev"], "resources": ["acrcredentialbindings"], "verbs": ["patch", "update"],
    } }]);
    lab.plane.kubectl_ok(&["patch", role, "--type=json", "-p", &may.to_string()]).await.unwrap();
    let kubeconfig = lab.plane.service_account_kubeconfig(NAMESPACE, "reader").await.unwrap();
    let narrow = |args: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_kubectl-acr"));
        let done = command.args(args).env("KUBECONFIG", &kubeconfig).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (done.status.code(), text(done.stdout), text(done.stderr))
    };
    let (code, out, err) = narrow(&["plan", &file(&lab, data("stays"))]);
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.contains("left: would take our entry out of"), "{out}");
    assert!(
        out.contains("not searched for references: the Pods: ") && out.contains("cannot list resource"),
        "{out}"
    );

    lab.controller.kill();
    lab.bindings().delete(NAME, &Default::default()).await.unwrap();
    // Without the right to write nothing is withdrawn, which is reported as a failure.
    let (code, out, err) = narrow(&["withdraw", "--retained", "--yes"]);
    assert!(lab.bindings().get_opt(NAME).await.unwrap().is_some(), "it holds what is left");
    assert_eq!(code, Some(2), "{out}{err}");
    assert!(out.contains("left: failed: ") && out.contains("stays: failed: "), "{out}");
    assert!(
        out.ends_with(
            "finalizers stay until nothing is left: fix the failures above and run the command again\n"
        ),
        "{out}"
    );
    let withdrawn = acr(&lab, &["withdraw", "--retained"]);
    assert_eq!(withdrawn.0, Some(0), "{}", withdrawn.2);
    assert!(withdrawn.1.lines().any(|line| line == expected), "{}", withdrawn.1);
    assert!(
        withdrawn
            .1
            .contains("  stays: acr-credential-secret-aggregation is referenced by Deployment elsewhere")
    );
}

/// A plan uses the Secret name that a flag set.
#[tokio::test(flavor = "multi_thread")]
async fn a_plan_uses_the_secret_name_of_the_flag() {
    let lab = Lab::start_without(&[], Default::default()).await;
    lab.create_namespace("named").await;
    lab.create_account("named", "builder", &["mine-instead"]).await;
    let mut all = data("named");
    all["service-account"] = json!("*");
    let path = file(&lab, all);
    let (code, out, err) = acr(&lab, &["plan", "--secret-name=mine-instead", &path]);
    assert_eq!(code, Some(0), "{err}");
    let expected = "named: would create the Secret and add our entry to imagePullSecrets of default\n";
    assert!(out.contains(expected), "{out}");
}
