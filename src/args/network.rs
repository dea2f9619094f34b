//! Flags of the network: how the cloud is reached.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use crate::cloud::{Certificate, NetworkConfig, SimulatedCloud};

/// How the cloud is reached.
#[derive(Debug, Args)]
pub struct NetworkArgs {
    /// File of PEM certificates to trust besides the system's, such as those of a proxy
    #[arg(long, env = "ACR_CA_BUNDLE")]
    pub ca_bundle: Option<PathBuf>,

    /// Host of STS, instead of the region's own
    #[arg(long, env = "ALIBABA_CLOUD_STS_ENDPOINT")]
    pub sts_endpoint: Option<String>,

    /// Host of Container Registry's API for a region, instead of its own, as region=host; may be repeated
    #[arg(long = "cr-endpoint", value_parser = key_value)]
    pub cr_endpoints: Vec<(String, String)>,

    /// Reach every API host of the cloud at this http://IP:PORT, under its own name; for tests
    #[arg(long, env = "ACR_CLOUD_ADDRESS", value_parser = plain_http)]
    pub cloud_address: Option<SocketAddr>,
}

impl NetworkArgs {
    /// Returns how the cloud's hosts are reached.
    ///
    /// # Errors
    /// The CA bundle cannot be read.
    pub fn config(&self) -> anyhow::Result<NetworkConfig> {
        let extra_certificates = match &self.ca_bundle {
            Some(path) => {
                let name = format!("--ca-bundle {}", path.display());
                let pem = std::fs::read(path).with_context(|| name.clone())?;
                let certificates = Certificate::from_pem_bundle(&pem).with_context(|| name.clone())?;
                anyhow::ensure!(!certificates.is_empty(), "{name} holds no PEM certificate");
                certificates
            }
            None => Vec::new(),
        };
        let host = |text: &String| Box::from(text.trim_start_matches("https://").trim_end_matches('/'));
        Ok(NetworkConfig {
            extra_certificates,
            sts_host: self.sts_endpoint.as_ref().map(host),
            cr_hosts: self
                .cr_endpoints
                .iter()
                .map(|(region, at)| (region.as_str().into(), host(at)))
                .collect(),
            simulator: self
                .cloud_address
                .map(|address| SimulatedCloud { address, unresolvable_hosts: Vec::new() }),
        })
    }
}

/// Parses `key=value`.
pub(super) fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write key=value".to_owned()),
    }
}

fn plain_http(text: &str) -> Result<SocketAddr, String> {
    let address = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
    address.parse().map_err(|_| format!("{text} is not an address such as http://127.0.0.1:8080"))
}
