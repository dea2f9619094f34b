//! The input of a command: a file, standard input or the cluster.

use std::error::Error as _;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use acr_credential_binding::args::kubectl_acr::InputArgs;
use acr_credential_binding::cli::document::{self, Document};
use acr_credential_binding::cli::live;
use acr_credential_binding::cluster::client::connect;
use anyhow::Context;
use kube::Client;

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
    // Both kube and reqwest bring a provider; without a default, building the client panics. It fails only if there is a
    // default already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // Outside a cluster, the error of the in-cluster configuration is useless.
        let config = kube::Config::infer().await.map_err(|error| {
            let why = error.source().map_or_else(|| error.to_string(), ToString::to_string);
            anyhow::anyhow!("no kubeconfig: {why}; set KUBECONFIG to its path")
        })?;
        let asked = ask(connect(&config)?);
        tokio::time::timeout(limit, asked).await.context("the API server does not answer in time: check the address with kubectl cluster-info, and run it again")?
    })
}
