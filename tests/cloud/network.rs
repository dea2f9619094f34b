//! Selection of hosts, and connections to them.

use acr_credential_binding::api::Reason;
use acr_credential_binding::cloud::{Certificate, CloudSettings, Retry};
use acr_lab::certificates::Authority;
use acr_lab::cloud::{Cloud, CloudConfig};
use acr_lab::front::HttpsFront;
use secrecy::ExposeSecret;

use crate::lab::{LIST, Lab, MINT, key, near, partner, settings};

const CR_VPC: &str = "cr-vpc.cn-hangzhou.aliyuncs.com";
const CR: &str = "cr.cn-hangzhou.aliyuncs.com";
const STS_VPC: &str = "sts-vpc.cn-hangzhou.aliyuncs.com";
const STS: &str = "sts.cn-hangzhou.aliyuncs.com";

fn make_unresolvable(settings: &mut CloudSettings, names: &[&str]) {
    let simulator = settings.network.simulator.as_mut().unwrap();
    simulator.unresolvable_hosts = names.iter().map(|name| (*name).into()).collect();
}

/// Returns the hosts of the calls of one action, without repetitions, in the order of the calls.
fn hosts(cloud: &Cloud, action: &str) -> Vec<String> {
    let calls = cloud.calls().into_iter().filter(|call| call.action == action);
    let mut hosts: Vec<_> = calls.map(|call| call.host).collect();
    hosts.dedup();
    hosts
}

#[tokio::test]
async fn the_public_host_is_used_and_noted_if_the_vpc_host_does_not_resolve() {
    let cr_remark = format!("{CR_VPC} does not resolve here, so {CR} is used");
    for (missing, cr, sts, remark) in [
        (&[][..], CR_VPC, STS_VPC, None),
        (&[CR_VPC], CR, STS_VPC, Some(&cr_remark)),
        (&[STS_VPC], CR_VPC, STS, None),
        (&[CR_VPC, STS_VPC], CR, STS, Some(&cr_remark)),
        // The public hosts are not needed if the VPC hosts resolve.
        (&[CR, STS], CR_VPC, STS_VPC, None),
    ] {
        let lab = Lab::start_with(|_, settings| make_unresolvable(settings, missing)).await;
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
async fn another_region_is_called_at_its_public_host() {
    let lab = Lab::start().await;
    let origin = lab.mint(&key("cri-demo0002", "cn-beijing", None)).await.unwrap().origin;
    assert_eq!((&*origin.endpoint, origin.remark), ("cr.cn-beijing.aliyuncs.com", None));
}

#[tokio::test]
async fn only_a_host_that_does_not_resolve_leads_to_the_public_host() {
    let lab = Lab::start().await;
    for (status, code) in [(404, "InvalidProduct.NotFound"), (503, "ServiceUnavailable")] {
        lab.code(MINT, status, code);
        lab.mint_error(&near()).await;
    }
    assert_eq!(hosts(&lab.cloud, MINT), [CR_VPC]);
}

#[tokio::test]
async fn a_host_that_does_not_resolve_is_reported_as_unreachable() {
    let all = [CR_VPC, CR, "cr.cn-beijing.aliyuncs.com", STS_VPC, STS];
    let lab = Lab::start_with(|_, settings| make_unresolvable(settings, &all)).await;
    for (key, host, action) in [
        (near(), CR, MINT),
        (key("cri-demo0002", "cn-beijing", None), "cr.cn-beijing.aliyuncs.com", MINT),
        (partner(), STS, "AssumeRole"),
    ] {
        let error = lab.mint_error(&key).await;
        assert_eq!((error.reason, error.retry), (Reason::Unreachable, Retry::Soon), "{key}");
        let beginning = format!("{host} does not resolve in DNS ({action} at {host} as ");
        assert!(error.message.starts_with(&beginning), "{}", error.message);
        assert!(error.message.ends_with("check regionId and the cluster's DNS"), "{}", error.message);
    }
    assert_eq!(lab.actions(), Vec::<String>::new());
}

#[tokio::test]
async fn configured_hosts_replace_the_default_ones() {
    let configured = |names: &'static [&str]| {
        Lab::start_with(move |_, settings| {
            settings.network.cr_hosts = [("cn-hangzhou".into(), CR.into())].into();
            settings.network.sts_host = Some("sts.aliyuncs.com".into());
            make_unresolvable(settings, names);
        })
    };
    let lab = configured(&[]).await;
    let origin = lab.mint(&partner()).await.unwrap().origin;
    // The host is configured, so there is no remark.
    assert_eq!((&*origin.endpoint, origin.remark), (CR, None));
    assert_eq!(hosts(&lab.cloud, "AssumeRole"), ["sts.aliyuncs.com"]);
    let other = lab.mint(&key("cri-demo0002", "cn-beijing", None)).await.unwrap().origin;
    assert_eq!(&*other.endpoint, "cr.cn-beijing.aliyuncs.com", "a region without a configured host");

    let lab = configured(&[CR]).await;
    assert_eq!(lab.mint_error(&near()).await.reason, Reason::Unreachable);
    assert_eq!(lab.actions(), Vec::<String>::new());
    let lab = configured(&["sts.aliyuncs.com"]).await;
    let error = lab.mint_error(&partner()).await;
    assert!(error.message.starts_with("sts.aliyuncs.com does not resolve"), "{}", error.message);
}

/// Starts a cloud behind TLS, to be reached as `localhost`.
async fn behind_tls(authority: &Authority) -> (Cloud, HttpsFront) {
    let cloud = Cloud::start(CloudConfig::demo()).await.unwrap();
    let front = HttpsFront::start(&cloud, authority).await.unwrap();
    (cloud, front)
}

fn tls_settings(cloud: &Cloud, front: &HttpsFront) -> CloudSettings {
    let host: Box<str> = format!("localhost:{}", front.address().port()).into();
    let mut settings = settings(cloud, std::sync::Arc::default());
    settings.network.simulator = None;
    settings.network.cr_hosts = [("cn-hangzhou".into(), host.clone())].into();
    settings.network.sts_host = Some(host);
    settings
}

#[tokio::test]
async fn a_certificate_is_trusted_only_if_its_authority_is_configured() {
    let authority = Authority::new().unwrap();
    let (cloud, front) = behind_tls(&authority).await;
    let mut settings = tls_settings(&cloud, &front);
    settings.network.extra_certificates = vec![Certificate::from_pem(authority.pem().as_bytes()).unwrap()];
    let lab = Lab::with(cloud, settings);
    let credential = lab.mint(&partner()).await.unwrap();
    let (user, token) = (&credential.username, credential.token.expose_secret());
    assert!(lab.cloud.token_may_pull(user, token, "cri-demo0003"));

    let other_authority = Certificate::from_pem(Authority::new().unwrap().pem().as_bytes()).unwrap();
    for trusted in [vec![], vec![other_authority]] {
        let (cloud, front) = behind_tls(&authority).await;
        let mut settings = tls_settings(&cloud, &front);
        settings.network.extra_certificates = trusted;
        let lab = Lab::with(cloud, settings);
        let error = lab.mint_error(&near()).await;
        assert_eq!((error.reason, error.retry), (Reason::Unreachable, Retry::Soon));
        for part in ["a certificate that is not trusted", "trust its certificate"] {
            assert!(error.message.contains(part), "{part} in {}", error.message);
        }
        assert_eq!(lab.actions(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_since_a_signature_is_valid_for_one_host() {
    let authority = Authority::new().unwrap();
    let (cloud, front) = behind_tls(&authority).await;
    let mut settings = tls_settings(&cloud, &front);
    settings.network.extra_certificates = vec![Certificate::from_pem(authority.pem().as_bytes()).unwrap()];
    let lab = Lab::with(cloud, settings);
    for action in [MINT, "AssumeRole"] {
        front.redirect(action, &format!("{}/?InstanceId=cri-demo0003", lab.cloud.address()));
        let error = lab.mint_error(&partner()).await;
        assert_eq!((error.reason, error.retry), (Reason::UnexpectedReply, Retry::Soon), "{action}");
        assert!(error.message.contains("HTTP 302"), "{}", error.message);
        assert_eq!(lab.cloud.count(action), 0, "{action}");
        front.clear_redirects();
        lab.cloud.clear_calls();
        // Makes the next round assume the role again.
        lab.cloud.set_clock_skew(3600);
    }
}
