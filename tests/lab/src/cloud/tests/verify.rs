//! The check of signatures without a server.

use super::{Ask, Key, pairs};
use crate::cloud::request::{Pairs, canonical_query};
use crate::cloud::vault::random;
use crate::cloud::verify::{Sent, acs3};

const SECRET: &str = "secret";

fn ask(query: Pairs) -> Ask {
    Ask {
        method: "POST",
        path: "/",
        host: "cr.cn-hangzhou.aliyuncs.com".to_owned(),
        query,
        body: "{}".to_owned(),
        date: 0,
        nonce: random(32),
        key: Key { id: "ak".to_owned(), secret: SECRET.to_owned(), token: None },
        extra: pairs(&[("content-type", "application/json")]),
        action: "Any".to_owned(),
        version: "2018-12-01",
    }
}

fn judge(ask: &Ask, edit: impl FnOnce(&mut Sent<'_>)) -> Result<(), String> {
    let (headers, query) = (ask.signed(), canonical_query(&ask.query));
    let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let body = ask.body.as_bytes();
    let mut sent = Sent { method: ask.method, path: ask.path, query: &query, headers: &headers, body };
    edit(&mut sent);
    acs3(&sent, SECRET)
}

#[test]
fn odd_queries_pass_as_they_are_written() {
    for query in [
        &[][..],
        &[("", "")],
        &[("a b", "*~/+&=%"), ("é", "汉字"), ("\u{1f600}", "\u{0}\n")],
        &[("twice", "2"), ("twice", "1"), ("twice", "")],
        &[("B", "1"), ("a", "1"), ("b-", "1"), ("b", "1")],
    ] {
        assert_eq!(judge(&ask(pairs(query)), |_| {}), Ok(()), "{query:?}");
    }
    let in_another_order = |sent: &mut Sent<'_>| sent.query = "b=2&a=%7E&c";
    assert_eq!(judge(&ask(pairs(&[("a", "~"), ("b", "2"), ("c", "")])), in_another_order), Ok(()));
}

#[test]
fn a_request_that_the_gateway_refuses_is_refused_with_its_reason() {
    let ask = ask(pairs(&[("a", "1")]));
    assert_eq!(judge(&ask, |sent| sent.path = ""), Ok(()));
    let no_match = Err("Specified signature is not matched with our calculation.".to_owned());
    assert_eq!(judge(&ask, |sent| sent.query = "a=2"), no_match);
    assert_eq!(judge(&ask, |sent| sent.query = "a=1&a=1"), no_match);
    assert_eq!(judge(&ask, |sent| sent.method = "GET"), no_match);
    assert_eq!(judge(&ask, |sent| sent.path = "/tokens"), no_match);
    let body = judge(&ask, |sent| sent.body = b"[]").unwrap_err();
    assert!(body.contains("x-acs-content-sha256"), "{body}");
    let none = judge(&ask, |sent| sent.headers = &sent.headers[..1]).unwrap_err();
    assert!(none.contains("Authorization"), "{none}");
    let wrong = Ask { key: Key { secret: "guessed".to_owned(), ..ask.key.clone() }, ..ask.clone() };
    assert_eq!(judge(&wrong, |_| {}), no_match);
    assert!(judge(&ask, |sent| sent.query = "a b").is_err(), "this is not a URL");
}

#[test]
fn headers_count_trimmed_in_any_order_and_case_and_repeated_ones_together() {
    let mut ask = ask(Pairs::new());
    ask.extra.extend(pairs(&[("x-acs-more", "a,b")]));
    let signed = ask.signed();
    let mut headers: Vec<_> =
        signed.iter().map(|(name, value)| (name.to_ascii_uppercase(), format!(" {value} "))).collect();
    headers.retain(|(name, _)| name != "X-ACS-MORE");
    headers.reverse();
    headers.extend([("x-acs-more".to_owned(), "a".to_owned()), ("X-Acs-More".to_owned(), "b".to_owned())]);
    let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let sent = Sent { method: "POST", path: "/", query: "", headers: &headers, body: b"{}" };
    assert_eq!(acs3(&sent, SECRET), Ok(()));
}
