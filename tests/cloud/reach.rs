//! Which hosts are asked, and what is between.

use acr_credential_binding::api::Reason;
use acr_credential_binding::cloud::{Certificate, Retry, Settings};
use acr_lab::certificates::Authority;
use acr_lab::cloud::{Cloud, CloudConfig};
use acr_lab::front::HttpsFront;
use secrecy::ExposeSecret;

use crate::lab::{LIST, Lab, MINT, key, near, partner, settings};

const CR_VPC: &str = "cr-vpc.cn-hangzhou.aliyuncs.com";
const CR: &str = "cr.cn-hangzhou.aliyuncs.com";
const STS_VPC: &str = "sts-vpc.cn-hangzhou.aliyuncs.com";
const STS: &str = "sts.cn-hangzhou.aliyuncs.com";

fn without_address(settings: &mut Settings, names: &[&str]) {
    let lab = settings.reach.lab.as_mut().unwrap();
    lab.without_address = names.iter().map(|name| (*name).into()).collect();
}

/// The hosts that were asked for an action, each once and in the order of the first time.
fn hosts(cloud: &Cloud, action: &str) -> Vec<String> {
    let calls = cloud.calls().into_iter().filter(|call| call.action == action);
    let mut hosts: Vec<_> = calls.map(|call| call.host).collect();
    hosts.dedup();
    hosts
}

#[tokio::test]
async fn the_public_host_is_asked_where_the_vpc_host_has_no_address_and_the_status_says_so() {
    let cr_remark = format!("{CR_VPC} has no address here, so {CR} was asked");
    for (missing, cr, sts, remark) in [
        (&[][..], CR_VPC, STS_VPC, None),
        (&[CR_VPC], CR, STS_VPC, Some(&cr_remark)),
        (&[STS_VPC], CR_VPC, STS, None),
        (&[CR_VPC, STS_VPC], CR, STS, Some(&cr_remark)),
        // The public one is of no use to who has the other.
        (&[CR, STS], CR_VPC, STS_VPC, None),
    ] {
        let lab = Lab::start_with(|_, settings| without_address(settings, missing)).await;
        for key in [near(), partner()] {
            let origin = lab.mint(&key).await.unwrap().origin;
            assert_eq!(&*origin.endpoint, cr, "{missing:?}");
            assert_eq!(origin.remark.as_deref(), remark.map(String::as_str), "{missing:?}");
            assert!(lab.domains(&key).await.is_ok(), "{missing:?}");
        }
        for (action, host) in [(MINT, cr), (LIST, cr), ("AssumeRole", sts)] {
            assert_eq!(hosts(&lab.cloud, action), [host], "{action} without {missing:?}");
        }
    }
}

#[tokio::test]
async fn another_region_is_asked_in_public_at_once() {
    let lab = Lab::start().await;
    let origin = lab.mint(&key("cri-demo0002", "cn-beijing", None)).await.unwrap().origin;
    assert_eq!((&*origin.endpoint, origin.remark), ("cr.cn-beijing.aliyuncs.com", None));
}

#[tokio::test]
async fn only_a_name_without_address_leads_to_the_public_host() {
    let lab = Lab::start().await;
    for (status, code) in [(404, "InvalidProduct.NotFound"), (503, "ServiceUnavailable")] {
        lab.code(MINT, status, code);
        lab.refused(&near()).await;
    }
    assert_eq!(hosts(&lab.cloud, MINT), [CR_VPC]);
}

#[tokio::test]
async fn a_name_without_any_address_is_unreachable_and_named() {
    let all = [CR_VPC, CR, "cr.cn-beijing.aliyuncs.com", STS_VPC, STS];
    let lab = Lab::start_with(|_, settings| without_address(settings, &all)).await;
    for (key, host, action) in [
        (near(), CR, MINT),
        (key("cri-demo0002", "cn-beijing", None), "cr.cn-beijing.aliyuncs.com", MINT),
        (partner(), STS, "AssumeRole"),
    ] {
        let failure = lab.refused(&key).await;
        assert_eq!((failure.reason, failure.retry), (Reason::Unreachable, Retry::Soon), "{key}");
        let beginning = format!("{host} has no address in DNS ({action} at {host} as ");
        assert!(failure.message.starts_with(&beginning), "{}", failure.message);
        assert!(failure.message.ends_with("check regionId and the cluster's DNS"), "{}", failure.message);
    }
    assert_eq!(lab.actions(), Vec::<String>::new());
}

#[tokio::test]
async fn hosts_that_were_given_are_asked_and_no_others() {
    let given = |names: &'static [&str]| {
        Lab::start_with(move |_, settings| {
            settings.reach.cr_hosts = [("cn-hangzhou".into(), CR.into())].into();
            settings.reach.sts_host = Some("sts.aliyuncs.com".into());
            without_address(settings, names);
        })
    };
    let lab = given(&[]).await;
    let origin = lab.mint(&partner()).await.unwrap().origin;
    // That was wanted, so there is nothing to remark.
    assert_eq!((&*origin.endpoint, origin.remark), (CR, None));
    assert_eq!(hosts(&lab.cloud, "AssumeRole"), ["sts.aliyuncs.com"]);
    let other = lab.mint(&key("cri-demo0002", "cn-beijing", None)).await.unwrap().origin;
    assert_eq!(&*other.endpoint, "cr.cn-beijing.aliyuncs.com", "a region without a host of its own");

    let lab = given(&[CR]).await;
    assert_eq!(lab.refused(&near()).await.reason, Reason::Unreachable);
    assert_eq!(lab.actions(), Vec::<String>::new());
    let lab = given(&["sts.aliyuncs.com"]).await;
    let failure = lab.refused(&partner()).await;
    assert!(failure.message.starts_with("sts.aliyuncs.com has no address"), "{}", failure.message);
}

/// The cloud behind TLS, found by the machine's own name service.
async fn behind_tls(authority: &Authority) -> (Cloud, HttpsFront) {
    let cloud = Cloud::start(CloudConfig::demo()).await.unwrap();
    let front = HttpsFront::start(&cloud, authority).await.unwrap();
    (cloud, front)
}

fn by_tls(cloud: &Cloud, front: &HttpsFront) -> Settings {
    let host: Box<str> = format!("localhost:{}", front.address().port()).into();
    let mut settings = settings(cloud, std::sync::Arc::default());
    settings.reach.lab = None;
    settings.reach.cr_hosts = [("cn-hangzhou".into(), host.clone())].into();
    settings.reach.sts_host = Some(host);
    settings
}

#[tokio::test]
async fn a_certificate_is_trusted_only_if_its_authority_was_given() {
    let authority = Authority::new().unwrap();
    let (cloud, front) = behind_tls(&authority).await;
    let mut settings = by_tls(&cloud, &front);
    settings.reach.extra_certificates = vec![Certificate::from_pem(authority.pem().as_bytes()).unwrap()];
    let lab = Lab::with(cloud, settings);
    let credential = lab.mint(&partner()).await.unwrap();
    let (user, token) = (&credential.username, credential.token.expose_secret());
    assert!(lab.cloud.token_may_pull(user, token, "cri-demo0003"));

    let strangers = Certificate::from_pem(Authority::new().unwrap().pem().as_bytes()).unwrap();
    for trusted in [vec![], vec![strangers]] {
        let (cloud, front) = behind_tls(&authority).await;
        let mut settings = by_tls(&cloud, &front);
        settings.reach.extra_certificates = trusted;
        let lab = Lab::with(cloud, settings);
        let failure = lab.refused(&near()).await;
        assert_eq!((failure.reason, failure.retry), (Reason::Unreachable, Retry::Soon));
        for part in ["a certificate that is not trusted", "trust its certificate"] {
            assert!(failure.message.contains(part), "{part} in {}", failure.message);
        }
        assert_eq!(lab.actions(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_since_a_signature_is_for_one_host() {
    let authority = Authority::new().unwrap();
    let (cloud, front) = behind_tls(&authority).await;
    let mut settings = by_tls(&cloud, &front);
    settings.reach.extra_certificates = vec![Certificate::from_pem(authority.pem().as_bytes()).unwrap()];
    let lab = Lab::with(cloud, settings);
    for action in [MINT, "AssumeRole"] {
        front.redirect(action, &format!("{}/?InstanceId=cri-demo0003", lab.cloud.address()));
        let failure = lab.refused(&partner()).await;
        assert_eq!((failure.reason, failure.retry), (Reason::UnexpectedReply, Retry::Soon), "{action}");
        assert!(failure.message.contains("HTTP 302"), "{}", failure.message);
        assert_eq!(lab.cloud.count(action), 0, "{action}");
        front.clear_redirects();
        lab.cloud.clear_calls();
        // So that the next round has to assume the role again.
        lab.cloud.set_clock_skew(3600);
    }
}
