//! `conditions.md`: the condition types and reasons of the status, with their meaning and cure.

use acr_credential_binding::api::{ConditionType, Reason};

use crate::language::Language;

/// Returns the page.
pub fn page(language: Language) -> String {
    let mut page = language
        .pick(
            "# Conditions\n\n\
             `kubectl get acb -o wide` shows the message of `Ready`. `kubectl describe acb NAME` shows every registry and \
             every (instance, namespace) pair. kstatus, Argo CD and Flux read `Ready`, `Reconciling` and `Stalled`. A \
             symptom that the status does not show is in [Troubleshooting](../troubleshooting.md).\n\n\
             ## Types\n\n",
            "# 条件\n\n\
             `kubectl get acb -o wide` 显示 `Ready` 的消息。`kubectl describe acb NAME` 显示每个实例和每个(实例,命名空间)。kstatus、Argo CD 与 Flux \
             读取 `Ready`、`Reconciling` 和 `Stalled`。状态中看不到的现象见[故障排查](../troubleshooting.md)。\n\n\
             ## 类型\n\n",
        )
        .to_owned();
    for kind in ConditionType::ALL {
        let (meaning, place) = match language {
            Language::English => (kind.meaning(), kind.place()),
            Language::Chinese => in_chinese(*kind),
        };
        let on = language.pick("On", "位置:");
        let space = language.pick(" ", "");
        let stop = language.pick(".", "。");
        page.push_str(&format!("- `{}`: {meaning}{space}{on}{space}{place}{stop}\n", kind.as_str()));
    }
    page.push_str(language.pick(
        "\n## Reasons\n\nA reason is part of the API: scripts may match it. Under each reason: its meaning, then the cure.\n",
        "\n## 原因\n\n原因是 API 的一部分,脚本可以据此匹配。\n",
    ));
    for reason in Reason::ALL {
        page.push_str(&format!("\n### {}\n\n", reason.as_str()));
        if language == Language::English {
            page.push_str(&format!("{}\n\n", linked(reason.meaning())));
        }
        page.push_str(&format!("{}\n", linked(language.pick(reason.cure(), reason.cure_in_chinese()))));
        if reason.needs_human() {
            page.push_str(language.pick(
                "\nThe condition `Stalled` carries this reason until a person acts.\n",
                "\n条件 `Stalled` 会带有该原因,直到有人处理。\n",
            ));
        }
    }
    page
}

/// Returns the meaning and the place of a condition type in Chinese.
fn in_chinese(kind: ConditionType) -> (&'static str, &'static str) {
    match kind {
        ConditionType::Ready => (
            "每个被覆盖的命名空间都有拉取 Secret,每个被覆盖的 ServiceAccount 都有条目。",
            "绑定,以及 `status.pairs` 的每一项;始终存在",
        ),
        ConditionType::Reconciling => ("控制器正在处理该绑定。", "绑定;仅在成立时"),
        ConditionType::Stalled => ("需要有人处理,绑定或对它的修改才能生效。", "绑定;仅在成立时"),
        ConditionType::Issued => {
            ("控制器持有该镜像仓库的有效凭证。", "`status.registries` 的每一项;始终存在")
        }
        ConditionType::LegacyConfigValid => {
            ("ConfigMap 有效。有错误或缺失时为 `False`。", "由 ConfigMap 生成的绑定;始终存在")
        }
        ConditionType::PoliciesEnforced => {
            ("API Server 执行控制器的准入策略。缺少任何一条时为 `False`。", "绑定;仅在为 `False` 时")
        }
        ConditionType::WithdrawalHeld => {
            ("绑定不再选中任何对象。已写入的内容在宽限期内保留并刷新。", "绑定;仅在成立时")
        }
        ConditionType::AdmissionConfigured => (
            "API Server 在准入时为 ServiceAccount 添加条目。否则为 `False`。",
            "带有 `spec.webhook.enable` 的绑定",
        ),
        ConditionType::Contended => {
            ("另一个写入者还原 Secret 或条目,或删除 Secret,控制器每次都会恢复。", "绑定;仅在成立时")
        }
    }
}

/// Turns the name of a page, such as `docs/operations.md`, into a link to it.
fn linked(text: &str) -> String {
    let parts = text.split('`').enumerate().map(|(number, part)| {
        let page = part.strip_prefix("docs/").map(|page| page.strip_prefix("zh-CN/").unwrap_or(page));
        match page.and_then(|page| page.split_once(".md")) {
            Some((page, anchor)) if number % 2 == 1 => format!("[{page}](../{page}.md{anchor})"),
            _ if number % 2 == 1 => format!("`{part}`"),
            _ => part.to_owned(),
        }
    });
    parts.collect()
}
