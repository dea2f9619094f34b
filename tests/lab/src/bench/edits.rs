//! Edits of the legacy ConfigMap, and how fast the generated binding follows.

use std::time::Instant;

use serde_json::json;

use super::{
    Bench,
    call::Call,
    report::Row,
    requests::{Who, until_at_rest},
    spans::Spans,
    transport::{Kind, Transport},
    watch::{Watch, from_to},
};

/// The ConfigMap, and the binding generated from it.
const NAME: &str = "acr-configuration";

/// Number of edits.
const EDITS: usize = 100;

impl Bench {
    pub(super) async fn edits(&mut self) -> anyhow::Result<()> {
        println!("\nEdit the legacy ConfigMap {EDITS} times");
        let start = self.begin()?;
        let watcher = Transport::open(self.plane.kubeconfig(), Kind::Http2(1)).await?;
        let path = "/apis/acrcredential.dev/v1alpha1/acrcredentialbindings";
        let selector = format!("&fieldSelector=metadata.name={NAME}");
        let mut bindings = Watch::open(watcher.client(0), path, &selector).await?;
        let client = self.transport.client(0);
        let config_map = json!({
            "metadata": { "name": NAME },
            "data": {
                "watch-namespace": "default",
                "acr-registry-info": "- instanceId: cri-demo0001\n",
            },
        });
        Call::create("/api/v1/namespaces/kube-system/configmaps", &config_map).send(&client).await?;
        let mut generation = bindings.next().await?.generation;
        let (mut calls, mut windows) = (Spans::default(), Spans::default());
        for edit in 0..EDITS {
            // Each edit sets another threshold, which changes no credential: only the path from the ConfigMap
            // to the binding is measured.
            let data = json!({ "data": { "expiring-threshold": format!("{}m", 15 + (edit + 1) % 2) } });
            let call = Call::merge(&format!("/api/v1/namespaces/kube-system/configmaps/{NAME}"), &data);
            let sent = Instant::now();
            call.send(&client).await?;
            let returned = Instant::now();
            let seen = bindings.find(|seen| seen.generation > generation).await?;
            generation = seen.generation;
            calls.push(from_to(sent, returned));
            windows.push(from_to(returned, seen.at));
        }
        let end = until_at_rest(&self.plane, Who::Controller).await?;
        self.report.row(Row::race("the binding of an edited ConfigMap follows", &windows, &calls, None));
        self.report.cost(self.cost("edits of the ConfigMap", start, end)?);
        Ok(())
    }
}
