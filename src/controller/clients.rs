//! Connections to the API server.

use kube::Client;

use crate::cluster::claim::Claim;
use crate::cluster::client;
use crate::cluster::streams::StreamCount;

/// Connections to the API server: writes must not wait behind a list, nor behind those of a tenant whose writes hang.
#[derive(Clone)]
pub struct Clients {
    /// For watches.
    pub watch: Client,
    /// For what is the controller's own: statuses, tokens, the cache, probes, Events on bindings. It writes only while this
    /// replica holds the lease, and so does the next one.
    pub write: Client,
    /// For the objects in tenants' namespaces.
    pub tenants: Client,
    /// The streams of the watches.
    pub watch_streams: StreamCount,
    /// The claim on the lease.
    pub claim: Claim,
    /// The configuration of all.
    pub config: kube::Config,
}

impl Clients {
    /// Returns clients that have not connected yet.
    ///
    /// # Errors
    /// [`client::ClientError`] where the configuration cannot be used.
    pub fn new(config: kube::Config) -> Result<Self, client::ClientError> {
        let claim = Claim::default();
        let watch_streams = StreamCount::default();
        let watch = client::connect_counted(&config, &watch_streams)?;
        let under_claim = || client::connect_under(&config, &claim);
        let (write, tenants) = (under_claim()?, under_claim()?);
        Ok(Self { watch, write, tenants, watch_streams, claim, config })
    }
}
