//! AssumeRole: the chain to another account, and each refusal on the way.

use serde_json::Value;

use super::{Ask, CR, Key, demo};
use crate::cloud::Cloud;
use crate::cloud::clock::parse_iso8601;
use crate::cloud::world::Policy;

async fn assume(cloud: &Cloud, more: &[(&str, &str)]) -> super::Heard {
    let node = Key::of_node(cloud).await;
    Ask::assume(cloud, &node, more).send(cloud).await
}

/// Sends the usual request with one parameter replaced, or left out.
async fn assume_with(cloud: &Cloud, name: &str, value: Option<&str>) -> super::Heard {
    let node = Key::of_node(cloud).await;
    let mut ask = Ask::assume(cloud, &node, &[]);
    ask.query.retain(|(held, _)| held != name);
    ask.query.extend(value.map(|value| (name.to_owned(), value.to_owned())));
    ask.send(cloud).await
}

fn lasts(cloud: &Cloud, reply: &Value) -> i64 {
    let end = parse_iso8601(reply["Credentials"]["Expiration"].as_str().unwrap()).unwrap();
    (end - cloud.now() + 999) / 1000
}

#[tokio::test]
async fn a_trusted_role_opens_a_session_that_acts_in_the_other_account_only() {
    let cloud = demo().await;
    let reply = assume(&cloud, &[("SourceIdentity", "lab")]).await.ok();
    assert_eq!(reply["AssumedRoleUser"]["Arn"], "acs:ram::2:role/acr-pull/lab");
    assert!(reply["AssumedRoleUser"]["AssumedRoleId"].as_str().unwrap().ends_with(":lab"));
    assert_eq!(reply["SourceIdentity"], "lab");
    assert!(reply.get("Code").is_none(), "a success of STS has no Code");
    let session = Key::read(&reply["Credentials"]);
    assert!(session.id.starts_with("STS."));
    let get = |instance| Ask::new(&cloud, &session, CR, "GetAuthorizationToken", &[("InstanceId", instance)]);
    let token = get("cri-demo0003").send(&cloud).await.ok();
    let end = parse_iso8601(reply["Credentials"]["Expiration"].as_str().unwrap()).unwrap();
    assert_eq!(token["ExpireTime"].as_i64().unwrap() / 1000, end / 1000);
    get("cri-demo0001").send(&cloud).await.refused(404, "INSTANCE_NOT_EXIST");
    Ask::assume(&cloud, &session, &[]).send(&cloud).await.refused(403, "NoPermission");
}

#[tokio::test]
async fn a_user_that_may_only_assume_gets_to_the_instance_through_the_role() {
    let cloud = demo().await;
    let hopper = Key::of_user(&cloud, "partner-hopper");
    let get = |key: &Key| {
        let query = [("InstanceId", "cri-demo0003")];
        Ask::new(&cloud, key, CR, "GetAuthorizationToken", &query)
    };
    get(&hopper).send(&cloud).await.refused(403, "NoPrivilege");
    let reply = Ask::assume(&cloud, &hopper, &[]).send(&cloud).await.ok();
    get(&Key::read(&reply["Credentials"])).send(&cloud).await.ok();
    let puller = Key::of_user(&cloud, "partner-puller");
    let heard = Ask::assume(&cloud, &puller, &[]).send(&cloud).await;
    heard.refused(403, "NoPermission");
    assert_eq!(heard.body["AccessDeniedDetail"]["AuthAction"], "sts:AssumeRole");
    assert_eq!(heard.body["AccessDeniedDetail"]["AuthPrincipalDisplayName"], "partner-puller");
}

#[tokio::test]
async fn a_session_lasts_as_long_as_requested_within_the_roles_maximum() {
    let cloud = demo().await;
    assert!((3599..=3600).contains(&lasts(&cloud, &assume(&cloud, &[]).await.ok())));
    assert!((899..=900).contains(&lasts(&cloud, &assume(&cloud, &[("DurationSeconds", "900")]).await.ok())));
    for duration in ["899", "3601", "0", "-1", "an hour"] {
        let heard = assume(&cloud, &[("DurationSeconds", duration)]).await;
        heard.refused(400, "InvalidParameter.DurationSeconds");
        assert_eq!(heard.body["Message"], "The Min/Max value of DurationSeconds is 15min/1hr.");
    }
    cloud.world(|world| world.role_mut("2", "acr-pull").unwrap().max_session_duration = 43200);
    assume(&cloud, &[("DurationSeconds", "43200")]).await.ok();
    let heard = assume(&cloud, &[("DurationSeconds", "43201")]).await;
    assert_eq!(heard.body["Message"], "The Min/Max value of DurationSeconds is 15min/12hr.");
    cloud.world(|world| world.lifetimes.session_cap = Some(std::time::Duration::from_secs(5)));
    assert!(lasts(&cloud, &assume(&cloud, &[]).await.ok()) <= 5);
}

#[tokio::test]
async fn parameters_are_checked_against_their_documented_forms() {
    let cloud = demo().await;
    assume_with(&cloud, "RoleArn", None).await.refused(400, "MissingRoleArn");
    assume_with(&cloud, "RoleSessionName", None).await.refused(400, "MissingRoleSessionName");
    let long = "x".repeat(65);
    let cases = [
        ("RoleArn", "acs:ram::2:user/acr-pull", "InvalidParameter.RoleArn"),
        ("RoleSessionName", "x", "InvalidParameter.RoleSessionName"),
        ("RoleSessionName", "has space", "InvalidParameter.RoleSessionName"),
        ("RoleSessionName", long.as_str(), "InvalidParameter.RoleSessionName"),
        ("ExternalId", "x", "InvalidParameter.ExternalId"),
        ("SourceIdentity", long.as_str(), "InvalidParameter.SourceIdentity"),
        ("Policy", "{}", "InvalidParameter.PolicyGrammar"),
    ];
    for (name, value, code) in cases {
        assume_with(&cloud, name, Some(value)).await.refused(400, code);
    }
    assume_with(&cloud, "RoleSessionName", Some("a.b@c-d_9")).await.ok();
}

#[tokio::test]
async fn a_missing_role_is_reported() {
    let cloud = demo().await;
    for arn in ["acs:ram::2:role/unknown", "acs:ram::9:role/acr-pull"] {
        assume_with(&cloud, "RoleArn", Some(arn)).await.refused(404, "EntityNotExist.Role");
    }
}

#[tokio::test]
async fn both_the_callers_right_and_the_roles_trust_are_needed() {
    let cloud = demo().await;
    let trusts = |principals: &[&str]| {
        let trust = principals.iter().map(ToString::to_string).collect();
        cloud.world(|world| world.role_mut("2", "acr-pull").unwrap().trust = trust);
    };
    trusts(&["acs:ram::1:root", "acs:ram::3:root"]);
    assume(&cloud, &[]).await.ok();
    trusts(&["acs:ram::1:role/other", "acs:ram::2:root"]);
    let heard = assume(&cloud, &[]).await;
    heard.refused(403, "NoPermission");
    assert_eq!(heard.body["AccessDeniedDetail"]["PolicyType"], "AssumeRolePolicy");

    trusts(&["acs:ram::1:user/puller"]);
    let puller = Key::of_user(&cloud, "puller");
    let heard = Ask::assume(&cloud, &puller, &[]).send(&cloud).await;
    heard.refused(403, "NoPermission");
    assert_eq!(heard.body["AccessDeniedDetail"]["PolicyType"], "AccountLevelIdentityBasedPolicy");
    cloud.world(|world| world.user_mut("1", "puller").unwrap().policy = Policy::allowing(&["sts:*"]));
    Ask::assume(&cloud, &puller, &[]).send(&cloud).await.ok();
}

#[tokio::test]
async fn an_accounts_own_key_may_not_assume_a_role() {
    let cloud = demo().await;
    let root = Key::of_root(&cloud, "1");
    cloud.world(|world| {
        world.role_mut("2", "acr-pull").unwrap().trust.insert("acs:ram::1:root".to_owned());
    });
    Ask::assume(&cloud, &root, &[]).send(&cloud).await.refused(403, "NoPermission");
}

#[tokio::test]
async fn a_deleted_role_leaves_its_sessions_without_rights() {
    let cloud = demo().await;
    let node = Key::of_node(&cloud).await;
    cloud.world(|world| world.accounts.get_mut("1").unwrap().roles.clear());
    Ask::token(&cloud, &node).send(&cloud).await.refused(403, "NoPrivilege");
}
