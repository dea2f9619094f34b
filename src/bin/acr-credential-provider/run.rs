//! What both protocols need of one run.

use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use acr_credential_binding::cloud;
use acr_credential_binding::provider::config::{MAX_FILE, one_line};
use acr_credential_binding::provider::{ProviderConfig, ProviderFailure};
use k8s_openapi::jiff::Timestamp;

/// Time of one run. The kubelet waits for a minute, and the Pod with it.
const TIME: Duration = Duration::from_secs(15);

/// Runs the work of one request, for at most [`TIME`].
pub(crate) fn within_time<T>(
    work: impl Future<Output = Result<T, ProviderFailure>>,
) -> Result<T, ProviderFailure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| ProviderFailure::Refused(format!("cannot start: {error}")))?;
    let done = runtime.block_on(async { tokio::time::timeout(TIME, work).await });
    // A read of standard input that never ends must not hold the program.
    runtime.shutdown_background();
    done.unwrap_or_else(|_| {
        Err(ProviderFailure::Refused(format!(
            "no answer within {} s: the request, the identity or the cloud is too slow",
            TIME.as_secs()
        )))
    })
}

/// Reads standard input, up to one byte more than `limit`.
pub(crate) async fn standard_input(limit: usize) -> Result<Vec<u8>, ProviderFailure> {
    let read = tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        let limit = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes).map(|_| bytes)
    });
    let read = read.await.map_err(|error| ProviderFailure::BadInput(error.to_string()))?;
    read.map_err(|error| ProviderFailure::BadInput(format!("standard input cannot be read: {error}")))
}

/// Reads the file with the registries.
pub(crate) fn config(path: &Path) -> Result<ProviderConfig, ProviderFailure> {
    let name = path.display().to_string();
    let text = text_of(path, MAX_FILE).map_err(|fault| {
        ProviderFailure::BadInput(format!(
            "{name}: {fault}: write the registries there, or name another file with --config"
        ))
    })?;
    ProviderConfig::parse(&name, &text)
}

/// Reads a text file, up to one byte more than `limit`.
pub(crate) fn text_of(path: &Path, limit: usize) -> std::io::Result<String> {
    let mut text = String::new();
    let limit = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    std::fs::File::open(path)?.take(limit).read_to_string(&mut text)?;
    Ok(text)
}

/// Returns the region of entries without one, which is that of the node.
pub(crate) async fn region(
    config: &ProviderConfig,
    metadata_endpoint: &str,
) -> Result<String, ProviderFailure> {
    match &config.region {
        Some(region) => Ok(region.clone()),
        None => cloud::node_region(metadata_endpoint).await.map_err(|error| {
            ProviderFailure::Refused(format!("{}; or set region in the file of registries", error.message))
        }),
    }
}

/// Returns the time on the wall clock.
#[expect(clippy::disallowed_methods, reason = "the program reads the time here and passes it in")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// Returns an error of the start as one of the input.
pub(crate) fn bad_input(error: &anyhow::Error) -> ProviderFailure {
    ProviderFailure::BadInput(one_line(&format!("{error:#}")))
}

/// Writes a reply. A client that has gone is not an error of its own.
pub(crate) fn reply(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}
