//! The cloud client against the lab's simulated Alibaba Cloud. Every call goes over HTTP; the simulator verifies it, and
//! fails as `docs/contributing/cloud-api.md` documents.

#[cfg(test)]
mod access_key;
#[cfg(test)]
mod cluster;
#[cfg(test)]
mod concurrency;
#[cfg(test)]
mod controller_identity;
#[cfg(test)]
mod cures;
#[cfg(test)]
mod docker_helper;
mod errors;
#[cfg(test)]
mod lab;
mod minting;
#[cfg(test)]
mod network;
#[cfg(test)]
mod observed;
#[cfg(test)]
mod oidc;
#[cfg(test)]
mod personal;
#[cfg(test)]
mod provider;
#[cfg(test)]
mod rrsa;
#[cfg(test)]
mod wire_capture;
mod worker_role;
