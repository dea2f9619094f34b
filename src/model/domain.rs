//! Registry addresses, which are the keys of a Docker configuration's `auths`.

/// Checks that a key is `host[:port][/path]`, as the kubelet matches them. A host may contain `*`.
///
/// # Errors
/// The fault, and what to write instead.
pub fn check(key: &str) -> Result<(), String> {
    if is_address(key) {
        return Ok(());
    }
    Err(match within(key) {
        Some(address) => {
            format!("{key:?} has a scheme or a trailing /: write only {address}")
        }
        None => format!(
            "{key:?} is not a registry address: write host[:port][/path] in lower case, such as demo-registry.cn-hangzhou.cr.aliyuncs.com"
        ),
    })
}

/// Checks that the port is valid, which the schema does not.
///
/// # Errors
/// The valid range, and what to write instead.
pub fn check_port(key: &str) -> Result<(), String> {
    let authority = key.split('/').next().unwrap_or(key);
    match authority.split_once(':').map(|(_, port)| port.parse::<u16>()) {
        Some(Err(_)) => {
            Err(format!("{key:?} has a port above 65535: write the one that the registry listens on"))
        }
        _ => Ok(()),
    }
}

/// Returns the key in a text with a scheme or a trailing slash.
pub fn within(text: &str) -> Option<&str> {
    let key = text.split_once("://").map_or(text, |(_, key)| key).trim_end_matches('/');
    (key != text && is_address(key) && check_port(key).is_ok()).then_some(key)
}

fn is_address(key: &str) -> bool {
    let (authority, path) =
        key.split_once('/').map_or((key, None), |(authority, path)| (authority, Some(path)));
    let (host, port) = authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '*';
    let host_ok = host.starts_with(edge)
        && host.ends_with(edge)
        && host.chars().all(|c| edge(c) || c == '.' || c == '-');
    let port_ok = port.is_none_or(|p| !p.is_empty() && p.len() <= 5 && p.chars().all(|c| c.is_ascii_digit()));
    let path_char =
        |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '/' | '-');
    let path_ok = path.is_none_or(|p| !p.is_empty() && p.chars().all(path_char));
    host_ok && port_ok && path_ok && key.len() <= 253
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_domain_is_a_host_with_a_port_and_a_path_if_need_be() {
        for key in [
            "img.example.com",
            "*.cn-hangzhou.cr.aliyuncs.com",
            "host:5000",
            "registry.cn-hangzhou.aliyuncs.com/team-b",
            "h:1/a/b_c",
        ] {
            assert_eq!(super::check(key), Ok(()), "{key}");
        }
        for key in [
            "",
            "https://img.example.com",
            "Img.example.com",
            "host:",
            "host:123456",
            "host/",
            "-host",
            "host ",
            "镜像.com",
            "a,b",
        ] {
            assert!(super::check(key).is_err(), "{key}");
        }
        for (text, key) in [
            ("https://a.com/", Some("a.com")),
            ("a.com//", Some("a.com")),
            ("a.com", None),
            ("https://", None),
        ] {
            assert_eq!(super::within(text), key, "{text}");
        }
        assert!(super::check_port("a.com:65535/b:1").is_ok());
        let message = super::check_port("a.com:65536/b").unwrap_err();
        assert!(message.ends_with("has a port above 65535: write the one that the registry listens on"));
    }
}
