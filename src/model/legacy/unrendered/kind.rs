//! The tools that replace such a text, and their commands.

use crate::model::legacy::code::Code;

/// The words before the command of a message.
pub(super) const BEFORE_COMMAND: &str = "check what comes out: ";

/// The command that prints the resources of a template of ROS with their properties.
pub(crate) const PREVIEW_STACK: &str = "aliyun ros PreviewStack --StackName preview --TemplateBody \"$(cat FILE)\" --Parameters.1.ParameterKey KEY --Parameters.1.ParameterValue VALUE | kubectl acr lint -";

/// The kind of text, by the tool that replaces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `${X}`, `$X`
    Shell,
    /// `${X:=default}`
    ShellDefault,
    /// `$(X)`
    Paren,
    /// `${var.x}`, `%{ if x }`
    Terraform,
    /// `${X}` in `Fn::Sub`, in a template for a stack of resources
    Stack,
    /// `${{ x }}`, `$[[ x ]]`
    Pipeline,
    /// `%X%`
    Percent,
    /// `%(x)s`
    Format,
    /// `@X@`
    At,
    /// `__X__`
    Underscores,
    /// `#{X}#`
    Octopus,
    /// `<your-instance-id>`
    Placeholder,
    /// `<no value>`, `(known after apply)`
    Missing,
    /// `<path:secret/data/x#key>`
    ArgoVault,
    /// `{{ .Values.x }}`
    Helm,
    /// `{{ .Env.X }}`, `[[ .x ]]`
    Gomplate,
    /// `{{ key "x" }}`
    ConsulTemplate,
    /// `{{ x }}`, `{% if x %}`
    Jinja,
    /// `<%= x %>`
    Erb,
    /// `((x))`
    Concourse,
    /// `#@ data.values.x`
    Ytt,
    /// `ref+vault://x`
    Vals,
    /// `op://x`
    OnePassword,
    /// `ENC[AES256_GCM,…]`
    Sops,
    /// `ENC[PKCS7,…]`
    Eyaml,
    /// `$ANSIBLE_VAULT;1.1;AES256`
    AnsibleVault,
    /// `<<<<<<< HEAD`
    Merge,
}

impl Kind {
    pub(super) fn code(self) -> Code {
        match self {
            Self::Helm | Self::Gomplate | Self::ConsulTemplate | Self::Jinja | Self::Erb | Self::Ytt => {
                Code::Template
            }
            Self::Sops | Self::Eyaml | Self::AnsibleVault => Code::Encrypted,
            Self::Placeholder => Code::Placeholder,
            Self::Merge => Code::MergeConflict,
            _ => Code::Variable,
        }
    }

    /// Returns what it is, and the command that prints the result.
    fn tool(self) -> (&'static str, &'static str) {
        match self {
            Self::Shell => (
                "a variable that was not substituted",
                "envsubst < FILE | kubectl acr lint - (with Flux write flux envsubst --strict in the place of envsubst)",
            ),
            Self::ShellDefault => (
                "a variable that was not substituted",
                "flux envsubst --strict < FILE | kubectl acr lint -, since the plain envsubst knows no default values",
            ),
            Self::Paren => (
                "a variable of Kustomize, make or a pipeline that was not replaced",
                "kustomize build . | kubectl acr lint -, or the make target or pipeline that replaces it",
            ),
            Self::Terraform => (
                "an expression of Terraform that was not evaluated",
                "terraform plan -out tfplan, then terraform show -json tfplan | kubectl acr lint -",
            ),
            Self::Stack => ("a variable of a template for a stack of resources", PREVIEW_STACK),
            Self::Pipeline => (
                "an expression that only the pipeline replaces",
                "let it apply the file, then kubectl acr lint --live",
            ),
            Self::Format => (
                "a place for a value that was not filled in",
                "jsonnet FILE | kubectl acr lint -, or the program that prints the text",
            ),
            Self::ArgoVault => (
                "a placeholder of the Argo CD Vault plugin that was not replaced",
                "argocd-vault-plugin generate FILE | kubectl acr lint -",
            ),
            Self::Helm => {
                ("an expression of a Helm template", "helm template RELEASE CHART | kubectl acr lint -")
            }
            Self::Gomplate => ("an expression of a Go template", "gomplate -f FILE | kubectl acr lint -"),
            Self::ConsulTemplate => (
                "an expression of consul-template",
                "consul-template -once -template FILE:rendered.yaml, then kubectl acr lint rendered.yaml",
            ),
            Self::Jinja => (
                "an expression of a Jinja template, as Ansible has them",
                "jinja2 FILE values.yaml | kubectl acr lint -, or for a chart helm template RELEASE CHART | kubectl acr lint -",
            ),
            Self::Erb => ("an expression of an ERB template", "erb FILE | kubectl acr lint -"),
            Self::Concourse => (
                "a variable of Concourse or spruce that was not replaced",
                "spruce merge FILE values.yaml | kubectl acr lint -, or bosh interpolate FILE -l values.yaml | kubectl acr lint -",
            ),
            Self::Ytt => {
                ("an annotation of a ytt template", "ytt -f FILE -f values.yaml | kubectl acr lint -")
            }
            Self::Vals => {
                ("a reference of vals that was not replaced", "vals eval -f FILE | kubectl acr lint -")
            }
            Self::OnePassword => {
                ("a reference of 1Password that was not replaced", "op inject -i FILE | kubectl acr lint -")
            }
            Self::Sops => ("a value that SOPS has encrypted", "sops -d FILE | kubectl acr lint -"),
            Self::Eyaml => ("a value that eyaml has encrypted", "eyaml decrypt -f FILE | kubectl acr lint -"),
            Self::AnsibleVault => (
                "the head of a text that Ansible Vault has encrypted",
                "ansible-vault view FILE | kubectl acr lint -",
            ),
            Self::Percent => ("a variable between percent signs that was not replaced", ""),
            Self::At => ("a variable between @ signs that was not replaced", ""),
            Self::Underscores => ("a token between double underscores that was not replaced", ""),
            Self::Octopus => ("a token of Octopus or Azure DevOps that was not replaced", ""),
            Self::Placeholder | Self::Missing | Self::Merge => ("", ""),
        }
    }

    /// Says what a text is, and the command that renders it.
    pub(crate) fn message(self, shown: &str) -> String {
        let (what, command) = self.tool();
        let verb = match self.code() {
            Code::Encrypted => "decrypt the file first, and ",
            _ => "render the file first, and ",
        };
        match self {
            Self::Placeholder => {
                format!("{shown} is a placeholder: write the text that belongs there, without < and >")
            }
            Self::Missing => format!(
                "{shown} is what a template or Terraform prints for a value that is not set or not known yet: set it, render the file again, and check what comes out"
            ),
            Self::Merge => format!(
                "{shown} is a mark of a merge that was not resolved: keep one of the two sides, delete the marks, and check again; git diff --check lists them"
            ),
            // Any editor of streams can replace a token.
            _ if command.is_empty() => format!(
                "{shown} is {what}: replace it first, in the pipeline or as here, and {BEFORE_COMMAND}sed 's|{shown}|VALUE|g' FILE | kubectl acr lint -"
            ),
            _ => format!("{shown} is {what}: {verb}{BEFORE_COMMAND}{command}"),
        }
    }
}
