//! Which terms are telephone numbers: caller ID asks for these, and waits less than who types a name.

/// Whether `term` is a telephone number: at least three digits, and else nothing but what people write
/// between and around digits, which is `+ # * ( ) . - /` and spaces.
pub fn is_telephone_number(term: impl IntoIterator<Item = u8>) -> bool {
    let mut digits = 0_usize;
    for byte in term {
        match byte {
            b'0'..=b'9' => digits += 1,
            b'+' | b'#' | b'*' | b'(' | b')' | b'.' | b'-' | b'/' | b' ' => {}
            _ => return false,
        }
    }
    digits >= FEWEST_DIGITS
}

/// An extension has three digits or more.
const FEWEST_DIGITS: usize = 3;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_number(text: &str) -> bool {
        is_telephone_number(text.bytes())
    }

    #[test]
    fn numbers_are_told_from_text() {
        for number in [
            "123",
            "5551234",
            "+33 1 42 68 53 00",
            "(514) 555-1234",
            "514.555.12/34",
            "*72#100",
            "1 2 3",
            "---123",
            "00441632960000",
            "1234567890123456",
        ] {
            assert!(is_number(number), "{number}");
        }
        for text in [
            "",
            " ",
            "1",
            "12",
            "+-",
            "***",
            "*7#2",
            "a123",
            "123a",
            "12x",
            "1,234",
            "123\u{a0}4",
            "١٢٣",
            "１２３",
            "tel:123",
            "1234@example.org",
            "192:168",
            "12_34_56",
        ] {
            assert!(!is_number(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn three_digits_are_a_number_whatever_stands_between_them(
            parts in prop::collection::vec(("[0-9]", r"[-+#*(). /]{0,4}"), 3..12),
            lead in r"[-+#*(). /]{0,4}",
        ) {
            let term: String = parts.iter().map(|(digit, rest)| format!("{digit}{rest}")).collect();
            let term = lead + &term;
            prop_assert!(is_number(&term), "{}", term);
        }

        #[test]
        fn fewer_digits_are_text(term in r"[-+#*(). /]{0,4}([0-9][-+#*(). /]{0,4}){0,2}") {
            prop_assert!(!is_number(&term), "{}", term);
        }

        #[test]
        fn any_other_character_makes_it_text(
            before in r"[-+#*(). /0-9]{0,8}",
            other in r"[^-+#*(). /0-9]",
            after in r"[-+#*(). /0-9]{0,8}",
        ) {
            let term = format!("{before}{other}{after}");
            prop_assert!(!is_number(&term), "{}", term);
        }
    }
}
