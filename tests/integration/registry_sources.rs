//! Every documented case to a credential, up to an image that a real client pulls with the Secret's content.

use std::time::Duration;

use acr_lab::cloud::world::{Domain, DomainKind};
use acr_lab::registry::{Access, PullError, Registry, usable};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use serde_json::{Value, json};

use crate::harness::{Lab, NAMESPACE};

const IMAGE: &str = "team/app";

/// An entry of `spec.registries`, and the identity that the status must name.
struct Case {
    entry: Value,
    identity: &'static str,
}

/// A binding with one entry, and a real registry that accepts its tokens.
struct Trial {
    lab: Lab,
    registry: Registry,
    case: Case,
}

impl Trial {
    async fn start(lab: Lab, access: Access, case: Case) -> Self {
        let registry = Registry::start(&lab.cloud, access.clone()).await.unwrap();
        registry.push(IMAGE).await.unwrap();
        if let Access::Enterprise { instance } = &access {
            let domain = Domain { domain: registry.domain(), kind: DomainKind::User };
            lab.cloud.world(|world| {
                world.instances.get_mut(instance).unwrap().endpoints[0].domains.push(domain);
            });
        }
        Self { lab, registry, case }
    }

    /// Binds, waits and pulls. Then checks that no pull succeeds without the credential, nor with it after
    /// its expiry.
    async fn holds(self) {
        let Self { lab, registry, case } = self;
        lab.create_namespace("case").await;
        let mut entry = case.entry;
        if entry.get("instanceId").is_none() {
            entry["domains"] = json!([registry.domain()]);
        }
        let spec = json!({ "registries": [entry], "watchNamespaces": { "names": ["case"] } });
        lab.bind("case", spec).await;
        lab.until_ready_is("case", "True", "Succeeded").await;
        let status = lab.bindings().get("case").await.unwrap().status.unwrap();
        assert_eq!(status.registries[0].identity, case.identity);

        let config = lab.docker_config("case").await;
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
    let case = Case { entry: json!({ "instanceId": "cri-demo0001" }), identity: "worker-role" };
    Trial::start(Lab::start().await, Access::enterprise("cri-demo0001"), case).await.holds().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_pulled_from_another_region() {
    if !usable().unwrap() {
        return;
    }
    let entry = json!({ "instanceId": "cri-demo0002", "regionId": "cn-beijing" });
    let case = Case { entry, identity: "worker-role" };
    Trial::start(Lab::start().await, Access::enterprise("cri-demo0002"), case).await.holds().await;
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
    let case = Case { entry: json!({ "instanceId": "cri-demo0001" }), identity: "managed-role" };
    Trial::start(lab, Access::enterprise("cri-demo0001"), case).await.holds().await;
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
    let case = Case { entry: json!({ "instanceId": "cri-demo0001" }), identity: "registered-cluster" };
    Trial::start(lab, Access::enterprise("cri-demo0001"), case).await.holds().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_of_another_account_is_pulled_by_rrsa() {
    if !usable().unwrap() {
        return;
    }
    let lab = Lab::start().await;
    rrsa_account(&lab).await;
    // The role of the other account trusts the worker role as well, which must not be the one used.
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
    let case = Case { entry, identity: "rrsa:acr-rrsa → acr-pull" };
    Trial::start(lab, Access::enterprise("cri-demo0003"), case).await.holds().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_of_another_account_is_pulled_by_an_assumed_role() {
    if !usable().unwrap() {
        return;
    }
    let entry = json!({ "instanceId": "cri-demo0003", "assumeRoleARN": "acs:ram::2:role/acr-pull" });
    let case = Case { entry, identity: "worker-role → acr-pull" };
    Trial::start(Lab::start().await, Access::enterprise("cri-demo0003"), case).await.holds().await;
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
    let case = Case { entry, identity: "access-key:acr-access-key" };
    Trial::start(lab, Access::enterprise("cri-demo0003"), case).await.holds().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_of_the_personal_edition_is_pulled() {
    if !usable().unwrap() {
        return;
    }
    let case = Case { entry: json!({ "regionId": "cn-hangzhou" }), identity: "worker-role" };
    Trial::start(Lab::start().await, Access::personal("1", "cn-hangzhou"), case).await.holds().await;
}
