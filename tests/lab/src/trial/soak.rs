//! The soak: a cluster that changes all the time, short tokens, a fault every few seconds, and a pull every
//! second.

use std::time::{Duration, Instant};

use anyhow::ensure;
use fastrand::Rng;
use futures::{StreamExt, stream};
use kube::api::DeleteParams;
use serde_json::Value;

use super::rig::{PATIENCE, Rig, SECRET, unless};
use crate::{
    cloud::{Fault as CloudFault, FaultKind},
    plane::{Fault, Target},
};

/// How a soak goes.
#[derive(Debug, Clone, Copy)]
pub struct Soak {
    /// Namespaces that one binding covers.
    pub namespaces: usize,
    /// How long it goes on after the first fill.
    pub time: Duration,
    /// The lifetime of tokens.
    pub token: Duration,
    /// ServiceAccounts that are created, and as many that are deleted, a second.
    pub churn: u32,
    /// The time from one fault to the next.
    pub fault_every: Duration,
    /// The seed of the choices.
    pub seed: u64,
}

/// What a soak measured.
#[derive(Debug, Clone, PartialEq)]
pub struct SoakReport {
    /// The pulls that were tried.
    pub pulls: usize,
    /// Those that the registry would have refused, with the reason.
    pub refused: Vec<String>,
    /// Accounts that had no entry when they had existed for ten seconds.
    pub unattached: Vec<String>,
    /// The faults.
    pub faults: usize,
    /// The resident memory of the leader over time, in KiB.
    pub memory: Vec<u64>,
}

impl SoakReport {
    /// Returns by how many KiB a minute the memory grew in the second half, as the slope of a line through it.
    pub fn slope(&self) -> f64 {
        let half = &self.memory[self.memory.len() / 2..];
        #[expect(clippy::cast_precision_loss, reason = "a soak has few samples of little memory")]
        let points: Vec<(f64, f64)> =
            half.iter().enumerate().map(|(second, kib)| (second as f64 / 60.0, *kib as f64)).collect();
        #[expect(clippy::cast_precision_loss, reason = "a soak has few samples")]
        let count = points.len().max(1) as f64;
        let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
        let (x, y) = (mean(|point| point.0), mean(|point| point.1));
        let over: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
        let under: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
        if under == 0.0 { 0.0 } else { over / under }
    }
}

impl Soak {
    /// Runs the soak.
    pub async fn run(self, rig: &Rig) -> anyhow::Result<SoakReport> {
        let mut rng = Rng::with_seed(self.seed);
        rig.cloud.world(|world| world.lifetimes.registry_token_cap = Some(self.token));
        let names: Vec<String> = (0..self.namespaces).map(|number| format!("soak-{number}")).collect();
        let made = stream::iter(&names).map(|name| rig.create_namespace(name)).buffer_unordered(16);
        made.collect::<Vec<_>>().await.into_iter().collect::<anyhow::Result<Vec<()>>>()?;
        rig.bind("soak", super::job::spec(&["soak-*"])).await?;
        rig.until("the soak's binding is ready", 4 * PATIENCE, async || rig.is_ready("soak").await).await?;
        let mut report = SoakReport {
            pulls: 0,
            refused: Vec::new(),
            unattached: Vec::new(),
            faults: 0,
            memory: Vec::new(),
        };
        let (begun, mut next_fault) = (Instant::now(), Instant::now() + self.fault_every);
        let mut second = tokio::time::interval(Duration::from_secs(1));
        let mut alive: Vec<(String, String, Instant)> = Vec::new();
        let mut number = 0_u64;
        while begun.elapsed() < self.time {
            second.tick().await;
            for _ in 0..self.churn {
                number += 1;
                let (namespace, name) = (&names[rng.usize(0..names.len())], format!("churn-{number}"));
                rig.create_account(namespace, &name, &[]).await?;
                alive.push((namespace.clone(), name, Instant::now()));
            }
            if alive.len() > 15 * self.churn as usize {
                for (namespace, name, created) in alive.drain(..self.churn as usize) {
                    if created.elapsed() > Duration::from_secs(10)
                        && !rig.entries(&namespace, &name).await?.iter().any(|entry| entry == SECRET)
                    {
                        report.unattached.push(format!("{namespace}/{name}"));
                    }
                    let accounts = rig.accounts(&namespace);
                    unless(404, accounts.delete(&name, &DeleteParams::default()).await.map(drop))?;
                }
            }
            let namespace = &names[rng.usize(0..names.len())];
            report.pulls += 1;
            if let Some(why) = refusal(rig, namespace).await? {
                report.refused.push(format!("{namespace} after {:?}: {why}", begun.elapsed()));
            }
            if Instant::now() >= next_fault {
                next_fault += self.fault_every;
                report.faults += 1;
                fault(rig, &mut rng)?;
            }
            // One that ended meanwhile has no memory to measure.
            if let Some(leader) = rig.leads().await
                && let Ok(memory) = rig.replicas[leader].rss_kib()
            {
                report.memory.push(memory);
            }
        }
        rig.proxy.clear();
        rig.cloud.clear_faults();
        ensure!(report.pulls > 0, "the soak was too short for a pull");
        Ok(report)
    }
}

/// Returns why a pull with a namespace's Secret would be refused.
async fn refusal(rig: &Rig, namespace: &str) -> anyhow::Result<Option<String>> {
    let Some(secret) = rig.secrets(namespace).get_opt(SECRET).await? else {
        return Ok(Some("there is no Secret".to_owned()));
    };
    let data = secret.data.unwrap_or_default();
    let config: Value = match data.get(".dockerconfigjson") {
        Some(bytes) => serde_json::from_slice(&bytes.0)?,
        None => Value::Null,
    };
    let auths = config["auths"].as_object().cloned().unwrap_or_default();
    if auths.is_empty() {
        return Ok(Some("the Secret is empty".to_owned()));
    }
    let refused = auths.iter().find(|(_, auth)| {
        let text = |field: &str| auth[field].as_str().unwrap_or_default();
        !rig.cloud.token_may_pull(text("username"), text("password"), "cri-demo0001")
    });
    Ok(refused.map(|(domain, _)| format!("the token for {domain} is not valid")))
}

fn fault(rig: &Rig, rng: &mut Rng) -> anyhow::Result<()> {
    let kinds = ["secrets", "serviceaccounts", "acrcredentialbindings/status"];
    let written = Target::resource(kinds[rng.usize(0..kinds.len())]).written();
    match rng.usize(0..7) {
        0 => rig.proxy.cut(),
        1 => rig.proxy.inject(written, Fault::Answer([409, 429, 500, 503][rng.usize(0..4)]), 5),
        2 => rig.proxy.inject(written, Fault::DropReply, 3),
        3 => rig.proxy.inject(written, Fault::Delay(Duration::from_millis(rng.u64(100..2_000))), 5),
        4 => {
            let resource = ["secrets", "serviceaccounts", "namespaces"][rng.usize(0..3)];
            rig.proxy.inject(Target::new("watch", resource), Fault::Expired, 1);
            rig.proxy.cut();
        }
        5 => {
            let action = "GetAuthorizationToken".to_owned();
            let kind = FaultKind::Throttle { retry_after_ms: Some(1_000) };
            rig.cloud.fault(CloudFault { action, instance: None, kind, times: Some(1) });
        }
        _ => {
            if let Some(replica) = rig.replicas.get(rng.usize(0..rig.replicas.len())) {
                replica.restart()?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_is_that_of_the_second_half() {
        let report = |memory: Vec<u64>| SoakReport {
            pulls: 1,
            refused: Vec::new(),
            unattached: Vec::new(),
            faults: 0,
            memory,
        };
        assert_eq!(report(vec![100; 50]).slope(), 0.0);
        let grows = report((0..120).map(|second| 1_000 + second).collect()).slope();
        assert!((grows - 60.0).abs() < 0.001, "{grows}");
        let warm_up = report((0..60).map(|second| 1_000 * second).chain([60_000; 60]).collect()).slope();
        assert_eq!(warm_up, 0.0);
    }
}
