//! The cloud client against the lab's simulated Alibaba Cloud: every call goes over HTTP, is verified there, and
//! fails there in the documented ways.

#[cfg(test)]
mod access_key;
#[cfg(test)]
mod cluster;
#[cfg(test)]
mod crowd;
#[cfg(test)]
mod lab;
mod minting;
#[cfg(test)]
mod oidc;
#[cfg(test)]
mod own;
#[cfg(test)]
mod personal;
#[cfg(test)]
mod reach;
mod refusals;
#[cfg(test)]
mod rrsa;
#[cfg(test)]
mod tap;
mod worker_role;
