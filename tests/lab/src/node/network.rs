//! The network of a node: a pair of interfaces between this machine and the node's namespace.
//!
//! Each node has its own part of 198.18.0.0/15, which is set aside for tests of networks (RFC 2544): neither a Docker
//! nor a VPN uses it. The interface's name claims the part: the kernel gives a name to one interface only, and takes it
//! back when the namespace ends, however it ends.

use std::{net::Ipv4Addr, process::Command};

use anyhow::{Context, bail};

use super::programs::run;

/// There are 256 parts with 512 addresses each.
const PARTS: u16 = 256;

/// A node's part of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Subnet {
    number: u16,
}

/// The claimed pair of interfaces; removed when dropped.
pub(super) struct Pair {
    subnet: Subnet,
}

impl Subnet {
    /// Returns its number, which no other node of this machine has.
    pub(super) fn number(self) -> u16 {
        self.number
    }

    fn address(self, upper: bool, last: u8) -> Ipv4Addr {
        let number = self.number * 2 + u16::from(upper);
        let [high, low] = number.to_be_bytes();
        Ipv4Addr::new(198, 18 + high, low, last)
    }

    /// Returns an address of this machine's end of the pair; the first is the gateway.
    pub(super) fn host(self, index: u8) -> Ipv4Addr {
        self.address(false, if index == 0 { 1 } else { index + 2 })
    }

    /// Returns the node's address.
    pub(super) fn node(self) -> Ipv4Addr {
        self.address(false, 2)
    }

    /// Returns the addresses of Pods, as `address/length`.
    pub(super) fn pods(self) -> String {
        format!("{}/24", self.address(true, 0))
    }

    pub(super) fn interface(self) -> String {
        format!("acr-lab{}", self.number)
    }
}

impl Pair {
    /// Claims a part of the network, and makes the pair, whose other end is in the namespace of a process.
    pub(super) fn claim(peer: u32) -> anyhow::Result<Pair> {
        let first = fastrand::u16(..PARTS);
        for step in 0..PARTS {
            let subnet = Subnet { number: (first + step) % PARTS };
            let (name, peer) = (subnet.interface(), peer.to_string());
            let made = run(Command::new("ip")
                .args(["link", "add", &name, "type", "veth", "peer", "name", "eth0", "netns", &peer]));
            match made {
                Ok(()) => return Pair { subnet }.up(),
                Err(error) if error.to_string().contains("File exists") => {}
                Err(error) => return Err(error).context("no pair of interfaces"),
            }
        }
        bail!("all {PARTS} networks for nodes are in use")
    }

    fn up(self) -> anyhow::Result<Pair> {
        let name = self.subnet.interface();
        let gateway = format!("{}/24", self.subnet.host(0));
        let node = self.subnet.node().to_string();
        run(Command::new("ip").args(["address", "add", &gateway, "dev", &name]))?;
        run(Command::new("ip").args(["link", "set", &name, "up"]))?;
        run(Command::new("ip").args(["route", "add", &self.subnet.pods(), "via", &node, "dev", &name]))?;
        Ok(self)
    }

    /// Adds a further address to this machine's end.
    pub(super) fn add(&self, index: u8) -> anyhow::Result<Ipv4Addr> {
        let address = self.subnet.host(index);
        let (text, name) = (format!("{address}/32"), self.subnet.interface());
        run(Command::new("ip").args(["address", "add", &text, "dev", &name]))?;
        Ok(address)
    }

    pub(super) fn subnet(&self) -> Subnet {
        self.subnet
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        // It is gone already if the namespace ended.
        let _ = run(Command::new("ip").args(["link", "delete", &self.subnet.interface()]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_nodes_share_an_address() {
        let of = |number| {
            let subnet = Subnet { number };
            (subnet.host(0).to_string(), subnet.node().to_string(), subnet.host(1).to_string(), subnet.pods())
        };
        let text = |all: [&str; 4]| all.map(str::to_owned).into();
        assert_eq!(of(0), text(["198.18.0.1", "198.18.0.2", "198.18.0.3", "198.18.1.0/24"]));
        assert_eq!(of(1), text(["198.18.2.1", "198.18.2.2", "198.18.2.3", "198.18.3.0/24"]));
        assert_eq!(of(128), text(["198.19.0.1", "198.19.0.2", "198.19.0.3", "198.19.1.0/24"]));
        assert_eq!(of(255), text(["198.19.254.1", "198.19.254.2", "198.19.254.3", "198.19.255.0/24"]));
    }
}
