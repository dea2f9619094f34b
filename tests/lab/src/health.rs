//! The health of a binding, judged by the code of the tools that read it: Argo CD, Flux and Helm.
//!
//! Their code is Go. `tests/lab/health` calls it, in a module of its own, and is built once and kept like the programs
//! of the control plane.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::plane::{cache_root, find_in_path, say};
use crate::process::{keep_at_end, remove_at_end};

/// Name of the program.
const PROGRAM: &str = "health";

/// CEL expressions of a Flux object, as in `spec.healthCheckExprs`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Expressions {
    /// True while the controller works on the object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub in_progress: String,
    /// True once it has failed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub failed: String,
    /// True while it is ready.
    pub current: String,
}

/// A question to one judge. Objects are JSON, or a string with YAML.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "judge", rename_all = "lowercase")]
pub enum Question<'a> {
    /// Argo CD's health, by a `health.lua`.
    Health {
        /// The Lua code.
        script: &'a str,
        /// The object.
        object: &'a Value,
    },
    /// Argo CD's actions, by a `discovery.lua`.
    Actions {
        /// The Lua code.
        script: &'a str,
        /// The object.
        object: &'a Value,
    },
    /// One action of Argo CD, by its `action.lua`.
    Run {
        /// The Lua code.
        script: &'a str,
        /// The object.
        object: &'a Value,
    },
    /// kstatus, by which Flux and Helm wait.
    Kstatus {
        /// The object.
        object: &'a Value,
    },
    /// Flux's evaluator of `healthCheckExprs`.
    Cel {
        /// The expressions.
        expressions: &'a Expressions,
        /// The object.
        object: &'a Value,
    },
    /// Flux's types, which refuse a field that they do not have.
    Manifest {
        /// The manifest.
        object: &'a Value,
    },
}

/// The reply of a judge.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Verdict {
    /// The health, or the kind of a manifest.
    pub status: String,
    /// Its message.
    pub message: String,
    /// The actions, and whether each is enabled.
    pub actions: BTreeMap<String, bool>,
    /// The merge patch that Argo CD sends for an action.
    pub patch: Value,
    /// The object after the action.
    pub object: Value,
    /// Why the judge has no answer.
    pub error: String,
}

/// The judges.
#[derive(Clone, Debug)]
pub struct Judges {
    program: PathBuf,
}

impl Judges {
    /// Returns the judges, built now if need be. Blocks for a minute or more when it builds.
    ///
    /// # Errors
    /// There is no `go`, or the program cannot be built.
    pub fn find() -> anyhow::Result<Judges> {
        let (source, root) = (Path::new(env!("CARGO_MANIFEST_DIR")).join(PROGRAM), cache_root()?);
        let name = format!("{PROGRAM}-{}", digest(&source)?);
        let program = root.join(&name).join(PROGRAM);
        if program.is_file() {
            return Ok(Judges { program });
        }
        fs::create_dir_all(&root).with_context(|| format!("cannot make {}", root.display()))?;
        let lock = File::create(root.join(format!("{name}.lock")))?;
        lock.lock()?;
        // Another process may have built it while it held the lock.
        if !program.is_file() {
            let building = tempfile::Builder::new().prefix(".building-").tempdir_in(&root)?;
            remove_at_end(building.path())?;
            build(&source, building.path())?;
            let dir = building.keep();
            fs::rename(&dir, root.join(&name))?;
            keep_at_end(&dir)?;
        }
        Ok(Judges { program })
    }

    /// Returns the verdict on each question, in their order.
    ///
    /// # Errors
    /// The program fails. A judge without an answer gives a verdict with the reason.
    pub fn ask(&self, questions: &[Question<'_>]) -> anyhow::Result<Vec<Verdict>> {
        let mut lines = Vec::new();
        for question in questions {
            serde_json::to_writer(&mut lines, question)?;
            lines.push(b'\n');
        }
        let mut command = Command::new(&self.program);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| self.program.display().to_string())?;
        let mut stdin = child.stdin.take().context("the program has no input")?;
        // It answers while it reads: one thread for both would wait for itself.
        let (written, output) = std::thread::scope(|scope| {
            let writing = scope.spawn(move || stdin.write_all(&lines));
            (writing.join(), child.wait_with_output())
        });
        let output = output?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        ensure!(matches!(written, Ok(Ok(()))), "the program did not read all questions");
        let replies = String::from_utf8(output.stdout)?;
        let verdicts: Vec<Verdict> = replies.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        ensure!(verdicts.len() == questions.len(), "{} of {} answers", verdicts.len(), questions.len());
        Ok(verdicts)
    }
}

/// Returns a digest of the files of a folder.
fn digest(folder: &Path) -> anyhow::Result<String> {
    let mut files =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<Vec<_>>>()?;
    files.sort();
    let mut digest = Sha256::new();
    for file in files {
        digest.update(fs::read(&file).with_context(|| file.display().to_string())?);
    }
    Ok(digest.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect())
}

fn build(source: &Path, into: &Path) -> anyhow::Result<()> {
    let Some(go) = find_in_path("go") else {
        bail!(
            "there is no `go` in PATH, and the judges of health are built with it. Install Go 1.26 or later"
        );
    };
    say("Building the judges of health: about 2 minutes on two cores, and only once.");
    let mut command = Command::new(go);
    command.args([
        "build",
        "-trimpath",
        "-mod=readonly",
        "-gcflags=all=-dwarf=false",
        "-ldflags=-s -w",
        "-o",
    ]);
    let output = command.arg(into.join(PROGRAM)).arg(".").current_dir(source).output()?;
    ensure!(output.status.success(), "`go build` of the judges: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
