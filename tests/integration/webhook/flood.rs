//! Reviews that no API server sends.

use acr_lab::plane::free_port;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

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

/// Connections that say nothing, or nothing more, hold no slot that the API server or a probe needs.
#[tokio::test(flavor = "multi_thread")]
async fn no_number_of_idle_connections_keeps_the_api_server_or_the_kubelet_out() {
    let port = free_port().unwrap();
    let plane = plane().await;
    grant(&plane).await;
    let lab = Lab::start_on(plane, |_, options| options.webhook(port, None)).await;
    lab.create_namespace("crowded").await;
    lab.bind("crowded", asking(&["crowded"], "Fail", 15)).await;
    until_served_by_webhook(&lab, "crowded").await;
    until_asked(&lab, "crowded").await;

    let stream = Stream::start(&lab, "crowded");
    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.push(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
    }
    // Each answered once, by a pool of its own.
    let mut answered = Vec::new();
    for _ in 0..150 {
        let client =
            reqwest::Client::builder().no_proxy().tls_danger_accept_invalid_certs(true).build().unwrap();
        let reply = client.get(format!("https://127.0.0.1:{port}/")).send().await.unwrap();
        assert_eq!(reply.status().as_u16(), 404);
        answered.push(client);
    }
    let admin = lab.controller.address();
    let mut halves = Vec::new();
    for _ in 0..1000 {
        let mut half = TcpStream::connect(&admin).await.unwrap();
        // A server that closed it already needs no head.
        let _ = half.write_all(&[&b"GET /metrics HTTP/1.1\r\nx: "[..], &[b'a'; 8000]].concat()).await;
        halves.push(half);
    }
    assert_eq!(lab.controller.ready().await.unwrap(), None);
    until_asked(&lab, "crowded").await;
    stream.end_without_a_refusal().await;
    let peak = lab.controller.peak_rss_kib().unwrap();
    assert!(peak < 64 * 1024, "{peak} KiB");
}
