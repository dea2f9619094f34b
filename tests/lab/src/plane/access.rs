//! Kubeconfigs and clients for the plane's users.

use std::path::{Path, PathBuf};

use anyhow::Context;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client as HttpClient, connect::HttpConnector},
    rt::TokioExecutor,
};
use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::ServiceAccount,
};
use kube::{
    Api, Client, Config,
    api::PostParams,
    client::{Body, ConfigExt, middleware::BaseUri},
    config::{AuthInfo, KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, json};
use tower::{BoxError, Layer, ServiceBuilder};

use crate::certificates::{Identity, write_private};

/// A user's proof of identity.
pub(super) enum Credential<'a> {
    /// By a client certificate.
    Certificate(&'a Identity),
    /// By a bearer token.
    Token(&'a str),
}

/// The address of the API server, or of a proxy before it.
pub(super) struct Server<'a> {
    /// Its address, with the scheme.
    pub(super) url: &'a str,
    /// The name in its certificate, if it is not that of the address.
    pub(super) name: Option<&'a str>,
    /// The authority that signed its certificate; none for plain HTTP.
    pub(super) authority: Option<&'a str>,
}

/// Writes a kubeconfig of one user. It is JSON, which is YAML too, so that no writer of YAML is needed.
pub(super) fn write_kubeconfig(
    path: &Path,
    server: &Server<'_>,
    user: &str,
    credential: &Credential<'_>,
) -> anyhow::Result<()> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let mut cluster = json!({ "server": server.url });
    if let Some(authority) = server.authority {
        cluster["certificate-authority-data"] = Value::String(STANDARD.encode(authority));
    }
    if let Some(name) = server.name {
        cluster["tls-server-name"] = Value::String(name.to_owned());
    }
    let credential = match credential {
        Credential::Certificate(identity) => json!({
            "client-certificate-data": STANDARD.encode(&identity.certificate),
            "client-key-data": STANDARD.encode(&identity.key),
        }),
        Credential::Token(token) => json!({ "token": token }),
    };
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "lab", "cluster": cluster }],
        "users": [{ "name": user, "user": credential }],
        "contexts": [{ "name": "lab", "context": { "cluster": "lab", "user": user } }],
        "current-context": "lab",
    });
    write_private(path, &format!("{config:#}\n"))
}

/// Reads a kubeconfig as a client's configuration.
pub(super) async fn read_kubeconfig(path: &Path) -> anyhow::Result<Config> {
    let kubeconfig = Kubeconfig::read_from(path)?;
    Ok(Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?)
}

/// Returns a connector without Nagle's algorithm, which costs kube's own stack a third of its speed.
pub(super) fn connector(config: &Config) -> anyhow::Result<HttpsConnector<HttpConnector>> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    Ok(HttpsConnectorBuilder::new()
        .with_tls_config(config.rustls_client_config()?)
        .https_or_http()
        .enable_http1()
        .enable_http2()
        .wrap_connector(tcp))
}

fn transport(
    connector: HttpsConnector<HttpConnector>,
    config: &Config,
) -> BaseUri<HttpClient<HttpsConnector<HttpConnector>, Body>> {
    config.base_uri_layer().layer(HttpClient::builder(TokioExecutor::new()).build(connector))
}

/// Returns a client over HTTP/2, which a measured control plane serves with the least latency.
///
/// Caveats: it retries nothing and has no timeouts, so that a test sees each failure. It belongs to the
/// runtime that creates it.
pub(super) fn client(config: &Config) -> anyhow::Result<Client> {
    let service = ServiceBuilder::new()
        .option_layer(config.auth_layer()?)
        .map_err(BoxError::from)
        .service(transport(connector(config)?, config));
    Ok(Client::new(service, config.default_namespace.clone()))
}

/// A user with a client certificate; creating its clients cannot fail.
#[derive(Clone)]
pub(super) struct Admin {
    connector: HttpsConnector<HttpConnector>,
    config: Config,
}

impl Admin {
    pub(super) async fn read(kubeconfig: &Path) -> anyhow::Result<Admin> {
        let config = read_kubeconfig(kubeconfig).await?;
        Ok(Admin { connector: connector(&config)?, config })
    }

    pub(super) fn client(&self) -> Client {
        Client::new(transport(self.connector.clone(), &self.config), self.config.default_namespace.clone())
    }

    /// Returns the configuration for the same server without a certificate.
    pub(super) fn anonymous(&self) -> Config {
        let mut config = self.config.clone();
        config.auth_info = AuthInfo::default();
        config
    }
}

/// Returns a token of a ServiceAccount, valid for a day.
pub(super) async fn token(admin: Client, namespace: &str, name: &str) -> anyhow::Result<String> {
    let request = TokenRequest {
        spec: Some(TokenRequestSpec {
            expiration_seconds: Some(24 * 60 * 60),
            ..TokenRequestSpec::default()
        }),
        ..TokenRequest::default()
    };
    let accounts: Api<ServiceAccount> = Api::namespaced(admin, namespace);
    let answer = accounts
        .create_token_request(name, &PostParams::default(), &request)
        .await
        .with_context(|| format!("no token for ServiceAccount {namespace}/{name}"))?;
    answer.status.and_then(|status| status.token).context("the token request was answered without a token")
}

/// Returns the name of a user's kubeconfig in the plane's directory.
pub(super) fn kubeconfig_path(dir: &Path, user: &str) -> PathBuf {
    dir.join(format!("{}.kubeconfig", user.replace(['/', ':'], ".")))
}
