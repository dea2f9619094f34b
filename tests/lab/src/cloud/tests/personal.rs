//! ACR Personal: one token an account and region, and refusals in lower case.

use serde_json::Value;

use super::{Ask, CR, Key, STS, demo};
use crate::cloud::clock::parse_iso8601;
use crate::cloud::world::{MissingPersonal, Policy};
use crate::cloud::{Cloud, Fault, FaultKind};

const ACTION: &str = "Personal:GetAuthorizationToken";
const HANGZHOU: &str = "cn-hangzhou";

fn ask(cloud: &Cloud, key: &Key, host: &str) -> Ask {
    let ask = Ask::new(cloud, key, host, "GetAuthorizationToken", &[]);
    Ask { method: "GET", path: "/tokens", version: "2016-06-07", ..ask }
}

fn spoil(cloud: &Cloud, action: &str, kind: FaultKind) {
    cloud.fault(Fault { action: action.to_owned(), instance: None, kind, times: Some(1) });
}

fn token(reply: &Value) -> (&str, &str, i64) {
    let data = &reply["data"];
    let text = |name: &str| data[name].as_str().unwrap();
    (text("tempUserName"), text("authorizationToken"), data["expireDate"].as_i64().unwrap())
}

#[tokio::test]
async fn a_token_opens_the_callers_account_in_the_region_that_was_called_and_nothing_else() {
    let cloud = demo().await;
    let key = Key::of_user(&cloud, "puller");
    let before = cloud.now();
    for host in [CR, "cr-vpc.cn-hangzhou.aliyuncs.com"] {
        ask(&cloud, &key, host).send(&cloud).await.ok();
    }
    let reply = ask(&cloud, &key, CR).send(&cloud).await.ok();
    let (user, password, expires) = token(&reply);
    assert_eq!(user, "cr_temp_user");
    assert!((before + 3_600_000..=cloud.now() + 3_600_000).contains(&expires));
    assert!(reply["requestId"].is_string());

    let valid = |account: &str, region: &str| cloud.personal_token_valid(user, password, account, region);
    assert!(valid("1", HANGZHOU));
    assert!(!valid("2", HANGZHOU) && !valid("1", "cn-beijing"));
    assert!(!cloud.personal_token_valid("other", password, "1", HANGZHOU));
    assert!(!cloud.token_valid(user, password, "cri-demo0001"), "the editions do not take each other's");
    let enterprise = Ask::token(&cloud, &key).send(&cloud).await.ok();
    let enterprise = enterprise["AuthorizationToken"].as_str().unwrap();
    assert!(!cloud.personal_token_valid(user, enterprise, "1", HANGZHOU));

    assert!(cloud.personal_token_may_pull(user, password, "1", HANGZHOU));
    cloud.world(|world| world.user_mut("1", "puller").unwrap().policy.allow.remove("cr:PullRepository"));
    assert!(valid("1", HANGZHOU) && !cloud.personal_token_may_pull(user, password, "1", HANGZHOU));
    assert!(cloud.secrets().contains(&password.to_owned()));
    cloud.set_clock_skew(3601);
    assert!(!valid("1", HANGZHOU));
}

#[tokio::test]
async fn a_token_expires_with_the_session_that_requested_it() {
    let cloud = demo().await;
    let node = Key::of_node(&cloud).await;
    let session = Ask::assume(&cloud, &node, &[("DurationSeconds", "900")]).send(&cloud).await.ok();
    let end = parse_iso8601(session["Credentials"]["Expiration"].as_str().unwrap()).unwrap();
    let reply = ask(&cloud, &Key::read(&session["Credentials"]), CR).send(&cloud).await.ok();
    let (user, password, expires) = token(&reply);
    assert_eq!(expires / 1000, end / 1000);
    assert!(cloud.personal_token_valid(user, password, "2", HANGZHOU), "the role's account, not the node's");
    cloud.set_clock_skew(901);
    assert!(!cloud.personal_token_valid(user, password, "2", HANGZHOU));
}

#[tokio::test]
async fn refusals_are_spelled_in_lower_case() {
    let cloud = demo().await;
    let heard = ask(&cloud, &Key::of_user(&cloud, "stranger"), CR).send(&cloud).await;
    assert_eq!((heard.status, &heard.body["code"]), (403, &"NoPrivilege".into()), "{}", heard.body);
    assert_eq!(heard.body["accessDeniedDetail"]["AuthAction"], "cr:GetAuthorizationToken");
    assert_eq!(heard.body["accessDeniedDetail"]["AuthPrincipalDisplayName"], "stranger");
    let names: Vec<_> = heard.body.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["accessDeniedDetail", "code", "hostId", "message", "recommend", "requestId"]);

    let key = Key::of_user(&cloud, "puller");
    let forged = Key { secret: "guessed".to_owned(), ..key.clone() };
    ask(&cloud, &forged, CR).send(&cloud).await.refused(400, "SignatureDoesNotMatch");
    let elsewhere = ask(&cloud, &key, CR);
    let heard = elsewhere.send_edited(&cloud, |headers| {
        headers.iter_mut().filter(|(name, _)| name == "x-acs-version").for_each(|(_, value)| {
            "2018-12-01".clone_into(value);
        });
    });
    heard.await.refused(404, "InvalidApi.NotFound");
}

#[tokio::test]
async fn the_path_is_signed_and_only_a_get_of_it_is_this_action() {
    let cloud = demo().await;
    let key = Key::of_user(&cloud, "puller");
    let usual = ask(&cloud, &key, CR);
    let signed_over_root = Ask { path: "/", ..usual.clone() }.signed();
    let heard = usual.send_edited(&cloud, |headers| *headers = signed_over_root).await;
    heard.refused(400, "SignatureDoesNotMatch");
    for other in [
        Ask { method: "POST", ..usual.clone() },
        Ask { path: "/", ..usual.clone() },
        Ask { path: "/tokens/", ..usual.clone() },
        Ask { host: STS.to_owned(), ..usual.clone() },
    ] {
        other.send(&cloud).await.refused(404, "InvalidApi.NotFound");
    }
    usual.send(&cloud).await.ok();
    usual.send(&cloud).await.refused(400, "SignatureNonceUsed");
}

#[tokio::test]
async fn an_account_without_a_registry_gets_the_configured_answer() {
    let cloud = demo().await;
    let key = Key::of_user(&cloud, "puller");
    let north = "cr.cn-beijing.aliyuncs.com";
    ask(&cloud, &key, north).send(&cloud).await.refused(403, "NoPrivilege");
    let code = "USER_NOT_EXIST".to_owned();
    let refusal = MissingPersonal::Refusal { status: 404, code };
    cloud.world(|world| world.unconfirmed.missing_personal = refusal);
    ask(&cloud, &key, north).send(&cloud).await.refused(404, "USER_NOT_EXIST");

    cloud.world(|world| world.unconfirmed.missing_personal = MissingPersonal::UselessToken);
    let reply = ask(&cloud, &key, north).send(&cloud).await.ok();
    let (user, password, _) = token(&reply);
    assert!(!cloud.personal_token_valid(user, password, "1", "cn-beijing"));
    assert!(cloud.secrets().contains(&password.to_owned()), "useless, but still a secret");

    cloud.world(|world| {
        world.accounts.get_mut("1").unwrap().personal.insert("cn-beijing".to_owned());
    });
    let reply = ask(&cloud, &key, north).send(&cloud).await.ok();
    let (user, password, _) = token(&reply);
    assert!(cloud.personal_token_valid(user, password, "1", "cn-beijing"));
}

#[tokio::test]
async fn its_calls_and_faults_are_separate_from_enterprises() {
    let cloud = demo().await;
    let key = Key::of_user(&cloud, "puller");
    spoil(&cloud, "GetAuthorizationToken", FaultKind::Throttle { retry_after_ms: None });
    ask(&cloud, &key, CR).send(&cloud).await.ok();
    Ask::token(&cloud, &key).send(&cloud).await.refused(400, "Throttling.User");
    spoil(&cloud, ACTION, FaultKind::Throttle { retry_after_ms: Some(7) });
    Ask::token(&cloud, &key).send(&cloud).await.ok();
    let heard = ask(&cloud, &key, CR).send(&cloud).await;
    assert_eq!(
        (&heard.body["code"], &heard.headers["x-acs-retry-after"]),
        (&"Throttling.User".into(), &"7".parse().unwrap())
    );

    assert_eq!((cloud.count(ACTION), cloud.count("GetAuthorizationToken")), (2, 2));
    let call = cloud.calls().into_iter().find(|call| call.action == ACTION).unwrap();
    assert_eq!((call.product.as_str(), call.instance, call.identity.as_str()), ("cr", None, "user/puller"));

    spoil(&cloud, ACTION, FaultKind::ExpireTimeString);
    let reply = ask(&cloud, &key, CR).send(&cloud).await.ok();
    assert!(reply["data"]["expireDate"].as_str().unwrap().parse::<i64>().unwrap() > cloud.now());
    spoil(&cloud, ACTION, FaultKind::ExpireTimePast);
    assert!(token(&ask(&cloud, &key, CR).send(&cloud).await.ok()).2 < cloud.now());
    spoil(&cloud, ACTION, FaultKind::MissingFields);
    let reply = ask(&cloud, &key, CR).send(&cloud).await.ok();
    assert_eq!(reply.as_object().unwrap().keys().collect::<Vec<_>>(), ["requestId"]);
}

#[tokio::test]
async fn an_accounts_own_key_needs_no_policy_and_another_needs_only_this_right() {
    let cloud = demo().await;
    let stranger = Key::of_user(&cloud, "stranger");
    let only = Policy::allowing(&["cr:GetAuthorizationToken"]);
    cloud.world(|world| world.user_mut("1", "stranger").unwrap().policy = only);
    ask(&cloud, &stranger, CR).send(&cloud).await.ok();
    let root = Key::of_root(&cloud, "2");
    let reply = ask(&cloud, &root, CR).send(&cloud).await.ok();
    let (user, password, _) = token(&reply);
    assert!(cloud.personal_token_may_pull(user, password, "2", HANGZHOU));
}
