//! What the watches have seen of the victim.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use anyhow::Context;
use kube::Client;
use serde_json::Value;

use super::{
    stage::Stage,
    victim::{NEVER, POLL_EVERY},
};
use crate::bench::{
    SECRET,
    transport::{Kind, Transport},
    watch::Watch,
};

/// When each object was last seen as wanted: a Secret at its last change, an account at its entry.
#[derive(Clone, Default)]
pub(super) struct Seen {
    times: Arc<Mutex<HashMap<(String, String), Instant>>>,
    ended: Arc<Mutex<Option<String>>>,
}

impl Seen {
    /// Follows the objects of a path. With `first`, the time is that of the first state with our entry. An API
    /// server that is busy with a neighbour may close a watch, which is opened again.
    pub(super) async fn follow(
        stage: &Stage,
        path: &'static str,
        query: &str,
        first: bool,
    ) -> anyhow::Result<Seen> {
        let client = Transport::open(stage.plane.kubeconfig(), Kind::Http2(1)).await?.client(0);
        let mut watch = Watch::open(client.clone(), path, &format!("&{query}")).await?;
        let (seen, query) = (Seen::default(), query.to_owned());
        let following = seen.clone();
        tokio::spawn(async move {
            loop {
                while let Ok(observation) = watch.next().await {
                    let place = (observation.namespace, observation.name);
                    following.record(place, observation.at, first, observation.bound);
                }
                let opened = async {
                    let watch = Watch::open(client.clone(), path, &format!("&{query}")).await?;
                    // What the closed watch has missed was there by now.
                    if first {
                        following.catch_up(&client, &format!("{path}?{query}")).await?;
                    }
                    anyhow::Ok(watch)
                };
                match opened.await {
                    Ok(opened) => watch = opened,
                    Err(error) => {
                        *following.ended.lock().unwrap_or_else(PoisonError::into_inner) =
                            Some(format!("{error:#}"));
                        return;
                    }
                }
            }
        });
        Ok(seen)
    }

    fn record(&self, place: (String, String), at: Instant, first: bool, bound: bool) {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        match (first, bound) {
            (true, true) => drop(times.entry(place).or_insert(at)),
            (true, false) => {}
            (false, _) => drop(times.insert(place, at)),
        }
    }

    async fn catch_up(&self, client: &Client, path: &str) -> anyhow::Result<()> {
        let request = hyper::Request::get(path).body(Vec::new())?;
        let list: Value = client.request(request).await?;
        for object in list["items"].as_array().into_iter().flatten() {
            let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
            self.record((text("namespace"), text("name")), Instant::now(), true, is_bound(object));
        }
        Ok(())
    }

    /// Returns when an object was last seen as wanted.
    pub(super) fn at(&self, place: &(String, String)) -> Option<Instant> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner).get(place).copied()
    }

    /// Waits until all were seen, for as long as they may come at all.
    pub(super) async fn until(&self, places: &[(String, String)]) -> anyhow::Result<()> {
        let started = Instant::now();
        while places.iter().any(|place| self.at(place).is_none()) && started.elapsed() < NEVER {
            let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(error) = ended {
                return Err(anyhow::anyhow!(error)).context("the victim is not observed any more");
            }
            tokio::time::sleep(POLL_EVERY).await;
        }
        Ok(())
    }
}

/// Returns whether an account has our entry.
pub(super) fn is_bound(account: &Value) -> bool {
    let entries = account["imagePullSecrets"].as_array();
    entries.is_some_and(|entries| entries.iter().any(|entry| entry["name"] == SECRET))
}
