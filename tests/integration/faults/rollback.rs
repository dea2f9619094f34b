//! A bad field and its rollback: nothing else is affected, and after the rollback all is as before.

use std::time::Duration;

use serde_json::{Value, json};

use super::{assert_nothing_leaked, rig};
use crate::harness::spec;

const PATIENCE: Duration = Duration::from_secs(40);

/// Returns values that no field is meant for: absent, empty, huge, foreign letters, twice, look-alikes, paths.
fn bad_specs(good: &Value) -> Vec<(&'static str, Value)> {
    let with = |pointer: &str, value: Value| {
        let mut spec = good.clone();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        spec.pointer_mut(parent).unwrap()[key] = value;
        spec
    };
    let entry = |entry: Value| with("/registries", json!([entry]));
    let of = |domains: Value| entry(json!({ "instanceId": "cri-demo0001", "domains": domains }));
    let many = |count: usize| (0..count).map(|n| format!("d{n}.example.com")).collect::<Vec<_>>();
    vec![
        ("registries absent", with("/registries", Value::Null)),
        ("registries empty", with("/registries", json!([]))),
        ("an entry empty", entry(json!({}))),
        ("an entry twice", {
            let twice = json!({ "instanceId": "cri-demo0001" });
            with("/registries", json!([twice, twice]))
        }),
        ("an instance that does not exist", entry(json!({ "instanceId": "cri-nosuch" }))),
        ("an instance that is huge", entry(json!({ "instanceId": format!("cri-{}", "a".repeat(5000)) }))),
        ("an instance of foreign letters", entry(json!({ "instanceId": "cri-демо" }))),
        ("an instance that is a path", entry(json!({ "instanceId": "../cri-demo0001" }))),
        (
            "a region that does not exist",
            entry(json!({ "instanceId": "cri-demo0001", "regionId": "cn-nowhere" })),
        ),
        ("a role that does not exist", {
            entry(json!({ "instanceId": "cri-demo0003", "assumeRoleARN": "acs:ram::2:role/nosuch" }))
        }),
        (
            "a role that is not an ARN",
            entry(json!({ "instanceId": "cri-demo0003", "assumeRoleARN": "admin" })),
        ),
        ("a key pair that does not exist", {
            entry(json!({ "instanceId": "cri-demo0003", "accessKeySecretRef": { "name": "nosuch" } }))
        }),
        ("a key pair without a name", {
            entry(json!({ "instanceId": "cri-demo0003", "accessKeySecretRef": { "name": "" } }))
        }),
        ("domains empty", of(json!([]))),
        (
            "a look-alike of a domain",
            of(json!(["demo-registry.cn-hangzhou.cr.aliyuncs.com.evil.example.com"])),
        ),
        ("a domain of foreign letters", of(json!(["dеmo-registry.cn-hangzhou.cr.aliyuncs.com"]))),
        ("a domain with a path", of(json!(["https://demo-registry.cn-hangzhou.cr.aliyuncs.com/v2"]))),
        ("a domain twice", of(json!(["a.example.com", "a.example.com"]))),
        ("too many domains", of(json!(many(2_000)))),
        ("a namespace that does not exist", with("/watchNamespaces/names", json!(["nowhere"]))),
        ("no namespace", with("/watchNamespaces/names", json!([]))),
        ("a namespace twice", with("/watchNamespaces/names", json!(["bad-a", "bad-a", "bad-b"]))),
        ("a namespace of foreign letters", with("/watchNamespaces/names", json!(["bаd-a"]))),
        ("an account that does not exist", with("/serviceAccounts/names", json!(["nosuch"]))),
        ("no account", with("/serviceAccounts/names", json!([]))),
        ("an account that is huge", with("/serviceAccounts/names", json!(["a".repeat(5000)]))),
        ("a threshold that is not a time", with("/expiringThreshold", json!("soon"))),
        ("a threshold beyond each lifetime", with("/expiringThreshold", json!("10000h"))),
        ("a policy that does not exist", with("/deletionPolicy", json!("Perhaps"))),
        ("suspended", with("/suspend", json!(true))),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_bad_field_is_rolled_back_all_is_as_before_and_others_never_change() {
    let rig = rig(1, &[]).await;
    for namespace in ["bad-a", "bad-b", "good-a"] {
        rig.create_namespace(namespace).await.unwrap();
        rig.create_account(namespace, "builder", &["mine"]).await.unwrap();
    }
    let good = spec(&["bad-a", "bad-b"]);
    rig.bind("bad", good.clone()).await.unwrap();
    rig.bind("good", spec(&["good-a"])).await.unwrap();
    for binding in ["bad", "good"] {
        rig.until("both are ready", PATIENCE, async || rig.is_ready(binding).await).await.unwrap();
    }
    rig.until_quiet().await.unwrap();
    let (before, beside) = (rig.observe("bad").await.unwrap(), rig.observe("good").await.unwrap());
    let (mut rejected, mut judged) = (0, 0);
    for (what, bad) in bad_specs(&good) {
        if rig.bind("bad", bad).await.is_err() {
            rejected += 1;
            let now = rig.observe("bad").await.unwrap();
            assert!(now == before, "{what}: {}", now.difference(&before));
            continue;
        }
        judged += 1;
        rig.until(&format!("{what}: the controller has judged it"), PATIENCE, async || {
            let binding = rig.bindings().get("bad").await?;
            Ok(binding.data["status"]["observedGeneration"].as_i64() == binding.metadata.generation)
        })
        .await
        .unwrap();
        let others = rig.observe("good").await.unwrap();
        assert!(others == beside, "{what}: {}", others.difference(&beside));
        rig.bind("bad", good.clone()).await.unwrap();
        let mut difference = String::new();
        let same = rig
            .until("all is as before", PATIENCE, async || {
                difference = rig.observe("bad").await?.difference(&before);
                Ok(difference.is_empty())
            })
            .await;
        if let Err(error) = same {
            let status = rig.bindings().get("bad").await.unwrap().data["status"].clone();
            panic!("{what}: {difference}\n{status}\n{error:#}");
        }
    }
    println!("{rejected} were rejected, {judged} were judged and rolled back");
    assert!(rejected >= 8 && judged >= 8, "{rejected} rejected, {judged} judged");
    rig.until_quiet().await.unwrap();
    let (after, others) = (rig.observe("bad").await.unwrap(), rig.observe("good").await.unwrap());
    assert!(after == before && others == beside, "{}", after.difference(&before));
    assert_nothing_leaked(&rig);
}
