//! The new Personal Edition, for which the cloud issues no token.
//!
//! A Personal Edition instance made after 2024-09-08 has an ID `crpi-…` and hosts of its own, such as
//! `crpi-…[-vpc].<region>.personal.cr.aliyuncs.com`. They accept only the fixed user name and password of the instance
//! (help page "Pull images by using the passwordless component", read in November 2026). A token of the region's other
//! Personal Edition is useless there, and a credential of an Enterprise Edition instance would go to a foreign host.

/// Returns whether an instance ID belongs to the new Personal Edition, in any case of letters.
pub fn is_unsupported_id(id: &str) -> bool {
    id.trim().get(..5).is_some_and(|head| head.eq_ignore_ascii_case("crpi-"))
}

/// Returns whether a registry address belongs to the new Personal Edition, or is a glob that includes such hosts. The
/// address may be a URL, or an image with its tag, in any case of letters.
///
/// The schema has the same rule as regular expressions, [`crate::api::binding::UNSUPPORTED_HOST`] and the one after it.
pub fn is_unsupported_address(address: &str) -> bool {
    let lower = address.trim().to_ascii_lowercase();
    let after_scheme = lower.split_once("://").map_or(lower.as_str(), |(_, rest)| rest);
    let authority = after_scheme.split('/').next().unwrap_or(after_scheme);
    let host = authority.rsplit('@').next().unwrap_or(authority);
    let host = host.split(':').next().unwrap_or(host).trim_end_matches('.');
    if is_unsupported_id(host) && (host.ends_with(".aliyuncs.com") || !host.contains('.')) {
        return true;
    }
    host.ends_with(".personal.cr.aliyuncs.com") || is_glob_of_such_hosts(host)
}

/// Returns whether a glob includes hosts of the new Personal Edition. The kubelet matches label by label, and a host
/// with another number of labels never matches.
fn is_glob_of_such_hosts(host: &str) -> bool {
    let labels: Vec<&str> = host.split('.').collect();
    let [id, region, rest @ ..] = labels.as_slice() else { return false };
    let may_be = |label: &str, text: &str| label == text || label.contains('*');
    let before_star = id.split_once('*').map(|(before, _)| before);
    let may_be_id = id.starts_with("crpi-") || before_star.is_some_and(|before| "crpi-".starts_with(before));
    let fixed = ["personal", "cr", "aliyuncs", "com"];
    may_be_id
        && region.contains(['-', '*'])
        && rest.len() == fixed.len()
        && rest.iter().zip(fixed).all(|(label, text)| may_be(label, text))
}

/// Explains that a value belongs to the new Personal Edition, and what to use instead.
pub fn unsupported(value: &str) -> String {
    let value: String = value.trim().chars().take(80).collect();
    format!(
        "{value:?} belongs to a Personal Edition instance made after 2024-09-08, for which the cloud issues no token. {CURE}"
    )
}

/// What to use instead of the new Personal Edition.
const CURE: &str = "Create a pull Secret with kubectl create secret docker-registry and add it to the ServiceAccount, or use an Enterprise Edition instance";

#[cfg(test)]
mod tests {
    use regex::Regex;

    use super::{is_unsupported_address, is_unsupported_id};
    use crate::api::binding::{UNSUPPORTED_GLOB, UNSUPPORTED_HOST};

    #[test]
    fn an_id_of_the_new_personal_edition_is_known_in_any_case() {
        for id in ["crpi-k3v9w2m7q1x8abcd", "CRPI-K3V9", "crpi-", " crpi-a"] {
            assert!(is_unsupported_id(id), "{id}");
        }
        for id in ["cri-k3v9w2m7q1x8abcd", "", "crp", "crpi", "personal", "华东1-"] {
            assert!(!is_unsupported_id(id), "{id}");
        }
    }

    const UNSUPPORTED: [&str; 16] = [
        "crpi-k3v9w2m7q1x8abcd.cn-hangzhou.personal.cr.aliyuncs.com",
        "crpi-k3v9w2m7q1x8abcd-vpc.cn-hangzhou.personal.cr.aliyuncs.com",
        "crpi-k3v9w2m7q1x8abcd-internal.cn-hangzhou.personal.cr.aliyuncs.com:443/team",
        "crpi-k3v9w2m7q1x8abcd.cn-hangzhou.cr.aliyuncs.com",
        "crpi-k3v9w2m7q1x8abcd",
        "demo.cn-hangzhou.personal.cr.aliyuncs.com/team/app",
        "*.cn-hangzhou.personal.cr.aliyuncs.com",
        "*.*.personal.cr.aliyuncs.com:65001",
        "*.cn-hangzhou.*.cr.aliyuncs.com",
        "*.*.*.*.*.*",
        "cr*.cn-*.p*l.cr.aliyuncs.com",
        "crpi-*.cn-hangzhou.*.*.aliyuncs.com",
        "c*-vpc.cn-hangzhou.personal*.cr.*.com",
        "crpi-*.aliyuncs.com",
        "crpi*.cn-hangzhou.*.cr.aliyuncs.com/a",
        "*-vpc.*.*.cr.aliyuncs.com",
    ];

    const OTHERS: [&str; 14] = [
        "registry.cn-hangzhou.aliyuncs.com",
        "registry-vpc.cn-hangzhou.aliyuncs.com/crpi-team",
        "demo-registry.cn-hangzhou.cr.aliyuncs.com",
        "*-registry.cn-hangzhou.cr.aliyuncs.com",
        "*.cn-hangzhou.cr.aliyuncs.com",
        "demo-registry.distributed.cn-hangzhou.cr.aliyuncs.com:65001",
        "*.distributed.*.cr.aliyuncs.com",
        "demo-registry.*.*.cr.aliyuncs.com",
        "*.*.cn-hangzhou.cr.aliyuncs.com",
        "crpi-mirror.example.com",
        "personal.cr.example.com",
        "mycrpi-a.cn-hangzhou.cr.aliyuncs.com",
        "img.example.com/crpi-a.cn-hangzhou.personal.cr.aliyuncs.com",
        "*.*.*.*.*",
    ];

    #[test]
    fn a_host_of_the_new_personal_edition_is_known_and_so_is_a_glob_that_includes_it() {
        for address in UNSUPPORTED {
            assert!(is_unsupported_address(address), "{address}");
            assert!(is_unsupported_address(&format!("https://{}", address.to_uppercase())), "{address}");
        }
        for address in OTHERS {
            assert!(!is_unsupported_address(address), "{address}");
        }
        for written in [
            "docker://crpi-a.cn-hangzhou.personal.cr.aliyuncs.com/team/app:1.2",
            "user@crpi-a.cn-hangzhou.personal.cr.aliyuncs.com",
            "crpi-a.cn-hangzhou.personal.cr.aliyuncs.com.",
        ] {
            assert!(is_unsupported_address(written), "{written}");
        }
    }

    #[test]
    fn the_schema_has_the_same_rule_for_every_address() {
        let rules = [UNSUPPORTED_HOST, UNSUPPORTED_GLOB].map(|rule| Regex::new(rule).unwrap());
        let agrees = |address: &str| {
            assert_eq!(
                rules.iter().any(|rule| rule.is_match(address)),
                is_unsupported_address(address),
                "{address}"
            )
        };
        UNSUPPORTED.iter().chain(&OTHERS).for_each(|address| agrees(address));
        let labels = [
            ["crpi-a", "crpi-*", "*", "c*", "demo-*", "crpi", "d"].as_slice(),
            &["cn-hangzhou", "*", "distributed", "cn-*"],
            &["personal", "*", "p*", "cr", "cn-hangzhou"],
            &["cr", "*", "aliyuncs"],
            &["aliyuncs", "*a", "com"],
            &["com", "*", "cn"],
        ];
        let mut hosts = vec![String::new()];
        for choices in labels {
            let longer = |host: &String| {
                let next = |label: &&str| {
                    if host.is_empty() { (*label).to_owned() } else { format!("{host}.{label}") }
                };
                choices.iter().map(next).collect::<Vec<_>>()
            };
            hosts = hosts.iter().flat_map(longer).collect();
            hosts.iter().for_each(|host| agrees(host));
        }
        assert!(hosts.len() > 3_000);
    }
}
