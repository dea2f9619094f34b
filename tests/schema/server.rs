//! A control plane with the CRD, and its answer to a binding by a dry run.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use acr_credential_binding::api::AcrCredentialBinding;
use acr_credential_binding::model::{Binding, InvalidField};
use acr_lab::plane::Plane;
use kube::api::{Api, ApiResource, DynamicObject, PostParams};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

pub const CRD: &str = "crds/acrcredentialbindings.yaml";

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the plane that all tests share, with the CRD established.
pub async fn plane() -> &'static Plane {
    static INSTALLED: OnceCell<()> = OnceCell::const_new();
    let plane = Plane::shared().await.unwrap();
    INSTALLED
        .get_or_init(async || {
            plane.apply_file(root().join(CRD)).await.unwrap();
            let crd = "crd/acrcredentialbindings.acrcredential.dev";
            plane.kubectl_ok(&["wait", "--for=condition=Established", crd, "--timeout=20s"]).await.unwrap();
            // kubectl's discovery of kinds and fields follows a moment later.
            let end = Instant::now() + Duration::from_secs(20);
            while let Err(error) = plane.kubectl_ok(&["explain", "acb"]).await {
                assert!(Instant::now() < end, "{error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
    plane
}

/// The API server's reason to refuse an object.
#[derive(Debug)]
pub struct Refusal {
    pub message: String,
    /// The fields in its message.
    pub fields: BTreeSet<String>,
}

/// Objects as JSON, so that tests can send what no typed client could write.
pub struct Server(Api<DynamicObject>);

impl Server {
    pub async fn get() -> Self {
        let resource = ApiResource::erase::<AcrCredentialBinding>(&());
        Self(Api::all_with(plane().await.client(), &resource))
    }

    /// Returns what the API server would store, or its refusal.
    pub async fn dry_run(&self, object: &Value) -> Result<Value, Refusal> {
        let object: DynamicObject = serde_json::from_value(object.clone()).unwrap();
        let params = PostParams { dry_run: true, ..PostParams::default() };
        match self.0.create(&params, &object).await {
            Ok(stored) => Ok(serde_json::to_value(stored).unwrap()),
            // Any other failure does not come from the schema.
            Err(kube::Error::Api(status)) if status.code == 422 => {
                let causes = status.details.iter().flat_map(|details| &details.causes);
                let fields =
                    causes.map(|cause| cause.field.clone()).filter(|field| field.starts_with("spec"));
                Err(Refusal { message: status.message.clone(), fields: fields.collect() })
            }
            Err(other) => panic!("{other:?}"),
        }
    }
}

/// Returns the product's validation of the same object. An object that cannot be parsed is wrong as a whole.
pub fn parse(object: &Value) -> Result<Binding, Vec<InvalidField>> {
    let no_object =
        |e: serde_json::Error| vec![InvalidField { path: "spec".to_owned(), message: e.to_string() }];
    let object: AcrCredentialBinding = serde_json::from_value(object.clone()).map_err(no_object)?;
    Binding::parse(&object, "cn-hangzhou")
}

/// Returns a valid binding. Each field's parent exists, so that a field can be set by its pointer.
pub fn valid() -> Value {
    json!({
        "apiVersion": "acrcredential.dev/v1alpha1",
        "kind": "AcrCredentialBinding",
        "metadata": { "name": "team-a" },
        "spec": {
            "registries": [{ "instanceId": "cri-abc123", "regionId": "cn-hangzhou" }],
            "watchNamespaces": { "names": ["team-a-*"], "selector": { "matchLabels": { "tier": "app" } } },
            "serviceAccounts": { "names": ["*"], "selector": { "matchLabels": { "tier": "app" } } },
            "webhook": {},
        },
    })
}

/// Returns the valid binding with one value of its spec set by JSON pointer; the empty one is the spec
/// itself.
pub fn valid_with(pointer: &str, value: &Value) -> Value {
    let mut object = valid();
    let Some((parent, field)) = pointer.rsplit_once('/') else {
        object["spec"] = value.clone();
        return object;
    };
    let parent = object.pointer_mut(&format!("/spec{parent}")).unwrap();
    match parent {
        Value::Array(items) => items[field.parse::<usize>().unwrap()] = value.clone(),
        Value::Object(fields) => drop(fields.insert(field.to_owned(), value.clone())),
        other => panic!("{pointer} leads into {other}"),
    }
    object
}
