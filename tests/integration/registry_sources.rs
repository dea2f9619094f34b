//! Every documented way to a credential, up to an image that a real client pulls with what stands in the Secret.

use std::time::Duration;

use acr_lab::cloud::world::{Domain, DomainKind};
use acr_lab::registry::{Access, PullError, Registry, usable};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use serde_json::{Value, json};

use crate::harness::{Lab, NAMESPACE};

const IMAGE: &str = "team/app";

/// An entry of `spec.registries`, and what the status shall call its identity.
struct Way {
    entry: Value,
    identity: &'static str,
}

/// A binding with one entry, and a real registry that takes what is minted for it.
struct Trial {
    lab: Lab,
    registry: Registry,
    way: Way,
}

impl Trial {
    async fn start(lab: Lab, access: Access, way: Way) -> Self {
        let registry = Registry::start(&lab.cloud, access.clone()).await.unwrap();
        registry.push(IMAGE).await.unwrap();
        if let Access::Enterprise { instance } = &access {
            let domain = Domain { domain: registry.domain(), kind: DomainKind::User };
            lab.cloud.world(|world| {
                world.instances.get_mut(instance).unwrap().endpoints[0].domains.push(domain);
            });
        }
        Self { lab, registry, way }
    }

    /// Binds, waits, pulls; then finds that nothing is pulled without the credential, nor with it after its end.
    async fn holds(self) {
        let Self { lab, registry, way } = self;
        lab.create_namespace("way").await;
        let mut entry = way.entry;
        if entry.get("instanceId").is_none() {
            entry["domains"] = json!([registry.domain()]);
        }
        let spec = json!({ "registries": [entry], "watchNamespaces": { "names": ["way"] } });
        lab.bind("way", spec).await;
        lab.until_ready_is("way", "True", "Succeeded").await;
        let status = lab.bindings().get("way").await.unwrap().status.unwrap();
        assert_eq!(status.registries[0].identity, way.identity);

        let config = lab.docker_config("way").await;
        let pulled = registry.pull(&config, IMAGE).await.unwrap();
        assert!(!pulled.layers.is_empty());
        let anonymous = registry.pull("{\"auths\":{}}", IMAGE).await;
        assert!(matches!(anonymous, Err(PullError::Refused(_))), "{anonymous:?}");
        lab.cloud.set_clock_skew(2 * 24 * 3600);
        let late = registry.pull(&config, IMAGE).await;
        assert!(matches!(late, Err(PullError::Refused(_))), "after its end: {late:?}");
    }
}

async fn rrsa_account(lab: &Lab) {
    let object = serde_json::from_value(json!({ "metadata": { "name": "aliyun-acr-credential-helper" } }));
    let accounts = lab.namespaced::<ServiceAccount>("kube-system");
    accounts.create(&PostParams::default(), &object.unwrap()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_pulled_by_the_worker_role() {
    if !usable().unwrap() {
        return;
    }
    let way = Way { entry: json!({ "instanceId": "cri-demo0001" }), identity: "worker-role" };
    Trial::start(Lab::start().await, Access::enterprise("cri-demo0001"), way).await.holds().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_pulled_from_another_region() {
    if !usable().unwrap() {
        return;
    }
    let entry = json!({ "instanceId": "cri-demo0002", "regionId": "cn-beijing" });
    let way = Way { entry, identity: "worker-role" };
    Trial::start(Lab::start().await, Access::enterprise("cri-demo0002"), way).await.holds().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_pulled_by_the_managed_role() {
    if !usable().unwrap() {
        return;
    }
    let lab = Lab::start().await;
    let token = lab.cloud.addon_token(Duration::from_secs(3600));
    lab.put_secret(
        "kube-system",
        "addon.aliyuncsmanagedacrrole.token",
        json!({ "addon.token.config": token }),
    )
    .await;
    let way = Way { entry: json!({ "instanceId": "cri-demo0001" }), identity: "managed-role" };
    Trial::start(lab, Access::enterprise("cri-demo0001"), way).await.holds().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_pulled_by_the_key_of_a_registered_cluster() {
    if !usable().unwrap() {
        return;
    }
    let lab = Lab::start().await;
    let (id, secret) = lab.key_of("1", "puller");
    let data = json!({ "access-key-id": id, "access-key-secret": secret });
    lab.put_secret("kube-system", "alibaba-addon-secret", data).await;
    let way = Way { entry: json!({ "instanceId": "cri-demo0001" }), identity: "registered-cluster" };
    Trial::start(lab, Access::enterprise("cri-demo0001"), way).await.holds().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_of_another_account_is_pulled_by_rrsa() {
    if !usable().unwrap() {
        return;
    }
    let lab = Lab::start().await;
    rrsa_account(&lab).await;
    // The role of the other account trusts the worker role as well, which is not to be what gets there.
    lab.cloud.world(|world| {
        world.role_mut("1", "KubernetesWorkerRole-demo").unwrap().policy.allow.clear();
    });
    let entry = json!({
        "instanceId": "cri-demo0003",
        "rrsaRoleARN": "acs:ram::1:role/acr-rrsa",
        "rrsaOIDCProviderRoleARN": "acs:ram::1:oidc-provider/ack-rrsa-demo",
        "assumeRoleARN": "acs:ram::2:role/acr-pull",
        "expireDuration": 3600,
    });
    let way = Way { entry, identity: "rrsa:acr-rrsa → acr-pull" };
    Trial::start(lab, Access::enterprise("cri-demo0003"), way).await.holds().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_of_another_account_is_pulled_by_an_assumed_role() {
    if !usable().unwrap() {
        return;
    }
    let entry = json!({ "instanceId": "cri-demo0003", "assumeRoleARN": "acs:ram::2:role/acr-pull" });
    let way = Way { entry, identity: "worker-role → acr-pull" };
    Trial::start(Lab::start().await, Access::enterprise("cri-demo0003"), way).await.holds().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_of_another_account_is_pulled_by_an_access_key() {
    if !usable().unwrap() {
        return;
    }
    let lab = Lab::start().await;
    let (id, secret) = lab.key_of("2", "partner-puller");
    let data = json!({ "accessKeyId": id, "accessKeySecret": secret });
    lab.put_secret(NAMESPACE, "acr-access-key", data).await;
    let entry = json!({ "instanceId": "cri-demo0003", "accessKeySecretRef": { "name": "acr-access-key" } });
    let way = Way { entry, identity: "access-key:acr-access-key" };
    Trial::start(lab, Access::enterprise("cri-demo0003"), way).await.holds().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_of_the_personal_edition_is_pulled() {
    if !usable().unwrap() {
        return;
    }
    let way = Way { entry: json!({ "regionId": "cn-hangzhou" }), identity: "worker-role" };
    Trial::start(Lab::start().await, Access::personal("1", "cn-hangzhou"), way).await.holds().await;
}
