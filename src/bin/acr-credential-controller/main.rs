//! The controller.

use std::io::IsTerminal;

use anyhow::Context;
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;

use acr_credential_binding::args::acr_credential_controller::{ControllerArgs, LogFormat};
use acr_credential_binding::cloud::{self, Alibaba};
use acr_credential_binding::cluster::client::set_user_agent;
use acr_credential_binding::controller::{self, Clients};

fn main() -> anyhow::Result<()> {
    let args = ControllerArgs::parse();
    // Both kube and reqwest bring a provider along; without a default, building the second client panics.
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        anyhow::bail!("another TLS provider is installed already");
    }
    let filter = tracing_subscriber::EnvFilter::try_new(&args.log_level).context("--log-level")?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Colour codes would make a log that is collected hard to search.
    let logs = logs.with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none());
    match args.log_format {
        LogFormat::Text => logs.with_target(false).init(),
        LogFormat::Json => logs.json().flatten_event(true).init(),
    }
    // A whole refresh of a large cluster takes a second of CPU: one thread has room for it, answers sooner than two
    // that wake each other, and needs less memory.
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run(args))
}

async fn run(args: ControllerArgs) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut kubernetes = kube::Config::infer()
        .await
        .context("no kubeconfig and no mounted ServiceAccount: set KUBECONFIG to a file, or run in a Pod")?;
    let replica = args.replica();
    set_user_agent(&mut kubernetes, &replica);
    let clients = Clients::new(kubernetes)?;
    let region = match &args.region {
        Some(region) => region.clone(),
        None => cloud::node_region(&args.metadata_endpoint)
            .await
            .context("the region is given by neither --region nor the node's metadata: set --region")?,
    };
    info!(version = env!("CARGO_PKG_VERSION"), %region, %replica, "starting");
    let network = args.network.config()?;
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let cloud = |sources, observer| Alibaba::new(args.cloud_settings(&region, network, sources, observer));
    controller::run(args.controller_config(&region, &replica), clients, cloud, stop).await?;
    Ok(())
}
