//! The control plane, by what its users rely on.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use acr_lab::plane::{Fault, FaultProxy, Options, Plane, Target};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ServiceAccount};
use kube::{
    Api, Config,
    api::{DeleteParams, ListParams, ObjectMeta, PostParams, WatchEvent, WatchParams},
    config::{KubeConfigOptions, Kubeconfig},
    runtime::wait,
};

use futures::{StreamExt, TryStreamExt};

fn config_map(name: &str) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        ..ConfigMap::default()
    }
}

async fn proxied(proxy: &FaultProxy) -> kube::Client {
    let path = proxy.kubeconfig_for("default", "writer").await.unwrap();
    let kubeconfig = Kubeconfig::read_from(path).unwrap();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    // kube would hide the faults behind its own retries.
    config.default_retry = false;
    kube::Client::try_from(config).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plane_serves_kubectl_and_counts_each_users_requests_and_comes_back_from_a_kill() {
    let started = Instant::now();
    let plane = Plane::start(Options::default()).await.unwrap();
    println!("up in {:?}", started.elapsed());
    for child in [&*plane.api_server(), &*plane.etcd(), plane.controller_manager()] {
        println!("{}: {} KiB", child.name(), child.peak_rss_kib().unwrap());
    }

    let version = plane.kubectl_ok(&["version", "-o", "json"]).await.unwrap();
    let version: serde_json::Value = serde_json::from_str(&version).unwrap();
    assert_eq!(version["serverVersion"]["gitVersion"], version["clientVersion"]["gitVersion"]);
    let refused = plane.kubectl(&["get", "namespace", "nowhere"]).await.unwrap();
    assert!(refused.stderr.contains("NotFound"), "{}", refused.stderr);

    // A user's requests are counted, by verb and resource, and only that user's.
    plane
        .kubectl_ok(&["create", "role", "reader", "--verb=get,list", "--resource=configmaps"])
        .await
        .unwrap();
    plane
        .kubectl_ok(&["create", "rolebinding", "reader", "--role=reader", "--serviceaccount=default:default"])
        .await
        .unwrap();
    let client = plane.service_account_client("default", "default").await.unwrap();
    let mark = plane.audit().mark().unwrap();
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    for count in 1..=50 {
        maps.list(&ListParams::default()).await.unwrap();
        // At once: a reader must not have to wait for the log.
        assert_eq!(plane.audit().since(mark).unwrap().by_service_account("default", "default").len(), count);
    }
    let denied = maps.create(&PostParams::default(), &config_map("a")).await.unwrap_err();
    assert!(denied.to_string().contains("forbidden"), "{denied}");
    let events = plane.audit().since(mark).unwrap().by_service_account("default", "default");
    let counts: Vec<_> = events.counts().into_iter().collect();
    assert_eq!(counts, [("create configmaps".to_owned(), 1), ("list configmaps".to_owned(), 50)]);
    assert_eq!(events.writes()[0].code, 403);

    // A new namespace gets its ServiceAccount, and a deleted one goes with what is in it.
    let namespaces: Api<Namespace> = Api::all(plane.client());
    plane.apply(r#"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"team"}}"#).await.unwrap();
    let accounts: Api<ServiceAccount> = Api::namespaced(plane.client(), "team");
    let there = wait::await_condition(accounts, "default", |a: Option<&ServiceAccount>| a.is_some());
    tokio::time::timeout(Duration::from_secs(10), there).await.unwrap().unwrap();
    let deleting = Instant::now();
    namespaces.delete("team", &DeleteParams::default()).await.unwrap();
    let gone = wait::await_condition(namespaces.clone(), "team", |n: Option<&Namespace>| n.is_none());
    tokio::time::timeout(Duration::from_secs(30), gone).await.unwrap().unwrap();
    println!("a namespace goes in {:?}", deleting.elapsed());

    // A killed API server comes back on the same address, with the same data and the same users.
    let pid = plane.api_server().pid();
    plane.kill_api_server();
    assert!(maps.list(&ListParams::default()).await.is_err());
    let restarting = Instant::now();
    plane.restart_api_server().await.unwrap();
    println!("restarted in {:?}", restarting.elapsed());
    assert_ne!(plane.api_server().pid(), pid);
    let client = plane.service_account_client("default", "default").await.unwrap();
    Api::<ConfigMap>::default_namespaced(client).list(&ListParams::default()).await.unwrap();

    // A paused one hangs its clients.
    plane.pause_api_server().unwrap();
    let hangs = tokio::time::timeout(Duration::from_millis(300), namespaces.get("default")).await;
    assert!(hangs.is_err());
    plane.resume_api_server().unwrap();
    namespaces.get("default").await.unwrap();

    let dir = plane.dir().to_owned();
    drop(plane);
    assert!(!dir.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_proxy_numbers_writes_streams_watches_and_injects_faults() {
    let plane = Plane::start(Options::default()).await.unwrap();
    plane.kubectl_ok(&["create", "serviceaccount", "writer"]).await.unwrap();
    plane
        .kubectl_ok(&[
            "create",
            "rolebinding",
            "writer",
            "--clusterrole=edit",
            "--serviceaccount=default:writer",
        ])
        .await
        .unwrap();
    let proxy = Arc::new(FaultProxy::start(&plane).await.unwrap());
    let maps: Api<ConfigMap> = Api::default_namespaced(proxied(&proxy).await);
    let create = async |name: &str| maps.create(&PostParams::default(), &config_map(name)).await;

    // A watch shows each write at once.
    let first = maps.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    let mut watch = maps.watch(&WatchParams::default(), &first).await.unwrap().boxed();
    for name in ["a", "b"] {
        create(name).await.unwrap();
        let event = tokio::time::timeout(Duration::from_secs(2), watch.try_next()).await.unwrap().unwrap();
        assert!(matches!(event, Some(WatchEvent::Added(map)) if map.metadata.name.as_deref() == Some(name)));
    }
    create("a").await.unwrap_err();
    let writes = proxy.writes();
    let seen: Vec<_> = writes.iter().map(|w| (w.number, w.request.verb, w.status)).collect();
    assert_eq!(seen, [(1, "create", 201), (2, "create", 201), (3, "create", 409)]);
    let user = "system:serviceaccount:default:writer";
    let audit = plane.audit().since(acr_lab::plane::Mark::default()).unwrap();
    assert_eq!(audit.by_user(user).writes().len(), 3);

    // A status is answered as often as asked, and never reaches the API server.
    proxy.inject(Target::new("create", "configmaps"), Fault::Answer(503), 2);
    for name in ["c", "c"] {
        let error = create(name).await.unwrap_err();
        assert!(matches!(&error, kube::Error::Api(status) if status.code == 503), "{error}");
    }
    create("c").await.unwrap();
    assert_eq!(proxy.writes().len(), 4);

    // A dropped reply is a write that took effect, and an error for the client.
    proxy.inject(Target::new("create", "configmaps"), Fault::DropReply, 1);
    create("d").await.unwrap_err();
    maps.get("d").await.unwrap();

    // A held request goes on when it is let go.
    let mut held = proxy.hold(Target::new("get", "configmaps"));
    let getting = tokio::spawn({
        let maps = maps.clone();
        async move { maps.get("a").await }
    });
    held.until_caught(1).await.unwrap();
    assert!(!getting.is_finished());
    drop(held);
    getting.await.unwrap().unwrap();

    // After write n of a crash no other write comes through, even one that was in progress.
    proxy.forget_writes();
    let crash = proxy.crash_after_write(2, || {});
    let names = ["e", "f", "g", "h", "i", "j"];
    let results = futures::future::join_all(names.map(create)).await;
    assert_eq!(crash.wait().await.unwrap().number, 2);
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 2);
    assert_eq!(proxy.writes().len(), 2);
    proxy.unblock_writes();
    maps.delete("a", &DeleteParams::default()).await.unwrap();

    // Cut connections end a watch and hinder no new one.
    proxy.cut();
    let end = tokio::time::timeout(Duration::from_secs(2), async {
        while let Ok(Some(_)) = watch.try_next().await {}
    });
    end.await.unwrap();
    // A client may send on a connection that was cut before it hears of that.
    let again = tokio::time::timeout(Duration::from_secs(2), async {
        while maps.get("b").await.is_err() {
            tokio::task::yield_now().await;
        }
    });
    again.await.unwrap();
}
