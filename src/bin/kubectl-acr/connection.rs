//! The one place that makes a client: from kubectl's flags, its environment and its files.

use std::error::Error as _;
use std::time::Duration;

use acr_credential_binding::args::kubectl_acr::ConnectionArgs;
use acr_credential_binding::cluster::client::connect_within;
use anyhow::Context;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

/// Time limit of a command that reads a part of the cluster.
const SHORT: Duration = Duration::from_secs(30);

/// Time limit of a withdrawal: there may be thousands of namespaces.
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// Runs a call against the cluster, for half a minute at most, or for one request of the time that the user allows.
pub(crate) fn with_cluster<T>(
    connection: &ConnectionArgs,
    ask: impl AsyncFnOnce(Client) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    with_cluster_for(SHORT.max(connection.request_timeout), connection, ask)
}

/// Runs a call against the cluster, with a time limit.
pub(crate) fn with_cluster_for<T>(
    limit: Duration,
    connection: &ConnectionArgs,
    ask: impl AsyncFnOnce(Client) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    with_connection(connection, async |client| {
        tokio::time::timeout(limit, ask(client)).await.context("the API server does not answer in time: check the address with kubectl cluster-info, and run it again")?
    })
}

/// Runs a call against the cluster that the flags name. The time of each request is limited, and that of the call is not.
pub(crate) fn with_connection<T>(
    connection: &ConnectionArgs,
    ask: impl AsyncFnOnce(Client) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    block_on(async {
        let config = config(connection).await?;
        ask(connect_within(&config, connection.request_timeout)?).await
    })
}

/// Returns the configuration that the flags name, else that of the environment.
async fn config(connection: &ConnectionArgs) -> anyhow::Result<Config> {
    let context = KubeConfigOptions { context: connection.context.clone(), ..Default::default() };
    match &connection.kubeconfig {
        Some(path) => {
            let kubeconfig = Kubeconfig::read_from(path).map_err(anyhow::Error::new);
            let read = async |kubeconfig| {
                Config::from_custom_kubeconfig(kubeconfig, &context).await.map_err(anyhow::Error::new)
            };
            let config = match kubeconfig {
                Ok(kubeconfig) => read(kubeconfig).await,
                Err(error) => Err(error),
            };
            config.with_context(|| {
                format!("the kubeconfig {} cannot be used: correct it, or name another one", path.display())
            })
        }
        None if connection.context.is_some() => Config::from_kubeconfig(&context)
            .await
            .context("the context of --context cannot be used: name one of kubectl config get-contexts"),
        None => inferred().await,
    }
}

fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    // Both kube and reqwest bring a provider; without a default, building the client panics. It fails only if there is a
    // default already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

/// Returns the configuration of the user's kubeconfig, or of the Pod.
async fn inferred() -> anyhow::Result<Config> {
    Config::infer().await.map_err(|error| {
        // Outside a cluster, the error of the in-cluster configuration is useless.
        let why = error.source().map_or_else(|| error.to_string(), ToString::to_string);
        anyhow::anyhow!("no kubeconfig: {why}; set KUBECONFIG to its path")
    })
}
