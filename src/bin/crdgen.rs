//! Prints the CustomResourceDefinition, or with `--write` keeps it in `crds/`.
#![allow(clippy::print_stdout, reason = "printing is all that it does")]

use acr_credential_binding::api;

fn main() -> anyhow::Result<()> {
    print!("{}", serde_saphyr::to_string(&api::crd())?);
    Ok(())
}
