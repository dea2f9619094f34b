//! Where a credential may go for a token. A registry names the place in its challenge, and whoever can answer in its
//! stead could name their own.

use reqwest::Url;

/// Hosts to which credentials may be sent beside Alibaba's own and the registry itself.
#[derive(Clone, Debug)]
pub(super) struct Realms {
    /// As URLs, so that case and default ports are those of what they are compared with.
    extra: Vec<Url>,
}

impl Realms {
    /// `scheme` is that of every request. An entry that is no `host[:port]` allows nothing.
    pub(super) fn new(scheme: &str, extra: &[Box<str>]) -> Self {
        let read = |entry: &str| {
            let url = Url::parse(&format!("{scheme}://{entry}")).ok().filter(|url| {
                is_bare(url) && url.path() == "/" && url.query().is_none() && !entry.contains(['/', '\\'])
            });
            if url.is_none() {
                tracing::warn!(entry, "an allowed realm is no host[:port]; it allows nothing");
            }
            url
        };
        Self { extra: extra.iter().filter_map(|entry| read(entry)).collect() }
    }

    /// Whether a credential of `registry` may be sent to `realm`.
    ///
    /// # Guarantees
    /// Never over another scheme than the registry's own.
    pub(super) fn allow(&self, realm: &Url, registry: &Url) -> bool {
        let listed = || self.extra.iter().any(|extra| same_host(extra, realm));
        realm.scheme() == registry.scheme()
            && is_bare(realm)
            && (same_host(realm, registry) || is_alibabas(realm) || listed())
    }
}

/// Without a user of its own, which would be sent in the credential's place.
fn is_bare(url: &Url) -> bool {
    url.username().is_empty() && url.password().is_none()
}

/// Of one name and one port; the name alone could be that of a machine with many owners.
fn same_host(one: &Url, other: &Url) -> bool {
    one.host() == other.host() && one.port_or_known_default() == other.port_or_known_default()
}

/// `dockerauth[-ee][-vpc].<region>.aliyuncs.com` or `dockerauth-<region>.aliyuncs.com`, on the usual port.
///
/// A first label that begins with `dockerauth` does not suffice: `dockerauth-x.oss-cn-hangzhou.aliyuncs.com` is
/// whoever's bucket of that name.
fn is_alibabas(url: &Url) -> bool {
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

/// A continent or country of two letters, then what no product of Alibaba's puts there.
fn is_region(label: &str) -> bool {
    let Some((land, place)) = label.split_once('-') else { return false };
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    land.len() == 2
        && land.chars().all(|c| c.is_ascii_lowercase())
        && !place.is_empty()
        && place.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use reqwest::Url;

    use super::Realms;

    fn allowed(realm: &str) -> bool {
        let extra = ["auth.example.com", "Auth2.example.com:8443", "10.0.0.1:5001", "[::1]:5001"];
        let refused = [
            "bad.example.com/path",
            "user@bad.example.com",
            "",
            "https://bad.example.com",
            "bad.example.com?x",
        ];
        let entries: Vec<Box<str>> = extra.iter().chain(&refused).map(|entry| (*entry).into()).collect();
        let registry = Url::parse("https://img.example.com/v2/").unwrap();
        Realms::new("https", &entries).allow(&Url::parse(realm).unwrap(), &registry)
    }

    #[test]
    fn a_credential_goes_to_alibaba_to_the_registry_and_where_it_was_allowed_to() {
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
    fn a_credential_goes_nowhere_else() {
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
