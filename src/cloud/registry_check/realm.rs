//! Allow-list of token servers. A registry names its token server in the challenge, so an attacker who answers instead
//! of the registry could name one that steals the credential.

use reqwest::Url;

/// Token servers that may receive credentials: Alibaba's, the registry itself, and configured hosts.
#[derive(Clone, Debug)]
pub(super) struct AllowedRealms {
    /// Configured hosts as URLs, so that case and default ports compare equal.
    configured: Vec<Url>,
}

impl AllowedRealms {
    /// Parses the configured hosts. `scheme` is that of every request. An entry that is not a `host[:port]` is ignored.
    pub(super) fn new(scheme: &str, hosts: &[Box<str>]) -> Self {
        let parse = |entry: &str| {
            let url = Url::parse(&format!("{scheme}://{entry}")).ok().filter(|url| {
                is_bare(url) && url.path() == "/" && url.query().is_none() && !entry.contains(['/', '\\'])
            });
            if url.is_none() {
                tracing::warn!(entry, "registry auth host ignored: it is not a host[:port]");
            }
            url
        };
        Self { configured: hosts.iter().filter_map(|entry| parse(entry)).collect() }
    }

    /// Returns whether a credential of `registry` may be sent to `realm`.
    ///
    /// # Guarantees
    /// The realm has the scheme of the registry.
    pub(super) fn allow(&self, realm: &Url, registry: &Url) -> bool {
        let is_configured = || self.configured.iter().any(|host| same_host(host, realm));
        realm.scheme() == registry.scheme()
            && is_bare(realm)
            && (same_host(realm, registry) || is_alibaba_host(realm) || is_configured())
    }
}

/// Returns whether the URL has no user of its own, which would replace the credential.
fn is_bare(url: &Url) -> bool {
    url.username().is_empty() && url.password().is_none()
}

/// Returns whether name and port are equal. The name alone could belong to a machine with several owners.
fn same_host(one: &Url, other: &Url) -> bool {
    one.host() == other.host() && one.port_or_known_default() == other.port_or_known_default()
}

/// Returns whether the host is `dockerauth[-ee][-vpc].<region>.aliyuncs.com` or `dockerauth-<region>.aliyuncs.com`, on
/// the default port.
///
/// A first label that begins with `dockerauth` does not suffice: `dockerauth-x.oss-cn-hangzhou.aliyuncs.com` is a
/// bucket that anyone can create.
fn is_alibaba_host(url: &Url) -> bool {
    let labels = url.host_str().and_then(|host| host.strip_suffix(".aliyuncs.com"));
    let Some(labels) = labels.filter(|_| url.port().is_none()) else { return false };
    match labels.split_once('.') {
        None => labels.strip_prefix("dockerauth-").is_some_and(is_region),
        Some((service, region)) => {
            let suffix = service.strip_prefix("dockerauth");
            suffix.is_some_and(|suffix| suffix.is_empty() || suffix.starts_with('-')) && is_region(region)
        }
    }
}

/// Returns whether the label is a region ID: two letters, then a name, unlike the labels of Alibaba's other products.
fn is_region(label: &str) -> bool {
    let Some((country, place)) = label.split_once('-') else { return false };
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    country.len() == 2
        && country.chars().all(|c| c.is_ascii_lowercase())
        && !place.is_empty()
        && place.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use reqwest::Url;

    use super::AllowedRealms;

    fn allowed(realm: &str) -> bool {
        let extra = ["auth.example.com", "Auth2.example.com:8443", "10.0.0.1:5001", "[::1]:5001"];
        let invalid = [
            "bad.example.com/path",
            "user@bad.example.com",
            "",
            "https://bad.example.com",
            "bad.example.com?x",
        ];
        let entries: Vec<Box<str>> = extra.iter().chain(&invalid).map(|entry| (*entry).into()).collect();
        let registry = Url::parse("https://img.example.com/v2/").unwrap();
        AllowedRealms::new("https", &entries).allow(&Url::parse(realm).unwrap(), &registry)
    }

    #[test]
    fn credentials_may_go_to_alibaba_the_registry_and_configured_hosts() {
        for realm in [
            "https://dockerauth.cn-hangzhou.aliyuncs.com/auth",
            "https://dockerauth-vpc.cn-hangzhou.aliyuncs.com/auth",
            "https://dockerauth-ee.ap-southeast-1.aliyuncs.com/auth",
            "https://dockerauth-ee-vpc.cn-shanghai-finance-1.aliyuncs.com/auth",
            "https://dockerauth-cn-zhangjiakou.aliyuncs.com/auth",
            "https://DockerAuth.CN-hangzhou.aliyuncs.com:443/auth?x=y",
            "https://img.example.com/token",
            "https://img.example.com:443/token",
            "https://auth.example.com/",
            "https://AUTH2.example.com:8443/",
            "https://10.0.0.1:5001/",
            "https://[::1]:5001/",
        ] {
            assert!(allowed(realm), "{realm}");
        }
    }

    #[test]
    fn credentials_may_go_nowhere_else() {
        for realm in [
            "http://dockerauth.cn-hangzhou.aliyuncs.com/auth",
            "https://dockerauth.cn-hangzhou.aliyuncs.com:8443/auth",
            "https://user@dockerauth.cn-hangzhou.aliyuncs.com/auth",
            "https://:password@img.example.com/auth",
            "https://dockerauth.cn-hangzhou.aliyuncs.com.example.com/auth",
            "https://dockerauth.cn-hangzhou.aliyuncs.com@evil.example.com/auth",
            "https://dockerauth.cn-hangzhou.evil-aliyuncs.com/auth",
            "https://dockerauth.oss-cn-hangzhou.aliyuncs.com/auth",
            "https://dockerauth-x.oss-cn-hangzhou.aliyuncs.com/auth",
            "https://dockerauth-x.s3.oss-cn-hangzhou.aliyuncs.com/auth",
            "https://dockerauth.1.cn-hangzhou.fc.aliyuncs.com/auth",
            "https://dockerauthor.cn-hangzhou.aliyuncs.com/auth",
            "https://dockerauth-x.aliyuncs.com/auth",
            "https://dockerauth.cn-.aliyuncs.com/auth",
            "https://dockerauth.aliyuncs.com/auth",
            "https://evil.dockerauth.cn-hangzhou.aliyuncs.com/auth",
            "https://cn-hangzhou.aliyuncs.com/auth",
            "https://aliyuncs.com/auth",
            "http://img.example.com/token",
            "https://img.example.com:8443/token",
            "https://evil.img.example.com/token",
            "https://img.example.com.evil.example/token",
            "https://auth.example.com:8443/",
            "https://auth2.example.com/",
            "https://bad.example.com/",
            "https://bad.example.com/path",
            "https://evil.example.com/?auth.example.com",
            "file:///token",
            "data:text/plain,img.example.com",
        ] {
            assert!(!allowed(realm), "{realm}");
        }
    }
}
