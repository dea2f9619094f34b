//! The values of a registry entry that need more than a pattern: the API server explains its refusal in words.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::json;

use crate::api::regions::{KNOWN_REGIONS, unique_names};

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
const NO_REGION: &str =
    "regionId must be the ID of a region such as cn-hangzhou: write the ID, not the name in the console";
const ZONE: &str = "^[a-z]{2}(-[a-z0-9]+)*-[0-9]+[a-z]$|^[a-z]{2}(-[a-z0-9]+)+-[a-z]$";
const INSTANCE: &str = "^(cri-[a-z0-9][a-z0-9-]*)?$";
const ADDRESS: &str = "^[a-z0-9*]([a-z0-9*.-]*[a-z0-9*])?(:PORT)?(/[a-z0-9._/-]+)?$";

/// The ports up to 65535.
const PORT: &str = "([0-9]{1,4}|[0-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])";

const ACCOUNT_AND_NAME: (&str, &str) = ("[0-9]+", "[A-Za-z0-9._-]+");

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
    let rules = json!([
        {
            "rule": format!("self.matches('{REGION}')"),
            "message": NO_REGION,
            "messageExpression": region_meant(),
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

/// Returns the expression of a message that names the region which is meant: its ID is in the text, or the text is its
/// name in the console.
fn region_meant() -> String {
    let mut ids: Vec<&str> = KNOWN_REGIONS.iter().map(|region| region.id).collect();
    // The first that fits is found, and some begin with another one.
    ids.sort_by_key(|id| (std::cmp::Reverse(id.len()), *id));
    let ids = ids.join("|");
    let names: Vec<String> = unique_names().iter().map(|(name, id)| format!("'{name}':'{id}'")).collect();
    let names = names.join(",");
    let written = "self.lowerAscii().replace('_', '-').replace(' ', '-')";
    let signs = [" ", "(", ")", "（", "）", "-", "_", "–", "·", "."];
    let plain = signs
        .iter()
        .fold("self.lowerAscii()".to_owned(), |text, sign| format!("{text}.replace('{sign}', '')"));
    let write = "regionId must be the ID of a region: write ";
    // The list is there twice: the API server takes every other way to name it for one of unbounded cost.
    format!(
        "{written}.find('{ids}') != '' ? '{write}' + {written}.find('{ids}') : \
         {plain} in {{{names}}} ? '{write}' + {{{names}}}[{plain}] : \
         {written}.matches('{REGION}') ? '{write}' + {written} : '{NO_REGION}'"
    )
}

/// Returns the schema of the ARN of a role.
pub(super) fn role_arn(generator: &mut SchemaGenerator) -> Schema {
    arn(generator, ("role", "a role"), 128)
}

/// Returns the schema of the ARN of an OIDC provider.
pub(super) fn provider_arn(generator: &mut SchemaGenerator) -> Schema {
    arn(generator, ("oidc-provider", "an OIDC provider"), 192)
}

fn arn(generator: &mut SchemaGenerator, (kind, what): (&str, &str), most: usize) -> Schema {
    let mut schema = <Option<String>>::json_schema(generator);
    schema.insert("maxLength".to_owned(), json!(most));
    let (account, name) = ACCOUNT_AND_NAME;
    let form = format!("the ARN of {what} must have the form acs:ram::<account>:{kind}/<name>");
    // With arn: before it, or with a region, which RAM does not have.
    let near = format!("^(arn:)?acs:ram:[^:]*:{account}:{kind}/{name}$");
    let part = |number: usize| format!("self.trim().replace('arn:acs', 'acs').split(':')[{number}]");
    let meant = format!("': write acs:ram::' + {} + ':' + {}", part(3), part(4));
    let rules = json!([{
        "rule": format!("self.matches('^acs:ram::{account}:{kind}/{name}$')"),
        "message": form,
        "messageExpression": format!(
            "self.trim().matches('{near}') ? '{form}' + {meant} : \
             self.matches('^acs:ram::{account}:user/') ? '{form}: this is the ARN of a user' : '{form}'"
        ),
    }]);
    schema.insert("x-kubernetes-validations".to_owned(), rules);
    schema
}

/// Returns the schema of names and globs of namespaces.
pub(super) fn namespace_names(generator: &mut SchemaGenerator) -> Schema {
    names(generator, "^[a-z0-9*?]([-a-z0-9*?]*[a-z0-9*?])?$", ("digits and -", 63))
}

/// Returns the schema of names and globs of ServiceAccounts.
pub(super) fn account_names(generator: &mut SchemaGenerator) -> Schema {
    names(generator, "^[a-z0-9*?]([-a-z0-9.*?]*[a-z0-9*?])?$", ("digits, - and .", 253))
}

fn names(generator: &mut SchemaGenerator, pattern: &str, (signs, most): (&str, usize)) -> Schema {
    let mut schema = <Vec<String>>::json_schema(generator);
    schema.insert("maxItems".to_owned(), json!(256));
    let form = format!("a name must have lower-case letters, {signs}, or be a glob with * and ?");
    let plain = "self.trim().lowerAscii().replace('_', '-')";
    schema.insert(
        "items".to_owned(),
        json!({
            "type": "string",
            "minLength": 1,
            "maxLength": most,
            "x-kubernetes-validations": [{
                "rule": format!("self.matches('{pattern}')"),
                "message": form,
                "messageExpression": format!(
                    "self.trim().matches('[,;， ]') ? '{form}: write each name as an item of its own' : \
                     {plain}.matches('{pattern}') ? '{form}: write ' + {plain} : '{form}'"
                ),
            }],
        }),
    );
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
         self.matches('^[^/]*:[0-9]{{5,}}(/|$)') ? '{address}: the port is above 65535' : \
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
                { "rule": format!("self.matches('{}')", ADDRESS.replace("PORT", PORT)), "message": address, "messageExpression": explained },
            ],
        }),
    );
    schema
}
