//! Reviews that no API server sends.

use acr_lab::plane::free_port;

use super::{Stream, asking, grant, plane, until_asked, until_served_by_webhook};
use crate::harness::Lab;

/// Whoever reaches the port can send what he likes; the Deployment grants 128 MiB.
#[tokio::test(flavor = "multi_thread")]
async fn no_review_takes_the_memory_of_the_process() {
    let port = free_port().unwrap();
    let plane = plane().await;
    grant(&plane).await;
    let lab = Lab::start_on(plane, |_, options| options.webhook(port, None)).await;
    lab.create_namespace("flooded").await;
    lab.bind("flooded", asking(&["flooded"], "Fail", 15)).await;
    until_served_by_webhook(&lab, "flooded").await;
    until_asked(&lab, "flooded").await;
    let review = |object: &str| {
        let resource = r#"{"group":"","version":"v1","resource":"serviceaccounts"}"#;
        format!(
            r#"{{"apiVersion":"admission.k8s.io/v1","request":{{"uid":"u","namespace":"flooded","operation":"CREATE","resource":{resource},"object":{object}}}}}"#
        )
    };
    let many = |part: &str| part.repeat(2_900_000 / part.len());
    let labels = (0..300_000).map(|n| format!(r#""{n}":"","#)).collect::<String>();
    let bodies = [
        format!(r#"{{"request":{{"object":[{}0]}}}}"#, many("0,")),
        review(&format!(r#"{{"metadata":{{"name":"default"}},"imagePullSecrets":[{}{{}}]}}"#, many("{},"))),
        review(&format!(r#"{{"metadata":{{"labels":{{{labels}"a":""}}}}}}"#)),
        review(&format!(r#"{{"metadata":{{"annotations":{{{labels}"a":""}}}}}}"#)),
        review(&format!(r#"{{"metadata":{{"name":"default"}},"other":[{}[]]}}"#, many("[],"))),
    ];
    let http = reqwest::Client::builder()
        .http1_only()
        .no_proxy()
        .tls_danger_accept_invalid_certs(true)
        .build()
        .unwrap();
    let stream = Stream::start(&lab, "flooded");
    let flood = (0..60).map(|number| {
        let body = bodies[number % bodies.len()].clone();
        let request = http.post(format!("https://127.0.0.1:{port}/mutate")).body(body);
        tokio::spawn(async move { request.send().await.map(|answer| answer.status().as_u16()) })
    });
    let mut answered = 0;
    for answer in flood.collect::<Vec<_>>() {
        // Those that wait for too long are sent away.
        answered += usize::from(answer.await.unwrap().is_ok_and(|status| status == 200 || status == 400));
    }
    assert!(answered >= bodies.len(), "only {answered} were read");
    stream.end_without_a_refusal().await;
    let peak = lab.controller.peak_rss_kib().unwrap();
    assert!(peak < 128 * 1024, "{peak} KiB");
}
