//! What the Secret holds, and who gets a domain that two claim.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Listing, SecretContent, Template, ValueDigest};
use crate::api::names;
use crate::plan::fixture::{MANAGED, at, bound_with, held, listed, opened, resolved, snapshot, template};
use crate::plan::{RegistryCredential, ResolvedBinding};

/// Returns a binding whose registries are `(instance, domains)`. Each instance has a token of its own.
fn claiming(name: &str, registries: &[(&str, &[&str])]) -> ResolvedBinding {
    let entry =
        |(id, domains): &(&str, &[&str])| json!({"instanceId": format!("cri-{id}"), "domains": domains});
    let entries: Vec<_> = registries.iter().map(entry).collect();
    let ids = registries.iter().map(|(id, domains)| {
        held(&format!("token-{id}"), &domains.iter().map(|d| (*d).to_owned()).collect::<Vec<_>>())
    });
    let credentials = ids.collect();
    bound_with(name, json!({ "registries": entries })).with(|b| b.registries = credentials)
}

fn content(bindings: impl IntoIterator<Item = ResolvedBinding>) -> std::sync::Arc<SecretContent> {
    let snapshot = snapshot(bindings);
    let all: Vec<usize> = (0..snapshot.bindings().len()).collect();
    snapshot.content(&all)
}

fn winner(content: &SecretContent, domain: &str) -> String {
    opened(content)["auths"][domain]["password"].as_str().unwrap().to_owned()
}

fn losers(content: &SecretContent) -> Vec<(&str, usize)> {
    content.domain_conflicts.iter().map(|c| (&*c.binding, c.registry)).collect()
}

#[test]
fn each_domain_has_its_token_as_docker_writes_it() {
    let content = content([claiming("a", &[("1", &["d1", "d2:5000/x"]), ("2", &["d3"])])]);
    let auth = |token: &str| json!({"username": "cr_temp_user", "password": token, "auth": format!("cr_temp_user:{token}")});
    let expected =
        json!({"auths": {"d1": auth("token-1"), "d2:5000/x": auth("token-1"), "d3": auth("token-2")}});
    assert_eq!(opened(&content), expected);
    assert_eq!(content.size, serde_json::to_vec(&opened_raw(&content)).unwrap().len());
}

/// Returns the JSON as written.
fn opened_raw(content: &SecretContent) -> serde_json::Value {
    let mut config = opened(content);
    for (_, auth) in config["auths"].as_object_mut().unwrap() {
        use base64::Engine as _;
        auth["auth"] =
            base64::engine::general_purpose::STANDARD.encode(auth["auth"].as_str().unwrap()).into();
    }
    config
}

#[test]
fn the_annotation_lists_domains_and_expiry_and_no_token() {
    let content = content([claiming("a", &[("2", &["d3"]), ("1", &["d2", "d1"])])]);
    let end = at(3600).to_string();
    let expected = json!([
        {"registry": "cri-1 in cn-hangzhou", "domains": ["d1", "d2"], "expires": end},
        {"registry": "cri-2 in cn-hangzhou", "domains": ["d3"], "expires": end},
    ]);
    assert_eq!(listed(&content), expected);
    assert!(!content.registries.contains("token"), "{}", content.registries);
}

#[test]
fn what_holds_tokens_prints_none() {
    let resolved = claiming("a", &[("1", &["d1"])]);
    let content = content([resolved.clone()]);
    let encoded = secrecy::ExposeSecret::expose_secret(&content.data).to_owned();
    for printed in [format!("{content:?} {content:#?}"), format!("{resolved:?} {resolved:#?}")] {
        assert!(!printed.contains("token-1") && !printed.contains(&encoded[..24]), "{printed}");
    }
}

#[test]
fn of_two_that_claim_a_domain_the_older_wins_then_the_name_then_the_entry() {
    let (d, one_each): (&[&str], _) = (&["d"], |name, id| claiming(name, &[(id, &["d"])]));
    type Case = (&'static str, Vec<ResolvedBinding>, &'static str, &'static [(&'static str, usize)]);
    let cases: [Case; 5] = [
        ("age", vec![one_each("a", "1").aged(60), one_each("b", "2")], "token-2", &[("a", 0)]),
        ("name", vec![one_each("b", "1"), one_each("a", "2")], "token-2", &[("b", 0)]),
        ("entry", vec![claiming("a", &[("1", d), ("2", d)])], "token-1", &[("a", 1)]),
        (
            "age before entry",
            vec![claiming("a", &[("1", d), ("2", d)]).aged(1), one_each("b", "3")],
            "token-3",
            &[("a", 0), ("a", 1)],
        ),
        (
            "three",
            vec![one_each("c", "1"), one_each("b", "2"), one_each("a", "3")],
            "token-3",
            &[("b", 0), ("c", 0)],
        ),
    ];
    for (what, bindings, expected, lost) in cases {
        let content = content(bindings);
        assert_eq!(winner(&content, "d"), expected, "{what}");
        assert_eq!(losers(&content), lost, "{what}");
    }
}

#[test]
fn only_the_contested_domain_is_lost_and_the_loser_learns_to_whom() {
    let content = content([claiming("a", &[("1", &["d1", "d2"])]), claiming("b", &[("2", &["d2", "d3"])])]);
    assert_eq!((winner(&content, "d2").as_str(), winner(&content, "d3").as_str()), ("token-1", "token-2"));
    assert_eq!(content.domain_conflicts[0].message, "d2 is claimed first by binding a, registry 0");
    assert_eq!(listed(&content)[1]["domains"], json!(["d3"]));
}

#[test]
fn the_same_token_under_two_bindings_is_no_contest() {
    let content = content([claiming("a", &[("1", &["d"])]), claiming("b", &[("1", &["d", "e"])])]);
    assert_eq!(losers(&content), []);
    assert_eq!(listed(&content).as_array().unwrap().len(), 1);
    assert_eq!(winner(&content, "e"), "token-1");
}

/// A registry that holds nothing has nothing to serve the domain with.
#[test]
fn who_holds_nothing_claims_nothing() {
    for credential in [RegistryCredential::Pending, RegistryCredential::Missing] {
        let empty = claiming("a", &[("1", &["d"])]).with(|b| b.registries[0] = credential);
        let content = content([empty, claiming("b", &[("2", &["d"])]).aged(60)]);
        assert_eq!((winner(&content, "d").as_str(), losers(&content)), ("token-2", vec![]));
    }
}

/// A content's own fingerprint is that of the Secret which the API server gives back after it was written.
#[test]
fn a_secret_as_written_has_the_fingerprint_of_its_content() {
    let mut template = (*template()).clone();
    template.labels.insert("team".into(), "x".into());
    template.annotations.insert("note".into(), "y".into());
    let content = super::render(&template, &[&resolved("a")]);
    let text = secrecy::ExposeSecret::expose_secret(&content.data);
    let data = BTreeMap::from([(names::SECRET_KEY.to_owned(), ValueDigest::of(text))]);
    let mut labels = template.all_labels();
    let mut annotations = template.annotations.clone();
    annotations.insert(names::ANNOTATION_REGISTRIES.into(), content.registries.clone());
    labels.insert("others".into(), "else".into());
    annotations.insert("others".into(), "else".into());
    assert_eq!(template.fingerprint(&data, &labels, &annotations), content.fingerprint);
    let forgotten =
        |key: &str, of: &BTreeMap<String, String>| of.clone().into_iter().filter(|(k, _)| k != key).collect();
    for (key, labels, annotations) in [
        ("team", forgotten("team", &labels), annotations.clone()),
        (MANAGED.0, forgotten(MANAGED.0, &labels), annotations.clone()),
        ("note", labels.clone(), forgotten("note", &annotations)),
        (names::ANNOTATION_REGISTRIES, labels.clone(), forgotten(names::ANNOTATION_REGISTRIES, &annotations)),
    ] {
        assert_ne!(template.fingerprint(&data, &labels, &annotations), content.fingerprint, "{key}");
    }
}

#[test]
fn a_flags_label_cannot_take_the_place_of_ours() {
    let labels = BTreeMap::from([(MANAGED.0.to_owned(), "others".to_owned())]);
    let template = Template { name: "s".into(), labels, annotations: BTreeMap::new() };
    assert_eq!(template.all_labels()[MANAGED.0], MANAGED.1);
}

/// Returns one registry with that many domains and a token of that many bytes.
fn sized(domains: usize, token: usize) -> std::sync::Arc<SecretContent> {
    let domains: Vec<String> =
        (0..domains).map(|n| format!("{}-{n:04}.example.com", "d".repeat(200))).collect();
    content([resolved("a").with(|b| b.registries[0] = held(&"t".repeat(token), &domains))])
}

/// Returns the number of domains that fit, from the message.
fn fitting(content: &SecretContent) -> Option<usize> {
    let message = &content.too_large.as_ref()?.why;
    message.split(" of its ").next()?.rsplit(' ').next()?.parse().ok()
}

#[test]
fn a_content_that_does_not_fit_is_reported_with_the_domains_that_do() {
    // The data is too large first, or with short tokens the annotation.
    for (token, what) in [(4096, "the Secret would hold"), (1, "annotations would take")] {
        let all = sized(2048, token);
        let message = &all.too_large.as_ref().unwrap().why;
        assert!(message.contains(what) && message.contains("of its 2048 domains"), "{message}");
        let fit = fitting(&all).unwrap();
        assert!((50..2048).contains(&fit), "{fit}");
        assert_eq!(sized(fit, token).too_large, None, "{fit} with tokens of {token}");
        assert_eq!(fitting(&sized(fit + 1, token)), Some(fit), "tokens of {token}");
    }
    assert_eq!(sized(1, 4096).too_large, None);
    assert_eq!(fitting(&sized(1, 1024 * 1024)), Some(0));
}

#[test]
fn of_bindings_that_are_too_much_together_the_younger_are_left_out_as_a_whole() {
    let domains = |name: &str, count: usize| -> Vec<String> {
        (0..count).map(|n| format!("{name}-{n:04}.{}.example.com", "d".repeat(200))).collect()
    };
    let of = |name: &str, count: usize| {
        let domains = domains(name, count);
        resolved(name).with(|b| b.registries[0] = held(&"t".repeat(4096), &domains))
    };
    let left_out = |content: &SecretContent| -> Vec<String> {
        let large = content.too_large.as_ref();
        large.into_iter().flat_map(|large| large.left_out.iter().flatten().map(ToString::to_string)).collect()
    };
    // The second alone is too much beside the first; the third has room.
    let all = content([of("a", 50), of("b", 60), of("c", 1)]);
    assert_eq!(left_out(&all), ["b"]);
    assert_eq!(all.fingerprint, content([of("a", 50), of("c", 1)]).fingerprint);
    let why = &all.too_large.as_ref().unwrap().why;
    assert!(why.contains(" of its 111 domains fit"), "{why}");
    // Alone it is refused: so it is where the others hold nothing.
    let missing = resolved("a").with(|b| b.registries[0] = RegistryCredential::Missing);
    let none = content([missing, of("b", 200)]);
    assert!(none.too_large.is_some() && left_out(&none).is_empty());
}

#[test]
fn a_content_lists_what_its_annotation_is_read_as() {
    let some = resolved("a").with(|b| {
        b.registries = vec![
            held("t", &["b.example.com", "a.example.com"].map(str::to_owned)),
            RegistryCredential::Missing,
        ];
    });
    for content in [content([some]), content([])] {
        assert_eq!(content.listing, Listing::of(&content.registries));
    }
}

#[test]
fn a_listing_that_is_alive_and_longer_would_lose() {
    let of = |listed: serde_json::Value| Listing::of(&listed.to_string());
    let entry = |domains: &[&str], expires: i64| json!({ "registry": "r", "domains": domains, "expires": at(expires).to_string() });
    let both = of(json!([entry(&["b", "a"], 60), entry(&["c"], 30)]));
    let (fewer, more) = (of(json!([entry(&["c", "a"], 1)])), of(json!([entry(&["d", "c", "b", "a"], 1)])));
    assert!(both.would_lose_by(&fewer, at(29)) && !both.would_lose_by(&fewer, at(30)), "one has expired");
    assert!(!both.would_lose_by(&more, at(0)) && !both.would_lose_by(&both, at(0)));
    for unreadable in ["", "{}", r#"[{"domains":["z"]}]"#, r#"[{"domains":["z"],"expires":"soon"}]"#] {
        assert!(!Listing::of(unreadable).would_lose_by(&fewer, at(0)), "{unreadable}");
    }
}
