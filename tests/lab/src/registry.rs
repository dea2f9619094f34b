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
//! Caveats: its address is `127.0.0.1:<port>` and not a name of Alibaba Cloud's; only a node reaches it by its
//! names. A pull right covers the whole registry, not single repositories.

mod access;
pub(crate) mod image;
mod packages;
mod service;
mod skopeo;
mod token;

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::Mutex,
};

use anyhow::{Context, bail};
use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::{Certificate, StatusCode};
use serde_json::json;

pub(crate) use self::packages::{judge, usable_without};
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

/// The port of HTTPS, which no image's name needs to mention.
const HTTPS: u16 = 443;

/// A running registry; stopped and removed when dropped.
pub struct Registry {
    // Fields drop in this order: the directory last.
    child: Child,
    tokens: TokenService,
    authority: Authority,
    admin: Login,
    port: u16,
    service: String,
    domains: Vec<String>,
    dir: Scratch,
}

/// A registry at a further address, where it has names; it ends when dropped.
pub struct Served {
    _child: Child,
    _tokens: TokenService,
}

impl Registry {
    /// Starts a registry of a cloud, which stays up at least as long as the registry, and returns when it
    /// serves.
    pub async fn start(cloud: &Cloud, access: Access) -> anyhow::Result<Registry> {
        let (service, domains) = (access.service(), access.domains(cloud));
        Ok(Registry { domains, ..Registry::judged(&service, access.judge(cloud)).await? })
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
        let rules = Rules {
            service: service.to_owned(),
            admin: admin.clone(),
            judge,
            signer,
            public: Mutex::default(),
        };
        let tokens = TokenService::start(&authority, rules).await?;
        let mut attempt = 1;
        let (child, port) = loop {
            let port = free_port()?;
            let at = Address { registry: ([127, 0, 0, 1], port).into(), realm: tokens.address().to_string() };
            match serve(dir.path(), service, &at, &[], &authority).await {
                Err(error) if attempt < START_ATTEMPTS && lost_port(&error) => attempt += 1,
                result => break (result.context("the registry did not start")?, port),
            }
        };
        let (service, domains) = (service.to_owned(), Vec::new());
        Ok(Registry { child, tokens, authority, admin, port, service, domains, dir })
    }

    /// Returns its address, as in an image's name and as a key of a `.dockerconfigjson`: `127.0.0.1:<port>`.
    pub fn domain(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Returns the names by which it is reached from a node: those of its instance, or of its edition in its region.
    pub fn names(&self) -> &[String] {
        &self.domains
    }

    /// Changes the names by which it is reached from a node.
    #[must_use]
    pub fn named(mut self, names: &[&str]) -> Registry {
        self.domains = names.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    /// Serves the same images at a further address, on the port of HTTPS and by its names. Its clients get their
    /// tokens from `realm`, which must lead to the same address.
    pub(crate) async fn serve_at(&self, address: IpAddr, realm: &str) -> anyhow::Result<Served> {
        let tokens = self.tokens.share(&self.authority, (address, 0).into()).await?;
        let realm = format!("{realm}:{}", tokens.address().port());
        let at = Address { registry: (address, HTTPS).into(), realm };
        let child = serve(self.dir.path(), &self.service, &at, &self.domains, &self.authority).await?;
        Ok(Served { _child: child, _tokens: tokens })
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
        self.push_image(repository, None).await
    }

    /// Pushes an image that runs a static program, as [`Registry::push`].
    pub async fn push_program(&self, repository: &str, program: &Path) -> anyhow::Result<String> {
        self.push_image(repository, Some(&fs::read(program)?)).await
    }

    async fn push_image(&self, repository: &str, program: Option<&[u8]>) -> anyhow::Result<String> {
        let certificates = certificates(self.dir.path());
        let skopeo = Skopeo::new(&certificates)?;
        let digest = image::write(&skopeo.image_dir(), program)?;
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

    /// Lets anybody pull a repository, without a login.
    pub fn open(&self, repository: &str) {
        self.tokens.open(repository);
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

/// Where a registry is reached, and where it sends its clients for a token.
struct Address {
    registry: SocketAddr,
    /// `host:port`
    realm: String,
}

/// Starts the process, and waits until it requests a token, with its own certificate.
async fn serve(
    dir: &Path,
    service: &str,
    at: &Address,
    names: &[String],
    authority: &Authority,
) -> anyhow::Result<Child> {
    // Names of its own, so that the next attempt does not find a lost port in the log.
    let name = format!("docker-registry-{}", at.registry).replace(':', "-");
    let file = |name: &str| dir.join(name).display().to_string();
    let own = |extension: &str| format!("{name}.{extension}");
    let address = at.registry.ip().to_string();
    let names: Vec<&str> = names.iter().map(String::as_str).chain([address.as_str(), "localhost"]).collect();
    let identity = authority.server(&names)?;
    write_private(&dir.join(own("crt")), &identity.certificate)?;
    write_private(&dir.join(own("key")), &identity.key)?;
    // JSON is YAML too.
    let config = json!({
        "version": "0.1",
        "log": { "level": "warn", "accesslog": { "disabled": true } },
        "storage": { "filesystem": { "rootdirectory": file("storage") } },
        "http": {
            "addr": at.registry.to_string(),
            "secret": format!("{:032x}", fastrand::u128(..)),
            "tls": { "certificate": file(&own("crt")), "key": file(&own("key")) },
        },
        "auth": { "token": {
            "realm": format!("https://{}{PATH}", at.realm),
            "service": service,
            "issuer": ISSUER,
            "rootcertbundle": file("tokens.crt"),
        } },
    });
    write_private(&dir.join(own("yml")), &format!("{config:#}\n"))?;
    let mut program =
        Program::new("docker-registry", dir.join(own("log"))).args(["serve", &file(&own("yml"))]);
    // These would change its configuration.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("REGISTRY_")) {
        program = program.env_remove(name);
    }
    let child = program.start()?;
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([Certificate::from_pem(authority.pem().as_bytes())?])
        .build()?;
    let url = format!("https://{}/v2/", at.registry);
    let ready = || {
        let look = client.get(&url).send();
        async move { look.await.is_ok_and(|answer| answer.status() == StatusCode::UNAUTHORIZED) }
    };
    until(&child, ready).await?;
    Ok(child)
}
