//! Identities while the controller runs: their sources appear, change and disappear.

use std::time::Duration;

use acr_lab::message::after;
use acr_lab::plane::{Fault, Mark, Target};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};

use crate::harness::{CONTROLLER, Lab, NAMESPACE, root, spec};

const PARTNER: &str = "partner-registry.cn-hangzhou.cr.aliyuncs.com";
const HELPER: &str = "aliyun-acr-credential-helper";

/// The HTTP status of a refusal by RBAC, and not by a policy.
const BY_RBAC: u16 = 403;
const BY_POLICY: u16 = 422;

fn of(namespace: &str, entry: Value) -> Value {
    let mut of = spec(&[namespace]);
    of["registries"] = json!([entry]);
    of
}

fn by_key() -> Value {
    json!({ "instanceId": "cri-demo0003", "accessKeySecretRef": { "name": "acr-access-key" } })
}

fn by_rrsa() -> Value {
    json!({
        "instanceId": "cri-demo0001",
        "rrsaRoleARN": "acs:ram::1:role/acr-rrsa",
        "rrsaOIDCProviderRoleARN": "acs:ram::1:oidc-provider/ack-rrsa-demo",
    })
}

async fn put_pair(lab: &Lab, account: &str, user: &str) {
    let (id, secret) = lab.key_of(account, user);
    let data = json!({ "accessKeyId": id, "accessKeySecret": secret });
    lab.put_secret(NAMESPACE, "acr-access-key", data).await;
}

/// The shortest time after which an attempt that needs a human is repeated by itself.
const FIRST_RETRY: SignedDuration = SignedDuration::from_secs(11);

/// Returns the cloud's time.
fn now(lab: &Lab) -> Timestamp {
    Timestamp::from_millisecond(lab.cloud.now()).unwrap()
}

/// Returns when the cloud issued the last token.
fn minted_at(lab: &Lab) -> Timestamp {
    let calls = lab.cloud.calls();
    let minted = calls.iter().rfind(|c| c.action == "GetAuthorizationToken" && c.code == "success").unwrap();
    Timestamp::from_millisecond(minted.at).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_pair_is_awaited_and_rotated_and_its_loss_removes_nothing() {
    let lab = Lab::start().await;
    lab.create_namespace("keyed").await;
    let before = now(&lab);
    lab.bind("keyed", of("keyed", by_key())).await;
    let message = lab.until_ready_is("keyed", "False", "SecretNotFound").await;
    assert!(message.contains("acr-credential-system/acr-access-key"), "{message}");
    assert!(message.contains("accessKeyId and accessKeySecret"), "{message}");

    put_pair(&lab, "2", "partner-puller").await;
    lab.until_ready_is("keyed", "True", "Succeeded").await;
    assert!(minted_at(&lab) < before + FIRST_RETRY, "the Secret's event triggers the attempt");
    let first = lab.token("keyed", PARTNER).await.unwrap();

    // Rotated: RAM gives the user a second key, and the Secret changes to it.
    lab.give_second_key("2", "partner-puller");
    put_pair(&lab, "2", "partner-puller").await;
    lab.until("the new pair yields a new token", async || {
        lab.token("keyed", PARTNER).await.is_some_and(|token| token != first)
    })
    .await;
    let second = lab.token("keyed", PARTNER).await;

    lab.namespaced::<Secret>(NAMESPACE).delete("acr-access-key", &DeleteParams::default()).await.unwrap();
    lab.annotate("keyed", "acrcredential.dev/refresh-at", "now").await;
    lab.until("the failed refresh is reported", async || {
        let ready = lab.condition("keyed", "Ready").await;
        ready.is_some_and(|(status, reason, _)| status == "True" && reason == "RefreshFailing")
    })
    .await;
    assert_eq!(lab.token("keyed", PARTNER).await, second);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_pair_without_a_grant_reports_the_line_to_add() {
    let lab = Lab::start().await;
    lab.create_namespace("unlisted").await;
    let entry = json!({ "instanceId": "cri-demo0003", "accessKeySecretRef": { "name": "elsewhere" } });
    lab.bind("unlisted", of("unlisted", entry)).await;
    let message = lab.until_ready_is("unlisted", "False", "Forbidden").await;
    assert!(message.contains("add elsewhere to resourceNames of the Role acr-credential-keys"), "{message}");
}

/// Rights that are removed and granted again at once, as by a tool that reapplies everything.
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_was_refused_once_recovers() {
    let (lab, proxy) = Lab::proxied().await;
    lab.create_namespace("keyed").await;
    put_pair(&lab, "2", "partner-puller").await;
    lab.bind("keyed", of("keyed", by_key())).await;
    lab.until_ready_is("keyed", "True", "Succeeded").await;
    let first = lab.token("keyed", PARTNER).await;

    proxy.inject(Target::new("watch", "secrets").in_namespace(NAMESPACE), Fault::Answer(403), 1);
    proxy.cut();
    lab.until("the watch is refused", async || proxy.pending() == 0).await;
    // The Secret is not touched, so no event shows that it is readable again.
    lab.refresh("keyed", "after the refusal").await;
    lab.until("another token", async || lab.token("keyed", PARTNER).await != first).await;
    lab.until_ready_is("keyed", "True", "Succeeded").await;
}

/// Enabling RRSA needs no restart and no order of steps.
#[tokio::test(flavor = "multi_thread")]
async fn rrsa_works_as_soon_as_its_service_account_is_created() {
    let lab = Lab::start().await;
    lab.create_namespace("oidc").await;
    lab.bind("oidc", of("oidc", by_rrsa())).await;
    let message = lab.until_ready_is("oidc", "False", "ServiceAccountNotFound").await;
    assert!(message.contains("kubectl -n kube-system create serviceaccount"), "{message}");
    lab.create_account("kube-system", HELPER, &[]).await;
    lab.until_ready_is("oidc", "True", "Succeeded").await;
    let tokens = lab.requests(Mark::default()).filter(|e| e.resource == "serviceaccounts/token");
    assert!(tokens.iter().all(|e| e.namespace == "kube-system" && e.name == HELPER));
}

/// A stolen controller token yields tokens of that account for the cloud, and no other token.
#[tokio::test(flavor = "multi_thread")]
async fn no_other_token_of_the_cluster_can_be_requested() {
    let lab = Lab::start().await;
    lab.create_account("kube-system", HELPER, &[]).await;
    lab.create_account("kube-system", "admin", &[]).await;
    lab.create_account("default", HELPER, &[]).await;
    let thief = lab.plane.service_account_client(NAMESPACE, CONTROLLER).await.unwrap();
    let ask = async |namespace: &str, name: &str, audiences: Option<&[&str]>, seconds: i64| {
        let audiences = audiences.map(|all| all.iter().map(|a| (*a).to_owned()).collect());
        let spec =
            TokenRequestSpec { audiences, expiration_seconds: Some(seconds), ..TokenRequestSpec::default() };
        let request = TokenRequest { spec: Some(spec), ..TokenRequest::default() };
        let accounts: Api<ServiceAccount> = Api::namespaced(thief.clone(), namespace);
        accounts.create_token_request(name, &PostParams::default(), &request).await
    };
    let cloud: Option<&[&str]> = Some(&["sts.aliyuncs.com"]);
    let refused = async |namespace: &str, name: &str, audiences: Option<&[&str]>, seconds: i64| match ask(
        namespace, name, audiences, seconds,
    )
    .await
    {
        Err(kube::Error::Api(status)) => status.code,
        other => panic!("{namespace}/{name} {audiences:?} {seconds}: {other:?}"),
    };
    lab.until("the policies are in force", async || ask("kube-system", HELPER, None, 3600).await.is_err())
        .await;
    ask("kube-system", HELPER, cloud, 3600).await.unwrap();
    let of_the_account = [
        (None, 3600),
        (Some(&["https://kubernetes.default.svc"][..]), 3600),
        (Some(&["sts.aliyuncs.com", "https://kubernetes.default.svc"][..]), 3600),
        (cloud, 86_400),
    ];
    for (audiences, seconds) in of_the_account {
        assert_eq!(refused("kube-system", HELPER, audiences, seconds).await, BY_POLICY);
    }
    let others =
        [("kube-system", "admin"), ("kube-system", "default"), (NAMESPACE, CONTROLLER), ("default", HELPER)];
    for (namespace, name) in others {
        assert_eq!(refused(namespace, name, cloud, 3600).await, BY_RBAC, "{namespace}/{name}");
    }
    // RBAC that an administrator widened does not open what the policies deny.
    let who = format!("--serviceaccount={NAMESPACE}:{CONTROLLER}");
    let role = ["create", "clusterrole", "wide", "--verb=create", "--resource=serviceaccounts/token"];
    lab.plane.kubectl_ok(&role).await.unwrap();
    lab.plane
        .kubectl_ok(&["create", "clusterrolebinding", "wide", "--clusterrole=wide", &who])
        .await
        .unwrap();
    for (namespace, name) in others {
        lab.until(&format!("RBAC lets {namespace}/{name} through"), async || {
            refused(namespace, name, cloud, 3600).await != BY_RBAC
        })
        .await;
        assert_eq!(refused(namespace, name, cloud, 3600).await, BY_POLICY, "{namespace}/{name}");
    }
}

/// Trust policies may name another account. Then RBAC and the policies must too, and a missing part is
/// reported.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_the_policies_do_not_name_is_reported_with_the_cure() {
    let lab = Lab::start_with(|options| options.arg("--rrsa-service-account=kube-system/renamed")).await;
    lab.create_account("kube-system", "renamed", &[]).await;
    lab.create_namespace("renamed").await;
    let apply_naming = async |file: &str| {
        let manifests = std::fs::read_to_string(root().join(file)).unwrap();
        lab.plane.apply(&manifests.replace(HELPER, "renamed")).await.unwrap();
    };
    apply_naming("deploy/rbac.yaml").await;
    // The API server takes a moment to enforce new policies and rights.
    let controller = lab.plane.service_account_client(NAMESPACE, CONTROLLER).await.unwrap();
    let accounts: Api<ServiceAccount> = Api::namespaced(controller, "kube-system");
    let spec = TokenRequestSpec {
        audiences: Some(vec!["sts.aliyuncs.com".to_owned()]),
        expiration_seconds: Some(3600),
        ..TokenRequestSpec::default()
    };
    let request = TokenRequest { spec: Some(spec), ..TokenRequest::default() };
    lab.until("the policies alone refuse it", async || {
        let asked = accounts.create_token_request("renamed", &PostParams::default(), &request).await;
        matches!(asked, Err(kube::Error::Api(status)) if status.code == BY_POLICY)
    })
    .await;
    lab.bind("renamed", of("renamed", by_rrsa())).await;
    let message = lab.until_ready_is("renamed", "False", "Forbidden").await;
    assert!(message.contains("kube-system/renamed") && message.contains("the policies"), "{message}");
    after(
        &message,
        "apply the RBAC and the policies of this version, and name the account in them as --rrsa-service-account does",
    );
    apply_naming("deploy/rbac.yaml").await;
    apply_naming("deploy/policies.yaml").await;
    lab.cloud.world(|world| {
        let trust = &mut world.role_mut("1", "acr-rrsa").unwrap().oidc_trust[0];
        let subject = "system:serviceaccount:kube-system:renamed".to_owned();
        trust.string_equals.insert("oidc:sub".to_owned(), [subject].into());
    });
    lab.until("the policies allow it", async || {
        accounts.create_token_request("renamed", &PostParams::default(), &request).await.is_ok()
    })
    .await;
    lab.annotate("renamed", "acrcredential.dev/refresh-at", "named").await;
    lab.until_ready_is("renamed", "True", "Succeeded").await;
}

/// ACK replaces its token from time to time. A broken one is reported, and the next one recovers.
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_addon_token_is_reported_and_a_new_one_recovers() {
    let lab = Lab::start_with(|options| options.arg("--token-mode=managedRole")).await;
    lab.create_namespace("managed").await;
    lab.bind("managed", spec(&["managed"])).await;
    let message = lab.until_ready_is("managed", "False", "NoIdentity").await;
    assert!(message.contains("AliyunCSManagedAcrRole") && message.contains("workerRole"), "{message}");
    let put = async |token: String| {
        let data = json!({ "addon.token.config": token });
        lab.put_secret("kube-system", "addon.aliyuncsmanagedacrrole.token", data).await;
    };
    let good = lab.cloud.addon_token(Duration::from_secs(3600));
    let mut broken: Value = serde_json::from_str(&good).unwrap();
    broken["keyring"] = json!("not-the-key-ring");
    let before = now(&lab);
    put(broken.to_string()).await;
    lab.until_ready_is("managed", "False", "AddonTokenInvalid").await;
    put(good).await;
    lab.until_ready_is("managed", "True", "Succeeded").await;
    assert!(minted_at(&lab) < before + FIRST_RETRY, "the Secret's event triggers the attempt");
}

/// The keys of the official SDKs' environment, outside ACK.
#[tokio::test(flavor = "multi_thread")]
async fn the_environment_of_the_official_sdks_gives_an_identity() {
    let lab = Lab::start_with_world(|cloud, options| {
        let (id, secret) = cloud.world(|world| {
            let key = &world.user_mut("1", "puller").unwrap().keys[0];
            (key.id.clone(), key.secret.clone())
        });
        options
            .env("ALIBABA_CLOUD_ACCESS_KEY_ID", id)
            .env("ALIBABA_CLOUD_ACCESS_KEY_SECRET", secret)
            .env("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "true")
    })
    .await;
    lab.create_namespace("outside").await;
    lab.bind("outside", spec(&["outside"])).await;
    lab.until_ready_is("outside", "True", "Succeeded").await;
    let status = lab.bindings().get("outside").await.unwrap().status.unwrap();
    assert_eq!(status.registries[0].identity, "environment");
}

/// As in a network whose only way out is a proxy that terminates TLS with a certificate of its own.
#[tokio::test(flavor = "multi_thread")]
async fn the_cloud_is_reached_by_https_through_the_proxy_and_with_the_extra_certificates() {
    let (lab, front, proxy) = Lab::start_behind_a_proxy().await;
    lab.create_namespace("proxied").await;
    lab.bind("proxied", spec(&["proxied"])).await;
    lab.until_ready_is("proxied", "True", "Succeeded").await;
    let hosts = proxy.hosts();
    assert!(hosts.iter().all(|host| host.starts_with("cr-vpc.cn-hangzhou.aliyuncs.com")), "{hosts:?}");
    assert!(!hosts.is_empty());

    // A redirect would send the signature to another host.
    let mark = lab.cloud.calls().len();
    front.redirect("GetAuthorizationToken", "https://evil.aliyuncs.com/");
    lab.annotate("proxied", "acrcredential.dev/refresh-at", "now").await;
    lab.until_ready_is("proxied", "True", "RefreshFailing").await;
    assert!(!proxy.hosts().iter().any(|host| host.contains("evil")), "{:?}", proxy.hosts());
    let minted = lab.cloud.calls()[mark..].iter().filter(|c| c.action == "GetAuthorizationToken").count();
    assert_eq!(minted, 0);
}
