//! The cloud over real HTTP, with requests of a signer of its own. The published vectors beside `acs3` and
//! `rpc_sha1` verify that signer.

mod addon;
mod enterprise;
mod faults;
mod lifecycle;
mod metadata;
mod oidc;
mod personal;
mod registry;
mod signing;
mod sts;
mod verify;

use axum::http::HeaderMap;
use serde_json::Value;

use super::acs3::{ALGORITHM, Canonical, sha256, signed_names};
use super::clock::iso8601;
use super::request::{Pairs, canonical_query};
use super::vault::{random, random_hex};
use super::world::{AccessKey, KeyStatus};
use super::{Cloud, CloudConfig, Millis, World};

const CR: &str = "cr.cn-hangzhou.aliyuncs.com";
const STS: &str = "sts.cn-hangzhou.aliyuncs.com";

/// Credentials as a client holds them.
#[derive(Clone, Debug)]
struct Key {
    id: String,
    secret: String,
    token: Option<String>,
}

impl Key {
    /// Returns the AccessKey of a demo user, whose name is in one account only.
    fn of_user(cloud: &Cloud, name: &str) -> Self {
        let find = |world: &mut World| {
            let user = world.accounts.values().find_map(|account| account.users.get(name));
            user.unwrap().keys[0].clone()
        };
        Self::of(cloud.world(find))
    }

    /// Returns a new AccessKey of an account itself.
    fn of_root(cloud: &Cloud, account: &str) -> Self {
        let key =
            AccessKey { id: format!("LTAI-root-{account}"), secret: random(30), status: KeyStatus::Active };
        cloud.world(|world| world.accounts.get_mut(account).unwrap().root_keys.push(key.clone()));
        Self::of(key)
    }

    fn of(key: AccessKey) -> Self {
        Self { id: key.id, secret: key.secret, token: None }
    }

    /// Reads a reply's credentials.
    fn read(reply: &Value) -> Self {
        let text = |name: &str| reply[name].as_str().unwrap().to_owned();
        Self { id: text("AccessKeyId"), secret: text("AccessKeySecret"), token: Some(text("SecurityToken")) }
    }

    /// Returns the node's credentials, by way of the metadata service.
    async fn of_node(cloud: &Cloud) -> Self {
        Self::read(&metadata::credentials(cloud).await)
    }
}

/// A reply as a client sees it.
#[derive(Debug)]
struct Heard {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

impl Heard {
    async fn read(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Self { status, headers, body }
    }

    fn code(&self) -> &str {
        let code = self.body.get("Code").or_else(|| self.body.get("code"));
        code.and_then(Value::as_str).unwrap_or_default()
    }

    #[track_caller]
    fn refused(&self, status: u16, code: &str) {
        assert_eq!((self.status, self.code()), (status, code), "{}", self.body);
    }

    #[track_caller]
    fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{}", self.body);
        self.body
    }
}

/// A request to be signed with ACS3.
#[derive(Clone, Debug)]
struct Ask {
    method: &'static str,
    path: &'static str,
    host: String,
    query: Pairs,
    body: String,
    date: Millis,
    nonce: String,
    key: Key,
    /// Signed headers beside the usual ones.
    extra: Pairs,
    action: String,
    version: &'static str,
}

impl Ask {
    fn new(cloud: &Cloud, key: &Key, host: &str, action: &str, query: &[(&str, &str)]) -> Self {
        Self {
            method: "POST",
            path: "/",
            host: host.to_owned(),
            query: pairs(query),
            body: String::new(),
            date: cloud.now(),
            nonce: random_hex(32),
            key: key.clone(),
            extra: Pairs::new(),
            action: action.to_owned(),
            version: if host.starts_with("sts") { "2015-04-01" } else { "2018-12-01" },
        }
    }

    fn token(cloud: &Cloud, key: &Key) -> Self {
        Self::new(cloud, key, CR, "GetAuthorizationToken", &[("InstanceId", "cri-demo0001")])
    }

    fn assume(cloud: &Cloud, key: &Key, more: &[(&str, &str)]) -> Self {
        let query = [&[("RoleArn", "acs:ram::2:role/acr-pull"), ("RoleSessionName", "lab")], more].concat();
        Self::new(cloud, key, STS, "AssumeRole", &query)
    }

    fn headers(&self) -> Pairs {
        let mut headers = pairs(&[
            ("host", &self.host),
            ("x-acs-action", &self.action),
            ("x-acs-content-sha256", &sha256(self.body.as_bytes())),
            ("x-acs-date", &iso8601(self.date)),
            ("x-acs-signature-nonce", &self.nonce),
            ("x-acs-version", self.version),
        ]);
        if let Some(token) = &self.key.token {
            headers.extend(pairs(&[("x-acs-security-token", token), ("x-acs-accesskey-id", &self.key.id)]));
        }
        headers.extend(self.extra.clone());
        headers.sort();
        headers
    }

    /// Returns the headers to send, `authorization` last.
    fn signed(&self) -> Pairs {
        self.signed_over(self.headers())
    }

    /// Signs these headers in this order.
    fn signed_over(&self, mut headers: Pairs) -> Pairs {
        let payload_hash = sha256(self.body.as_bytes());
        let canonical = Canonical {
            method: self.method,
            path: self.path,
            query: &self.query,
            headers: &headers,
            payload_hash: &payload_hash,
        };
        let signature = canonical.signature(&self.key.secret).unwrap();
        let (id, names) = (&self.key.id, signed_names(&headers));
        let authorization =
            format!("{ALGORITHM} Credential={id},SignedHeaders={names},Signature={signature}");
        headers.push(("authorization".to_owned(), authorization));
        headers
    }

    async fn send(&self, cloud: &Cloud) -> Heard {
        self.send_edited(cloud, |_| {}).await
    }

    /// Sends it with its headers changed after they were signed.
    async fn send_edited(&self, cloud: &Cloud, edit: impl FnOnce(&mut Pairs)) -> Heard {
        Heard::read(self.try_send(cloud, edit).await.unwrap()).await
    }

    async fn try_send(
        &self,
        cloud: &Cloud,
        edit: impl FnOnce(&mut Pairs),
    ) -> reqwest::Result<reqwest::Response> {
        let mut headers = self.signed();
        edit(&mut headers);
        let url = format!("{}{}?{}", cloud.address(), self.path, canonical_query(&self.query));
        let mut request = client().request(self.method.parse().unwrap(), url);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        request.body(self.body.clone()).send().await
    }
}

/// Returns a client that ignores the machine's proxy settings and certificates, which take long to read.
fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap()
}

fn pairs(written: &[(&str, &str)]) -> Pairs {
    written.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn set(headers: &mut Pairs, name: &str, value: &str) {
    headers.retain(|(held, _)| held != name);
    headers.push((name.to_owned(), value.to_owned()));
}

async fn demo() -> Cloud {
    Cloud::start(CloudConfig::demo()).await.unwrap()
}
