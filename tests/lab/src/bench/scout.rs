//! Learns the shape of the product's Secret from one namespace, so that the floor writes the same. Leaves
//! everything as it was.

use std::time::Duration;

use acr_lab::{controller::Controller, plane::Plane};
use anyhow::Context;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use serde_json::{Value, json};

use super::{
    NAMESPACE, SECRET,
    call::Call,
    group::{Template, create_namespace, secret_path},
    requests::{Who, until_at_rest},
    transport::Transport,
    watch::Watch,
};

const SCOUT: &str = "scout";

/// The API path of bindings.
pub(crate) const BINDINGS: &str = "/apis/acrcredential.dev/v1alpha1/acrcredentialbindings";

/// The Secret in which the product keeps tokens across restarts.
const CACHE: &str = "acr-credential-cache";

const PATIENCE: Duration = Duration::from_secs(60);

/// Returns a binding with these registries for all ServiceAccounts of some namespaces.
pub(super) fn binding(name: &str, namespaces: &[String], registries: &Value) -> Call {
    let object = json!({
        "apiVersion": "acrcredential.dev/v1alpha1",
        "kind": "AcrCredentialBinding",
        "metadata": { "name": name },
        "spec": {
            "registries": registries,
            "watchNamespaces": { "names": namespaces },
            "serviceAccounts": { "names": ["*"] },
        },
    });
    Call::create(BINDINGS, &object)
}

/// Returns a patch of the binding that asks for fresh tokens.
pub(crate) fn refresh(name: &str, value: &str) -> Call {
    let annotations: Value = json!({ "acrcredential.dev/refresh-at": value });
    Call::merge(&format!("{BINDINGS}/{name}"), &json!({ "metadata": { "annotations": annotations } }))
}

/// Runs the controller for one namespace. Stops it and deletes what it created before returning: the Secret
/// and the cached tokens.
pub(super) async fn learn(
    plane: &Plane,
    controller: &Controller,
    transport: &Transport,
    (secrets, registries): (&mut Watch, &Value),
) -> anyhow::Result<Template> {
    let client = transport.client(0);
    controller.until_ready(PATIENCE).await?;
    create_namespace(SCOUT).send(&client).await?;
    binding(SCOUT, &[SCOUT.to_owned()], registries).send(&client).await?;
    let made = secrets.find(|seen| seen.namespace == SCOUT && seen.exists);
    tokio::time::timeout(PATIENCE, made).await.context("no Secret was created")??;
    until_at_rest(plane, Who::Controller).await?;
    let api: Api<Secret> = Api::namespaced(client.clone(), SCOUT);
    let template = Template::of(&api.get(SECRET).await?)?;

    Call::delete(format!("{BINDINGS}/{SCOUT}")).send(&client).await?;
    let gone = secrets.find(|seen| seen.namespace == SCOUT && !seen.exists);
    tokio::time::timeout(PATIENCE, gone).await.context("the Secret was not deleted")??;
    until_at_rest(plane, Who::Controller).await?;
    controller.terminate(PATIENCE).await?;
    Call::delete(secret_path(NAMESPACE, CACHE)).send(&client).await?;
    Ok(template)
}
