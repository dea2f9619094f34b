//! Network configuration of the cloud client.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use reqwest::Certificate;

/// Network configuration of the cloud client. The default uses HTTPS, the system's certificates and the proxies of
/// the environment.
#[derive(Clone, Debug, Default)]
pub struct NetworkConfig {
    /// Certificates to trust besides the system's.
    pub extra_certificates: Vec<Certificate>,
    /// Host name of STS, instead of the region's own hosts.
    pub sts_host: Option<Box<str>>,
    /// Host names of Container Registry's API by region ID, instead of the regions' own hosts.
    pub cr_hosts: BTreeMap<Box<str>, Box<str>>,
    /// Simulated cloud that replaces every API host. `None` outside tests and demonstrations.
    pub simulator: Option<SimulatedCloud>,
}

/// A simulated cloud. It is reached by plain HTTP under the real host names, and through no proxy.
#[derive(Clone, Debug)]
pub struct SimulatedCloud {
    /// Address it listens on.
    pub address: SocketAddr,
    /// Host names that do not resolve, like a VPC host outside its VPC.
    pub unresolvable_hosts: Vec<Box<str>>,
}
