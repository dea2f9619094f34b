//! Add-ons by their names, and ConfigMaps by their metadata, in HCL, JSON and YAML.

use proptest::prelude::*;

use super::found;
use crate::api::legacy::addon::NAME;
use crate::api::legacy::{parse_hcl, parse_json};
use crate::cli::document::read;
use crate::cli::lint::check;
use crate::model::legacy::Code;

/// A language and a layout of a list of add-ons.
#[derive(Clone, Copy, Debug)]
enum Layout {
    Json,
    JsonOnOneLine,
    State,
    KeyedJson,
    Ros,
    Pulumi,
    Blocks,
    Heredocs,
    List,
    ListOnOneLine,
    Resources,
    Keyed,
}

const LAYOUTS: [Layout; 12] = [
    Layout::Json,
    Layout::JsonOnOneLine,
    Layout::State,
    Layout::KeyedJson,
    Layout::Ros,
    Layout::Pulumi,
    Layout::Blocks,
    Layout::Heredocs,
    Layout::List,
    Layout::ListOnOneLine,
    Layout::Resources,
    Layout::Keyed,
];

/// An add-on: its name, its configuration if it has one, and whether its name comes first.
type Addon = (String, Option<String>, bool);

fn written(addons: &[Addon], layout: Layout) -> String {
    let quoted = |text: &str| serde_json::to_string(text).unwrap();
    let fields = |(name, config, first): &Addon,
                  sign: &str,
                  between: &str,
                  config_of: &dyn Fn(&str) -> String| {
        let key = if sign == ":" { quoted } else { |key: &str| key.to_owned() };
        let mut fields = vec![format!("{}{sign} {}", key("name"), quoted(name))];
        fields.extend(config.as_ref().map(|config| format!("{}{sign} {}", key("config"), config_of(config))));
        if !first {
            fields.reverse();
        }
        fields.join(between)
    };
    let each = |one: &dyn Fn(&Addon) -> String, between: &str| {
        addons.iter().map(one).collect::<Vec<_>>().join(between)
    };
    let json = |between: &str| {
        each(
            &|addon| format!("{{{}}}", fields(addon, ":", &format!(",{between}"), &quoted)),
            &format!(",{between}"),
        )
    };
    let plain = |config: &str| format!("jsonencode({})", config.replace("\":", "\" ="));
    let heredoc = |config: &str| format!("<<-EOT\n      {config}\n    EOT");
    match layout {
        Layout::Json => format!("[\n{}\n]\n", json("\n  ")),
        Layout::JsonOnOneLine => format!("{{\"addons\":[{}]}}", json("")),
        Layout::State => {
            let record = |addon: &Addon| {
                let values = fields(addon, ":", ",", &quoted);
                format!("{{\"mode\":\"managed\",\"name\":{},\"values\":{{{values}}}}}", quoted(NAME))
            };
            format!("{{\"values\":{{\"root_module\":{{\"resources\":[{}]}}}}}}", each(&record, ","))
        }
        Layout::KeyedJson => {
            let pair = |(name, config, _): &Addon| {
                let config = config.iter().map(|config| format!("\"config\":{config}")).collect::<String>();
                format!("{}:{{{config}}}", quoted(name))
            };
            format!("{{\"addons\":{{{}}}}}", each(&pair, ",\n"))
        }
        Layout::Ros => {
            let item = |addon: &Addon| {
                let fields = fields(addon, ":", "\n          ", &quoted);
                format!("        - {}", fields.replace("\"name\"", "Name").replace("\"config\"", "Config"))
            };
            format!("Resources:\n  A:\n    Properties:\n      Addons:\n{}\n", each(&item, "\n"))
        }
        Layout::Pulumi => {
            let item = |addon: &Addon| {
                let map = |config: &str| format!("{{\"fn::toJSON\": {config}}}");
                format!("  a:\n    properties:\n      {}", fields(addon, ":", "\n      ", &map))
            };
            format!("resources:\n{}\n", each(&item, "\n"))
        }
        Layout::Blocks => {
            each(&|addon| format!("addons {{\n  {}\n}}", fields(addon, " =", "\n  ", &quoted)), "\n")
        }
        Layout::Heredocs => {
            each(&|addon| format!("addons {{\n    {}\n}}", fields(addon, " =", "\n    ", &heredoc)), "\n")
        }
        Layout::List => {
            let item = |addon: &Addon| {
                format!("    {{\n      {},\n    }},", fields(addon, " =", ",\n      ", &plain))
            };
            format!("variable \"a\" {{\n  default = [\n{}\n  ]\n}}\n", each(&item, "\n"))
        }
        Layout::ListOnOneLine => {
            format!("a = [{}]", each(&|addon| format!("{{ {} }}", fields(addon, " =", ", ", &quoted)), ", "))
        }
        Layout::Resources => {
            let block = |addon: &Addon| {
                format!(
                    "resource \"alicloud_cs_kubernetes_addon\" \"{NAME}\" {{\n  {}\n}}",
                    fields(addon, " =", "\n  ", &plain)
                )
            };
            each(&block, "\n")
        }
        Layout::Keyed => {
            let pair = |(name, config, _): &Addon| {
                let config =
                    config.iter().map(|config| format!("config = {}", plain(config))).collect::<String>();
                format!("  {} = {{ {config} }}", quoted(name))
            };
            format!("addons = {{\n{}\n}}\n", each(&pair, "\n"))
        }
    }
}

fn config(id: &str) -> String {
    format!("{{\"AcrInstanceInfo\": [{{\"instanceId\": {id:?}}}]}}")
}

/// Returns add-ons of others, some of them with nearly the same name.
fn others() -> impl Strategy<Value = Vec<Addon>> {
    let name = prop_oneof![
        "[a-z]{3,9}(-[a-z]{3,9}){0,2}",
        Just(format!("{NAME}-webhook")),
        Just(format!("x-{NAME}")),
        Just("aliyun-acr-credential-helper".to_owned()),
        Just("acr-credential-helper-webhook".to_owned()),
    ];
    let addon = (name, any::<bool>(), any::<bool>());
    let addon =
        addon.prop_map(|(name, configured, first)| (name, configured.then(|| config("cri-other0")), first));
    let unique = |addons: Vec<Addon>| {
        let mut seen = std::collections::BTreeSet::new();
        addons.into_iter().filter(|addon| seen.insert(addon.0.clone())).collect()
    };
    prop::collection::vec(addon, 0..5).prop_map(unique)
}

proptest! {
    #[test]
    fn never_is_another_add_ons_configuration_taken(
        others in others(), at in any::<prop::sample::Index>(), first: bool, present: bool, configured: bool,
    ) {
        let mut addons = others;
        if present {
            let own = (NAME.to_owned(), configured.then(|| config("cri-own000")), first);
            addons.insert(at.index(addons.len() + 1), own);
        }
        for layout in LAYOUTS {
            let file = written(&addons, layout);
            let report = check(&read("file", &file));
            let codes: Vec<Code> = report.diagnostics.iter().map(|found| found.code).collect();
            let spec = report.conversion.and_then(|conversion| conversion.spec);
            let id = spec.as_ref().map(|spec| spec.registries[0].instance_id.as_deref());
            match (present, configured) {
                (true, true) => prop_assert_eq!((codes, id), (vec![], Some(Some("cri-own000"))), "{}", file),
                (true, false) => {
                    prop_assert_eq!((codes, id), (vec![Code::AddonWithoutConfig], Some(None)), "{}", file);
                }
                _ => prop_assert!(id.is_none() && codes.contains(&Code::NoConfiguration) || addons.is_empty(), "{file}"),
            }
        }
    }

    #[test]
    fn any_text_is_read_as_json_or_hcl_or_refused(text in "[-a-z=:{}\\[\\]()\"$%~<,#/*.\\\\ \n\r\t0-9é]{0,80}") {
        for text in [text.clone(), format!("a = {text}"), format!("a = <<-A\n{text}\nA\n"), format!("[{text}]")] {
            let places = |node: &crate::api::legacy::Node| {
                node.span.clone().is_none_or(|span| text.get(span).is_some())
            };
            if let Ok(roots) = parse_json(&text) {
                prop_assert!(roots.iter().all(places), "{text}");
            }
            if let Ok(root) = parse_hcl(&text) {
                prop_assert!(places(&root) && root.pairs().iter().all(|pair| places(&pair.value)), "{text}");
            }
            check(&read("file", &text));
        }
    }
}

/// Nothing is too deep, too wide or too long for an answer.
#[test]
fn hostile_texts_are_refused() {
    let many = |part: &str| part.repeat(100_000);
    for text in [
        many("["),
        many("{"),
        many("{\"a\":"),
        format!("{}1{}", many("["), many("]")),
        format!("a = {}", many("[")),
        format!("a = {}", many("{a=")),
        format!("a = {}1", many("!")),
        format!("a = {}1", many("b ? c : ")),
        format!("a = b{}", many("+b")),
        format!("a = {}", many("f(")),
        format!("a = {}", many("\"${")),
        format!("a = <<A\n{}\nA\n", many("%{if a}")),
        many("a {\n"),
        format!("a = \"{}\"", many("\\\\")),
    ] {
        let document = read("file", &text);
        assert!(document.holds_nothing() && !document.diagnostics.is_empty(), "{text:.20}");
        assert!(document.diagnostics.iter().all(|found| found.message.len() < 600), "{text:.20}");
    }
    // Terraform's reader takes more for indentation than spaces.
    for lead in ["\r", "\u{3000}", "\t", " \u{a0}"] {
        check(&read("file", &format!("config = <<-A\n{lead}é\nA\n")));
    }
    // Its reader compares each key with all others.
    let keys: String = (0..20_000).map(|key| format!("k{key}=1\n")).collect();
    for text in [keys.clone(), format!("a = {{\n{keys}}}")] {
        let found = &read("file", &text).diagnostics[0];
        assert!(found.message.contains("larger than configuration can be"), "{}", found.message);
    }
    // The deepest that is read does not exhaust the stack.
    for depth in [50, 60, 62, 63, 64, 90, 99, 101] {
        for (open, close) in [("[", "]"), ("{a=", "}"), ("f(", ")"), ("jsonencode(", ")")] {
            let nested = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            check(&read("file", &format!("config = {nested}")));
            check(&read("file", &nested));
        }
        check(&read("file", &format!("{}{}", "{\"a\":[".repeat(depth), "]}".repeat(depth))));
    }
}

/// A local value that names itself, or many others twice, ends.
#[test]
fn local_values_are_followed_as_far_as_they_are_in_the_file() {
    let addon = |config: &str| format!("a {{\n  name = \"{NAME}\"\n  config = {config}\n}}\n");
    let locals = "locals {\n  acr = { AcrInstanceInfo = local.list, tokenMode = null }\n  list = [{ instanceId = \"cri-own000\" }]\n  all = { \"x\" = { config = jsonencode(local.acr) } }\n}\n";
    for config in [
        "jsonencode(local.acr)",
        "local.all.x.config",
        "local.all[\"x\"].config",
        "\"${jsonencode((local.acr))}\"",
    ] {
        let report = check(&read("file", &format!("{locals}{}", addon(config))));
        let spec = report.conversion.and_then(|conversion| conversion.spec).unwrap();
        assert_eq!(spec.registries[0].instance_id.as_deref(), Some("cri-own000"), "{config}");
    }
    let circle = "locals {\n  a = [local.b]\n  b = [local.a]\n}\n";
    assert_eq!(found(&format!("{circle}{}", addon("jsonencode(local.a)"))), ["ACR606 config 7:12"]);
    let double = |at: usize| format!("  l{at} = [local.l{}, local.l{}]\n", at + 1, at + 1);
    let twice = format!("locals {{\n{}}}\n", (0..40).map(double).collect::<String>());
    assert_eq!(found(&format!("{twice}{}", addon("jsonencode(local.l0)"))), ["ACR606 config 45:12"]);
}

#[test]
fn what_is_named_like_the_add_on_is_not_one() {
    for file in [
        format!("kind: Deployment\nspec: {{containers: [{{name: {NAME}, image: a}}]}}\n"),
        format!("kind: Deployment\nmetadata: {{name: {NAME}}}\nspec: {{}}\n"),
        format!(
            "addons:\n- {{name: {NAME}, disabled: true}}\n- {{name: b, config: '{}'}}\n",
            config("cri-b")
        ),
        format!("{{\"addons\":[{{\"name\":{NAME:?},\"state\":\"active\"}}]}}"),
        format!("a {{\n  name = var.name\n  config = jsonencode({})\n}}\n", config("cri-b")),
        format!(
            "resource \"a\" {NAME:?} {{\n  name = var.name\n  config = jsonencode({})\n}}\n",
            config("cri-b")
        ),
    ] {
        assert_eq!(found(&file), ["ACR702 data 1:1"], "{file}");
    }
}

/// Comments, further names and functions of templates hide neither the name nor the lack of one.
#[test]
fn a_configuration_without_the_name_is_known_by_its_settings_alone() {
    let (own, other) = (config("cri-own000"), "{\"albIngress\": {}}");
    let id = |file: &str| {
        let conversion = check(&read("file", file)).conversion?;
        conversion.spec?.registries[0].instance_id.clone()
    };
    for file in [
        format!("{{\n  // ours\n  \"name\": {NAME:?},\n  \"config\": {own:?},\n}}\n"),
        format!(
            "[{{\"name\": \"b\", \"config\": {other:?}}}, /* ours */ {{\"name\": {NAME:?}, \"config\": {own:?}}}]"
        ),
        format!(
            "module \"a\" {{\n  name = \"cluster\"\n  addon_name = {NAME:?}\n  addon_config = 1\n  config = {own:?}\n}}\n"
        ),
        format!(
            "kind: KubernetesAddon\nmetadata: {{name: {NAME}}}\nspec:\n  forProvider:\n    config: '{own}'\n"
        ),
        format!("config = {own:?}\nversion = \"1\"\n"),
        format!("{:?}", format!("{own:?}")),
    ] {
        assert_eq!(id(&file).as_deref(), Some("cri-own000"), "{file}");
    }
    for file in [
        format!("{{\n  // other\n  \"name\": \"b\",\n  \"config\": {own:?},\n}}\n"),
        format!("[{{\"addon\": \"b\", \"config\": {other:?}}}]"),
        format!("config = {other:?}\n"),
        format!("{other:?}"),
        format!("versions:\n  {NAME}: v1\nwanted:\n  {NAME}: true\n"),
    ] {
        assert_eq!((id(&file), read("file", &file).holds_nothing()), (None, true), "{file}");
    }
    for function in ["{\"Ref\": \"A\"}", "{\"Fn::Join\": [\"\", []]}"] {
        let file = format!("{{\"A\": [{{\"Name\": {NAME:?}, \"Config\": {function}}}]}}");
        let document = read("file", &file);
        assert_eq!(document.diagnostics[0].code, Code::Unevaluated, "{file}");
        assert!(document.holds_nothing(), "{file}");
    }
}

/// A state has the templates of others.
#[test]
fn a_template_elsewhere_in_the_file_is_not_ours() {
    let resources = |script: &str, names: &str| {
        let own =
            serde_json::json!({ "name": NAME, "config": format!("{{\"watchNamespace\": \"{names}\"}}") });
        serde_json::json!({ "resources": [{ "values": { "user_data": script } }, { "values": own }] })
            .to_string()
    };
    let hcl = format!(
        "a {{\n  b = \"{{{{ c }}}}\"\n}}\n{{}}\naddons {{\n  name = {NAME:?}\n  config = {:?}\n}}\n",
        config("cri-own000")
    );
    for file in [resources("{{ c }}", "all"), hcl.replace("{}\n", "")] {
        let document = read("file", &file);
        assert!(document.addon.is_some() && document.diagnostics.is_empty(), "{file}");
    }
    assert!(!read("file", &resources("", "{{ c }}")).diagnostics.is_empty());
}

/// A change that would need the signs of the file is only described.
#[test]
fn changes_of_a_map_are_made_in_its_scalars() {
    let list = "cri-a1b2c3,cri-d4e5f6";
    let file = format!(
        "- name: {NAME}\n  config:\n    AcrInstanceInfo:\n    - InstanceId: {list}\n      regionId: CN-Hangzhou\n"
    );
    let report = check(&read("file", &file));
    let changes: Vec<(&str, usize)> =
        report.diagnostics.iter().map(|found| (found.code.as_str(), found.edits.len())).collect();
    assert_eq!(changes, [("ACR111", 1), ("ACR115", 0), ("ACR118", 1)]);
    let edits: Vec<_> = report.diagnostics.iter().flat_map(|found| found.edits.clone()).collect();
    let changed = crate::model::legacy::patch::PatchedText::new(&file, &edits).text;
    assert_eq!(
        changed,
        file.replace("InstanceId", "\"instanceId\"").replace("CN-Hangzhou", "\"cn-hangzhou\"")
    );
}

#[test]
fn a_config_map_in_hcl_is_chosen_by_its_metadata() {
    let resource = |label: &str, name: &str, namespace: &str, data: &str| {
        format!(
            "resource \"kubernetes_config_map\" {label:?} {{\n  metadata {{\n    name = {name}\n    namespace = {namespace:?}\n  }}\n  data = {data}\n  depends_on = [a.b]\n}}\n"
        )
    };
    let other = resource("acr-configuration", "\"other\"", "kube-system", "{ watch-namespace = \"other\" }");
    let elsewhere = resource("a", "\"acr-configuration\"", "default", "{ watch-namespace = \"other\" }");
    let own = resource("b", "\"acr-configuration\"", "kube-system", "{ watch-namespace = \"own\" }");
    for file in [format!("{other}{elsewhere}{own}"), format!("{own}{other}{elsewhere}"), own.clone()] {
        assert_eq!(found(&file), [""; 0], "{file}");
        assert_eq!(read("file", &file).data()["watch-namespace"], "own", "{file}");
    }
    let unnamed = resource("c", "var.name", "kube-system", "{ watch-namespace = \"own\" }");
    for file in [format!("{other}{unnamed}"), unnamed] {
        assert_eq!(read("file", &file).data()["watch-namespace"], "own", "{file}");
    }
    assert_eq!(
        found(&format!("{own}{}", own.replace("\"own\"", "\"other\""))),
        ["ACR715 metadata.name 11:12"]
    );
    // Terraform makes a text of a number, but not of a list.
    let list = resource(
        "b",
        "\"acr-configuration\"",
        "kube-system",
        "{ rrsa = { enable = true }, expiring-threshold = 15 }",
    );
    assert_eq!(found(&list), ["ACR704 rrsa 6:12"]);
    assert!(read("file", &list).diagnostics[0].message.contains("yamlencode"));
}

#[test]
fn findings_of_expressions_hold_no_key() {
    let file = format!(
        "a {{\n  name = \"{NAME}\"\n  config = jsonencode({{ AcrInstanceInfo = [{{ customAccessKeySecret = \"SECRETSECRET\", instanceId = f(\"customAccessKey: SECRETSECRET\") }}] }})\n}}\n"
    );
    let document = read("file", &file);
    assert_eq!(document.diagnostics[0].code, Code::Unevaluated);
    assert!(!document.diagnostics[0].message.contains("SECRET"), "{}", document.diagnostics[0].message);
}
