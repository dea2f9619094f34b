//! Repair: another writer's changes to our objects are reverted, and other writers' objects stay.

use std::time::Duration;

use acr_lab::plane::Target;
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::harness::{DOMAIN, Lab, SECRET, spec};

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_of_the_secret_or_the_list_is_repaired_in_place() {
    let lab = Lab::start().await;
    lab.create_namespace("edited").await;
    lab.bind("edited", spec(&["edited"])).await;
    lab.until_ready_is("edited", "True", "Succeeded").await;
    let secrets = lab.namespaced::<Secret>("edited");
    let accounts = lab.namespaced::<ServiceAccount>("edited");
    let good = lab.secret("edited").await.unwrap();
    let intact = async || {
        lab.secret("edited")
            .await
            .is_some_and(|s| s.data == good.data && s.metadata.labels == good.metadata.labels)
    };
    let edits = [
        json!({ "data": { ".dockerconfigjson": "eyJhdXRocyI6e319" } }),
        json!({ "data": { "more": "eA==" } }),
        json!({ "metadata": { "labels": { "app.kubernetes.io/managed-by": null } } }),
        json!({ "metadata": { "annotations": { "acrcredential.dev/registries": "[]" } } }),
    ];
    for edit in edits {
        secrets.patch(SECRET, &PatchParams::default(), &Patch::Merge(&edit)).await.unwrap();
        lab.until("the Secret is as it was", async || {
            intact().await
                && lab.secret("edited").await.unwrap().metadata.annotations == good.metadata.annotations
        })
        .await;
    }
    assert_eq!(lab.secret("edited").await.unwrap().metadata.uid, good.metadata.uid, "repaired in place");

    lab.delete_secret("edited").await;
    lab.until("the Secret is back", intact).await;
    let clear = json!({ "imagePullSecrets": null });
    accounts.patch("default", &PatchParams::default(), &Patch::Merge(&clear)).await.unwrap();
    lab.until("the entry is back", async || lab.pull_secrets("edited", "default").await == [SECRET]).await;
    assert_eq!(lab.cloud.count("GetAuthorizationToken"), 1, "a repair sends no request to the cloud");
}

/// The list is atomic: each writer writes all of it.
#[tokio::test(flavor = "multi_thread")]
async fn entries_that_another_writer_adds_twenty_times_a_second_are_never_lost() {
    let lab = Lab::start().await;
    lab.create_namespace("other").await;
    lab.bind("other", spec(&["other"])).await;
    lab.until_ready_is("other", "True", "Succeeded").await;
    let accounts = lab.namespaced::<ServiceAccount>("other");
    let mut wanted = Vec::new();
    for i in 0..60 {
        let name = format!("other-{i:02}");
        // The other writer drops our entry each time, and keeps its own by a precondition as a good citizen
        // does.
        loop {
            let now = accounts.get("default").await.unwrap();
            let mut list: Vec<String> = now
                .image_pull_secrets
                .unwrap_or_default()
                .into_iter()
                .map(|s| s.name)
                .filter(|n| n != SECRET)
                .collect();
            list.push(name.clone());
            let list: Vec<_> = list.iter().map(|n| json!({ "name": n })).collect();
            let patch = json!({ "metadata": { "resourceVersion": now.metadata.resource_version }, "imagePullSecrets": list });
            match accounts.patch("default", &PatchParams::default(), &Patch::Merge(&patch)).await {
                Ok(_) => break,
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                Err(error) => panic!("{error}"),
            }
        }
        wanted.push(name);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    wanted.push(SECRET.to_owned());
    lab.until("all entries are there in their order, and ours", async || {
        lab.pull_secrets("other", "default").await == wanted
    })
    .await;
    assert!(lab.token("other", DOMAIN).await.is_some());
}

/// The documented component may still run, and write a Secret of the same name.
#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_rewrites_the_secret_is_named_and_not_fought() {
    let lab = Lab::start().await;
    lab.create_namespace("fought").await;
    lab.bind("fought", spec(&["fought"])).await;
    let theirs = json!({ "data": { ".dockerconfigjson": "eyJhdXRocyI6e319" } });
    is_not_fought(&lab, "fought", &theirs).await;
}

/// The ConfigMap's binding adopts other writers' Secrets, but does not fight for them. The component writes
/// the Secret as its own, without our marks.
#[tokio::test(flavor = "multi_thread")]
async fn the_config_maps_binding_does_not_fight_it_either() {
    let lab = Lab::start().await;
    lab.create_namespace("fought").await;
    lab.put_config_map(
        json!({ "watch-namespace": "fought", "acr-registry-info": "- instanceId: cri-demo0001\n" }),
    )
    .await;
    let theirs = json!({
        "metadata": {
            "labels": { "app.kubernetes.io/managed-by": null },
            "annotations": { "acrcredential.dev/registries": null },
        },
        "data": { ".dockerconfigjson": "eyJhdXRocyI6e319" },
    });
    is_not_fought(&lab, "acr-configuration", &theirs).await;
}

/// Checks that a conflict ends when another writer writes this to the Secret in `fought`, which a binding
/// serves.
async fn is_not_fought(lab: &Lab, binding: &str, theirs: &Value) {
    lab.until_ready_is(binding, "True", "Succeeded").await;
    let secrets = lab.namespaced::<Secret>("fought");
    let params =
        PatchParams { field_manager: Some("aliyun-acr-credential-helper".to_owned()), ..Default::default() };
    let mut rewritten = 0;
    let message = loop {
        let ready = lab.condition(binding, "Ready").await.unwrap();
        if ready.1 == "Contended" {
            break ready.2;
        }
        assert!(rewritten < 2_000, "{ready:?}");
        secrets.patch(SECRET, &params, &Patch::Merge(theirs)).await.unwrap();
        rewritten += 1;
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert!(message.contains("the field manager aliyun-acr-credential-helper at 20"), "{message}");
    // The controller stepped back: the other writer's content stays, however often it writes.
    let mark = lab.mark();
    for _ in 0..20 {
        secrets.patch(SECRET, &params, &Patch::Merge(theirs)).await.unwrap();
    }
    let writes = lab.requests(mark).writes().filter(|e| e.resource == "secrets");
    assert_eq!(writes.len(), 0);
    // The other writer is gone: our Secret comes back by itself.
    lab.until_served("fought", DOMAIN).await;
    lab.until_ready_is(binding, "True", "Succeeded").await;
}

/// Another writer may write between our read and our write.
#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_another_writer_adds_during_our_write_is_kept() {
    let (lab, proxy) = Lab::proxied().await;
    lab.create_namespace("between").await;
    let mut held = proxy.hold(Target::new("patch", "serviceaccounts"));
    lab.bind("between", spec(&["between"])).await;
    tokio::time::timeout(Duration::from_secs(20), held.until_caught(1)).await.unwrap().unwrap();
    let theirs = json!({ "imagePullSecrets": [{ "name": "theirs" }] });
    let accounts = lab.namespaced::<ServiceAccount>("between");
    accounts.patch("default", &PatchParams::default(), &Patch::Merge(&theirs)).await.unwrap();
    drop(held);
    lab.until("our entry is beside the other writer's", async || {
        lab.pull_secrets("between", "default").await == ["theirs", SECRET]
    })
    .await;
}

/// Another controller annotates each account right after its creation, while a policy refuses one account for good.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_a_policy_refuses_for_good_delays_no_other() {
    let (lab, proxy) = Lab::proxied().await;
    lab.create_namespace("mixed").await;
    lab.create_account("mixed", "stubborn", &[]).await;
    let policy: ValidatingAdmissionPolicy = serde_json::from_value(json!({
        "metadata": { "name": "stubborn" },
        "spec": {
            "matchConstraints": { "resourceRules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "resources": ["serviceaccounts"], "operations": ["UPDATE"],
            }] },
            "validations": [{
                "expression": "object.metadata.name != 'stubborn' || !has(object.imagePullSecrets)",
                "message": "stubborn takes no pull secrets",
            }],
        },
    }))
    .unwrap();
    let binding: ValidatingAdmissionPolicyBinding = serde_json::from_value(json!({
        "metadata": { "name": "stubborn" },
        "spec": { "policyName": "stubborn", "validationActions": ["Deny"] },
    }))
    .unwrap();
    let params = PostParams::default();
    Api::all(lab.client.clone()).create(&params, &policy).await.unwrap();
    Api::all(lab.client.clone()).create(&params, &binding).await.unwrap();
    let accounts = lab.namespaced::<ServiceAccount>("mixed");
    let list = json!({ "imagePullSecrets": [{ "name": "theirs" }] });
    let dry = PatchParams { dry_run: true, ..PatchParams::default() };
    lab.until("the policy is in force", async || {
        accounts.patch("stubborn", &dry, &Patch::Merge(&list)).await.is_err()
    })
    .await;
    lab.bind(
        "mixed",
        json!({
            "registries": [{ "instanceId": "cri-demo0001" }],
            "watchNamespaces": { "names": ["mixed"] },
            "serviceAccounts": { "names": ["*"] },
        }),
    )
    .await;
    lab.until_ready_says("mixed", "False", "RefusedByAdmission", "stubborn takes no pull secrets").await;
    for number in 0..8 {
        let name = format!("new-{number}");
        let mut held = proxy.hold(Target::new("patch", "serviceaccounts"));
        lab.create_account("mixed", &name, &[]).await;
        tokio::time::timeout(Duration::from_secs(20), held.until_caught(1)).await.unwrap().unwrap();
        let note = json!({ "metadata": { "annotations": { "example.com/owner": "team" } } });
        accounts.patch(&name, &PatchParams::default(), &Patch::Merge(&note)).await.unwrap();
        drop(held);
        let attached = async || lab.pull_secrets("mixed", &name).await == [SECRET];
        let begun = std::time::Instant::now();
        lab.until("the new account has its entry", attached).await;
        assert!(begun.elapsed() < Duration::from_secs(10), "{name}: {:?}", begun.elapsed());
    }
    assert_eq!(lab.pull_secrets("mixed", "stubborn").await, [] as [&str; 0]);
    // As soon as the policy is gone, the account gets its entry by itself.
    let policies: Api<ValidatingAdmissionPolicyBinding> = Api::all(lab.client.clone());
    policies.delete("stubborn", &Default::default()).await.unwrap();
    let mut edits = 0;
    lab.until("the refused account has its entry", async || {
        edits += 1;
        let note = json!({ "metadata": { "labels": { "edit": edits.to_string() } } });
        let _ = accounts.patch("stubborn", &PatchParams::default(), &Patch::Merge(&note)).await;
        lab.pull_secrets("mixed", "stubborn").await == [SECRET]
    })
    .await;
    lab.until_ready_is("mixed", "True", "Succeeded").await;
}
