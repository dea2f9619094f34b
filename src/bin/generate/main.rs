//! Writes everything that follows from the code: the CustomResourceDefinition in `crds/` and in the Helm chart, the pages
//! below `docs/**/reference/`, and the chart's copies of the alerting rules and the dashboard.
//!
//! ```text
//! generate            writes them
//! generate --check    ends with 1 if a file differs from what would be written
//! ```

mod binding;
mod causes;
mod conditions;
mod findings;
mod flags;
mod language;
mod metrics;

use std::path::{Path, PathBuf};

use acr_credential_binding::api;
use acr_credential_binding::cli::explain;
use acr_credential_binding::cli::status::BindingsReport;
use anyhow::{Context, bail};
use clap::Parser;

use self::language::Language;

/// Writes the CustomResourceDefinition and the reference pages of the documentation.
#[derive(Parser)]
#[command(name = "generate")]
struct Args {
    /// Write nothing; end with 1 if a file differs from what would be written
    #[arg(long)]
    check: bool,

    /// Root of the repository
    #[arg(long, value_name = "DIR", default_value = env!("CARGO_MANIFEST_DIR"))]
    root: PathBuf,
}

/// A generated file.
struct File {
    /// Path from the root of the repository.
    path: String,
    text: String,
}

fn files(root: &Path) -> anyhow::Result<Vec<File>> {
    let crd = api::crd();
    let page = |language: Language, name: &str, text: String| File {
        path: format!("{}/{name}", language.folder()),
        text: format!("{}\n\n{text}", language.notice()),
    };
    // Helm reads no file outside its chart.
    let definition = |folder: &str| -> anyhow::Result<File> {
        let path = format!("{folder}/acrcredentialbindings.yaml");
        Ok(File { path, text: serde_saphyr::to_string(&crd)? })
    };
    let copied = |source: &str, name: &str| -> anyhow::Result<File> {
        let text = std::fs::read_to_string(root.join(source)).with_context(|| source.to_owned())?;
        Ok(File { path: format!("deploy/helm/files/{name}"), text })
    };
    let mut files = vec![
        definition("crds")?,
        definition("deploy/helm/files")?,
        copied("deploy/prometheus/alerts.yaml", "alerts.yaml")?,
        copied("deploy/grafana/acr.json", "dashboard.json")?,
        page(Language::English, "binding.md", binding::page(&crd)?),
        page(Language::English, "metrics.md", metrics::page()),
        page(Language::English, "flags.md", flags::page()),
        File {
            path: format!("{}/status.schema.json", Language::English.folder()),
            text: format!("{:#}\n", serde_json::to_value(schemars::schema_for!(BindingsReport))?),
        },
    ];
    let schema = serde_json::to_string_pretty(&explain::schema())?;
    files.push(File { path: "docs/reference/explain.schema.json".to_owned(), text: schema + "\n" });
    for language in [Language::English, Language::Chinese] {
        let path = language.pick("docs/troubleshooting.md", "docs/zh-CN/troubleshooting.md");
        files.push(File { path: path.to_owned(), text: causes::page(&root.join(path), language)? });
        let samples = findings::samples(&root.join(language.folder()).join("findings.md"), language)?;
        files.push(page(language, "conditions.md", conditions::page(language)));
        files.push(page(language, "findings.md", findings::page(language, &samples)));
    }
    Ok(files)
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let mut differing = Vec::new();
    for file in files(&args.root)? {
        let path = args.root.join(&file.path);
        if std::fs::read_to_string(&path).is_ok_and(|current| current == file.text) {
            continue;
        }
        if args.check {
            differing.push(file.path);
            continue;
        }
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        std::fs::write(&path, file.text).with_context(|| path.display().to_string())?;
    }
    if !differing.is_empty() {
        bail!("out of date: {}\nrun `cargo run --bin generate`", differing.join(", "));
    }
    Ok(())
}
