//! Connections to the API server.

use kube::Client;

use crate::cluster::claim::Claim;
use crate::cluster::client;

/// Connections to the API server: writes must not wait behind a list.
#[derive(Clone)]
pub struct Clients {
    /// For watches.
    pub watch: Client,
    /// For everything else. It writes only while this replica holds the lease.
    pub write: Client,
    /// The claim on the lease.
    pub claim: Claim,
    /// The configuration of both.
    pub config: kube::Config,
}

impl Clients {
    /// Returns clients that have not connected yet.
    ///
    /// # Errors
    /// [`client::ClientError`] where the configuration cannot be used.
    pub fn new(config: kube::Config) -> Result<Self, client::ClientError> {
        let claim = Claim::default();
        let (watch, write) = (client::connect(&config)?, client::connect_under(&config, &claim)?);
        Ok(Self { watch, write, claim, config })
    }
}
