//! The managed edition's add-on, a manifest in a text, and what a file has instead.

use super::{DocumentReader, FileLanguage};
use crate::api::legacy::{Node, addon};
use crate::api::names::LEGACY_NAME;
use crate::cli::diagnostic::Lines;
use crate::cli::document::locate::{AddonNode, has_setting, kinds, names, says_nothing};
use crate::cli::document::unevaluated::{
    SHOW, depends, describe, describe_addon, describe_function, get_config_map,
};
use crate::cli::document::{Document, Scalar, shell_name};
use crate::model::legacy::{Code, unrendered};

impl DocumentReader<'_> {
    /// Reads the managed edition's configuration, or says what it is without one.
    pub(super) fn addon(&mut self, found: &AddonNode<'_>) {
        const NAME: &str = addon::NAME;
        let Some(config) = found.config.filter(|config| !says_nothing(Some(config))) else {
            let written = match self.language {
                FileLanguage::Hcl => {
                    r#"config = jsonencode({ AcrInstanceInfo = [{ instanceId = "<id>" }] })"#
                }
                FileLanguage::Json | FileLanguage::Yaml => {
                    r#""config": "{\"AcrInstanceInfo\": [{\"instanceId\": \"<id>\"}]}""#
                }
            };
            let message = format!(
                "without a configuration the add-on serves the Personal Edition of the cluster's region, to the ServiceAccount default in the namespace default: for an instance, write {written}"
            );
            let place = found.config.unwrap_or(found.name);
            self.report(Code::AddonWithoutConfig, NAME, place, &message, &[]);
            self.document.addon = Some(Scalar::verbatim("{}", self.span(place)));
            return;
        };
        if let Some(other) = found.other {
            let start = config.span.clone().unwrap_or_default().start;
            let message = format!(
                "line {} has another configuration of the add-on: keep the one of the cluster that you move, or read it there with {}",
                Lines::of(&self.patched.text).line(start),
                describe_addon()
            );
            self.report(Code::AddonRepeated, NAME, other, &message, &[]);
            self.document.unread = true;
        }
        if depends(config) {
            return self.unevaluated(addon::CONFIG, config, true);
        }
        let variable = |text: &str| text.starts_with("${") && text.ends_with('}');
        let unknown = match config.text().map(str::trim) {
            Some("true") => Some(format!(
                "the plan knows the value only once it is applied: run terraform apply, and then {SHOW}"
            )),
            Some(text) if !variable(text) => None,
            None if self.language == FileLanguage::Hcl
                || has_setting(config)
                || config.pairs().is_empty() =>
            {
                None
            }
            // A map without a setting is a function of a template.
            _ => {
                let command = if self.terraform { SHOW.to_owned() } else { describe_addon() };
                Some(format!(
                    "the value is a variable or a function of the tool around it: {command} reads what it came to"
                ))
            }
        };
        if let Some(message) = unknown {
            return self.report(Code::Unevaluated, addon::CONFIG, config, &message, &[]);
        }
        let text = &self.patched.text;
        let root = std::ptr::eq(found.name, config);
        let whole = || match self.language {
            FileLanguage::Yaml if root => Scalar::bare(&self.document.sources[0].text),
            FileLanguage::Json => Scalar::slice(text, self.span(config)),
            FileLanguage::Yaml | FileLanguage::Hcl => Scalar::rendered(text, config),
        };
        self.document.addon = Some(self.text(config).unwrap_or_else(whole));
    }

    /// Takes over what was read of a manifest in a text.
    pub(super) fn take_over(&mut self, inner: Document, outer: &Scalar) {
        for mut found in inner.diagnostics {
            found.span = found.span.map(|span| outer.place(&span));
            found.edits = outer.edits(&found.edits).unwrap_or_default();
            self.document.diagnostics.push(found);
        }
        for (name, mut value) in inner.values {
            value.key = value.key.map(|key| outer.place(&key));
            value.scalar = value.scalar.within(outer);
            self.document.values.insert(name, value);
        }
        self.document.found |= inner.found;
        self.document.unread |= inner.unread;
    }

    /// Reports a value that is more than the file says.
    pub(super) fn unevaluated(&mut self, key: &str, node: &Node, whole: bool) {
        let source = &self.document.sources[0];
        let command = match (source.text.contains("ROSTemplateFormatVersion"), whole) {
            (true, _) => {
                unrendered::PREVIEW_STACK.replace(" FILE", &format!(" {}", shell_name(&source.name)))
            }
            (false, true) => describe_addon(),
            (false, false) => get_config_map(),
        };
        let message = describe_function(node, &command)
            .unwrap_or_else(|| describe(&self.patched.text, node, whole, &self.defaults));
        self.report(Code::Unevaluated, key, node, &message, &[]);
        self.document.unread = true;
    }

    /// Says what a file has instead of a configuration, and which command gives one.
    pub(super) fn nothing_in(&self, roots: &[Node]) -> String {
        const NEITHER: &str = "no ConfigMap acr-configuration, no map data with one of its keys, and no configuration of the managed add-on";
        let (kinds, cure) = (kinds(roots), get_config_map());
        if self.document.sources[0].text.trim() == "(sensitive value)" {
            "Terraform hides the value: echo 'nonsensitive(<expression>)' | terraform console | kubectl acr lint - reads it".to_owned()
        } else if kinds.as_slice() == ["AcrCredentialBinding"] {
            "the file has an AcrCredentialBinding, which the API server checks: run kubectl apply --server-side --dry-run=server -f on it; convert --reverse prints the equivalent ConfigMap".to_owned()
        } else if names(roots, addon::NAME) {
            format!(
                "the file names the managed add-on without its configuration: {} reads it",
                describe_addon()
            )
        } else if names(roots, addon::UNMANAGED) {
            format!(
                "the add-on {} is configured by a ConfigMap, which is not in the file: {cure} reads it",
                addon::UNMANAGED
            )
        } else if self.terraform {
            format!(
                "the file is Terraform, and names neither the add-on {} nor the ConfigMap {LEGACY_NAME}: {SHOW} reads all of it, and {cure} reads the cluster's",
                addon::NAME
            )
        } else if kinds.is_empty() {
            format!("the file has {NEITHER}: {cure} reads the cluster's")
        } else {
            let kinds = kinds.iter().take(5).copied().collect::<Vec<_>>().join(", ");
            format!("the file has {kinds}, but {NEITHER}: {cure} reads the cluster's")
        }
    }
}
