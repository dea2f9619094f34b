//! Every documented way to a credential, side by side.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{
    Api,
    api::{ObjectMeta, PostParams},
};

use super::{
    Demo, NAMESPACE, apply,
    view::{bindings, is_ready, registries, until},
};

/// An example of the repository, the binding in it, the namespace that it serves, and the way.
const WAYS: [(&str, &str, &str, &str); 6] = [
    ("two-regions", "two-regions", "two-regions", "same account, two regions"),
    ("rrsa-same-account", "recommended", "recommended", "same account, RRSA"),
    ("rrsa", "payments", "payments", "another account, RRSA and its role"),
    ("assume-role", "partner", "partner", "another account, an assumed role"),
    ("access-key", "batch", "batch", "another account, an AccessKey pair"),
    ("personal", "sandbox", "sandbox", "Personal Edition"),
];

impl Demo {
    pub(super) async fn every_way(&self) -> anyhow::Result<()> {
        self.create_key_pair().await?;
        let namespaces: Api<Namespace> = Api::all(self.plane.client());
        for (.., namespace, _) in WAYS {
            let labels = BTreeMap::from([("uses".to_owned(), format!("{namespace}-images"))]);
            let metadata = ObjectMeta {
                name: Some(namespace.to_owned()),
                labels: Some(labels),
                ..ObjectMeta::default()
            };
            namespaces
                .create(&PostParams::default(), &Namespace { metadata, ..Namespace::default() })
                .await?;
        }
        for (example, ..) in WAYS {
            apply(&self.plane, &format!("examples/{example}.yaml")).await?;
        }
        for (_, name, _, way) in WAYS {
            let what = format!("the binding {name} is ready");
            let binding = until(bindings(self.plane.client()), name, &what, is_ready).await?;
            for registry in registries(&binding) {
                println!("   {name} ({way}): {} as {}", registry.registry, registry.identity);
            }
        }
        for (.., namespace, _) in WAYS {
            self.secret_is_good(namespace).await?;
        }
        self.show(&["get", "acb", "-o", "wide"]).await
    }

    /// Creates the Secret with an AccessKey pair. The pair is never shown, so the command is not shown
    /// either.
    async fn create_key_pair(&self) -> anyhow::Result<()> {
        let key = self.cloud.world(|world| {
            let user = world.user_mut("2", "partner-puller");
            user.and_then(|user| user.keys.first().cloned())
        });
        let (id, secret) = key.map(|key| (key.id, key.secret)).unwrap_or_default();
        let pair = [("accessKeyId".to_owned(), id), ("accessKeySecret".to_owned(), secret)];
        let object = Secret {
            metadata: ObjectMeta { name: Some("acr-access-key".to_owned()), ..ObjectMeta::default() },
            string_data: Some(pair.into()),
            ..Secret::default()
        };
        let secrets: Api<Secret> = Api::namespaced(self.plane.client(), NAMESPACE);
        secrets.create(&PostParams::default(), &object).await?;
        println!("   The Secret {NAMESPACE}/acr-access-key holds the AccessKey pair of a user of account 2.");
        Ok(())
    }
}
