//! `cargo lab node`: what Pods on a real node notice of the product.
//!
//! - From a Pod's creation until it runs, beside the same Pod with a Secret made by hand.
//! - Of many applications, each in one `kubectl apply`, how many Pods were created before their ServiceAccount had the
//!   entry, with and without admission.
//! - What many namespaces on one node cost the registry at a rotation.
//!
//! The measurement has no thresholds: it fails only when something cannot be set up.

mod scene;

use std::{path::PathBuf, time::Duration};

use anyhow::Context;
use serde_json::{Value, json};

use self::scene::{HOST, Scene, pod_spec};
use crate::{
    bench::{
        report::table,
        spans::{Spans, seconds},
    },
    shipped,
};

/// The Secret that is made by hand.
const BY_HAND: &str = "by-hand";

/// Size of the measurement.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Pods of each kind, and applications of each row.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=200))]
    samples: u32,
    /// Namespaces on the node at a rotation.
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u32).range(1..=120))]
    namespaces: u32,
    /// A controller to measure, instead of a release build of the one here.
    #[arg(long, value_name = "FILE")]
    controller: Option<PathBuf>,
    /// File that gets the tables in Markdown.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

/// Measures everything.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let binary = shipped(args.controller.as_deref()).await?;
    println!("Start a control plane, a cloud, a registry, a node and a controller");
    let scene = Scene::start(binary).await?;
    let mut report = Report { text: String::new(), file: args.markdown };
    report.add(&times(&scene, args.samples).await?)?;
    report.add(&applications(&scene, args.samples).await?)?;
    report.add(&rotation(&scene, args.namespaces).await?)
}

/// The tables so far: a part that fails must not cost those before it.
struct Report {
    text: String,
    file: Option<PathBuf>,
}

impl Report {
    fn add(&mut self, table: &str) -> anyhow::Result<()> {
        println!("\n{table}");
        self.text = format!("{}{}{table}", self.text, if self.text.is_empty() { "" } else { "\n" });
        let Some(file) = &self.file else { return Ok(()) };
        std::fs::write(file, &self.text).with_context(|| format!("{} cannot be written", file.display()))
    }
}

/// Measures from the creation of a Pod until it runs. Both kinds alternate, so that the machine's load is the same for
/// both.
async fn times(scene: &Scene, samples: u32) -> anyhow::Result<String> {
    println!("Start {samples} Pods by the controller's Secret, and as many by one made by hand");
    scene.create_namespace("ours").await?;
    scene.create_namespace("theirs").await?;
    scene.bind("ours", &["ours"], false).await?;
    let data = scene.until_served("ours").await?;
    scene.create_secret("theirs", BY_HAND, &data).await?;
    let mut by_hand = pod_spec("Always");
    by_hand["imagePullSecrets"] = json!([{ "name": BY_HAND }]);
    let (mut ours, mut theirs) = (Spans::default(), Spans::default());
    // The first one also fetches the image's layers.
    for number in 0..=samples {
        let name = format!("pod-{number}");
        let (one, two) = (
            scene.time_to_run("ours", &name, &pod_spec("Always")).await?,
            scene.time_to_run("theirs", &name, &by_hand).await?,
        );
        if number > 0 {
            ours.push(one);
            theirs.push(two);
        }
    }
    let row = |what: &str, spans: &Spans| {
        [what.to_owned(), seconds(spans.p50()), seconds(spans.p99()), spans.len().to_string()]
    };
    let rows = [row("the controller's Secret", &ours), row("a Secret made by hand", &theirs)];
    Ok(table(&["create to Running", "p50", "p99", "Pods"], &rows))
}

/// Counts what a rotation of many namespaces costs the registry, and what the next Pods cost.
async fn rotation(scene: &Scene, namespaces: u32) -> anyhow::Result<String> {
    println!("Run a Pod in each of {namespaces} namespaces, and rotate their token");
    let names: Vec<String> = (0..namespaces).map(|number| format!("many-{number}")).collect();
    for name in &names {
        scene.create_namespace(name).await?;
    }
    scene.bind("many", &["many-*"], false).await?;
    let mut rows = Vec::new();
    for name in &names {
        scene.until_served(name).await?;
    }
    let mut before = scene.shown();
    let mut note = |what: &str, took: Duration| {
        let now = scene.shown();
        rows.push([what.to_owned(), (now - before).to_string(), seconds(took)]);
        before = now;
    };
    let took = scene.run_in_each(&names, "first").await?;
    note("the first Pod of each namespace runs", took);
    let took = scene.rotate("many", &names).await?;
    note("the token is rotated in each namespace", took);
    let took = scene.run_in_each(&names, "second").await?;
    note("another Pod of each namespace runs", took);
    scene.unbind("many", &names).await?;
    let head = format!("{namespaces} namespaces on one node, `IfNotPresent`");
    Ok(table(&[head.as_str(), "logins at the registry", "took"], &rows))
}

/// Counts the Pods that were created without the entry.
async fn applications(scene: &Scene, samples: u32) -> anyhow::Result<String> {
    let mut rows = Vec::new();
    for admission in [false, true] {
        if admission {
            scene.install_admission().await?;
        }
        for within in [false, true] {
            let how = if within { "in the same apply" } else { "earlier" };
            let with = if admission { "with admission" } else { "without admission" };
            println!("Apply {samples} applications {with}, the binding {how}");
            let prefix = format!("app-{}{}", u8::from(admission), u8::from(within));
            if !within {
                scene.bind(&prefix, &[&format!("{prefix}-*")], admission).await?;
            }
            let mut missed = 0;
            let names: Vec<String> = (0..samples).map(|number| format!("{prefix}-{number}")).collect();
            for name in &names {
                scene.apply(&application(name, within.then_some(admission))).await?;
                missed += usize::from(!scene.has_entry(name).await?);
            }
            rows.push([with.to_owned(), how.to_owned(), format!("{missed} of {samples}")]);
            scene.remove(&names, if within { &names } else { std::slice::from_ref(&prefix) }).await?;
        }
    }
    Ok(table(&["ServiceAccount and Deployment in one apply", "binding", "Pods without the entry"], &rows))
}

/// Returns an application as one file for `kubectl apply`, if asked for with its own binding.
fn application(name: &str, binding: Option<bool>) -> Value {
    let labels = json!({ "app": "app" });
    let metadata = json!({ "name": "app", "namespace": name });
    let mut template = pod_spec("IfNotPresent");
    template["serviceAccountName"] = json!("app");
    let mut items = vec![json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } })];
    if let Some(admission) = binding {
        items.push(scene::binding(name, &[name], admission));
    }
    items.push(json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata }));
    items.push(json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {
            "replicas": 1,
            "selector": { "matchLabels": labels },
            "template": { "metadata": { "labels": labels }, "spec": template },
        },
    }));
    json!({ "apiVersion": "v1", "kind": "List", "items": items })
}

/// Returns the image that every Pod runs.
fn image() -> String {
    format!("{HOST}/team/app:latest")
}
