//! Replicas of two builds, between which the lease goes there and back, as in an upgrade and its rollback.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};

use super::{
    job::spec,
    rig::{PATIENCE, Rig, SECRET},
};
use crate::process::Signal;

/// Namespaces that are served meanwhile.
const NAMESPACES: [&str; 3] = ["hand-over-a", "hand-over-b", "hand-over-c"];

/// The binding and the prefix of its namespaces.
const TAG: &str = "hand-over";

/// The first request for fresh credentials.
const FIRST: &str = "first";

/// Hands the lease over so often, and returns which replica had it each time. Each holder refreshes the credentials.
///
/// Each must find all as it should be, regardless of which build wrote it: nothing is written before a user asks for it, no
/// Secret is made again, and the end state stays the same.
pub async fn hand_over(rig: &Rig, times: usize) -> anyhow::Result<Vec<usize>> {
    for namespace in NAMESPACES {
        rig.create_namespace(namespace).await?;
        rig.create_account(namespace, "builder", &["mine"]).await?;
    }
    rig.bind(TAG, spec(&NAMESPACES)).await?;
    rig.annotate(TAG, "acrcredential.dev/refresh-at", FIRST).await?;
    rig.until("the binding is ready", PATIENCE, async || {
        let binding = rig.bindings().get(TAG).await?;
        Ok(rig.is_ready(TAG).await? && binding.data["status"]["lastHandledRefreshAt"] == FIRST)
    })
    .await?;
    rig.until_quiet().await?;
    let (before, uids) = (rig.observe(TAG).await?, uids(rig).await?);
    let mut holders = Vec::new();
    for number in 0..times {
        let leader = rig.leader().await?;
        holders.push(leader);
        rig.proxy.forget_writes();
        rig.keep_down(leader);
        rig.replicas[leader].signal(Signal::TERM)?;
        rig.until("the holder has ended", PATIENCE, async || Ok(!rig.replicas[leader].is_running())).await?;
        let next = rig.leader().await?;
        rig.until_quiet().await?;
        let needless: Vec<_> = rig.proxy.writes().into_iter().filter(|write| write.status < 300).collect();
        ensure!(needless.is_empty(), "replica {next} wrote after replica {leader}: {needless:?}");
        rig.start_again(leader);
        let request = format!("hand-over-{number}");
        rig.annotate(TAG, "acrcredential.dev/refresh-at", &request).await?;
        rig.until("the refresh is handled", PATIENCE, async || {
            let binding = rig.bindings().get(TAG).await?;
            Ok(binding.data["status"]["lastHandledRefreshAt"] == request.as_str())
        })
        .await?;
        rig.create_account(NAMESPACES[0], &request, &[]).await?;
        rig.until("a new account has its entry", PATIENCE, async || {
            Ok(rig.entries(NAMESPACES[0], &request).await? == [SECRET])
        })
        .await?;
        rig.accounts(NAMESPACES[0]).delete(&request, &Default::default()).await?;
        rig.until_quiet().await?;
        ensure!(uids == self::uids(rig).await?, "a Secret was made again by replica {next}");
        rig.until("the replica that ended is ready again", PATIENCE, async || {
            Ok(matches!(rig.replicas[leader].ready().await, Ok(None)))
        })
        .await?;
    }
    // The last request that was handled is all that differs.
    rig.annotate(TAG, "acrcredential.dev/refresh-at", FIRST).await?;
    let mut difference = String::new();
    rig.until("all is as before", PATIENCE, async || {
        difference = rig.observe(TAG).await?.difference(&before);
        Ok(difference.is_empty())
    })
    .await
    .with_context(|| difference.clone())?;
    rig.unbind(TAG).await?;
    for namespace in NAMESPACES {
        rig.delete_namespace(namespace).await?;
    }
    Ok(holders)
}

async fn uids(rig: &Rig) -> anyhow::Result<BTreeMap<&'static str, String>> {
    let mut uids = BTreeMap::new();
    for namespace in NAMESPACES {
        let secret = rig.secrets(namespace).get(SECRET).await?;
        uids.insert(namespace, secret.metadata.uid.context("a Secret has no UID")?);
    }
    Ok(uids)
}
