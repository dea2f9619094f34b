//! A real registry in the role of one of Alibaba Cloud's: Debian's `docker-registry`, which asks the
//! simulated cloud whether a password is valid. `skopeo` pulls from it with the content of a Secret.
//!
//! ```text
//! skopeo -> docker-registry: 401, realm -> [service]: user, password -> [access]: cloud -> [token]
//!       \-> docker-registry: token      -> image, or a refusal
//! ```
//!
//! Guarantees: each registry has its own authority, ports and directory. Nothing of it is left when it is
//! dropped, nor when its process dies. A password is checked again at each pull.
//!
//! Caveats: its address is `127.0.0.1:<port>` and not a name of Alibaba Cloud's. A pull right covers the
//! whole registry, not single repositories.

mod access;
mod image;
mod packages;
mod service;
mod skopeo;
mod token;

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::{Certificate, StatusCode};
use serde_json::json;

pub(crate) use self::packages::usable_without;
pub use self::{
    access::{Access, Judge, Verdict},
    packages::{missing, usable},
    skopeo::{PullError, Pulled},
};
use self::{
    service::{Login, PATH, Rules, TokenService},
    skopeo::Skopeo,
    token::{ISSUER, Signer},
};
use crate::{
    certificates::{Authority, write_private},
    cloud::Cloud,
    plane::{START_ATTEMPTS, free_port, lost_port, until},
    process::{Child, Program, Scratch},
};

/// A running registry; stopped and removed when dropped.
pub struct Registry {
    // Fields drop in this order: the directory last.
    child: Child,
    tokens: TokenService,
    authority: Authority,
    admin: Login,
    port: u16,
    dir: Scratch,
}

impl Registry {
    /// Starts a registry of a cloud, which stays up at least as long as the registry, and returns when it
    /// serves.
    pub async fn start(cloud: &Cloud, access: Access) -> anyhow::Result<Registry> {
        let service = access.service();
        Registry::judged(&service, access.judge(cloud)).await
    }

    /// Starts a registry that accepts the clients that `judge` accepts.
    pub async fn judged(service: &str, judge: Judge) -> anyhow::Result<Registry> {
        if let Some(missing) = missing() {
            bail!("{missing}");
        }
        let admin = Login { user: "lab-admin".to_owned(), password: format!("{:032x}", fastrand::u128(..)) };
        let (authority, signer) = (Authority::new()?, Signer::new()?);
        let dir = Scratch::new("acr-lab-registry-")?;
        // A directory of its own, since skopeo reads all certificates and keys in it.
        let certificates = certificates(dir.path());
        fs::create_dir(&certificates)?;
        write_private(&certificates.join("ca.crt"), authority.pem())?;
        write_private(&dir.path().join("tokens.crt"), signer.certificate())?;
        let identity = authority.server(&["127.0.0.1", "localhost"])?;
        write_private(&dir.path().join("registry.crt"), &identity.certificate)?;
        write_private(&dir.path().join("registry.key"), &identity.key)?;
        let rules = Rules { service: service.to_owned(), admin: admin.clone(), judge, signer };
        let tokens = TokenService::start(&authority, rules).await?;
        let mut attempt = 1;
        let (child, port) = loop {
            match serve(dir.path(), service, tokens.address(), &authority).await {
                Err(error) if attempt < START_ATTEMPTS && lost_port(&error) => attempt += 1,
                result => break result.context("the registry did not start")?,
            }
        };
        Ok(Registry { child, tokens, authority, admin, port, dir })
    }

    /// Returns its address, as in an image's name and as a key of a `.dockerconfigjson`: `127.0.0.1:<port>`.
    pub fn domain(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Returns the certificate of the authority that signed those of the registry and of its token service.
    pub fn ca_pem(&self) -> &str {
        self.authority.pem()
    }

    /// Returns the address of its token service: `127.0.0.1:<port>`.
    pub fn realm_host(&self) -> String {
        self.tokens.address().to_string()
    }

    /// Returns the registry's process, for its log.
    pub fn process(&self) -> &Child {
        &self.child
    }

    /// Returns a `.dockerconfigjson` with one login, for this registry.
    pub fn docker_config(&self, user: &str, password: &str) -> String {
        let auth = STANDARD.encode(format!("{user}:{password}"));
        json!({ "auths": { self.domain(): { "auth": auth } } }).to_string()
    }

    /// Pushes a small image as `<repository>:latest`, and returns the digest of its configuration, which
    /// identifies the image after a pull.
    pub async fn push(&self, repository: &str) -> anyhow::Result<String> {
        let certificates = certificates(self.dir.path());
        let skopeo = Skopeo::new(&certificates)?;
        let digest = image::write(&skopeo.image_dir())?;
        skopeo.push(&self.admin_config(), &self.image(repository)).await?;
        Ok(digest)
    }

    /// Pulls `<repository>:latest` with exactly these bytes as the client's auth file.
    ///
    /// # Errors
    /// [`PullError::Refused`] if the registry refuses this client, else [`PullError::Failed`].
    pub async fn pull(
        &self,
        docker_config_json: impl AsRef<[u8]>,
        repository: &str,
    ) -> Result<Pulled, PullError> {
        let certificates = certificates(self.dir.path());
        Skopeo::new(&certificates)?.pull(docker_config_json.as_ref(), &self.image(repository)).await
    }

    /// Returns a `.dockerconfigjson` with the login of the lab itself, which may push.
    pub fn admin_config(&self) -> String {
        self.docker_config(&self.admin.user, &self.admin.password)
    }

    /// Returns the directory that a client trusts: it holds the authority's certificate as `ca.crt`.
    pub fn certificates(&self) -> PathBuf {
        certificates(self.dir.path())
    }

    fn image(&self, repository: &str) -> String {
        format!("{}/{repository}:latest", self.domain())
    }
}

fn certificates(dir: &Path) -> PathBuf {
    dir.join("certificates")
}

/// Starts the process on a free port, and waits until it requests a token, with its own certificate.
async fn serve(
    dir: &Path,
    service: &str,
    tokens: SocketAddr,
    authority: &Authority,
) -> anyhow::Result<(Child, u16)> {
    let port = free_port()?;
    let file = |name: &str| dir.join(name).display().to_string();
    // JSON is YAML too.
    let config = json!({
        "version": "0.1",
        "log": { "level": "warn", "accesslog": { "disabled": true } },
        "storage": { "filesystem": { "rootdirectory": file("storage") } },
        "http": {
            "addr": format!("127.0.0.1:{port}"),
            "secret": format!("{:032x}", fastrand::u128(..)),
            "tls": { "certificate": file("registry.crt"), "key": file("registry.key") },
        },
        "auth": { "token": {
            "realm": format!("https://{tokens}{PATH}"),
            "service": service,
            "issuer": ISSUER,
            "rootcertbundle": file("tokens.crt"),
        } },
    });
    write_private(&dir.join("config.yml"), &format!("{config:#}\n"))?;
    // A log of its own, so that the next attempt does not find a lost port in it.
    let log = dir.join(format!("docker-registry-{port}.log"));
    let mut program = Program::new("docker-registry", log).args(["serve", &file("config.yml")]);
    // These would change its configuration.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("REGISTRY_")) {
        program = program.env_remove(name);
    }
    let child = program.start()?;
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([Certificate::from_pem(authority.pem().as_bytes())?])
        .build()?;
    let url = format!("https://127.0.0.1:{port}/v2/");
    let ready = || {
        let look = client.get(&url).send();
        async move { look.await.is_ok_and(|answer| answer.status() == StatusCode::UNAUTHORIZED) }
    };
    until(&child, ready).await?;
    Ok((child, port))
}
