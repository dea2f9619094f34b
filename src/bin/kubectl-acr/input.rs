//! The input of a command: a file, standard input or the cluster.

use std::io::Read;
use std::path::Path;

use acr_credential_binding::args::kubectl_acr::{ConnectionArgs, InputArgs};
use acr_credential_binding::cli::document::{self, Document};
use acr_credential_binding::cli::live;
use anyhow::Context;

use crate::connection::with_cluster;

/// Bytes that are read at most. More than the limit of a valid input, so that lint reports the excess.
const MAX_BYTES: u64 = 20 << 20;

pub(crate) fn document(input: &InputArgs, connection: &ConnectionArgs) -> anyhow::Result<Document> {
    match &input.file {
        Some(file) => {
            let (name, text) = text(file)?;
            Ok(document::read(&name, &text))
        }
        None => {
            let data = with_cluster(connection, async |client| {
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
