//! The entries of one host, minted in the cloud.

use std::collections::BTreeMap;

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::address;
use super::failure::ProviderFailure;
use crate::cloud::Alibaba;
use crate::model::{Credential, Edition, Registry, RegistryKey, region};

/// Entries for an image's host. `Debug` hides the tokens.
#[derive(Debug, Default)]
pub struct HostEntries {
    /// Credentials by entry: `host[:port][/path]`.
    pub auths: BTreeMap<String, Credential>,
    /// Whether these are all entries of the host. Otherwise, they are those of the image.
    pub is_complete: bool,
}

impl HostEntries {
    /// Returns half of the time until the first one expires.
    pub fn half_life(&self, now: Timestamp) -> SignedDuration {
        let first = self.auths.values().map(|credential| credential.expires_at).min();
        first.map_or(SignedDuration::ZERO, |expiry| expiry.duration_since(now) / 2)
    }
}

/// Returns the entries of the image's host; `None` if no registry has one. `registries` are those of the file, each with the
/// identity that mints, or the reason why it has none.
///
/// A failed registry costs its own entries only, unless the image needs them.
///
/// # Errors
/// The first failure, if there is no entry for the image.
pub async fn of_image(
    alibaba: &Alibaba,
    registries: Vec<(Registry, Option<ProviderFailure>)>,
    image: &str,
    now: Timestamp,
) -> Result<Option<HostEntries>, ProviderFailure> {
    let host = address::host_of(image);
    let (mut found, mut failure) = (HostEntries::default(), None);
    let mut minted: Vec<(RegistryKey, Credential)> = Vec::new();
    for (registry, refused) in registries {
        if !may_serve(&registry, host) {
            continue;
        }
        if let Some(refused) = refused {
            failure.get_or_insert(refused);
            continue;
        }
        let domains = match registry.domains.is_empty() {
            true => alibaba.domains(&registry.key, now).await,
            false => Ok(registry.domains.clone()),
        };
        let on_host = |domains: Vec<String>| {
            domains.into_iter().filter(|domain| address::is_on_host(domain, host)).collect::<Vec<_>>()
        };
        let domains = match domains.map(on_host) {
            Ok(domains) if domains.is_empty() => continue,
            Ok(domains) => domains,
            Err(error) => {
                failure.get_or_insert(error.into());
                continue;
            }
        };
        let known = minted.iter().find(|(key, _)| *key == registry.key).map(|(_, known)| known.clone());
        let credential = match known {
            Some(known) => Ok(known),
            None => alibaba.mint(&registry.key, now).await,
        };
        match credential {
            Ok(credential) => {
                for domain in domains {
                    // As in a binding: the earlier entry wins.
                    found.auths.entry(domain).or_insert_with(|| credential.clone());
                }
                minted.push((registry.key, credential));
            }
            Err(error) => drop(failure.get_or_insert(error.into())),
        }
    }
    match failure {
        None if found.auths.is_empty() => Ok(None),
        None => Ok(Some(HostEntries { is_complete: true, ..found })),
        Some(failure) => {
            found.auths.retain(|entry, _| address::is_for(entry, image));
            if found.auths.is_empty() { Err(failure) } else { Ok(Some(found)) }
        }
    }
}

/// Returns whether a registry may have an entry of the host, without a call.
fn may_serve(registry: &Registry, host: &str) -> bool {
    if !registry.is_served() {
        return false;
    }
    match &registry.key.edition {
        _ if !registry.domains.is_empty() => {
            registry.domains.iter().any(|domain| address::is_on_host(domain, host))
        }
        // Other regions' hosts, and those of the other edition, need no call.
        Edition::Enterprise(_) => match region::of_address(host) {
            Some(named) => *named == *registry.key.region && host.contains(".cr.aliyuncs.com"),
            None => true,
        },
        Edition::Personal => region::of_address(host) == Some(&*registry.key.region),
    }
}

#[cfg(test)]
mod tests {
    use super::may_serve;
    use crate::provider::ProviderConfig;

    #[test]
    fn a_host_of_another_region_or_edition_costs_no_call() {
        for (entry, host, expected) in [
            ("instanceId: cri-demo0001", "demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com", true),
            ("instanceId: cri-demo0001", "demo-registry.cn-beijing.cr.aliyuncs.com", false),
            ("instanceId: cri-demo0001", "registry-vpc.cn-hangzhou.aliyuncs.com", false),
            ("instanceId: cri-demo0001", "img.example.com", true),
            ("{instanceId: cri-demo0001, domains: [img.example.com]}", "img.example.com", true),
            ("{instanceId: cri-demo0001, domains: [img.example.com]}", "docker.io", false),
            ("regionId: cn-hangzhou", "registry-vpc.cn-hangzhou.aliyuncs.com", true),
            ("regionId: cn-beijing", "registry-vpc.cn-hangzhou.aliyuncs.com", false),
            ("regionId: cn-hangzhou", "img.example.com", false),
        ] {
            let config = ProviderConfig::parse("f.yaml", &format!("registries:\n- {entry}\n")).unwrap();
            let registries = config.registries("cn-hangzhou").unwrap();
            assert_eq!(may_serve(&registries[0], host), expected, "{entry} {host}");
        }
    }
}
