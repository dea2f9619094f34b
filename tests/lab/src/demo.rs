//! The demonstration for newcomers, each step of it checked.

mod steps;
mod view;
mod ways;

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use acr_lab::{
    cloud::{Cloud, CloudConfig},
    controller::{Controller, ControllerOptions, build_debug},
    plane::{Options, Plane},
};
use anyhow::{Context, bail};

use crate::{print_access, until_interrupted};

/// The namespace and the ServiceAccount that the controller runs in and as.
const NAMESPACE: &str = "acr-credential-system";
const SERVICE_ACCOUNT: &str = "acr-credential-controller";

/// Long enough for a busy machine; a step that succeeds takes a fraction of a second.
const STEP_TIMEOUT: Duration = Duration::from_secs(30);

/// Runs all steps; an error names the step that failed.
pub(crate) async fn run(once: bool) -> anyhow::Result<()> {
    let mut script = Script { step: 0 };
    script.step("Build the controller");
    let binary = build_debug().await?;

    script.step("Start a Kubernetes control plane and a simulated Alibaba Cloud");
    let started = Instant::now();
    let plane = Plane::start(Options::default()).await?;
    let cloud = Cloud::start(CloudConfig::demo()).await?;
    plane.enable_rrsa(&cloud).await?;
    println!(
        "   etcd, kube-apiserver and kube-controller-manager: up in {:.1} s.",
        started.elapsed().as_secs_f64()
    );
    println!("   The cloud at {} checks every signature, and its tokens expire.", cloud.address());

    script.step("Install: the API, and the controller's rights with the policies that protect it");
    for manifest in ["crds", "deploy/namespace.yaml", "deploy/rbac.yaml", "deploy/policies.yaml"] {
        apply(&plane, manifest).await?;
    }

    script.step("Start the controller, as a process of its own under exactly these rights");
    let kubeconfig = plane.service_account_kubeconfig(NAMESPACE, SERVICE_ACCOUNT).await?;
    let controller = Controller::start(ControllerOptions::new(binary, kubeconfig, cloud.address()))?;
    let mut demo = Demo { plane, cloud, controller, script };
    if let Err(error) = demo.play().await {
        println!("\nThe last lines of the controller's log:\n{}", demo.controller.log_tail(30));
        return Err(error.context(format!("step {} failed", demo.script.step)));
    }
    if once {
        println!("\nAll steps passed.");
        return Ok(());
    }
    println!();
    print_access(&demo.plane);
    println!("  tail -f {}", demo.controller.options().log.display());
    until_interrupted().await
}

struct Demo {
    plane: Plane,
    cloud: Cloud,
    controller: Controller,
    script: Script,
}

/// Numbers the steps.
struct Script {
    step: usize,
}

impl Script {
    fn step(&mut self, title: &str) {
        self.step += 1;
        println!("\n{}. {title}", self.step);
    }
}

impl Demo {
    /// Shows a command of kubectl with its real output.
    async fn show(&self, args: &[&str]) -> anyhow::Result<()> {
        println!("   $ kubectl {}", args.join(" "));
        let output = self.plane.kubectl_ok(args).await?;
        for line in output.lines() {
            println!("   {line}");
        }
        Ok(())
    }
}

/// Applies a file or directory of the repository, shown as the command that a user would type.
async fn apply(plane: &Plane, manifest: &str) -> anyhow::Result<()> {
    println!("   $ kubectl apply --server-side -f {manifest}");
    let path = repository(manifest)?;
    for line in plane.apply_file(path).await?.lines() {
        println!("   {line}");
    }
    Ok(())
}

fn repository(path: &str) -> anyhow::Result<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    if !path.exists() {
        bail!("{} does not exist", path.display());
    }
    path.canonicalize().context("a path that does not exist")
}
