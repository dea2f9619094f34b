//! `findings.md`: the codes of `kubectl acr lint`, and what the documented samples give.

use std::path::Path;

use acr_credential_binding::model::legacy::{Code, Severity};
use anyhow::Context;

use crate::language::Language;

const MARKS: (&str, &str) = ("<!-- samples:begin -->\n", "<!-- samples:end -->");

/// Returns the rows of the samples' table. `cargo test --test cli` writes them, which runs `lint` and `convert`.
pub fn samples(path: &Path, language: Language) -> anyhow::Result<String> {
    let head = language.pick(
        "| sample | findings (line:character) | its binding after the repair |\n| --- | --- | --- |\n",
        "| 示例 | 原样的问题(行:字符) | 修正后的绑定 |\n| --- | --- | --- |\n",
    );
    if !path.exists() {
        return Ok(head.to_owned());
    }
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let table = text.split_once(MARKS.0).and_then(|(_, rest)| rest.split_once(MARKS.1));
    let (table, _) =
        table.with_context(|| format!("{}: the marks of the samples are missing", path.display()))?;
    let rows: String = table.split_inclusive('\n').skip(2).collect();
    Ok(format!("{head}{rows}"))
}

/// Returns the page.
pub fn page(language: Language, samples: &str) -> String {
    let severity = |code: Code| match code.severity() {
        severity if language == Language::English => severity.as_str(),
        Severity::Error => "错误",
        Severity::Warning => "警告",
        Severity::Note => "提示",
    };
    let row = |code: &Code| {
        let title = language.pick(code.title(), code.title_in_chinese());
        format!("| `{code}` | {} | {title} |\n", severity(*code))
    };
    let rows: String = Code::ALL.iter().map(row).collect();
    let intro = language.pick(
        "# Findings\n\n\
         `kubectl acr lint` and the condition `LegacyConfigValid` report findings in the ConfigMap `acr-configuration` \
         and in the managed add-on's JSON. A code keeps its meaning.\n\n\
         - error: a part of the configuration is not served.\n\
         - warning: it is served, by a guess.\n\
         - note: it is served as documented.\n\n\
         One bad entry does not void the rest. The table has the severity within a value. The same mistake in the YAML \
         around the values is an error, since Kubernetes could not read the file.\n\n",
        "# 检查结果代码\n\n\
         `kubectl acr lint` 与条件 `LegacyConfigValid` 报告 ConfigMap `acr-configuration` 及托管组件 JSON 中的问题。代码的含义固定不变。\n\n\
         - 错误:所写内容未生效。\n\
         - 警告:按推测生效。\n\
         - 提示:按文档生效。\n\n\
         一个错误的条目不影响其余条目。表中的级别适用于值内部。值以外的 YAML 有同样的错误时,级别为错误,因为 Kubernetes 无法读取该文件。\n\n",
    );
    let codes = language.pick(
        "## Codes\n\n| code | severity | meaning |\n| --- | --- | --- |\n",
        "## 代码\n\n| 代码 | 级别 | 含义 |\n| --- | --- | --- |\n",
    );
    let samples_intro = language.pick(
        "\n## The documented samples\n\nThe samples of the documented component, as printed there, give these findings. \
         The last column shows the binding's fields once the file is repaired.\n\n",
        "\n## 文档中的示例\n\n文档中的示例原样检查的结果如下。最后一列是修正之后绑定所含的字段。\n\n",
    );
    format!("{intro}{codes}{rows}{samples_intro}{}{samples}{}\n", MARKS.0, MARKS.1)
}
