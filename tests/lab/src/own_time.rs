//! `cargo lab own-time`: the time of `kubectl acr status` and `explain` in a large cluster, and what they read of it.
//!
//! No controller runs: the statuses are written as it writes them, with as many failing pairs as a status lists.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use acr_lab::{
    controller::build_plugin,
    meter::Meter,
    plane::{Options, Plane},
};
use anyhow::{Context, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::{Namespace, Pod, ServiceAccount};
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams},
    core::GroupVersionKind,
};
use serde_json::{Value, json};

/// Pairs that the status of one binding lists.
const PAIRS: usize = 200;

/// Creations at once.
const WRITERS: usize = 16;

const SECRET: &str = "acr-credential-secret-aggregation";
const HOST: &str = "demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com";

/// Size of the cluster, and the plugin.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Namespaces of the cluster.
    #[arg(long, default_value_t = 10_000)]
    namespaces: usize,
    /// Pairs of a registry and a namespace that fail.
    #[arg(long, default_value_t = 1_000)]
    failing: usize,
    /// How often each command is run.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    samples: u32,
    /// A plugin to measure, instead of a release build of the one here.
    #[arg(long, value_name = "FILE")]
    plugin: Option<PathBuf>,
}

/// Creates the cluster, and measures each command in it.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let plugin = match &args.plugin {
        Some(path) => path.clone(),
        None => build_plugin().await?,
    };
    let plane = Plane::start(Options::default()).await?;
    plane.apply_file(acr_lab::docs::root().join("crds")).await?;
    fill(&plane, &args).await?;
    println!(
        "\n{} namespaces, {} failing pairs, {} runs each:\n",
        args.namespaces, args.failing, args.samples
    );
    println!(
        "| `kubectl acr` | own time | p50 | longest | requests | read |\n| --- | --- | --- | --- | --- | --- |"
    );
    let image = format!("{HOST}/team/app:1");
    for words in [
        &["status"][..],
        &["status", "-o", "json"],
        &["status", "team-0"],
        &["explain", "pod/app", "-n", "team-0"],
        &["explain", "sa/default", "-n", "team-0"],
        &["explain", "image", &image, "-n", "team-0"],
    ] {
        println!("{}", measure(&plane, &plugin, words, args.samples).await?);
    }
    Ok(())
}

/// Creates the namespaces, the bindings with their statuses, and a Pod that cannot pull.
async fn fill(plane: &Plane, args: &Args) -> anyhow::Result<()> {
    let client = plane.client();
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let (create, params) = (|name: String| json!({ "metadata": { "name": name } }), PostParams::default());
    stream::iter((0..args.namespaces).map(|i| create(format!("team-{i}"))))
        .map(|object| async {
            let object: Namespace = serde_json::from_value(object)?;
            namespaces.create(&params, &object).await?;
            anyhow::Ok(())
        })
        .buffer_unordered(WRITERS)
        .try_collect::<Vec<()>>()
        .await?;
    let count = args.failing.div_ceil(PAIRS);
    for number in 0..count {
        let failing = number * PAIRS..((number + 1) * PAIRS).min(args.failing);
        bind(&client, number, failing, args.namespaces / count).await?;
    }
    let entry = json!({ "imagePullSecrets": [{ "name": SECRET }] });
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "team-0");
    let params = PatchParams::apply("lab").force();
    let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "imagePullSecrets": entry["imagePullSecrets"] });
    accounts.patch("default", &params, &Patch::Apply(&account)).await?;
    let pods: Api<Pod> = Api::namespaced(client, "team-0");
    let pod = json!({
        "metadata": { "name": "app" },
        "spec": { "containers": [{ "name": "app", "image": format!("{HOST}/team/app:1") }] },
    });
    pods.create(&PostParams::default(), &serde_json::from_value(pod)?).await?;
    let waiting = json!({ "waiting": { "reason": "ErrImagePull", "message": "insufficient_scope: authorization failed" } });
    let status = json!({ "status": { "phase": "Pending", "containerStatuses": [{
        "name": "app", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": waiting,
    }] } });
    pods.patch_status("app", &PatchParams::default(), &Patch::Merge(&status)).await?;
    Ok(())
}

/// Creates a binding whose status lists these namespaces as failing.
async fn bind(
    client: &Client,
    number: usize,
    failing: std::ops::Range<usize>,
    covered: usize,
) -> anyhow::Result<()> {
    let kind = GroupVersionKind::gvk("acrcredential.dev", "v1alpha1", "AcrCredentialBinding");
    let resource = ApiResource::from_gvk_with_plural(&kind, "acrcredentialbindings");
    let bindings: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let name = format!("team-{number}");
    let binding = json!({
        "apiVersion": "acrcredential.dev/v1alpha1", "kind": "AcrCredentialBinding", "metadata": { "name": name },
        "spec": {
            "registries": [{ "instanceId": "cri-demo0001", "regionId": "cn-hangzhou" }],
            "watchNamespaces": { "names": ["team-*"] },
        },
    });
    bindings.create(&PostParams::default(), &serde_json::from_value(binding)?).await?;
    let condition = |kind: &str, status: &str, reason: &str, message: String| {
        json!({
            "type": kind, "status": status, "reason": reason, "message": message,
            "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1,
        })
    };
    let pair = |i: usize| {
        let message = format!(
            "the ResourceQuota tenant in the namespace team-{i} leaves no room: used 10 of 10 secrets; raise it, or delete a Secret"
        );
        let conditions = [condition("Ready", "False", "QuotaExceeded", message)];
        json!({ "registry": "cri-demo0001", "namespace": format!("team-{i}"), "conditions": conditions })
    };
    let count = failing.len();
    let pairs: Vec<Value> = failing.map(pair).collect();
    let ready = condition("Ready", "False", "QuotaExceeded", format!("{count} namespaces are not ready"));
    let status = json!({ "status": {
        "observedGeneration": 1,
        "conditions": [ready],
        "namespaces": { "matched": covered, "ready": covered - count },
        "serviceAccounts": { "matched": covered, "bound": covered - count },
        "registries": [{
            "registry": "cri-demo0001", "regionId": "cn-hangzhou", "identity": "worker-role", "domains": [HOST],
            "conditions": [condition("Issued", "True", "Succeeded", String::new())],
        }],
        "pairs": pairs,
    } });
    bindings.patch_status(&name, &PatchParams::default(), &Patch::Merge(&status)).await?;
    Ok(())
}

/// Runs a command a number of times, and returns a row of the table. Own time is that of the processor.
async fn measure(plane: &Plane, plugin: &Path, words: &[&str], samples: u32) -> anyhow::Result<String> {
    let meter = Meter::start(plane, plane.kubeconfig()).await?;
    let run = || async {
        let begun = Instant::now();
        let output = tokio::process::Command::new(plugin)
            .args(words)
            .env("KUBECONFIG", meter.kubeconfig())
            .output()
            .await
            .context("the plugin did not start")?;
        let text = String::from_utf8_lossy(&output.stderr);
        ensure!(matches!(output.status.code(), Some(0 | 1)), "{words:?}: {text}");
        anyhow::Ok(begun.elapsed())
    };
    run().await?;
    meter.take();
    let (mark, before) = (plane.audit().mark()?, processor_time()?);
    let mut took = Vec::new();
    for _ in 0..samples {
        took.push(run().await?);
    }
    let own = (processor_time()? - before) / samples;
    let requests = plane.audit().since(mark)?.by_user("admin");
    took.sort();
    let p50 = took.get(took.len() / 2).copied().unwrap_or_default();
    let longest = took.last().copied().unwrap_or_default();
    let each = requests.0.len() as f64 / f64::from(samples);
    Ok(format!(
        "| `{}` | {:.0} ms | {:.0} ms | {:.0} ms | {each:.0} | {} kB |",
        words.join(" "),
        own.as_secs_f64() * 1e3,
        p50.as_secs_f64() * 1e3,
        longest.as_secs_f64() * 1e3,
        meter.take() / u64::from(samples) / 1000,
    ))
}

/// Returns the time of the processor of all children that have ended.
fn processor_time() -> anyhow::Result<Duration> {
    let text = std::fs::read_to_string("/proc/self/stat")?;
    // The name of the program, in parentheses, may hold spaces.
    let (_, fields) = text.rsplit_once(')').context("/proc/self/stat is not as expected")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok());
    let ticks = ticks(13).zip(ticks(14)).context("/proc/self/stat lacks the times of children")?;
    let per_second = rustix::param::clock_ticks_per_second();
    Ok(Duration::from_millis((ticks.0 + ticks.1) * 1000 / per_second))
}
