//! Parser of `WWW-Authenticate`, RFC 9110 §11.6.1. Challenges and their parameters are separated by the same commas.

/// One authentication scheme that a server offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Challenge {
    /// Scheme in lower case, such as `bearer`.
    pub(super) scheme: String,
    /// Names in lower case, and values without quotes.
    parameters: Vec<(String, String)>,
}

impl Challenge {
    /// Returns the value of a parameter, unless it occurs twice: parsers differ on which one counts.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let mut values = self.parameters.iter().filter(|(known, _)| known == name);
        let (_, value) = values.next()?;
        values.next().is_none().then_some(value)
    }
}

/// Parses every challenge of one header; returns `None` if any part of it is malformed.
pub(super) fn parse(header: &str) -> Option<Vec<Challenge>> {
    let mut cursor = HeaderCursor(header);
    let mut challenges: Vec<Challenge> = Vec::new();
    loop {
        cursor.skip(&[' ', '\t', ',']);
        if cursor.0.is_empty() {
            return Some(challenges);
        }
        let name = cursor.token()?.to_ascii_lowercase();
        let after_name = cursor;
        cursor.skip(&[' ', '\t']);
        match challenges.last_mut() {
            Some(challenge) if cursor.consume('=') => {
                cursor.skip(&[' ', '\t']);
                let value =
                    if cursor.0.starts_with('"') { cursor.quoted()? } else { cursor.token()?.to_owned() };
                challenge.parameters.push((name, value));
                cursor.end_of_item()?;
            }
            _ => {
                challenges.push(Challenge { scheme: name, parameters: Vec::new() });
                // A scheme is alone, or is followed by a space and then by one token68 or by parameters.
                cursor = after_name;
                if !cursor.0.is_empty() && !cursor.0.starts_with([' ', '\t', ',']) {
                    return None;
                }
                cursor.skip_token68();
            }
        }
    }
}

/// The part of a header that is not parsed yet.
#[derive(Clone, Copy)]
struct HeaderCursor<'a>(&'a str);

impl<'a> HeaderCursor<'a> {
    fn skip(&mut self, chars: &[char]) {
        self.0 = self.0.trim_start_matches(chars);
    }

    fn consume(&mut self, c: char) -> bool {
        let after = self.0.strip_prefix(c);
        self.0 = after.unwrap_or(self.0);
        after.is_some()
    }

    /// Parses a name, a scheme or an unquoted value.
    fn token(&mut self) -> Option<&'a str> {
        let other = |c: char| !(c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c));
        let (token, after) = self.0.split_at(self.0.find(other).unwrap_or(self.0.len()));
        self.0 = after;
        (!token.is_empty()).then_some(token)
    }

    /// Parses a quoted string, in which a backslash escapes any character.
    fn quoted(&mut self) -> Option<String> {
        let mut value = String::new();
        let mut chars = self.0.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.0 = &self.0[at + 1..];
                    return Some(value);
                }
                '\\' => value.push(chars.next()?.1),
                plain => value.push(plain),
            }
        }
        None
    }

    /// Skips the token68 that some schemes have instead of parameters, such as `Negotiate YII=`.
    fn skip_token68(&mut self) {
        let mut after = *self;
        after.skip(&[' ', '\t']);
        let other = |c: char| !(c.is_ascii_alphanumeric() || "-._~+/".contains(c));
        after.0 = after.0.trim_start_matches(|c| !other(c)).trim_start_matches('=');
        if after.end_of_item().is_some() {
            *self = after;
        }
    }

    /// Skips spaces; fails unless a comma or the end follows.
    fn end_of_item(&mut self) -> Option<()> {
        self.skip(&[' ', '\t']);
        (self.0.is_empty() || self.0.starts_with(',')).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::parse;

    /// Parts of valid and invalid headers.
    const PIECES: &[&str] = &["Bearer ", "B", "a=", "\"", "\\", ",", " ", "=", "b", "é", "\t"];

    /// Formats each challenge as `scheme name=value name=value`.
    fn read(header: &str) -> Option<Vec<String>> {
        let challenges = parse(header)?.into_iter().map(|challenge| {
            let parameters = challenge
                .parameters
                .iter()
                .map(|(name, value)| format!(" {name}={value}"))
                .collect::<String>();
            format!("{}{parameters}", challenge.scheme)
        });
        Some(challenges.collect())
    }

    #[test]
    fn challenges_are_parsed_with_all_their_parameters() {
        for (header, expected) in [
            (
                r#"Bearer realm="https://dockerauth.cn-hangzhou.aliyuncs.com/auth",service="registry.aliyuncs.com:cn-hangzhou:26842""#,
                &[
                    "bearer realm=https://dockerauth.cn-hangzhou.aliyuncs.com/auth service=registry.aliyuncs.com:cn-hangzhou:26842",
                ][..],
            ),
            (r#"bEaReR ReAlM="A", SERVICE=b"#, &["bearer realm=A service=b"]),
            (
                r#"Bearer realm="a",scope="repository:n/a:pull,push""#,
                &["bearer realm=a scope=repository:n/a:pull,push"],
            ),
            (r#"Bearer realm="a \"b\" \\ \c""#, &[r#"bearer realm=a "b" \ c"#]),
            (r#"Bearer realm = "a" , service= "b""#, &["bearer realm=a service=b"]),
            (
                r#"Basic realm="r", Bearer realm="a",service="b""#,
                &["basic realm=r", "bearer realm=a service=b"],
            ),
            (
                r#"Bearer realm="a", Basic realm="Basic, Digest x=y""#,
                &["bearer realm=a", "basic realm=Basic, Digest x=y"],
            ),
            (r#"Negotiate, NTLM TlRM/UQ==, Bearer realm="a""#, &["negotiate", "ntlm", "bearer realm=a"]),
            ("Negotiate", &["negotiate"]),
            (r#", ,Bearer realm="a",,service=b, "#, &["bearer realm=a service=b"]),
            ("Bearer\trealm=a", &["bearer realm=a"]),
            (r#"Bearer realm="""#, &["bearer realm="]),
            (r#"Bearer realm="é""#, &["bearer realm=é"]),
            // By the grammar this is a token68, not a name without a value.
            ("Bearer realm=", &["bearer"]),
            ("", &[]),
        ] {
            let expected = expected.iter().map(|text| (*text).to_owned()).collect();
            assert_eq!(read(header), Some(expected), "{header}");
        }
    }

    #[test]
    fn a_header_with_a_malformed_part_is_not_parsed() {
        for header in [
            r#"Bearer realm="a"#,
            r#"Bearer realm="a\"#,
            r#"Bearer realm="a"service="b""#,
            r#"Bearer realm="a" service="b""#,
            r#"Bearer realm="a",service="#,
            "Bearer realm=a=b",
            "Bearer realm=https://a",
            r#"Bearer="a""#,
            r#""Bearer""#,
            "é",
            "Bearer é",
        ] {
            assert_eq!(read(header), None, "{header}");
        }
    }

    #[test]
    fn a_parameter_that_occurs_twice_has_no_value() {
        let challenges = parse(r#"Bearer realm="a",service="s",Realm="b""#).unwrap();
        assert_eq!((challenges[0].get("realm"), challenges[0].get("service")), (None, Some("s")));
        assert_eq!(challenges[0].get("scope"), None);
    }

    proptest! {
        #[test]
        fn any_header_is_parsed_without_a_panic(beginning in select(&["", "Bearer a=\""]), pieces in vec(select(PIECES), 0..12)) {
            parse(&format!("{beginning}{}", pieces.concat()));
        }

        #[test]
        fn a_quoted_value_is_parsed_unchanged(value in ".{0,24}") {
            let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
            let challenges = parse(&format!("Basic realm=x, Bearer a=b,realm=\"{quoted}\" ,c=d")).unwrap();
            prop_assert_eq!(challenges[1].get("realm"), Some(value.as_str()));
            prop_assert_eq!(challenges[1].get("c"), Some("d"));
        }
    }
}
