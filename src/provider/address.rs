//! Images and entries, compared as the kubelet compares them.

use crate::model::pattern::Pattern;

/// The host of images without one.
const DEFAULT_HOST: &str = "docker.io";

/// Returns the host with its port, and the path, of an image or an entry. The path has no `/` at its beginning.
fn split(address: &str) -> (&str, &str) {
    address.split_once('/').unwrap_or((address, ""))
}

/// Returns the host of an image, with its port.
pub fn host_of(image: &str) -> &str {
    match image.split_once('/') {
        // Docker's rule: a first part without a dot or a colon is a user of the default registry.
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
        _ => DEFAULT_HOST,
    }
}

/// Returns whether an entry is for images of `host`, of any path. A `*` matches within one part of the name.
pub fn is_on_host(entry: &str, host: &str) -> bool {
    let port = |text: &'_ str| text.split_once(':').map(|(_, port)| port.to_owned());
    let name = |text: &'_ str| text.split(':').next().unwrap_or_default().to_owned();
    let entry = split(entry).0;
    let (pattern, host_name) = (name(entry), name(host));
    let (patterns, parts): (Vec<&str>, Vec<&str>) =
        (pattern.split('.').collect(), host_name.split('.').collect());
    port(entry) == port(host)
        && patterns.len() == parts.len()
        && patterns.iter().zip(parts).all(|(pattern, part)| Pattern::new(*pattern).matches(part))
}

/// Returns whether the kubelet uses an entry for an image: the host matches, and the image's path begins with the entry's.
pub fn is_for(entry: &str, image: &str) -> bool {
    let path = image.strip_prefix(host_of(image)).map_or(image, |path| path.trim_start_matches('/'));
    is_on_host(entry, host_of(image)) && path.starts_with(split(entry).1)
}

#[cfg(test)]
mod tests {
    use super::{host_of, is_for, is_on_host};

    #[test]
    fn an_image_without_a_host_is_of_the_default_registry() {
        for (image, host) in [
            ("nginx", "docker.io"),
            ("library/nginx:1.2", "docker.io"),
            ("localhost/a", "localhost"),
            ("h:5000/a", "h:5000"),
            ("img.example.com/team/app@sha256:00", "img.example.com"),
        ] {
            assert_eq!(host_of(image), host, "{image}");
        }
    }

    #[test]
    fn an_entry_matches_as_the_kubelet_matches_it() {
        for (entry, image, expected) in [
            ("img.example.com", "img.example.com/team/app", true),
            ("img.example.com", "img.example.com:443/team/app", false),
            ("img.example.com:5000", "img.example.com:5000/app", true),
            ("*.example.com", "img.example.com/app", true),
            ("*.example.com", "a.img.example.com/app", false),
            (
                "*-registry-vpc.cn-hangzhou.cr.aliyuncs.com",
                "demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com/a",
                true,
            ),
            (
                "*-registry-vpc.cn-hangzhou.cr.aliyuncs.com",
                "demo-registry.cn-hangzhou.cr.aliyuncs.com/a",
                false,
            ),
            (
                "registry.cn-hangzhou.aliyuncs.com/team-b",
                "registry.cn-hangzhou.aliyuncs.com/team-b/app",
                true,
            ),
            (
                "registry.cn-hangzhou.aliyuncs.com/team-b",
                "registry.cn-hangzhou.aliyuncs.com/team-a/app",
                false,
            ),
            ("img.example.com", "library/nginx", false),
        ] {
            assert_eq!(is_for(entry, image), expected, "{entry} and {image}");
        }
        assert!(is_on_host("registry.cn-hangzhou.aliyuncs.com/team-b", "registry.cn-hangzhou.aliyuncs.com"));
        assert!(!is_on_host("registry.cn-hangzhou.aliyuncs.com", "registry-vpc.cn-hangzhou.aliyuncs.com"));
    }
}
