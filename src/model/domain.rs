//! Registry addresses, which are the keys of a Docker configuration's `auths`.

/// Checks that a key is `host[:port][/path]`, as the kubelet matches them. A host may contain `*`.
///
/// # Errors
/// The fault, and what to write instead. A user name and a password in the text are not in the message.
pub fn check(key: &str) -> Result<(), String> {
    if is_address(key) {
        return Ok(());
    }
    let authority = after_scheme(key).split('/').next().unwrap_or_default();
    let fault = match key {
        _ if authority.contains('@') => {
            let host = meant(key).unwrap_or_else(|| "the host".to_owned());
            return Err(format!("the address has a user name in it: write only {host}"));
        }
        key if key.contains(',') => {
            return Err(format!("{} lists several addresses: write each as an item of its own", shown(key)));
        }
        key if key.contains("://") => "has a scheme",
        key if has_tag(key) => "has a tag or a digest, which is not a part of a registry's address",
        key if key.ends_with(['/', '.']) => "ends with a / or a dot",
        key if key.contains(char::is_uppercase) => "is not in lower case",
        _ => "is not a registry address",
    };
    Err(match meant(key) {
        Some(address) => format!("{} {fault}: write only {address}", shown(key)),
        None => format!(
            "{} {fault}: write host[:port][/path] in lower case, such as demo-registry.cn-hangzhou.cr.aliyuncs.com",
            shown(key)
        ),
    })
}

/// Quotes a text for a message, shortened.
fn shown(text: &str) -> String {
    format!("{:?}", text.chars().take(120).collect::<String>())
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

/// Returns the address that a text means which is none: a URL, an image with its tag or digest, one with a user name,
/// or one in upper case.
pub fn meant(text: &str) -> Option<String> {
    let lower = text.trim().to_ascii_lowercase();
    let rest = after_scheme(&lower).split(['?', '#']).next()?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = authority.rsplit('@').next()?;
    // What is behind the colon of a host alone is a port or a tag.
    let host = host.split_once(':').filter(|(_, port)| !is_port(port)).map_or(host, |(host, _)| host);
    let host = host.trim_end_matches('.');
    let path = path.split('@').next()?;
    let last = path.rfind('/').map_or(0, |slash| slash + 1);
    let path = path[last..].find(':').map_or(path, |tag| &path[..last + tag]).trim_matches('/');
    // Docker once wrote `https://host/v1/` as the key.
    let address = match path {
        "" | "v1" | "v2" => host.to_owned(),
        path => format!("{host}/{path}"),
    };
    (address != text && is_address(&address) && check_port(&address).is_ok()).then_some(address)
}

/// Returns how the hosts of a glob are matched; `None` if no address has a `*`.
pub fn glob_remark<'a>(keys: impl IntoIterator<Item = &'a String>) -> Option<String> {
    let glob = keys.into_iter().find(|key| key.contains('*'))?;
    Some(format!(
        "{glob} is served as a glob: as the kubelet compares hosts, * matches within one part between two dots"
    ))
}

fn after_scheme(text: &str) -> &str {
    text.split_once("://").map_or(text, |(_, rest)| rest)
}

/// Returns whether an address ends with a tag or a digest.
fn has_tag(key: &str) -> bool {
    match key.split_once('/') {
        Some((_, path)) => path.contains([':', '@']),
        None => key.split_once(':').is_some_and(|(host, tag)| is_address(host) && !is_port(tag)),
    }
}

fn is_port(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_digit())
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
        assert!(super::check_port("a.com:65535/b:1").is_ok());
        let message = super::check_port("a.com:65536/b").unwrap_err();
        assert!(message.ends_with("has a port above 65535: write the one that the registry listens on"));
    }

    #[test]
    fn an_address_in_another_form_is_known_with_the_one_that_is_meant() {
        for (text, address, fault) in [
            ("https://a.com/", "a.com", "has a scheme"),
            ("docker://a.com/team/app:1.2", "a.com/team/app", "has a scheme"),
            ("HTTPS://A.com:5000", "a.com:5000", "has a scheme"),
            ("https://a.com/v1/", "a.com", "has a scheme"),
            ("https://a.com/v2", "a.com", "has a scheme"),
            ("a.com/team/app:1.2", "a.com/team/app", "has a tag or a digest"),
            ("a.com:5000/app:latest", "a.com:5000/app", "has a tag or a digest"),
            ("a.com/app@sha256:0123", "a.com/app", "has a tag or a digest"),
            ("a.com/app:1@sha256:0123", "a.com/app", "has a tag or a digest"),
            ("a.com:latest", "a.com", "has a tag or a digest"),
            ("a.com:1.2", "a.com", "has a tag or a digest"),
            ("a.com/", "a.com", "ends with a /"),
            ("a.com.", "a.com", "ends with a / or a dot"),
            ("A.com", "a.com", "is not in lower case"),
            (" a.com", "a.com", "is not a registry address"),
        ] {
            assert_eq!(super::meant(text).as_deref(), Some(address), "{text}");
            let message = super::check(text).unwrap_err();
            assert!(
                message.contains(fault) && message.ends_with(&format!("write only {address}")),
                "{message}"
            );
            assert_eq!(super::check(address), Ok(()));
        }
        for text in ["a.com", "https://", "a,b", "[::1]", "镜像.com", "a.com:99999/"] {
            assert_eq!(super::meant(text), None, "{text}");
        }
        assert!(super::check("a.com,b.com").unwrap_err().contains("each as an item of its own"));
    }

    #[test]
    fn a_password_in_an_address_is_in_no_message() {
        for text in ["user:secret@a.com", "https://user:secret@a.com/team", "user:secret@", "u:secret@a,b"] {
            let message = super::check(text).unwrap_err();
            assert!(message.contains("user name") && !message.contains("secret"), "{message}");
        }
        assert_eq!(super::meant("user:secret@a.com/team").as_deref(), Some("a.com/team"));
    }

    #[test]
    fn a_glob_is_explained() {
        let keys = ["a.com", "*-registry.cn-hangzhou.cr.aliyuncs.com"].map(str::to_owned);
        assert!(super::glob_remark(&keys).unwrap().starts_with("*-registry."));
        assert_eq!(super::glob_remark(&keys[..1]), None);
    }
}
