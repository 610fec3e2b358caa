//! `${NAME}` in string values: the only way in which the environment reaches the configuration.

/// Looks up an environment variable.
pub(crate) type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// `text` with each `${NAME}` replaced once, or what could not be: names that are not set, and `${`
/// without a name and a brace behind it.
///
/// A name consists of letters, digits and underscores. Any other `$` stays as it is, and what a
/// variable holds is not expanded again.
pub(crate) fn expand(text: &str, variables: Variables<'_>) -> Result<String, Vec<Unexpanded>> {
    let mut expanded = String::with_capacity(text.len());
    let mut unset = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        expanded.push_str(before);
        let Some((name, behind)) = after.split_once('}') else {
            unset.push(Unexpanded::NoName(format!("${{{after}")));
            rest = "";
            break;
        };
        rest = behind;
        if !is_name(name) {
            unset.push(Unexpanded::NoName(format!("${{{name}}}")));
            continue;
        }
        match variables(name) {
            Some(value) => expanded.push_str(&value),
            None => unset.push(Unexpanded::Unset(name.to_owned())),
        }
    }
    expanded.push_str(rest);
    if unset.is_empty() { Ok(expanded) } else { Err(unset) }
}

/// What was not replaced.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unexpanded {
    /// There is no such variable.
    Unset(String),
    /// This is not `${NAME}`; shells know more forms, the configuration does not.
    NoName(String),
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(name: &str) -> Option<String> {
        match name {
            "LAN" => Some("192.168.1.125".to_owned()),
            "ODD" => Some("${LAN}".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    #[test]
    fn only_braced_names_are_expanded_and_only_once() {
        let cases = [
            ("http://${LAN}:80", "http://192.168.1.125:80"),
            ("${LAN}${EMPTY}${LAN}", "192.168.1.125192.168.1.125"),
            ("${ODD}", "${LAN}"),
            ("$LAN $ $$", "$LAN $ $$"),
            ("$${LAN}", "$192.168.1.125"),
        ];
        for (text, expanded) in cases {
            assert_eq!(expand(text, &variables).unwrap(), expanded, "{text}");
        }
    }

    #[test]
    fn every_unset_variable_is_named() {
        let unset = |name: &str| Unexpanded::Unset(name.to_owned());
        assert_eq!(expand("${A}${LAN}${b_2}", &variables).unwrap_err(), [unset("A"), unset("b_2")]);
    }

    #[test]
    fn what_looks_like_a_variable_and_is_none_is_named() {
        for text in ["${}", "${a-b}", "${LAN:-x}", "${LAN", "${ ${LAN}"] {
            let found = expand(text, &variables).unwrap_err();
            assert_eq!(found, [Unexpanded::NoName(text.to_owned())]);
        }
    }
}
