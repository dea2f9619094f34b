//! A search of output for secrets, in each form in which a program may print them.

use std::{collections::HashMap, path::PathBuf};

use anyhow::Context;
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};

use crate::{cloud::Cloud, plane::Plane};

/// Secrets that are shorter would be found by chance.
const SHORTEST: usize = 8;

/// The secrets to search for.
#[derive(Debug, Default)]
pub struct Canaries {
    /// All forms, by their first two bytes.
    forms: HashMap<[u8; 2], Vec<(&'static str, Vec<u8>)>>,
}

/// A secret that was found. It does not repeat the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leak {
    /// The form in which it was printed.
    pub form: &'static str,
    /// What was printed before it.
    pub before: String,
}

impl Canaries {
    /// Prepares a search for these secrets: plain, in base64, in hexadecimal, escaped as in a URL, and escaped
    /// as in JSON.
    pub fn new(secrets: impl IntoIterator<Item = impl AsRef<str>>) -> Canaries {
        let mut canaries = Canaries::default();
        for secret in secrets {
            let secret = secret.as_ref();
            if secret.len() < SHORTEST {
                continue;
            }
            canaries.add("plain", secret.as_bytes().to_vec());
            for form in base64_forms(secret.as_bytes()) {
                canaries.add("base64", form.replace('+', "-").replace('/', "_").into_bytes());
                canaries.add("base64", form.into_bytes());
            }
            let hex = |upper: bool| -> String {
                let digits = |byte: u8| if upper { format!("{byte:02X}") } else { format!("{byte:02x}") };
                secret.bytes().map(digits).collect()
            };
            canaries.add("hexadecimal", hex(false).into_bytes());
            canaries.add("hexadecimal", hex(true).into_bytes());
            canaries.add("URL", url(secret).into_bytes());
            canaries.add("JSON", serde_json::Value::from(secret).to_string().trim_matches('"').into());
        }
        canaries
    }

    fn add(&mut self, name: &'static str, form: Vec<u8>) {
        let Some(&[first, second]) = form.get(..2) else { return };
        let alike = self.forms.entry([first, second]).or_default();
        if !alike.iter().any(|(_, known)| *known == form) {
            alike.push((name, form));
        }
    }

    /// Returns the first secret in a text.
    pub fn find(&self, text: &str) -> Option<Leak> {
        let bytes = text.as_bytes();
        // Most pairs of bytes begin no form: a table is faster than the map.
        let mut begins = vec![false; 1 << 16];
        for [first, second] in self.forms.keys() {
            begins[usize::from(*first) << 8 | usize::from(*second)] = true;
        }
        for at in 0..bytes.len().saturating_sub(1) {
            if !begins[usize::from(bytes[at]) << 8 | usize::from(bytes[at + 1])] {
                continue;
            }
            let alike = self.forms.get(&[bytes[at], bytes[at + 1]]).into_iter().flatten();
            for (form, secret) in alike {
                if bytes[at..].starts_with(secret) {
                    let before = String::from_utf8_lossy(&bytes[at.saturating_sub(200)..at]).into_owned();
                    return Some(Leak { form, before });
                }
            }
        }
        None
    }
}

/// Searches the logs of all controllers of a plane, which are beside its kubeconfigs, for the secrets of a cloud
/// and for the controllers' own tokens. Returns the log that holds one.
pub fn leaked(plane: &Plane, cloud: &Cloud) -> anyhow::Result<Option<(String, Leak)>> {
    let mut secrets = cloud.secrets();
    let files = std::fs::read_dir(plane.dir())?.map(|entry| Ok(entry?.path()));
    let files: Vec<PathBuf> = files.collect::<anyhow::Result<_>>()?;
    let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for path in files.iter().filter(|path| name(path).ends_with(".kubeconfig")) {
        let config: serde_json::Value = serde_json::from_slice(&std::fs::read(path)?)
            .with_context(|| format!("{} is not JSON", path.display()))?;
        secrets.extend(config["users"][0]["user"]["token"].as_str().map(str::to_owned));
    }
    let canaries = Canaries::new(secrets);
    // The other programs of a plane are not ours.
    for log in
        files.iter().filter(|path| name(path).starts_with("controller") && name(path).ends_with(".log"))
    {
        let text = std::fs::read(log)?;
        if let Some(leak) = canaries.find(&String::from_utf8_lossy(&text)) {
            return Ok(Some((name(log), leak)));
        }
    }
    Ok(None)
}

/// Returns what is in the base64 of any text that holds the secret: one form for each offset within a group of
/// three bytes, without the characters that depend on what is beside it.
fn base64_forms(secret: &[u8]) -> Vec<String> {
    let form = |offset: usize| {
        let padded: Vec<u8> = std::iter::repeat_n(0, offset).chain(secret.iter().copied()).collect();
        let text = STANDARD_NO_PAD.encode(&padded);
        let begin = (offset * 8).div_ceil(6);
        let end = padded.len() * 8 / 6;
        text[begin..end].to_owned()
    };
    (0..3).map(form).collect()
}

fn url(secret: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    secret
        .bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};

    use super::*;

    const SECRET: &str = "s3cr3t/tok+en:\"ä\"";

    #[test]
    fn each_form_is_found_at_each_place() {
        let canaries = Canaries::new([SECRET]);
        let hex: String = SECRET.bytes().map(|byte| format!("{byte:02x}")).collect();
        let mut printed = vec![
            ("plain", SECRET.to_owned()),
            ("hexadecimal", hex.clone()),
            ("hexadecimal", hex.to_uppercase()),
            ("URL", "s3cr3t%2Ftok%2Ben%3A%22%C3%A4%22".to_owned()),
            ("JSON", "s3cr3t/tok+en:\\\"ä\\\"".to_owned()),
        ];
        for before in ["", "a", "ab", "abc"] {
            for after in ["", "y", "yz"] {
                printed.push(("base64", STANDARD.encode(format!("{before}{SECRET}{after}"))));
                printed.push(("base64", URL_SAFE.encode(format!("{before}{SECRET}{after}"))));
            }
        }
        for (form, text) in printed {
            let leak = canaries.find(&format!("before {text} after"));
            let leak = leak.unwrap_or_else(|| panic!("{form}: {text}"));
            assert_eq!(leak.form, form, "{text}");
            assert!(leak.before.starts_with("before "), "{leak:?}");
        }
    }

    #[test]
    fn what_is_near_a_secret_is_not_one() {
        let canaries = Canaries::new([SECRET, "short"]);
        for text in ["", "s", "s3cr3t", "s3cr3t/tok+en", "short", &STANDARD.encode("s3cr3t")] {
            assert_eq!(canaries.find(text), None, "{text}");
        }
    }
}
