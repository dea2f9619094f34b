//! What a node needs of its control plane.

use std::path::PathBuf;

use super::{
    Binaries, Plane,
    access::{self, Credential, Server},
    keys,
};

impl Plane {
    /// Writes a kubeconfig for a user with a client certificate, who reaches the API server at another address.
    pub(crate) fn kubeconfig_at(&self, url: &str, user: &str, group: &str) -> anyhow::Result<PathBuf> {
        let server = Server { url, name: Some(keys::NAME), authority: Some(self.authority.pem()) };
        let identity = self.authority.client(user, group)?;
        let path = access::kubeconfig_path(self.dir(), user);
        access::write_kubeconfig(&path, &server, user, &Credential::Certificate(&identity))?;
        Ok(path)
    }

    /// Returns the port of the API server on loopback.
    pub(crate) fn api_server_port(&self) -> u16 {
        self.ports.api_server
    }

    /// Returns the programs that it runs.
    pub(crate) fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    /// Returns whether it was started for a node.
    pub(crate) fn is_for_a_node(&self) -> bool {
        self.options.node
    }
}
