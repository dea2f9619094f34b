//! `WWW-Authenticate`, read as RFC 9110 §11.6.1 has it: challenges, whose parameters are parted by the same commas
//! as they are themselves.

/// One way in that a server offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Challenge {
    /// In lower case, such as `bearer`.
    pub(super) scheme: String,
    /// Names in lower case, values without their quotes.
    parameters: Vec<(String, String)>,
}

impl Challenge {
    /// The value of a parameter. One that is given twice has none, since readers would differ on which counts.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let mut values = self.parameters.iter().filter(|(known, _)| known == name);
        let (_, value) = values.next()?;
        values.next().is_none().then_some(value)
    }
}

/// Every challenge of one header; `None` if it is none that can be read to its end.
pub(super) fn parse(header: &str) -> Option<Vec<Challenge>> {
    let mut rest = Rest(header);
    let mut challenges: Vec<Challenge> = Vec::new();
    loop {
        rest.skip(&[' ', '\t', ',']);
        if rest.0.is_empty() {
            return Some(challenges);
        }
        let name = rest.token()?.to_ascii_lowercase();
        let after_name = rest;
        rest.skip(&[' ', '\t']);
        match challenges.last_mut() {
            Some(challenge) if rest.take('=') => {
                rest.skip(&[' ', '\t']);
                let value = if rest.0.starts_with('"') { rest.quoted()? } else { rest.token()?.to_owned() };
                challenge.parameters.push((name, value));
                rest.end_of_item()?;
            }
            _ => {
                challenges.push(Challenge { scheme: name, parameters: Vec::new() });
                // A scheme stands alone, or has a space behind it: then one blob, or parameters.
                rest = after_name;
                if !rest.0.is_empty() && !rest.0.starts_with([' ', '\t', ',']) {
                    return None;
                }
                rest.blob();
            }
        }
    }
}

/// What is still to be read.
#[derive(Clone, Copy)]
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn skip(&mut self, signs: &[char]) {
        self.0 = self.0.trim_start_matches(signs);
    }

    fn take(&mut self, sign: char) -> bool {
        let after = self.0.strip_prefix(sign);
        self.0 = after.unwrap_or(self.0);
        after.is_some()
    }

    /// A name, a scheme or an unquoted value.
    fn token(&mut self) -> Option<&'a str> {
        let other = |c: char| !(c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c));
        let (token, after) = self.0.split_at(self.0.find(other).unwrap_or(self.0.len()));
        self.0 = after;
        (!token.is_empty()).then_some(token)
    }

    /// What stands between quotes, where a backslash makes any sign a plain one.
    fn quoted(&mut self) -> Option<String> {
        let mut value = String::new();
        let mut signs = self.0.char_indices().skip(1);
        while let Some((at, sign)) = signs.next() {
            match sign {
                '"' => {
                    self.0 = &self.0[at + 1..];
                    return Some(value);
                }
                '\\' => value.push(signs.next()?.1),
                plain => value.push(plain),
            }
        }
        None
    }

    /// Skips the blob that some schemes have in place of parameters, such as `Negotiate YII=`.
    fn blob(&mut self) {
        let mut after = *self;
        after.skip(&[' ', '\t']);
        let other = |c: char| !(c.is_ascii_alphanumeric() || "-._~+/".contains(c));
        after.0 = after.0.trim_start_matches(|c| !other(c)).trim_start_matches('=');
        if after.end_of_item().is_some() {
            *self = after;
        }
    }

    /// Nothing but space up to the next comma or the end.
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

    /// What headers are made of, and what they are not.
    const PIECES: &[&str] = &["Bearer ", "B", "a=", "\"", "\\", ",", " ", "=", "b", "é", "\t"];

    /// Each challenge as `scheme name=value name=value`.
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
    fn challenges_are_read_with_all_their_parameters() {
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
            // Grammar has it that this is a blob, not a name without a value.
            ("Bearer realm=", &["bearer"]),
            ("", &[]),
        ] {
            let expected = expected.iter().map(|text| (*text).to_owned()).collect();
            assert_eq!(read(header), Some(expected), "{header}");
        }
    }

    #[test]
    fn what_cannot_be_read_to_its_end_is_not_read_at_all() {
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
    fn a_parameter_that_is_given_twice_has_no_value() {
        let challenges = parse(r#"Bearer realm="a",service="s",Realm="b""#).unwrap();
        assert_eq!((challenges[0].get("realm"), challenges[0].get("service")), (None, Some("s")));
        assert_eq!(challenges[0].get("scope"), None);
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic(begun in select(&["", "Bearer a=\""]), pieces in vec(select(PIECES), 0..12)) {
            parse(&format!("{begun}{}", pieces.concat()));
        }

        #[test]
        fn what_is_quoted_is_read_back(value in ".{0,24}") {
            let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
            let challenges = parse(&format!("Basic realm=x, Bearer a=b,realm=\"{quoted}\" ,c=d")).unwrap();
            prop_assert_eq!(challenges[1].get("realm"), Some(value.as_str()));
            prop_assert_eq!(challenges[1].get("c"), Some("d"));
        }
    }
}
