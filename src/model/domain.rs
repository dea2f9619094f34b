//! Keys of a Docker configuration's `auths`.

/// Checks that a key is `host[:port][/path]`, as the kubelet matches them. A host may hold `*`.
///
/// # Errors
/// What is wrong with it, and what to write instead.
pub fn check(key: &str) -> Result<(), String> {
    if let Some((scheme, rest)) = key.split_once("://") {
        return Err(format!("{key:?} has the scheme {scheme}: write only {rest}"));
    }
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
    if host_ok && port_ok && path_ok && key.len() <= 253 {
        Ok(())
    } else {
        Err(format!(
            "{key:?} is no registry address: write host[:port][/path] in lower case, such as demo-registry.cn-hangzhou.cr.aliyuncs.com"
        ))
    }
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
    }
}
