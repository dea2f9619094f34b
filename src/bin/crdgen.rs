//! Prints the CustomResourceDefinition that stands in `crds/`.
//!
//! ```text
//! crdgen                  prints it
//! crdgen --check FILE     ends with 1 where FILE is not what would be printed
//! crdgen --write FILE     writes it
//! ```
#![allow(clippy::print_stdout, reason = "printing is all that it does")]

use std::path::PathBuf;

use acr_credential_binding::api;
use anyhow::{Context, bail};
use clap::Parser;

/// Prints the CustomResourceDefinition of AcrCredentialBinding.
#[derive(Parser)]
struct Args {
    /// Fail where FILE is not what would be printed
    #[arg(long, value_name = "FILE", conflicts_with = "write")]
    check: Option<PathBuf>,

    /// Write it to FILE
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let generated = serde_saphyr::to_string(&api::crd())?;
    if let Some(file) = args.check {
        let kept = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        if kept != generated {
            bail!("{0} is out of date: cargo run --bin crdgen -- --write {0}", file.display());
        }
    } else if let Some(file) = args.write {
        std::fs::write(&file, generated).with_context(|| file.display().to_string())?;
    } else {
        print!("{generated}");
    }
    Ok(())
}
