//! Authentication: the accepted requests, and each kind of refusal.

use super::{Ask, CR, Heard, Key, STS, client, demo, pairs, set};
use crate::cloud::Cloud;
use crate::cloud::clock::iso8601;
use crate::cloud::request::{Pairs, canonical_query};
use crate::cloud::rpc_sha1;
use crate::cloud::vault::random_hex;

const MINUTE: i64 = 60_000;

#[tokio::test]
async fn a_well_signed_request_passes_by_post_and_by_get_with_or_without_a_port_in_the_host() {
    let cloud = demo().await;
    let key = Key::of_user(&cloud, "puller");
    for (method, host) in [("POST", CR), ("GET", CR), ("POST", "cr.cn-hangzhou.aliyuncs.com:8080")] {
        let ask = Ask { method, host: host.to_owned(), ..Ask::token(&cloud, &key) };
        ask.send(&cloud).await.ok();
    }
}

#[tokio::test]
async fn odd_characters_empty_values_and_a_form_body_are_signed_as_written() {
    let cloud = demo().await;
    let mut ask = Ask::token(&cloud, &Key::of_user(&cloud, "puller"));
    ask.query.extend(pairs(&[
        ("a b", "*~/+&=%"),
        ("é", "汉字"),
        ("empty", ""),
        ("twice", "2"),
        ("twice", "1"),
    ]));
    ask.send(&cloud).await.ok();

    let mut ask = Ask::token(&cloud, &Key::of_user(&cloud, "puller"));
    ask.query.clear();
    "InstanceId=cri-demo0001".clone_into(&mut ask.body);
    ask.extra = pairs(&[("content-type", "application/x-www-form-urlencoded")]);
    ask.send(&cloud).await.ok();
}

#[tokio::test]
async fn a_header_changed_after_signing_is_noticed() {
    let cloud = demo().await;
    let ask = Ask::token(&cloud, &Key::of_user(&cloud, "puller"));
    let changes: [(&str, &str); 6] = [
        ("host", "cr-vpc.cn-hangzhou.aliyuncs.com"),
        ("x-acs-signature-nonce", "another"),
        ("x-acs-date", &iso8601(cloud.now() + MINUTE)),
        ("x-acs-content-sha256", "00"),
        ("x-acs-not-signed", "1"),
        ("content-type", "text/plain"),
    ];
    for (name, value) in changes {
        let heard = ask.send_edited(&cloud, |headers| set(headers, name, value)).await;
        heard.refused(400, "SignatureDoesNotMatch");
    }
    ask.send(&cloud).await.ok();
}

#[tokio::test]
async fn a_query_or_body_changed_after_signing_is_noticed() {
    let cloud = demo().await;
    let ask = Ask::token(&cloud, &Key::of_user(&cloud, "puller"));
    let signed = ask.signed();
    let other_query = Ask { query: pairs(&[("InstanceId", "cri-demo0002")]), ..ask.clone() };
    let other_body = Ask { body: "x".to_owned(), ..ask.clone() };
    let other_method = Ask { method: "GET", ..ask };
    for other in [other_query, other_body, other_method] {
        let heard = other.send_edited(&cloud, |headers| headers.clone_from(&signed)).await;
        heard.refused(400, "SignatureDoesNotMatch");
    }
}

#[tokio::test]
async fn signed_headers_out_of_order_not_sent_or_without_the_host_are_refused() {
    let cloud = demo().await;
    let ask = Ask::token(&cloud, &Key::of_user(&cloud, "puller"));
    let mut backwards = ask.headers();
    backwards.reverse();
    let backwards = ask.signed_over(backwards);
    let heard = ask.send_edited(&cloud, |headers| *headers = backwards).await;
    heard.refused(400, "SignatureDoesNotMatch");
    let without_host = ask.headers().into_iter().filter(|(name, _)| name != "host").collect();
    let without_host = ask.signed_over(without_host);
    let heard = ask
        .send_edited(&cloud, |headers| {
            *headers = without_host;
            set(headers, "host", CR);
        })
        .await;
    heard.refused(400, "SignatureDoesNotMatch");
    let with_more = Ask { extra: pairs(&[("x-acs-more", "1")]), ..ask.clone() };
    let heard =
        with_more.send_edited(&cloud, |headers| headers.retain(|(name, _)| name != "x-acs-more")).await;
    heard.refused(400, "SignatureDoesNotMatch");
    with_more.send(&cloud).await.ok();
}

#[tokio::test]
async fn a_wrong_secret_an_unknown_key_and_an_inactive_one_have_each_their_code() {
    let cloud = demo().await;
    let key = Key::of_user(&cloud, "puller");
    let wrong = Key { secret: "guessed".to_owned(), ..key.clone() };
    Ask::token(&cloud, &wrong).send(&cloud).await.refused(400, "SignatureDoesNotMatch");
    let unknown = Key { id: "LTAI-unknown".to_owned(), ..key.clone() };
    Ask::token(&cloud, &unknown).send(&cloud).await.refused(404, "InvalidAccessKeyId.NotFound");
    let retired = Key::of_user(&cloud, "retired");
    Ask::token(&cloud, &retired).send(&cloud).await.refused(400, "InvalidAccessKeyId.Inactive");

    cloud.world(|world| world.user_mut("1", "puller").unwrap().keys.clear());
    Ask::token(&cloud, &key).send(&cloud).await.refused(404, "InvalidAccessKeyId.NotFound");
}

#[tokio::test]
async fn a_clock_up_to_fifteen_minutes_apart_is_accepted_and_one_farther_is_not() {
    let cloud = demo().await;
    let key = Key::of_user(&cloud, "puller");
    for (apart, forgiven) in [(-14, true), (14, true), (-16, false), (16, false)] {
        let ask = Ask { date: cloud.now() + apart * MINUTE, ..Ask::token(&cloud, &key) };
        let heard = ask.send(&cloud).await;
        match forgiven {
            true => drop(heard.ok()),
            false => heard.refused(400, "InvalidTimeStamp.Expired"),
        }
    }
    let ask = Ask::token(&cloud, &key);
    cloud.set_clock_skew(1200);
    let heard = ask.send(&cloud).await;
    heard.refused(400, "InvalidTimeStamp.Expired");
    let date = heard.headers["date"].to_str().unwrap();
    let ahead = httpdate(date) - ask.date;
    assert!((1199 * 1000..1260 * 1000).contains(&ahead), "`Date` is the cloud's own time: {date}");
}

fn httpdate(written: &str) -> i64 {
    let format = "%a, %d %b %Y %H:%M:%S GMT";
    let broken = k8s_openapi::jiff::fmt::strtime::parse(format, written).unwrap();
    broken
        .to_datetime()
        .unwrap()
        .to_zoned(k8s_openapi::jiff::tz::TimeZone::UTC)
        .unwrap()
        .timestamp()
        .as_millisecond()
}

#[tokio::test]
async fn a_date_in_another_form_is_refused() {
    let cloud = demo().await;
    let ask = Ask::token(&cloud, &Key::of_user(&cloud, "puller"));
    for date in ["2024-11-08T09:44:50.5Z", "2024-11-08T09:44:50+00:00", "yesterday"] {
        let heard = ask.send_edited(&cloud, |headers| set(headers, "x-acs-date", date)).await;
        heard.refused(400, "InvalidTimeStamp.Format");
    }
}

#[tokio::test]
async fn a_nonce_serves_once_a_key_and_is_not_spent_by_a_refused_request() {
    let cloud = demo().await;
    let ask = Ask::token(&cloud, &Key::of_user(&cloud, "puller"));
    let forged = Ask { key: Key { secret: "guessed".to_owned(), ..ask.key.clone() }, ..ask.clone() };
    forged.send(&cloud).await.refused(400, "SignatureDoesNotMatch");
    ask.send(&cloud).await.ok();
    ask.send(&cloud).await.refused(400, "SignatureNonceUsed");
    let other = Ask { key: Key::of_user(&cloud, "stranger"), ..ask };
    other.send(&cloud).await.refused(403, "NoPrivilege");
}

#[tokio::test]
async fn a_missing_parameter_is_named() {
    let cloud = demo().await;
    let ask = Ask::token(&cloud, &Key::of_user(&cloud, "puller"));
    for name in ["x-acs-date", "x-acs-signature-nonce", "x-acs-content-sha256"] {
        let heard = ask.send_edited(&cloud, |headers| headers.retain(|(held, _)| held != name)).await;
        heard.refused(400, &format!("Missing{name}"));
    }
    let heard = ask.send_edited(&cloud, |headers| headers.retain(|(held, _)| held != "authorization")).await;
    heard.refused(400, "MissingAccessKeyId");
    let heard = ask.send_edited(&cloud, |headers| set(headers, "authorization", "Bearer x")).await;
    heard.refused(400, "InvalidAuthorization");
}

#[tokio::test]
async fn a_session_needs_its_own_unexpired_token() {
    let cloud = demo().await;
    let node = Key::of_node(&cloud).await;
    Ask::token(&cloud, &node).send(&cloud).await.ok();

    let none = Key { token: None, ..node.clone() };
    Ask::token(&cloud, &none).send(&cloud).await.refused(400, "MissingSecurityToken");
    let invented = Key { token: Some("CAISinvented".to_owned()), ..node.clone() };
    Ask::token(&cloud, &invented).send(&cloud).await.refused(400, "InvalidSecurityToken.Malformed");
    let assumed = Key::read(&Ask::assume(&cloud, &node, &[]).send(&cloud).await.ok()["Credentials"]);
    let swapped = Key { token: assumed.token, ..node.clone() };
    Ask::token(&cloud, &swapped)
        .send(&cloud)
        .await
        .refused(400, "InvalidSecurityToken.MismatchWithAccessKey");
    let with_a_users_key = Key { token: node.token.clone(), ..Key::of_user(&cloud, "puller") };
    let heard = Ask::token(&cloud, &with_a_users_key).send(&cloud).await;
    heard.refused(400, "InvalidSecurityToken.MismatchWithAccessKey");

    cloud.set_clock_skew(6 * 3600 + 60);
    Ask::token(&cloud, &node).send(&cloud).await.refused(400, "InvalidSecurityToken.Expired");
    cloud.world(|world| world.unconfirmed.security_token_status = 403);
    Ask::token(&cloud, &node).send(&cloud).await.refused(403, "InvalidSecurityToken.Expired");
}

#[tokio::test]
async fn a_session_that_states_another_key_than_it_signs_with_is_refused() {
    let cloud = demo().await;
    let mut ask = Ask::token(&cloud, &Key::of_user(&cloud, "puller"));
    ask.extra = pairs(&[("x-acs-accesskey-id", "LTAI-other")]);
    ask.send(&cloud).await.refused(400, "InvalidSecurityToken.MismatchWithAccessKey");
}

/// Returns an AssumeRole in the old RPC form, before it is signed.
fn old_form(cloud: &Cloud, key: &Key) -> Pairs {
    pairs(&[
        ("AccessKeyId", &key.id),
        ("Action", "AssumeRole"),
        ("Format", "JSON"),
        ("RoleArn", "acs:ram::2:role/acr-pull"),
        ("RoleSessionName", "lab"),
        ("SecurityToken", key.token.as_deref().unwrap()),
        ("SignatureMethod", "HMAC-SHA1"),
        ("SignatureNonce", &random_hex(32)),
        ("SignatureVersion", "1.0"),
        ("Timestamp", &iso8601(cloud.now())),
        ("Version", "2015-04-01"),
    ])
}

fn sign_old(method: &str, parameters: &mut Pairs, key: &Key) {
    let signature = rpc_sha1::signature(method, &*parameters, &key.secret).unwrap();
    parameters.push(("Signature".to_owned(), signature));
}

async fn send_old(cloud: &Cloud, method: &str, parameters: &Pairs) -> Heard {
    let client = client();
    let request = match method {
        "GET" => client.get(format!("{}/?{}", cloud.address(), canonical_query(parameters))),
        _ => client.post(cloud.address()).form(parameters),
    };
    Heard::read(request.header("host", STS).send().await.unwrap()).await
}

#[tokio::test]
async fn the_old_rpc_signature_passes_in_the_query_and_in_a_form() {
    let cloud = demo().await;
    let key = Key::of_node(&cloud).await;
    for method in ["GET", "POST"] {
        let mut parameters = old_form(&cloud, &key);
        sign_old(method, &mut parameters, &key);
        send_old(&cloud, method, &parameters).await.ok();
        send_old(&cloud, method, &parameters).await.refused(400, "SignatureNonceUsed");
    }
}

#[tokio::test]
async fn the_old_rpc_signature_is_verified_too() {
    let cloud = demo().await;
    let key = Key::of_node(&cloud).await;
    let cases: [(&str, &str, &str); 5] = [
        ("RoleSessionName", "other", "SignatureDoesNotMatch"),
        ("SecurityToken", "CAISinvented", "SignatureDoesNotMatch"),
        ("AccessKeyId", "LTAI-unknown", "InvalidAccessKeyId.NotFound"),
        ("SignatureMethod", "HMAC-MD5", "InvalidSignatureMethod"),
        ("Timestamp", "2020-01-01T00:00:00Z", "InvalidTimeStamp.Expired"),
    ];
    for (name, value, code) in cases {
        let mut parameters = old_form(&cloud, &key);
        sign_old("GET", &mut parameters, &key);
        set(&mut parameters, name, value);
        let heard = send_old(&cloud, "GET", &parameters).await;
        assert_eq!(heard.code(), code, "{name}: {}", heard.body);
    }
    for name in ["Signature", "SignatureNonce", "Timestamp", "AccessKeyId"] {
        let mut parameters = old_form(&cloud, &key);
        sign_old("GET", &mut parameters, &key);
        parameters.retain(|(held, _)| held != name);
        send_old(&cloud, "GET", &parameters).await.refused(400, &format!("Missing{name}"));
    }
}
