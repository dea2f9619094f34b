//! `kubectl acr check`: whether an installation works, or can be made, with one line for each part and its cure.
//!
//! ```text
//! read ── facts ── decide, before ── lines ── text or JSON
//! ```

mod before;
mod decide;
mod fact;
mod read;
mod report;
mod rights;
#[cfg(test)]
mod tests;

pub use self::report::{CheckLine, CheckOptions, CheckReport, LineResult};

use kube::Client;

use self::read::FactReader;
use crate::cluster::error::CallError;

/// Checks an installation.
///
/// # Errors
/// The API server cannot be reached.
pub async fn check_installation(client: &Client, options: &CheckOptions) -> Result<CheckReport, CallError> {
    let reader = FactReader::new(client, options);
    let server = reader.server().await?;
    let bindings = reader.bindings().await;
    let deployments = reader.deployments().await;
    let lease = reader.lease().await;
    let lines = vec![
        decide::kubernetes(&server),
        decide::clock(&server),
        decide::api(&reader.definition().await, &reader.served().await),
        decide::rights(&reader.rights().await, options),
        decide::policies(&reader.policies().await, &bindings, &server, options),
        decide::replicas(&deployments, options),
        decide::lease(&lease, &deployments, options),
        decide::region(&deployments, &lease, options),
        decide::admission(&bindings),
    ];
    Ok(CheckReport { lines })
}

/// Checks whether the controller can be installed.
///
/// # Errors
/// The API server cannot be reached.
pub async fn check_before_installation(
    client: &Client,
    options: &CheckOptions,
) -> Result<CheckReport, CallError> {
    let reader = FactReader::new(client, options);
    let server = reader.server().await?;
    let lines = vec![
        decide::kubernetes(&server),
        decide::clock(&server),
        before::rights(&reader.own_rights().await),
        before::controller(&reader.controllers().await, options),
        before::component(&reader.component().await),
    ];
    Ok(CheckReport { lines })
}
