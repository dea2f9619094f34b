//! Replies that are lost, refused or late.

use std::time::Duration;

use acr_lab::plane::{Fault, FaultProxy, Target};
use futures::future::join_all;
use serde_json::json;

use crate::harness::{DOMAIN, Lab, NAMESPACE, SECRET, spec};

/// Counts the writes of an object that took effect.
fn effective(proxy: &FaultProxy, target: &Target) -> usize {
    proxy.writes().iter().filter(|write| write.status < 300 && target.matches(&write.request)).count()
}

/// The write took effect, but its sender does not know: the next one must find that out, not repeat it.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_reply_is_lost_is_not_made_twice() {
    let (lab, proxy) = Lab::proxied().await;
    let mut cases = Vec::new();
    for (how, fault) in [("dropped", Fault::DropReply), ("late", Fault::AnswerLate(504))] {
        for resource in
            ["secrets", "serviceaccounts", "acrcredentialbindings", "acrcredentialbindings/status"]
        {
            let name = format!("{how}-{}", resource.replace('/', "-"));
            let target = Target::resource(resource).written();
            let target = match resource {
                "secrets" | "serviceaccounts" => target.in_namespace(&name),
                _ => target.named(&name),
            };
            lab.create_namespace(&name).await;
            proxy.inject(target.clone(), fault, 1);
            cases.push((name, target, resource));
        }
    }
    let cache = Target::resource("secrets").in_namespace(NAMESPACE).written();
    proxy.inject(cache.clone(), Fault::DropReply, 1);
    for (name, ..) in &cases {
        lab.bind(name, spec(&[name])).await;
    }
    for (name, target, resource) in &cases {
        lab.until_ready_is(name, "True", "Succeeded").await;
        assert_eq!(lab.pull_secrets(name, "default").await, [SECRET], "one entry, once");
        assert!(lab.token(name, DOMAIN).await.is_some());
        // A Secret that is there already is applied once more, which changes nothing. A status may be written in
        // steps: pending, and then ready.
        let most = match *resource {
            "acrcredentialbindings/status" => 3,
            "secrets" => 2,
            _ => 1,
        };
        let count = effective(&proxy, target);
        assert!((1..=most).contains(&count), "{name} was written {count} times");
    }
    lab.until_settled().await;
    assert_eq!(proxy.pending(), 0, "each fault has struck");
    assert_eq!(lab.cloud.count("GetAuthorizationToken"), 1);
    // The lost reply of the cache's first write is made up for: a restart mints nothing.
    lab.controller.terminate(Duration::from_secs(20)).await.unwrap();
    lab.controller.restart().unwrap();
    lab.controller.until_ready(Duration::from_secs(20)).await.unwrap();
    lab.until_settled().await;
    assert_eq!(lab.cloud.count("GetAuthorizationToken"), 1);
}

/// Each refusal is met at its own object; beside it a new account is served by one write.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_write_backs_off_alone_and_goes_through_once_it_may() {
    let (lab, proxy) = Lab::proxied().await;
    lab.create_namespace("beside").await;
    lab.bind("beside", spec(&["beside"])).await;
    lab.until_ready_is("beside", "True", "Succeeded").await;
    let faults = [
        ("forbidden", Fault::Answer(403), 1),
        ("conflict", Fault::Answer(409), 2),
        ("invalid", Fault::Answer(422), 1),
        ("throttled", Fault::RetryAfter(429, 2), 2),
        ("internal", Fault::Answer(500), 2),
        ("unavailable", Fault::Answer(503), 2),
    ];
    let mut cases = Vec::new();
    for (how, fault, times) in faults {
        for resource in ["secrets", "serviceaccounts", "acrcredentialbindings/status"] {
            let name = format!("{how}-{}", resource.replace('/', "-"));
            let target = Target::resource(resource).written();
            let target = match resource {
                "acrcredentialbindings/status" => target.named(&name),
                _ => target.in_namespace(&name),
            };
            proxy.inject(target.clone(), fault, times);
            cases.push((name, target, times));
        }
    }
    join_all(cases.iter().map(|(name, ..)| lab.create_namespace(name))).await;
    for (name, ..) in &cases {
        lab.bind(name, spec(&[name])).await;
    }
    // While each of them is refused, the one beside them is served.
    lab.until("all are met by their fault", async || {
        cases.iter().all(|(_, target, _)| proxy.asked(target) >= 1)
    })
    .await;
    proxy.forget_writes();
    lab.create_account("beside", "meanwhile", &[]).await;
    lab.until_attached("beside", "meanwhile").await;
    assert!(proxy.pending() > 0, "others are still refused");
    let beside = Target::resource("serviceaccounts").in_namespace("beside");
    assert_eq!(effective(&proxy, &beside), 1);
    for (name, ..) in &cases {
        lab.until_ready_is(name, "True", "Succeeded").await;
        lab.until_attached(name, "default").await;
        lab.until_served(name, DOMAIN).await;
    }
    assert_eq!(proxy.pending(), 0, "each fault has struck");
    lab.until_settled().await;
    for (name, target, times) in &cases {
        // After the faults: the write itself, and for a status two more as the work goes on.
        let most = times + if name.ends_with("status") { 4 } else { 2 };
        assert!(proxy.asked(target) <= most, "{name} was tried {} times", proxy.asked(target));
    }
}

/// The write is never answered: its deadline ends it, and nothing beside it waits for that.
#[tokio::test(flavor = "multi_thread")]
async fn a_hung_write_ends_by_its_deadline_and_delays_no_other_namespace() {
    let (lab, proxy) = Lab::proxied().await;
    lab.create_namespace("beside").await;
    lab.bind("beside", spec(&["beside"])).await;
    lab.until_ready_is("beside", "True", "Succeeded").await;
    let mut hung = Vec::new();
    for resource in ["secrets", "serviceaccounts", "acrcredentialbindings/status"] {
        let name = format!("hung-{}", resource.replace('/', "-"));
        lab.create_namespace(&name).await;
        let target = Target::resource(resource).written();
        let target = match resource {
            "acrcredentialbindings/status" => target.named(&name),
            _ => target.in_namespace(&name),
        };
        let held = proxy.hold(target.clone());
        lab.bind(&name, spec(&[&name])).await;
        hung.push((name, target, held));
    }
    for (_, _, held) in &mut hung {
        tokio::time::timeout(crate::harness::PATIENCE, held.until_caught(1)).await.unwrap().unwrap();
    }
    for number in 0..5 {
        let account = format!("meanwhile-{number}");
        lab.create_account("beside", &account, &[]).await;
        lab.until_attached("beside", &account).await;
    }
    for (name, target, _) in &hung {
        assert_eq!(proxy.asked(target), 1, "{name} still hangs at its first try");
    }
    lab.until("each is tried again after its deadline", async || {
        hung.iter().all(|(_, _, held)| held.caught() >= 2)
    })
    .await;
    let names: Vec<String> = hung.into_iter().map(|(name, ..)| name).collect();
    for name in &names {
        lab.until_ready_is(name, "True", "Succeeded").await;
        lab.until_attached(name, "default").await;
        lab.until_served(name, DOMAIN).await;
    }
}

/// A key pair that is read before each mint hangs: only its own registry waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_hung_read_of_a_key_pair_delays_only_its_registry() {
    let (lab, proxy) = Lab::proxied().await;
    let (id, secret) = lab.key_of("2", "partner-puller");
    lab.put_secret(NAMESPACE, "acr-access-key", json!({ "accessKeyId": id, "accessKeySecret": secret }))
        .await;
    lab.create_namespace("keyed").await;
    let mut keyed = spec(&["keyed"]);
    keyed["registries"] = json!([
        { "instanceId": "cri-demo0001" },
        { "instanceId": "cri-demo0003", "accessKeySecretRef": { "name": "acr-access-key" } },
    ]);
    let held = proxy.hold(Target::resource("secrets").in_namespace(NAMESPACE).named("acr-access-key"));
    let listed = proxy.hold(Target::new("list", "secrets").in_namespace(NAMESPACE));
    lab.bind("keyed", keyed).await;
    lab.until_served("keyed", DOMAIN).await;
    lab.until_attached("keyed", "default").await;
    assert!(held.caught() + listed.caught() >= 1, "the key pair was asked for");
    drop((held, listed));
    lab.until_ready_is("keyed", "True", "Succeeded").await;
}
