//! Credentials outlive what others do to the objects that carry them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use acr_lab::cloud::world::{Domain, DomainKind};
use acr_lab::cloud::{Fault as CloudFault, FaultKind};
use acr_lab::plane::{Fault, Target};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::rbac::v1::Role;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::json;

use crate::documentation::shell;
use crate::harness::{DOMAIN, Lab, NAMESPACE, PATIENCE, SECRET, spec};

/// A tenant may freeze the pull Secret, and only a new one can hold a fresh token.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_a_tenant_makes_immutable_is_replaced_and_the_next_refresh_arrives() {
    let lab = Lab::start().await;
    lab.create_namespace("frozen").await;
    lab.bind("frozen", spec(&["frozen"])).await;
    lab.until_ready_is("frozen", "True", "Succeeded").await;
    let before = lab.secret("frozen").await.unwrap();
    let mark = lab.mark();
    let freeze = Patch::Merge(json!({ "immutable": true }));
    lab.namespaced::<Secret>("frozen").patch(SECRET, &PatchParams::default(), &freeze).await.unwrap();
    lab.until("a new Secret is there", async || {
        lab.secret("frozen").await.is_some_and(|now| now.metadata.uid != before.metadata.uid)
    })
    .await;
    let replaced = lab.secret("frozen").await.unwrap();
    assert_eq!((replaced.immutable, &replaced.data), (None, &before.data));
    assert_eq!(lab.pull_secrets("frozen", "default").await, [SECRET]);
    lab.until_settled().await;
    let written = lab.requests(mark).writes();
    assert_eq!(written.of("serviceaccounts").len(), 0, "entries stay attached");
    assert_eq!(
        written.of("secrets").filter(|e| e.namespace == "frozen").len(),
        2,
        "a deletion and a creation"
    );
    let uid = before.metadata.uid.unwrap();
    let said = lab.plane.kubectl_ok(&["-n", "frozen", "get", "events", "-o", "json"]).await.unwrap();
    assert!(said.contains("SecretReplaced") && said.contains(&format!("(UID {uid})")), "{said}");

    let token = lab.token("frozen", DOMAIN).await.unwrap();
    lab.refresh("frozen", "1").await;
    lab.until("the token is fresh", async || lab.token("frozen", DOMAIN).await.unwrap() != token).await;
    lab.until_ready_is("frozen", "True", "Succeeded").await;
}

/// A platform annotates each new account at its creation, before and between our writes.
#[tokio::test(flavor = "multi_thread")]
async fn conflicts_at_the_creation_of_an_account_are_not_reported_as_rivalry() {
    let (lab, proxy) = Lab::proxied().await;
    lab.create_namespace("young").await;
    lab.bind("young", spec(&["young"])).await;
    lab.until_ready_is("young", "True", "Succeeded").await;
    let patches = Target::new("patch", "serviceaccounts").in_namespace("young");
    proxy.inject(patches, Fault::Answer(409), 15);
    lab.create_account("young", "new", &[]).await;
    lab.until_attached("young", "new").await;
    assert_eq!(proxy.pending(), 0);
    lab.until_settled().await;
    assert_eq!(lab.condition("young", "Contended").await, None);
    assert!(!lab.controller.log().contains("contended"), "{}", lab.controller.log_tail(20));
}

const REGISTRIES: usize = 1_000;

/// Returns the shards of the token cache, with the bytes of each.
async fn shards(lab: &Lab) -> BTreeMap<String, usize> {
    let secrets: Api<Secret> = lab.namespaced(NAMESPACE);
    let all = secrets.list(&ListParams::default()).await.unwrap();
    let caches = all.items.into_iter().filter_map(|secret| {
        let name = secret.metadata.name?;
        Some((name, secret.data?.get("tokens.json")?.0.len()))
    });
    caches.filter(|(name, _)| name.starts_with("acr-credential-cache")).collect()
}

/// Makes instances with ten domains each, and binds each 50 of them in a namespace of their own.
async fn bind_many(lab: &Lab) {
    let id = |n: usize| format!("cri-{n:016}");
    lab.cloud.world(|world| {
        for n in 0..REGISTRIES {
            let mut instance = world.instances["cri-demo0001"].clone();
            let domains = (0..10).map(|host| Domain {
                domain: format!("host-{host}-of-a-registry-{n:04}.with-a-name-of-its-own.images.example.com"),
                kind: DomainKind::User,
            });
            instance.endpoints.truncate(1);
            instance.endpoints[0].domains = domains.collect();
            world.instances.insert(id(n), instance);
        }
    });
    for first in (0..REGISTRIES).step_by(50) {
        let name = format!("many-{first}");
        lab.create_namespace(&name).await;
        let mut many = spec(&[&name]);
        let entries = (first..first + 50).map(|n| json!({ "instanceId": id(n) }));
        many["registries"] = entries.collect();
        lab.bind(&name, many).await;
    }
    let end = Instant::now() + PATIENCE * 8;
    while lab.cloud.count("GetAuthorizationToken") < REGISTRIES {
        assert!(Instant::now() < end, "not minted in time\n{}", lab.controller.log_tail(20));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for first in (0..REGISTRIES).step_by(50) {
        lab.until_ready_is(&format!("many-{first}"), "True", "Succeeded").await;
    }
    lab.until_settled().await;
}

/// One Secret holds 1 MiB, which a thousand registries exceed.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_with_a_thousand_registries_mints_nothing_and_writes_nothing() {
    let lab = Lab::start().await;
    bind_many(&lab).await;
    let kept = shards(&lab).await;
    assert!(kept.len() > 1 && kept.values().sum::<usize>() > 1 << 20, "{kept:?}");
    assert!(kept.values().all(|bytes| *bytes <= 900_000), "{kept:?}");
    assert!(!lab.controller.log().contains("token cache not written"), "{}", lab.controller.log_tail(20));

    // One registry that is refreshed costs one write of one of them.
    let mut one = spec(&["one"]);
    one["registries"] = json!([{ "instanceId": format!("cri-{:016}", 7) }]);
    lab.create_namespace("one").await;
    lab.bind("one", one).await;
    lab.until_ready_is("one", "True", "Succeeded").await;
    lab.until_settled().await;
    let mark = lab.mark();
    lab.refresh("one", "1").await;
    lab.until_settled().await;
    let written = lab.requests(mark).writes().of("secrets").filter(|e| e.namespace == NAMESPACE);
    assert_eq!(written.len(), 1, "{:?}", written.counts());

    lab.cloud.clear_calls();
    let mark = lab.mark();
    lab.controller.restart().unwrap();
    lab.controller.until_ready(Duration::from_secs(30)).await.unwrap();
    lab.until_settled().await;
    assert_eq!(lab.cloud.calls().len(), 0);
    let written = lab.requests(mark).writes();
    assert_eq!(written.len(), 0, "{:?}", written.counts());
}

/// The Secret of a version without shards holds everything, and its rights name no other.
#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_from_one_cache_secret_mints_nothing_also_with_the_rights_of_before() {
    let lab = Lab::start().await;
    lab.create_namespace("old").await;
    lab.bind("old", spec(&["old"])).await;
    lab.until_ready_is("old", "True", "Succeeded").await;
    lab.until_settled().await;
    assert_eq!(shards(&lab).await.into_keys().collect::<Vec<_>>(), ["acr-credential-cache"]);
    let roles: Api<Role> = lab.namespaced(NAMESPACE);
    let mut role = roles.get("acr-credential-controller").await.unwrap();
    for rule in role.rules.iter_mut().flatten() {
        let names = rule.resource_names.get_or_insert_default();
        if names.iter().any(|name| name == "acr-credential-cache") {
            // It may not be written either: this is older still.
            (*names, rule.verbs) = (vec!["acr-credential-cache".to_owned()], vec!["get".to_owned()]);
        }
    }
    roles.replace("acr-credential-controller", &Default::default(), &role).await.unwrap();
    let restarted = async || {
        lab.cloud.clear_calls();
        let (mark, before) = (lab.mark(), lab.controller.log().len());
        lab.controller.restart().unwrap();
        lab.controller.until_ready(Duration::from_secs(20)).await.unwrap();
        lab.until_settled().await;
        assert_eq!(lab.cloud.calls().len(), 0);
        assert_eq!(lab.requests(mark).writes().len(), 0);
        lab.controller.log().get(before..).unwrap_or_default().to_owned()
    };
    let unreadable = "a part of the token cache may not be read; apply deploy/rbac.yaml of this version";
    let log = restarted().await;
    assert!(log.contains(unreadable), "{log}");

    let before = lab.namespaced::<Secret>(NAMESPACE).get("acr-credential-cache").await.unwrap().data;
    lab.refresh("old", "1").await;
    let unwritten = "a restart mints again; apply deploy/rbac.yaml of this version";
    lab.until("the log has the cure", async || lab.controller.log().contains(unwritten)).await;
    shell(&lab.plane, "kubectl apply --server-side --force-conflicts -f deploy/rbac.yaml").unwrap();
    let mut request = 1;
    lab.until("the cache is written", async || {
        request += 1;
        lab.refresh("old", &request.to_string()).await;
        lab.namespaced::<Secret>(NAMESPACE).get("acr-credential-cache").await.unwrap().data != before
    })
    .await;
    lab.until_settled().await;
    let log = restarted().await;
    assert!(!log.contains(unreadable), "{log}");
}

/// A token of the controller may not be accepted for some seconds, as while the API server restarts.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_accepted_for_a_moment_costs_seconds_and_not_minutes() {
    let (lab, proxy) = Lab::proxied().await;
    lab.create_namespace("moment").await;
    lab.bind("moment", spec(&["moment"])).await;
    lab.until_ready_is("moment", "True", "Succeeded").await;
    let patches = Target::new("patch", "serviceaccounts").in_namespace("moment");
    // With the back-off of a refusal, the fifth attempt comes after more than a minute.
    proxy.inject(patches, Fault::Answer(401), 4);
    lab.create_account("moment", "new", &[]).await;
    lab.until_attached("moment", "new").await;
    assert_eq!(proxy.pending(), 0);
    lab.until_ready_is("moment", "True", "Succeeded").await;
}

/// The cloud documents twelve hours at most. A token for ten years would never be renewed.
#[tokio::test(flavor = "multi_thread")]
async fn an_expiry_that_cannot_be_relied_on_is_reported_or_the_token_renewed_within_hours() {
    let lab = Lab::start().await;
    lab.create_namespace("far").await;
    let minting = async |kind: FaultKind| {
        lab.cloud.clear_faults();
        let action = "GetAuthorizationToken".to_owned();
        lab.cloud.fault(CloudFault { action, instance: None, kind, times: None });
    };
    for (kind, words) in [
        (FaultKind::ExpireTimePast, "has already expired"),
        (FaultKind::MissingFields, "has no valid field TempUsername"),
    ] {
        minting(kind).await;
        lab.bind("far", spec(&["far"])).await;
        lab.annotate("far", "acrcredential.dev/refresh-at", words).await;
        lab.until_ready_says("far", "False", "UnexpectedReply", words).await;
        assert_eq!(lab.token("far", DOMAIN).await, None);
    }
    minting(FaultKind::ExpireTimeFar).await;
    lab.annotate("far", "acrcredential.dev/refresh-at", "far").await;
    lab.until_ready_is("far", "True", "Succeeded").await;
    let status = serde_json::to_value(lab.bindings().get("far").await.unwrap().status.unwrap()).unwrap();
    let time = |field: &str| -> Timestamp {
        status["registries"][0][field].as_str().expect(field).parse().expect("a time")
    };
    let (minted, expires, next) = (time("refreshedAt"), time("expiresAt"), time("nextRefreshAt"));
    let hours = |at: Timestamp| at.duration_since(minted) / 3_600;
    assert!(hours(expires) > SignedDuration::from_secs(9 * 365 * 24), "{status}");
    assert!(hours(next) < SignedDuration::from_secs(12), "{status}");
}
