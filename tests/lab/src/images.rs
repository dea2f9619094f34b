//! `cargo lab image`: the image as a release builds it, measured.

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use acr_lab::{
    cloud::{Cloud, CloudConfig},
    controller::{Controller, ControllerOptions},
    docs::root,
    image::{ARCHITECTURES, Image, Recipe, Unpacked, missing, own_architecture, way},
    plane::{Options, Plane},
    process::Scratch,
    registry::{Registry, Verdict},
};
use anyhow::{Context, bail, ensure};
use clap::Args as ClapArgs;

/// The emulator that runs arm64's binaries on another machine.
const EMULATOR: &str = "qemu-aarch64-static";

const REPOSITORY: &str = "acr-credential-controller";

const NAMESPACE: &str = "acr-credential-system";

/// How often the controller is started to measure its start.
const STARTS: usize = 5;

/// Long enough for a start under an emulator.
const PATIENCE: Duration = Duration::from_secs(180);

/// How often to ask whether a credential was issued.
const POLL_EVERY: Duration = Duration::from_millis(20);

/// Options of `cargo lab image`.
#[derive(ClapArgs)]
pub(crate) struct Args {
    /// Build with all optimisations, for all architectures and twice. This takes more than an hour.
    #[arg(long)]
    release: bool,
    /// Build for all architectures.
    #[arg(long)]
    all: bool,
    /// Build twice, and fail unless both images have the same bytes.
    #[arg(long)]
    twice: bool,
}

/// Builds the image, and prints what it measured as Markdown.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    if let Some(missing) = missing() {
        bail!("{missing}");
    }
    let profile = if args.release { "release" } else { "image-quick" };
    let own = [own_architecture()];
    let wanted = if args.release || args.all { &ARCHITECTURES[..] } else { &own[..] };
    let mut buildable = Vec::new();
    for arch in wanted {
        match way(arch, false).await {
            Ok(way) => {
                println!("linux/{arch}: built by {way}");
                buildable.push(*arch);
            }
            // Named, so that its absence is not taken for a success.
            Err(error) => println!("linux/{arch}: NOT BUILT: {error:#}"),
        }
    }
    ensure!(!buildable.is_empty(), "no platform can be built on this machine");
    let started = Instant::now();
    let image = Image::build(&Recipe::new(profile), &buildable).await?;
    println!("profile {profile}: built in {} s\n", started.elapsed().as_secs());

    let registry = Registry::judged("lab", Arc::new(|_, _| Verdict::Rejected)).await?;
    let reference = image.push(&registry, REPOSITORY).await?;
    print_sizes(&registry, &reference, &buildable).await?;
    if args.release || args.twice {
        let again = Recipe { target_dir: Some(root().join("target/again")), ..Recipe::new(profile) };
        let again = Image::build(&again, &buildable).await?.push(&registry, "again").await?;
        let digest = |reference: &str| reference.split_once('@').map(|(_, digest)| digest.to_owned());
        ensure!(digest(&reference) == digest(&again), "two builds differ: {reference}, {again}");
        println!("\nBuilt twice, to the same bytes: {}", digest(&reference).unwrap_or_default());
    }
    for arch in buildable {
        try_out(arch, &image.root(arch).join("usr/local/bin/acr-credential-controller")).await?;
    }
    Ok(())
}

async fn print_sizes(registry: &Registry, reference: &str, architectures: &[&str]) -> anyhow::Result<()> {
    println!("| platform | controller | kubectl-acr | image, as pulled |");
    println!("| --- | --- | --- | --- |");
    for arch in architectures {
        let login = registry.admin_config();
        let image = Unpacked::pull(registry, login.as_bytes(), reference, arch).await?;
        let size = |name: &str| -> anyhow::Result<String> {
            Ok(megabytes(image.root().join("usr/local/bin").join(name).metadata()?.len()))
        };
        let (controller, plugin) = (size("acr-credential-controller")?, size("kubectl-acr")?);
        println!("| linux/{arch} | {controller} | {plugin} | {} |", megabytes(image.platform()?.packed));
    }
    Ok(())
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// Starts a binary on a control plane, and has it issue a credential, for which the cloud checks signatures.
async fn try_out(arch: &str, binary: &Path) -> anyhow::Result<()> {
    let dir = Scratch::new("acr-lab-emulated-")?;
    let own = arch == own_architecture();
    let program = if own { binary.to_owned() } else { emulated(dir.path(), binary)? };
    if !own && std::process::Command::new(EMULATOR).arg("--version").output().is_err() {
        println!("linux/{arch}: NOT RUN: not installed: {EMULATOR}; apt-get install -y qemu-user-static");
        return Ok(());
    }
    let plane = Plane::start(Options::default()).await?;
    let cloud = Cloud::start(CloudConfig::demo()).await?;
    plane.enable_rrsa(&cloud).await?;
    for manifest in ["crds", "deploy/namespace.yaml", "deploy/rbac.yaml", "deploy/policies.yaml"] {
        let path = root().join(manifest).display().to_string();
        plane.kubectl_ok(&["apply", "--server-side", "-f", &path]).await?;
    }
    let kubeconfig = plane.service_account_kubeconfig(NAMESPACE, "acr-credential-controller").await?;
    let options = ControllerOptions::new(program, kubeconfig, cloud.address());
    let controller = Controller::start_ready(options, PATIENCE).await?;
    let mut starts = Vec::new();
    for _ in 0..STARTS {
        let started = Instant::now();
        controller.restart()?;
        controller.until_ready(PATIENCE).await?;
        starts.push(started.elapsed());
    }
    starts.sort_unstable();
    let page = "docs/install.md";
    plane.apply(&acr_lab::docs::block(page, "Create a binding", "yaml")?).await?;
    plane.kubectl_ok(&["create", "namespace", "team-a-dev"]).await?;
    let deadline = Instant::now() + PATIENCE;
    while cloud.count("GetAuthorizationToken") == 0 {
        ensure!(Instant::now() < deadline, "no credential was issued:\n{}", controller.log_tail(20));
        tokio::time::sleep(POLL_EVERY).await;
    }
    let (middle, memory) = (starts.get(STARTS / 2).context("no start")?, controller.rss_kib()? / 1024);
    let how = if own { String::new() } else { format!(" under {EMULATOR}") };
    println!(
        "linux/{arch}{how}: start to ready {} ms (median of {STARTS}), {memory} MiB resident, a credential issued",
        middle.as_millis()
    );
    Ok(())
}

/// Writes a program that runs a binary of another architecture.
fn emulated(dir: &Path, binary: &Path) -> anyhow::Result<PathBuf> {
    let path = dir.join("acr-credential-controller");
    std::fs::write(&path, format!("#!/bin/sh\nexec {EMULATOR} {} \"$@\"\n", binary.display()))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    Ok(path)
}
