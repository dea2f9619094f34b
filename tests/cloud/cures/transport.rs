//! Cures of hosts that cannot be reached.

use std::sync::Arc;

use acr_credential_binding::api::Reason;
use acr_credential_binding::cloud::Certificate;
use acr_lab::certificates::Authority;
use acr_lab::cloud::{Cloud, CloudConfig};
use acr_lab::front::HttpsFront;
use acr_lab::message::between;

use super::{Cure, Trial, follow};
use crate::lab::{Lab, near, settings};

fn nothing(_: &mut Trial) {}

/// Makes the hosts of a region unknown to DNS.
fn forget(trial: &mut Trial, hosts: &[&str]) {
    let hosts = hosts.iter().map(|host| (*host).into()).collect();
    trial.restart(|settings| settings.network.simulator.as_mut().unwrap().unresolvable_hosts = hosts);
}

#[tokio::test]
async fn a_host_is_found_reached_or_corrected_as_the_error_says() {
    let reason = Reason::Unreachable;
    let words = "check regionId and the cluster's DNS";
    let cures = [
        Cure {
            reason,
            words,
            fault: |trial| {
                forget(trial, &["cr-vpc.cn-hangzhou.aliyuncs.com", "cr.cn-hangzhou.aliyuncs.com"]);
            },
            // The cluster's DNS knows the name of the message again.
            follow: |trial, message| {
                let host = between(message, " at ", " as ").to_owned();
                assert_eq!(host, "cr.cn-hangzhou.aliyuncs.com");
                forget(trial, &["cr-vpc.cn-hangzhou.aliyuncs.com"]);
            },
        },
        Cure {
            reason,
            words,
            fault: |trial| {
                trial.key.region = "cn-hangzho".into();
                forget(trial, &["cr.cn-hangzho.aliyuncs.com"]);
            },
            follow: |trial, _| trial.key.region = "cn-hangzhou".into(),
        },
        Cure {
            reason,
            words: "check the network policies, the routes and HTTPS_PROXY of the controller",
            fault: |trial| {
                let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
                trial.restart(|settings| settings.network.simulator.as_mut().unwrap().address = closed);
            },
            follow: |trial, _| trial.restart(|_| {}),
        },
    ];
    follow(near, nothing, &cures).await;
}

/// A proxy that terminates TLS with a certificate of its own authority.
#[tokio::test]
async fn a_certificate_is_trusted_or_its_proxy_bypassed_as_the_error_says() {
    let authority = Authority::new().unwrap();
    let cloud = Cloud::start(CloudConfig::demo()).await.unwrap();
    let front = HttpsFront::start(&cloud, &authority).await.unwrap();
    let host: Box<str> = format!("localhost:{}", front.address().port()).into();
    let behind = |certificates: Vec<Certificate>| {
        let mut settings = settings(&cloud, Arc::default());
        settings.network.simulator = None;
        settings.network.cr_hosts = [("cn-hangzhou".into(), host.clone())].into();
        settings.network.extra_certificates = certificates;
        settings
    };
    let bypassed = settings(&cloud, Arc::default());
    let (unknown, trusted) =
        (behind(Vec::new()), behind(vec![Certificate::from_pem(authority.pem().as_bytes()).unwrap()]));
    let lab = Lab::with(cloud, unknown);
    let error = lab.mint_error(&near()).await;
    assert_eq!(error.reason, Reason::Unreachable);
    let words = "check for a proxy, and trust its certificate or bypass it";
    assert!(error.message.ends_with(words), "{}", error.message);
    for followed in [trusted, bypassed] {
        let alibaba = acr_credential_binding::cloud::Alibaba::new(followed).unwrap();
        alibaba.mint(&near(), lab.now()).await.unwrap_or_else(|error| panic!("{error:?}"));
    }
}
