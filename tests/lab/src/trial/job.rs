//! The jobs that a crash may interrupt, and the run of one of them.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::{
    observe::{State, written},
    rig::{CONFIG_MAP, PATIENCE, Rig, SECRET},
};
use crate::plane::Write;

/// A host of the demo world's first instance.
const DOMAIN: &str = "demo-registry.cn-hangzhou.cr.aliyuncs.com";

/// What the product is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
    /// A first binding covers two namespaces.
    Fill,
    /// A user asks for fresh credentials.
    Refresh,
    /// A binding covers one namespace less.
    Narrowing,
    /// A binding is deleted.
    Withdrawal,
    /// A ConfigMap of the documented component becomes a binding.
    Conversion,
    /// The binding made from a ConfigMap becomes its user's own.
    Graduation,
    /// A user asks for another owner's Secret to be taken over.
    Adoption,
    /// A ConfigMap is converted where the documented component left its Secrets and entries.
    Takeover,
}

/// How the work goes on after a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// The process that crashed starts again at once.
    Restart,
    /// Another replica takes over, and only then the one that crashed starts again.
    Standby,
}

/// The end of a run.
#[derive(Debug)]
pub struct Run {
    /// The end state.
    pub state: State,
    /// The writes that took effect, by object.
    pub writes: BTreeMap<String, usize>,
    /// The tokens that the cloud issued.
    pub mints: usize,
    /// The write after which the controller crashed, if it did.
    pub crashed: Option<Write>,
}

impl Job {
    /// Brings about the state that the job begins in.
    async fn prepare(self, rig: &Rig, tag: &str) -> anyhow::Result<()> {
        let (first, second) = (format!("{tag}-a"), format!("{tag}-b"));
        for namespace in [&first, &second] {
            rig.create_namespace(namespace).await?;
            rig.create_account(namespace, "builder", &["mine"]).await?;
        }
        match self {
            Job::Fill | Job::Conversion => Ok(()),
            Job::Refresh | Job::Narrowing | Job::Withdrawal => {
                rig.bind(tag, spec(&[&first, &second])).await?;
                rig.until("the binding is ready", PATIENCE, async || rig.is_ready(tag).await).await
            }
            Job::Graduation => {
                rig.put_config_map(config(tag), json!({})).await?;
                rig.until("the binding is ready", PATIENCE, async || rig.is_ready(CONFIG_MAP).await).await
            }
            Job::Adoption => {
                leave_behind(rig, &first).await?;
                rig.bind(tag, spec(&[&first, &second])).await?;
                rig.until("the second is served", PATIENCE, async || {
                    Ok(rig.secrets(&second).get_opt(SECRET).await?.is_some())
                })
                .await
            }
            Job::Takeover => {
                leave_behind(rig, &first).await?;
                leave_behind(rig, &second).await
            }
        }
    }

    /// Does what a user does.
    async fn act(self, rig: &Rig, tag: &str) -> anyhow::Result<()> {
        let (first, second) = (format!("{tag}-a"), format!("{tag}-b"));
        match self {
            Job::Fill => rig.bind(tag, spec(&[&first, &second])).await,
            Job::Refresh => rig.annotate(tag, "acrcredential.dev/refresh-at", "now").await,
            Job::Narrowing => rig.bind(tag, spec(&[&first])).await,
            Job::Withdrawal => rig.unbind(tag).await,
            Job::Conversion | Job::Takeover => rig.put_config_map(config(tag), json!({})).await,
            Job::Graduation => {
                let graduated = json!({ "acrcredential.dev/authoritative": "false" });
                rig.put_config_map(config(tag), graduated).await
            }
            Job::Adoption => rig.annotate(tag, "acrcredential.dev/adopt", "true").await,
        }
    }

    /// Returns whether the job is done, by what its user wanted.
    async fn is_done(self, rig: &Rig, tag: &str) -> anyhow::Result<bool> {
        let second = format!("{tag}-b");
        Ok(match self {
            Job::Fill | Job::Adoption => rig.is_ready(tag).await?,
            Job::Refresh => {
                let binding = rig.bindings().get(tag).await?;
                binding.data["status"]["lastHandledRefreshAt"] == "now"
            }
            Job::Narrowing => {
                rig.is_ready(tag).await? && rig.secrets(&second).get_opt(SECRET).await?.is_none()
            }
            Job::Withdrawal => rig.bindings().get_opt(tag).await?.is_none(),
            Job::Conversion | Job::Takeover => rig.is_ready(CONFIG_MAP).await?,
            Job::Graduation => {
                let binding = rig.bindings().get(CONFIG_MAP).await?;
                let conditions = binding.data["status"]["conditions"].as_array();
                let reports = conditions.into_iter().flatten().any(|is| is["type"] == "LegacyConfigValid");
                let converted = binding
                    .metadata
                    .labels
                    .is_some_and(|labels| labels.contains_key("acrcredential.dev/converted"));
                !converted && !reports
            }
        })
    }

    /// Removes what a run of the job made, so that the next one begins alike.
    async fn clean_up(self, rig: &Rig, tag: &str) -> anyhow::Result<()> {
        rig.delete_config_map().await?;
        rig.unbind(tag).await?;
        rig.unbind(CONFIG_MAP).await?;
        rig.until("the bindings are gone", PATIENCE, async || {
            let mut gone = true;
            for binding in [tag, CONFIG_MAP] {
                gone &= rig.bindings().get_opt(binding).await?.is_none();
            }
            Ok(gone)
        })
        .await?;
        for end in ["a", "b"] {
            rig.delete_namespace(&format!("{tag}-{end}")).await?;
        }
        Ok(())
    }

    /// Runs the job, and crashes the controller after its n-th write if that is asked for. A write number beyond
    /// the last one gives a run without a crash.
    pub async fn run(
        self,
        rig: &Rig,
        tag: &str,
        crash: Option<(usize, Recovery)>,
        wanted: Option<&State>,
    ) -> anyhow::Result<Run> {
        self.attempt(rig, tag, crash, wanted)
            .await
            .with_context(|| format!("{self:?} as {tag}, with a crash after write {crash:?}"))
    }

    async fn attempt(
        self,
        rig: &Rig,
        tag: &str,
        crash: Option<(usize, Recovery)>,
        wanted: Option<&State>,
    ) -> anyhow::Result<Run> {
        self.prepare(rig, tag).await?;
        rig.until_quiet().await?;
        let leader = rig.leader().await?;
        rig.proxy.forget_writes();
        rig.cloud.clear_calls();
        let pid = rig.replicas[leader].pid();
        if crash.is_some() {
            rig.keep_down(leader);
        }
        let mut fired = crash.map(|(number, _)| {
            rig.proxy.crash_after_write(number, move || {
                let _ = std::process::Command::new("kill").args(["-KILL", &pid.to_string()]).status();
            })
        });
        self.act(rig, tag).await?;
        rig.until("the job is done, or the controller is dead", PATIENCE, async || {
            Ok(!rig.replicas[leader].is_running() || self.is_done(rig, tag).await?)
        })
        .await?;
        let mut crashed = None;
        if let (Some(fired), Some((_, recovery))) = (&mut fired, crash) {
            // The last writes follow what a user sees of the job.
            if rig.replicas[leader].is_running() {
                rig.until_quiet().await?;
            }
            if !rig.proxy.disarm().await {
                crashed = fired.now();
                self.recover(rig, leader, recovery).await?;
            }
            rig.start_again(leader);
        }
        rig.until("the job is done", PATIENCE, async || self.is_done(rig, tag).await).await?;
        if let Some(wanted) = wanted {
            let mut difference = String::new();
            let same = rig
                .until("the end state is that of the run without a fault", PATIENCE, async || {
                    difference = rig.observe(tag).await?.difference(wanted);
                    Ok(difference.is_empty())
                })
                .await;
            same.with_context(|| difference.clone())?;
        }
        rig.until_quiet().await?;
        let state = rig.observe(tag).await?;
        if let Some(wanted) = wanted {
            ensure!(state == *wanted, "it does not stay:\n{}", state.difference(wanted));
        }
        let writes = written(&rig.proxy.writes(), tag);
        let mints = rig.cloud.count("GetAuthorizationToken");
        self.clean_up(rig, tag).await?;
        Ok(Run { state, writes, mints, crashed })
    }

    async fn recover(self, rig: &Rig, leader: usize, recovery: Recovery) -> anyhow::Result<()> {
        rig.replicas[leader].kill();
        rig.proxy.clear();
        if recovery == Recovery::Standby && rig.replicas.len() > 1 {
            rig.leader().await?;
        }
        rig.start_again(leader);
        rig.until("the controller that crashed is ready again", PATIENCE, async || {
            Ok(matches!(rig.replicas[leader].ready().await, Ok(None)))
        })
        .await?;
        rig.leader().await.map(drop)
    }

    /// Runs the job without a fault, and then once for each of its writes with a crash after it. Returns how
    /// often it crashed.
    ///
    /// The allowance: each crash may repeat one write of an object and one mint, and a status may be written
    /// twice more, since the process that follows reports what it finds.
    pub async fn crash_after_each_write(self, rig: &Rig) -> anyhow::Result<usize> {
        let name = format!("{self:?}").to_lowercase();
        let calm = self.run(rig, &format!("{name}-calm"), None, None).await?;
        let total: usize = calm.writes.values().sum();
        ensure!(total > 0, "{self:?} writes nothing");
        let mut crashes = 0;
        for number in 1..=total {
            let recovery = if number % 2 == 1 { Recovery::Standby } else { Recovery::Restart };
            let tag = format!("{name}-{number}");
            let run = self.run(rig, &tag, Some((number, recovery)), Some(&calm.state)).await?;
            let Some(write) = &run.crashed else { continue };
            crashes += 1;
            let last = format!("{} {}", write.request.verb, write.request.resource);
            for (object, count) in &run.writes {
                let allowed = calm.writes.get(object).copied().unwrap_or_default()
                    + if object.contains("/status") { 3 } else { 1 };
                ensure!(
                    *count <= allowed,
                    "{self:?}: {object} was written {count} times after a crash after {last}; {allowed} are allowed"
                );
            }
            ensure!(
                run.mints <= calm.mints + 1,
                "{self:?}: {} tokens after a crash after {last}, {} without it",
                run.mints,
                calm.mints
            );
        }
        Ok(crashes)
    }
}

/// Returns the spec of a binding for every account of some namespaces.
pub(super) fn spec(namespaces: &[&str]) -> Value {
    json!({
        "registries": [{ "instanceId": "cri-demo0001" }],
        "watchNamespaces": { "names": namespaces },
        "serviceAccounts": { "names": ["*"] },
    })
}

fn config(tag: &str) -> Value {
    json!({
        "acr-registry-info": "- instanceId: cri-demo0001\n",
        "watch-namespace": format!("{tag}-a,{tag}-b"),
        "service-account": "*",
    })
}

/// Leaves a Secret and an entry behind as the documented component does.
async fn leave_behind(rig: &Rig, namespace: &str) -> anyhow::Result<()> {
    let auths = json!({ "auths": { DOMAIN: { "auth": "bGVnYWN5OmxlZ2FjeQ==" } } });
    let secret: Secret = serde_json::from_value(json!({
        "metadata": { "name": SECRET }, "type": "kubernetes.io/dockerconfigjson",
        "stringData": { ".dockerconfigjson": auths.to_string() },
    }))?;
    rig.secrets(namespace).create(&PostParams::default(), &secret).await?;
    let entry = json!({ "imagePullSecrets": [{ "name": SECRET }] });
    rig.accounts(namespace).patch("default", &PatchParams::default(), &Patch::Merge(&entry)).await?;
    Ok(())
}
