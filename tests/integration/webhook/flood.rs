//! Reviews that no API server sends.

use acr_lab::plane::free_port;

use super::{Stream, asking, grant, plane, until_asked, until_served_by_webhook};
use crate::harness::Lab;

/// A client that reaches the port can send anything; the Deployment grants 128 MiB.
#[tokio::test(flavor = "multi_thread")]
async fn no_review_exhausts_the_memory_of_the_process() {
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
    let labels = (0..250_000).map(|n| format!(r#""{n}":"","#)).collect::<String>();
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
    let send = async |body: &str| {
        let request = http.post(format!("https://127.0.0.1:{port}/mutate")).body(body.to_owned());
        request.send().await.map(|answer| answer.status().as_u16())
    };
    let stream = Stream::start(&lab, "flooded");
    // All at once; requests that wait too long are refused.
    futures::future::join_all(bodies.iter().cycle().take(30).map(|body| send(body))).await;
    for body in &bodies {
        lab.until("it is read", async || matches!(send(body).await, Ok(200 | 400))).await;
    }
    stream.end_without_a_refusal().await;
    let peak = lab.controller.peak_rss_kib().unwrap();
    assert!(peak < 128 * 1024, "{peak} KiB");
}
