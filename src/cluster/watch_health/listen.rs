//! A client for one watch, which records each part of an answer that arrives.

use axum::body::Body;
use futures::StreamExt;
use kube::Client;

use super::WatchHealth;

impl WatchHealth {
    /// Returns a client of which one watch is heard. Each part of an answer counts: kube's watcher does not pass the
    /// bookmarks on by which a watch without changes is known to be alive. A refusal does not count, and neither does
    /// the head of an answer, which comes from a watch that is frozen too.
    pub fn listen(&self, client: &Client, watch: &'static str) -> Client {
        self.register(watch);
        let (health, inner) = (self.clone(), client.clone());
        let service = tower::service_fn(move |request| {
            let (health, inner) = (health.clone(), inner.clone());
            async move {
                let response = inner.send(request).await?;
                let is_refused = !response.status().is_success();
                Ok::<_, kube::Error>(response.map(|body| {
                    Body::from_stream(Body::new(body).into_data_stream().inspect(move |part| {
                        if part.is_ok() && !is_refused {
                            health.heard(watch);
                        }
                    }))
                }))
            }
        });
        Client::new(service, client.default_namespace())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use kube::Config;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::WatchHealth;
    use crate::cluster::client::connect;
    use crate::cluster::watch_health::SECRETS;

    /// Returns whether a watch is heard by the time its client has read an answer.
    async fn is_heard(answer: &'static str) -> bool {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let served = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        let health = WatchHealth::default();
        let client = connect(&Config::new(url.parse().unwrap())).unwrap();
        let client = health.listen(&client, SECRETS);
        let begun = Instant::now();
        while begun.elapsed().is_zero() {}
        let asked = Instant::now();
        let request = http::Request::get("/api/v1/secrets?watch=true").body(Vec::new()).unwrap();
        let _ = client.request_text(request).await;
        served.await.unwrap();
        let [(_, age)] = health.ages(asked + Duration::from_secs(60))[..] else { panic!("one watch") };
        age <= Duration::from_secs(60)
    }

    #[tokio::test]
    async fn a_part_of_an_answer_is_heard_and_a_head_or_a_refusal_is_not() {
        let bookmark = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        assert!(is_heard(bookmark).await);
        assert!(!is_heard("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await);
        assert!(!is_heard("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\n{}").await);
        assert!(!is_heard("").await, "the connection closed");
    }
}
