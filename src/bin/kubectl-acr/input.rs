//! The input of a command: a file, standard input or the cluster.

use std::error::Error as _;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use acr_credential_binding::args::kubectl_acr::{ConnectionArgs, InputArgs};
use acr_credential_binding::cli::document::{self, Document};
use acr_credential_binding::cli::live;
use acr_credential_binding::cluster::client::connect;
use anyhow::Context;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

/// Bytes that are read at most. More than the limit of a valid input, so that lint reports the excess.
const MAX_BYTES: u64 = 20 << 20;

pub(crate) fn document(input: &InputArgs) -> anyhow::Result<Document> {
    match &input.file {
        Some(file) => {
            let (name, text) = text(file)?;
            Ok(document::read(&name, &text))
        }
        None => {
            let data = with_cluster(async |client| {
                live::data(client).await.context("the ConfigMap kube-system/acr-configuration cannot be read")
            })?;
            Ok(Document::live(&data.context("the ConfigMap kube-system/acr-configuration does not exist: give a FILE, or set KUBECONFIG to its cluster")?))
        }
    }
}

/// Reads a file. Returns its name and its text.
pub(crate) fn text(file: &Path) -> anyhow::Result<(String, String)> {
    let name = if file == Path::new("-") { "<stdin>".to_owned() } else { file.display().to_string() };
    let mut bytes = Vec::new();
    let read = if file == Path::new("-") {
        std::io::stdin().lock().take(MAX_BYTES).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(MAX_BYTES).read_to_end(&mut bytes))
    };
    read.with_context(|| name.clone())?;
    let text = String::from_utf8(bytes)
        .map_err(|error| anyhow::anyhow!("{name}: {}", document::not_text(&name, error.as_bytes())))?;
    Ok((name, text))
}

/// Time limit of a withdrawal: there may be thousands of namespaces.
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// Runs a call against the cluster that the user's kubeconfig names, for half a minute at most.
pub(crate) fn with_cluster<T>(ask: impl AsyncFnOnce(Client) -> anyhow::Result<T>) -> anyhow::Result<T> {
    with_cluster_for(Duration::from_secs(30), ask)
}

/// Runs a call against the cluster, with a time limit.
pub(crate) fn with_cluster_for<T>(
    limit: Duration,
    ask: impl AsyncFnOnce(Client) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    block_on(async {
        let asked = ask(connect(&inferred().await?)?);
        tokio::time::timeout(limit, asked).await.context("the API server does not answer in time: check the address with kubectl cluster-info, and run it again")?
    })
}

/// Runs a call against the cluster that the flags name. It limits its time itself.
pub(crate) fn with_connection<T>(
    connection: &ConnectionArgs,
    ask: impl AsyncFnOnce(Client) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    block_on(async {
        let context = KubeConfigOptions { context: connection.context.clone(), ..Default::default() };
        let config = match &connection.kubeconfig {
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
                    format!(
                        "the kubeconfig {} cannot be used: correct it, or name another one",
                        path.display()
                    )
                })?
            }
            None if connection.context.is_some() => Config::from_kubeconfig(&context).await.context(
                "the context of --context cannot be used: name one of kubectl config get-contexts",
            )?,
            None => inferred().await?,
        };
        ask(connect(&config)?).await
    })
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
