//! IDs of Enterprise Edition instances, and what people write in their place.

/// Checks an ID `cri-…`.
///
/// # Errors
/// The fault, and what to write instead.
pub fn check(id: &str) -> Result<&str, String> {
    if is_id(id) {
        return Ok(id);
    }
    let shown: String = id.chars().take(80).collect();
    // The name of a resource ends with the ID.
    let last = id.rsplit(['/', ':']).next().filter(|last| *last != id && is_id(last));
    Err(match respelled(id).or_else(|| last.map(str::to_owned)) {
        Some(meant) => format!("{shown:?} is not an Enterprise instance ID: write {meant}"),
        None if id.contains('.') => format!(
            "{shown:?} is a host and not an Enterprise instance ID: write cri-… as in the console, and the host in domains"
        ),
        None => format!(
            "{shown:?} is not an Enterprise instance ID: write the ID cri-… that the console shows with the instance's name, or omit it for the Personal Edition"
        ),
    })
}

/// Returns the ID that a text spells with other letters or separators, such as `CRI_ABC`. One that mixes the cases of
/// letters, such as `cri-instanceId`, is a name.
pub fn respelled(text: &str) -> Option<String> {
    let rest = text.trim().get(4..)?;
    if rest.contains(char::is_lowercase) && rest.contains(char::is_uppercase) {
        return None;
    }
    let plain = text.trim().to_ascii_lowercase().replace(['_', ' '], "-");
    (plain != text && is_id(&plain)).then_some(plain)
}

fn is_id(id: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let rest = id.strip_prefix("cri-").filter(|_| id.len() <= 64);
    rest.is_some_and(|rest| rest.starts_with(plain) && rest.chars().all(|c| plain(c) || c == '-'))
}

#[cfg(test)]
mod tests {
    use super::{check, respelled};

    #[test]
    fn an_id_is_known_and_so_is_another_text_in_its_place() {
        for id in ["cri-abc123", "cri-0-a-"] {
            assert_eq!((check(id), respelled(id)), (Ok(id), None));
        }
        for (text, words) in [
            ("CRI-ABC123", "write cri-abc123"),
            ("acs:cr:cn-hangzhou:1:instance/cri-abc123", "write cri-abc123"),
            ("cri_abc123", "write cri-abc123"),
            ("shop-registry.cn-hangzhou.cr.aliyuncs.com", "the host in domains"),
            ("shop", "the console shows with the instance's name"),
            ("生产镜像仓库", "the console shows with the instance's name"),
            ("cri-", "write the ID cri-…"),
            ("cri-instanceId", "write the ID cri-…"),
            ("Cri-abc123", "write cri-abc123"),
        ] {
            let message = check(text).unwrap_err();
            assert!(message.contains(words), "{message}");
        }
    }
}
