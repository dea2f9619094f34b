//! The simulated cloud over HTTPS, under the real host names.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use acr_lab::{
    certificates::Authority,
    cloud::{Cloud, CloudConfig, Fault, FaultKind},
    front::{ConnectProxy, HttpsFront},
};
use reqwest::{Certificate, Client, Proxy, redirect::Policy};

const CR: &str = "cr.cn-hangzhou.aliyuncs.com";
const STS: &str = "sts.cn-hangzhou.aliyuncs.com";

struct Lab {
    cloud: Cloud,
    authority: Authority,
    front: HttpsFront,
    proxy: ConnectProxy,
}

impl Lab {
    async fn start() -> Lab {
        let cloud = Cloud::start(CloudConfig::demo()).await.unwrap();
        let authority = Authority::new().unwrap();
        let front = HttpsFront::start(&cloud, &authority).await.unwrap();
        let proxy = ConnectProxy::start(front.address()).await.unwrap();
        Lab { cloud, authority, front, proxy }
    }

    fn client(&self, trusted: &Authority) -> Client {
        let trusted = Certificate::from_pem(trusted.pem().as_bytes()).unwrap();
        Client::builder()
            .proxy(Proxy::https(self.proxy.url()).unwrap())
            .tls_certs_only([trusted])
            .redirect(Policy::none())
            .build()
            .unwrap()
    }

    async fn get(&self, host: &str) -> reqwest::Result<reqwest::Response> {
        self.client(&self.authority).get(format!("https://{host}/?Action=GetCallerIdentity")).send().await
    }
}

/// Returns the whole chain of an error's causes.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}

#[tokio::test]
async fn a_client_that_trusts_the_authority_reaches_the_cloud_under_each_host_name() {
    let lab = Lab::start().await;
    for host in [CR, STS, CR] {
        let response = lab.get(host).await.unwrap();
        assert_eq!(response.status(), 404);
        assert!(response.headers().contains_key("x-acs-request-id"), "it is the cloud that answers");
    }
    let hosts: Vec<String> = lab.cloud.calls().iter().map(|call| call.host.clone()).collect();
    assert_eq!(hosts, [CR, STS, CR]);
    assert_eq!(lab.proxy.hosts(), [CR, STS, CR]);
}

#[tokio::test]
async fn a_client_that_trusts_another_authority_sends_nothing_to_the_cloud() {
    let lab = Lab::start().await;
    let stranger = lab.client(&Authority::new().unwrap());
    let error = stranger.get(format!("https://{CR}/")).send().await.unwrap_err();
    assert!(causes(&error).contains("invalid peer certificate"), "{}", causes(&error));
    assert!(lab.cloud.calls().is_empty());
    assert_eq!(lab.proxy.hosts(), [CR]);
}

#[tokio::test]
async fn an_unresolvable_host_is_refused_until_it_is_resolvable() {
    let lab = Lab::start().await;
    lab.proxy.unresolvable(CR);
    lab.get(CR).await.unwrap_err();
    lab.get(STS).await.unwrap();
    lab.proxy.resolvable(CR);
    lab.get(CR).await.unwrap();
    assert_eq!(lab.proxy.hosts(), [CR, STS, CR]);
}

#[tokio::test]
async fn the_proxy_refuses_other_ports_and_plain_http_and_records_them() {
    let lab = Lab::start().await;
    let client = lab.client(&lab.authority);
    client.get(format!("https://{CR}:8443/")).send().await.unwrap_err();
    let all =
        Client::builder().proxy(Proxy::all(lab.proxy.url()).unwrap()).tls_certs_only([]).build().unwrap();
    let refused = all.get("http://100.100.100.200/latest/api/token").send().await.unwrap();
    assert_eq!(refused.status(), 405);
    assert_eq!(lab.proxy.hosts(), [CR, "GET http://100.100.100.200/latest/api/token HTTP/1.1"]);
    assert!(lab.cloud.calls().is_empty());
}

#[tokio::test]
async fn a_redirect_replaces_the_clouds_answer_for_its_action_or_path() {
    let lab = Lab::start().await;
    lab.front.redirect("GetCallerIdentity", "https://elsewhere.example.com/");
    let response = lab.get(STS).await.unwrap();
    assert_eq!(response.status(), 302);
    assert_eq!(response.headers()["location"], "https://elsewhere.example.com/");
    let client = lab.client(&lab.authority);
    let asked = client.post(format!("https://{CR}/")).header("x-acs-action", "GetCallerIdentity");
    assert_eq!(asked.send().await.unwrap().status(), 302);
    assert!(lab.cloud.calls().is_empty());

    let other = async |path: &str| {
        let response = client.get(format!("https://{CR}{path}?Action=AssumeRole")).send().await;
        response.unwrap().status().as_u16()
    };
    assert_eq!(other("/").await, 404);
    lab.front.redirect("/there", "https://elsewhere.example.com/");
    assert_eq!((other("/there").await, other("/").await), (302, 404));
    lab.front.clear_redirects();
    assert_eq!(lab.get(STS).await.unwrap().status(), 404);
    assert_eq!(lab.proxy.hosts().iter().filter(|host| host.contains("elsewhere")).count(), 0);
}

#[tokio::test]
async fn a_body_that_the_cloud_breaks_off_arrives_broken_off() {
    let lab = Lab::start().await;
    let put = async || {
        let asked = lab.client(&lab.authority).put(format!("https://{CR}/latest/api/token"));
        asked.header("x-aliyun-ecs-metadata-token-ttl-seconds", "60").send().await.unwrap().text().await
    };
    assert_eq!(put().await.unwrap().len(), 56);
    let truncated = FaultKind::Truncated;
    lab.cloud.fault(Fault { action: "*".to_owned(), instance: None, kind: truncated, times: Some(1) });
    put().await.unwrap_err();
}

#[tokio::test]
async fn a_front_that_is_gone_leaves_no_connection_open() {
    let lab = Lab::start().await;
    let client = lab.client(&lab.authority);
    let ask = || client.get(format!("https://{CR}/")).send();
    ask().await.unwrap();
    drop(lab.front);
    ask().await.unwrap_err();
}
