//! The values of a registry entry that need more than a pattern: the API server explains its refusal in words.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::json;

/// Addresses of the new Personal Edition, as a regular expression of RE2 for addresses in lower case.
/// `crate::model::edition` has the same rule.
pub const UNSUPPORTED_HOST: &str =
    r"^(crpi-[^./:]*|(crpi-[^/:]*|[^/:]*[.]personal[.]cr)[.]aliyuncs[.]com)([:/]|$)";

/// Globs that include such addresses.
pub const UNSUPPORTED_GLOB: &str = concat!(
    r"^(crpi-|(c|cr|crp|crpi)?[*])[^./:]*[.][^./:]*[-*][^./:]*",
    r"[.](personal|[^./:]*[*][^./:]*)[.](cr|[^./:]*[*][^./:]*)",
    r"[.](aliyuncs|[^./:]*[*][^./:]*)[.](com|[^./:]*[*][^./:]*)([:/]|$)"
);

const REGION: &str = "^[a-z]{2}(-[a-z0-9]+)+$";
const ZONE: &str = "^[a-z]{2}(-[a-z0-9]+)*-[0-9]+[a-z]$|^[a-z]{2}(-[a-z0-9]+)+-[a-z]$";
const INSTANCE: &str = "^(cri-[a-z0-9][a-z0-9-]*)?$";
const ADDRESS: &str = "^[a-z0-9*]([a-z0-9*.-]*[a-z0-9*])?(:[0-9]{1,5})?(/[a-z0-9._/-]+)?$";

const UNSUPPORTED: &str = "belongs to a Personal Edition instance made after 2024-09-08, for which the cloud issues no token. Create a pull Secret with kubectl create secret docker-registry and add it to the ServiceAccount, or use an Enterprise Edition instance";

/// Returns the schema of `instanceId`.
pub(super) fn instance_id(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = <Option<String>>::json_schema(generator);
    schema.insert("maxLength".to_owned(), json!(64));
    let other = "instanceId must be the ID of an Enterprise Edition instance, cri-… as in the console, or empty for the Personal Edition";
    let host = "instanceId must be the ID cri-… of an Enterprise Edition instance and not a host: write the host in domains";
    let name = "instanceId must be the ID cri-… that the console shows with the name of the Enterprise Edition instance";
    let rules = json!([
        { "rule": "!self.matches('(?i)^crpi-')", "message": format!("instanceId {UNSUPPORTED}") },
        {
            "rule": format!("self.matches('{INSTANCE}') || self.matches('(?i)^crpi-')"),
            "message": other,
            "messageExpression": format!("self.contains('.') ? '{host}' : '{name}'"),
        },
    ]);
    schema.insert("x-kubernetes-validations".to_owned(), rules);
    schema
}

/// Returns the schema of `regionId`.
pub(super) fn region_id(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = <Option<String>>::json_schema(generator);
    schema.insert("maxLength".to_owned(), json!(32));
    let plain = "self.lowerAscii().replace('_', '-').replace(' ', '-')";
    let name =
        "regionId must be the ID of a region such as cn-hangzhou: write the ID, not the name in the console";
    let rules = json!([
        {
            "rule": format!("self.matches('{REGION}')"),
            "message": name,
            "messageExpression": format!("{plain}.matches('{REGION}') ? 'regionId must be the ID of a region: write ' + {plain} : '{name}'"),
        },
        {
            "rule": format!("!self.matches('{ZONE}')"),
            "message": "regionId is the ID of a zone and not of a region: leave out its last part",
            "messageExpression": "'regionId is the ID of a zone and not of a region: write its region ' + self.substring(0, size(self) - (self.matches('-[a-z]$') ? 2 : 1))",
        },
    ]);
    schema.insert("x-kubernetes-validations".to_owned(), rules);
    schema
}

/// Returns the schema of `domains`.
pub(super) fn domains(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = <Vec<String>>::json_schema(generator);
    schema.insert("maxItems".to_owned(), json!(32));
    let address = "a domain must be a registry address host[:port][/path] in lower case";
    let explained = format!(
        "self.contains(',') ? '{address}: write each address as an item of its own' : \
         self.matches('^([a-z]+://)?[^/]*@') ? '{address}: leave out the user name' : \
         self.contains('://') ? '{address}: leave out the scheme and a trailing /' : \
         self.matches('/.*[:@]') ? '{address}: leave out the tag or the digest of an image' : \
         self.endsWith('/') ? '{address}: leave out the trailing /' : '{address}'"
    );
    schema.insert(
        "items".to_owned(),
        json!({
            "type": "string",
            "minLength": 1,
            "maxLength": 253,
            "x-kubernetes-validations": [
                { "rule": format!("!self.matches('(?i){UNSUPPORTED_HOST}')"), "message": format!("the domain {UNSUPPORTED}") },
                { "rule": format!("!self.contains('*') || !self.matches('(?i){UNSUPPORTED_GLOB}')"), "message": format!("the glob {UNSUPPORTED}") },
                { "rule": format!("self.matches('{ADDRESS}')"), "message": address, "messageExpression": explained },
            ],
        }),
    );
    schema
}
