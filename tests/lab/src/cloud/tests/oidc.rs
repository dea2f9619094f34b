//! AssumeRoleWithOIDC: the requirements for a token and for the role's trust, and the chain to another
//! account.

use serde_json::{Value, json};

use super::{Ask, CR, Heard, Key, STS, client, demo, pairs, set};
use crate::cloud::clock::parse_iso8601;
use crate::cloud::request::{Pairs, canonical_query};
use crate::cloud::world::{OidcProvider, OidcTrust, Role};
use crate::cloud::{Cloud, Fault, FaultKind, OidcIssuer};

const ISSUER: &str = "https://oidc.example.com/demo";
const PROVIDER: &str = "acs:ram::1:oidc-provider/ack-rrsa-demo";
const ROLE: &str = "acs:ram::1:role/acr-rrsa";
const AUDIENCE: &str = "sts.aliyuncs.com";
const SUBJECT: &str = "system:serviceaccount:kube-system:aliyun-acr-credential-helper";

/// The demo with its provider registered.
struct Rrsa {
    cloud: Cloud,
    issuer: OidcIssuer,
}

impl Rrsa {
    async fn start() -> Self {
        let (cloud, issuer) = (demo().await, OidcIssuer::new().unwrap());
        let client_ids = [AUDIENCE.to_owned()].into();
        let provider = OidcProvider { issuer: ISSUER.to_owned(), client_ids, jwks: issuer.jwks() };
        assert_eq!(cloud.register_oidc_provider("1", "ack-rrsa-demo", provider), PROVIDER);
        Self { cloud, issuer }
    }

    /// Returns the claims of a good token, valid for an hour.
    fn claims(&self) -> Value {
        let now = self.cloud.now() / 1000;
        json!({ "iss": ISSUER, "sub": SUBJECT, "aud": [AUDIENCE], "iat": now, "nbf": now, "exp": now + 3600 })
    }

    fn token_with(&self, name: &str, value: Value) -> String {
        let mut claims = self.claims();
        claims[name] = value;
        self.issuer.token(&claims).unwrap()
    }

    fn token(&self) -> String {
        self.issuer.token(&self.claims()).unwrap()
    }

    async fn show(&self, token: &str) -> Heard {
        send(&self.cloud, form(token)).await
    }

    fn role(&self, change: impl FnOnce(&mut Role)) {
        self.cloud.world(|world| change(world.role_mut("1", "acr-rrsa").unwrap()));
    }

    /// Replaces one condition of the role's trust policy.
    fn demand(&self, key: &str, values: &[&str]) {
        let values = values.iter().map(ToString::to_string).collect();
        self.role(|role| drop(role.oidc_trust[0].string_equals.insert(key.to_owned(), values)));
    }
}

fn form(token: &str) -> Pairs {
    pairs(&[
        ("OIDCProviderArn", PROVIDER),
        ("RoleArn", ROLE),
        ("RoleSessionName", "lab"),
        ("OIDCToken", token),
    ])
}

/// Sends it as credentials-go does: the common parameters in the query, the rest in a form.
async fn send(cloud: &Cloud, form: Pairs) -> Heard {
    send_split(cloud, Pairs::new(), form).await
}

async fn send_split(cloud: &Cloud, mut query: Pairs, form: Pairs) -> Heard {
    query.extend(pairs(&[("Action", "AssumeRoleWithOIDC"), ("Version", "2015-04-01"), ("Format", "JSON")]));
    let request = client().post(format!("{}/?{}", cloud.address(), canonical_query(&query))).form(&form);
    Heard::read(request.header("host", STS).send().await.unwrap()).await
}

fn no_permission(heard: &Heard, message: &str) {
    heard.refused(401, "AuthenticationFail.NoPermission");
    assert_eq!(heard.body["Message"], message);
}

#[tokio::test]
async fn a_token_opens_a_session_that_pulls_and_assumes_the_partners_role() {
    let rrsa = Rrsa::start().await;
    let cloud = &rrsa.cloud;
    let before = cloud.now();
    let reply = rrsa.show(&rrsa.token()).await.ok();
    assert_eq!(reply["AssumedRoleUser"]["Arn"], "acs:ram::1:role/acr-rrsa/lab");
    let end = parse_iso8601(reply["Credentials"]["Expiration"].as_str().unwrap()).unwrap();
    assert!((before + 3_599_000..=cloud.now() + 3_600_000).contains(&end));
    let info = &reply["OIDCTokenInfo"];
    assert_eq!((&info["Issuer"], &info["Subject"]), (&json!(ISSUER), &json!(SUBJECT)));
    assert_eq!((&info["ClientIds"], &info["VerificationInfo"]), (&json!(AUDIENCE), &json!("Success")));
    let (issued, ends) = (info["IssuanceTime"].as_str(), info["ExpirationTime"].as_str());
    assert_eq!(parse_iso8601(ends.unwrap()).unwrap() - parse_iso8601(issued.unwrap()).unwrap(), 3_600_000);

    let session = Key::read(&reply["Credentials"]);
    Ask::token(cloud, &session).send(cloud).await.ok();
    let partner = Ask::assume(cloud, &session, &[]).send(cloud).await.ok();
    let partner = Key::read(&partner["Credentials"]);
    let query = [("InstanceId", "cri-demo0003")];
    Ask::new(cloud, &partner, CR, "GetAuthorizationToken", &query).send(cloud).await.ok();
    let calls = cloud.calls();
    let who = |action: &str| {
        let call = calls.iter().find(|call| call.action == action).unwrap();
        (call.account.as_str(), call.identity.as_str(), call.product.as_str())
    };
    assert_eq!(who("AssumeRoleWithOIDC"), ("1", "role/acr-rrsa", "sts"));
    assert_eq!(who("AssumeRole"), ("1", "role/acr-rrsa", "sts"));
}

#[tokio::test]
async fn parameters_count_wherever_they_are_and_no_signature_is_asked_for() {
    let rrsa = Rrsa::start().await;
    let cloud = &rrsa.cloud;
    let all = form(&rrsa.token());
    send_split(cloud, all.clone(), Pairs::new()).await.ok();
    let (of_token, others) = all.clone().into_iter().partition(|(name, _)| name == "OIDCToken");
    send_split(cloud, others, of_token).await.ok();
    let headers = [("x-acs-action", "AssumeRoleWithOIDC"), ("x-acs-version", "2015-04-01"), ("host", STS)];
    let mut request = client().post(cloud.address()).form(&all);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    Heard::read(request.send().await.unwrap()).await.ok();
    assert_eq!(cloud.count("AssumeRoleWithOIDC"), 3);
}

#[tokio::test]
async fn a_token_is_refused_by_what_is_wrong_with_it() {
    let rrsa = Rrsa::start().await;
    let now = rrsa.cloud.now() / 1000;
    let stranger = OidcIssuer::new().unwrap().token(&rrsa.claims()).unwrap();
    let good = rrsa.token();
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let other_claims = rrsa.token_with("sub", json!("system:serviceaccount:default:default"));
    let swapped = format!("{}.{signature}", other_claims.rsplit_once('.').unwrap().0);
    let long = format!("{signed}.{}", "a".repeat(20_000));
    let cases = [
        (stranger, "InvalidSignature"),
        (swapped, "InvalidSignature"),
        (format!("{signed}."), "InvalidSignature"),
        ("abc".to_owned(), "Invalid"),
        (long, "Invalid"),
        (signed.to_owned(), "Invalid"),
        (rrsa.token_with("iss", json!("https://oidc.example.com/other")), "IssuerNotMatch"),
        (rrsa.token_with("aud", json!(["https://kubernetes.default.svc"])), "AudienceNotMatch"),
        (rrsa.token_with("exp", json!(now - 1)), "Expired"),
        (rrsa.token_with("nbf", json!(now + 60)), "Invalid"),
        (rrsa.token_with("sub", Value::Null), "Invalid"),
    ];
    for (token, ending) in cases {
        let heard = rrsa.show(&token).await;
        heard.refused(401, &format!("AuthenticationFail.OIDCToken.{ending}"));
    }
    rrsa.show(&rrsa.token_with("aud", json!(AUDIENCE))).await.ok();
    rrsa.show(&rrsa.token_with("nbf", Value::Null)).await.ok();
    rrsa.show(&good).await.ok();
    rrsa.cloud.set_clock_skew(3601);
    rrsa.show(&good).await.refused(401, "AuthenticationFail.OIDCToken.Expired");
}

#[tokio::test]
async fn a_provider_counts_under_its_own_arn_and_with_its_present_keys() {
    let rrsa = Rrsa::start().await;
    let token = rrsa.token();
    for arn in ["acs:ram::1:oidc-provider/other", "acs:ram::2:oidc-provider/ack-rrsa-demo", "ack-rrsa-demo"] {
        let mut form = form(&token);
        set(&mut form, "OIDCProviderArn", arn);
        no_permission(&send(&rrsa.cloud, form).await, "No such OIDC Provider registered.");
    }
    let rotated = OidcIssuer::new().unwrap();
    rrsa.cloud.world(|world| {
        let account = world.accounts.get_mut("1").unwrap();
        account.oidc_providers.get_mut("ack-rrsa-demo").unwrap().jwks = rotated.jwks();
    });
    rrsa.show(&token).await.refused(401, "AuthenticationFail.OIDCToken.InvalidSignature");
    rrsa.show(&rotated.token(&rrsa.claims()).unwrap()).await.ok();
    rrsa.cloud.world(|world| world.accounts.get_mut("1").unwrap().oidc_providers.clear());
    no_permission(&rrsa.show(&token).await, "No such OIDC Provider registered.");
}

#[tokio::test]
async fn the_demos_provider_exists_once_it_is_registered() {
    let (cloud, issuer) = (demo().await, OidcIssuer::new().unwrap());
    let token = issuer.token(&json!({ "iss": "", "sub": "", "aud": "", "exp": 9, "iat": 0 })).unwrap();
    no_permission(&send(&cloud, form(&token)).await, "No such OIDC Provider registered.");
}

#[tokio::test]
async fn the_roles_trust_policy_names_the_provider_and_what_the_token_has_to_say() {
    let rrsa = Rrsa::start().await;
    let token = rrsa.token();
    let conditions =
        rrsa.cloud.world(|world| world.role("1", "acr-rrsa").unwrap().oidc_trust[0].string_equals.clone());
    assert!(conditions["oidc:iss"].contains(ISSUER), "registration updates roles that trust the provider");
    for (key, right) in [("oidc:iss", ISSUER), ("oidc:aud", AUDIENCE), ("oidc:sub", SUBJECT)] {
        rrsa.demand(key, &["other"]);
        no_permission(&rrsa.show(&token).await, "There is no permission");
        rrsa.demand(key, &["other", right]);
        rrsa.show(&token).await.ok();
    }
    rrsa.demand("oidc:nothing", &["", ISSUER, AUDIENCE, SUBJECT]);
    no_permission(&rrsa.show(&token).await, "There is no permission");
    rrsa.role(|role| role.oidc_trust[0].string_equals.clear());
    let someone = rrsa.token_with("sub", json!("system:serviceaccount:default:default"));
    rrsa.show(&someone).await.ok();

    let others = OidcTrust { federated: format!("{PROVIDER}-2"), string_equals: Default::default() };
    rrsa.role(|role| role.oidc_trust = vec![others]);
    no_permission(&rrsa.show(&token).await, "There is no permission");
    rrsa.role(|role| {
        role.oidc_trust.clear();
        role.trust.insert("acs:ram::1:root".to_owned());
    });
    no_permission(&rrsa.show(&token).await, "There is no permission");
    assert!(rrsa.cloud.calls().iter().filter(|call| call.status == 401).all(|call| call.identity.is_empty()));
}

#[tokio::test]
async fn the_role_has_to_exist_and_to_grant_the_duration() {
    let rrsa = Rrsa::start().await;
    let with = async |name: &str, value: &str| {
        let mut form = form(&rrsa.token());
        set(&mut form, name, value);
        send(&rrsa.cloud, form).await
    };
    with("RoleArn", "acs:ram::1:role/unknown").await.refused(404, "EntityNotExist.Role");
    for duration in ["899", "3601", "soon"] {
        let heard = with("DurationSeconds", duration).await;
        heard.refused(400, "InvalidParameter.DurationSeconds");
        assert_eq!(heard.body["Message"], "The Min/Max value of DurationSeconds is 15min/1hr.");
    }
    let reply = with("DurationSeconds", "900").await.ok();
    let end = parse_iso8601(reply["Credentials"]["Expiration"].as_str().unwrap()).unwrap();
    assert!((898_000..=900_000).contains(&(end - rrsa.cloud.now())));
    rrsa.cloud.set_clock_skew(901);
    Ask::token(&rrsa.cloud, &Key::read(&reply["Credentials"]))
        .send(&rrsa.cloud)
        .await
        .refused(400, "InvalidSecurityToken.Expired");

    for (name, value, code) in [
        ("RoleArn", "acr-rrsa", "InvalidParameter.RoleArn"),
        ("RoleSessionName", "has space", "InvalidParameter.RoleSessionName"),
        ("Policy", "{}", "InvalidParameter.PolicyGrammar"),
        ("RoleArn", "", "MissingRoleArn"),
        ("RoleSessionName", "", "MissingRoleSessionName"),
        ("OIDCProviderArn", "", "MissingOIDCProviderArn"),
        ("OIDCToken", "", "MissingOIDCToken"),
    ] {
        with(name, value).await.refused(400, code);
    }
}

#[tokio::test]
async fn a_token_that_was_shown_is_a_secret_even_if_it_was_refused() {
    let rrsa = Rrsa::start().await;
    let (good, refused) = (rrsa.token(), rrsa.token_with("aud", json!("other")));
    rrsa.show(&good).await.ok();
    rrsa.show(&refused).await.refused(401, "AuthenticationFail.OIDCToken.AudienceNotMatch");
    rrsa.show("nothing").await.refused(401, "AuthenticationFail.OIDCToken.Invalid");
    let secrets = rrsa.cloud.secrets();
    assert!(secrets.contains(&good) && secrets.contains(&refused));
    assert!(!secrets.contains(&"nothing".to_owned()), "a word that is not a token would be found everywhere");
}

#[tokio::test]
async fn a_fault_befalls_it_only_after_the_token_was_found_genuine() {
    let rrsa = Rrsa::start().await;
    let action = "AssumeRoleWithOIDC".to_owned();
    let kind = FaultKind::Throttle { retry_after_ms: None };
    rrsa.cloud.fault(Fault { action, instance: None, kind, times: Some(1) });
    rrsa.show("nothing").await.refused(401, "AuthenticationFail.OIDCToken.Invalid");
    rrsa.show(&rrsa.token()).await.refused(400, "Throttling.User");
    rrsa.show(&rrsa.token()).await.ok();
}
