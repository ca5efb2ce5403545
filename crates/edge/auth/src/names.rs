//! User names made from whatever a source calls its people.

use klatch_domain::seen::seen;
use klatch_domain::user;

/// Most characters of a user name.
const NAME_CHARS_MAX: usize = 32;
/// Most characters of a shown name.
const SHOWN_CHARS_MAX: usize = 100;

/// A name of the allowed shape that resembles `wanted`, with `suffix` if one is given.
pub(crate) fn fitting(wanted: &str, suffix: Option<&str>) -> String {
    let mut base: String = wanted
        .trim()
        .to_lowercase()
        .chars()
        .map(plain)
        .skip_while(|c| !c.is_ascii_alphanumeric())
        .collect();
    let room = NAME_CHARS_MAX - suffix.map_or(0, |suffix| suffix.len() + 1);
    base.truncate(room);
    if base.len() < 2 {
        base = if base.is_empty() { "user".to_owned() } else { format!("user-{base}") };
    }
    let name = suffix.map_or(base.clone(), |suffix| format!("{base}-{suffix}"));
    // Words with a meaning of their own are no names.
    if user::username(&name).is_ok() { name } else { format!("{name}-user") }
}

/// Letters that have a plain one under their accent lose it; what is left becomes a dash.
fn plain(c: char) -> char {
    match c {
        'a'..='z' | '0'..='9' | '.' | '_' | '-' => c,
        'à' | 'á' | 'â' | 'ã' | 'ä' | 'å' | 'æ' => 'a',
        'ç' | 'ć' | 'č' => 'c',
        'è' | 'é' | 'ê' | 'ë' | 'ě' | 'ę' => 'e',
        'ì' | 'í' | 'î' | 'ï' => 'i',
        'ł' => 'l',
        'ñ' | 'ń' | 'ň' => 'n',
        'ò' | 'ó' | 'ô' | 'õ' | 'ö' | 'ø' => 'o',
        'ř' => 'r',
        'ß' | 'ś' | 'š' => 's',
        'ť' => 't',
        'ù' | 'ú' | 'û' | 'ü' | 'ů' => 'u',
        'ý' | 'ÿ' => 'y',
        'ź' | 'ż' | 'ž' => 'z',
        _ => '-',
    }
}

/// A shown name of the allowed shape: `wanted` without what nobody sees and cut to length, or
/// the user name when nothing is left.
pub(crate) fn shown(wanted: &str, username: &str) -> String {
    let visible = seen(wanted);
    let cut: String = visible.trim().chars().take(SHOWN_CHARS_MAX).collect();
    user::display_name(&cut).unwrap_or_else(|_| username.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_to_fit() {
        for (wanted, suffix, name) in [
            ("Ann", None, "ann"),
            ("José Müller", None, "jose-muller"),
            ("  _x_y", None, "x_y"),
            ("a", None, "user-a"),
            ("", None, "user"),
            ("漢字", None, "user"),
            ("here", None, "here-user"),
            ("ann", Some("2"), "ann-2"),
            ("U024BE7LH", None, "u024be7lh"),
        ] {
            assert_eq!(fitting(wanted, suffix), name, "{wanted}");
        }
    }

    #[test]
    fn every_made_name_is_allowed() {
        let long = "x".repeat(300);
        for wanted in ["", "@", "all", "a/b\0", "ÄÖÜ", "..", "-", "\u{202e}abc", &long] {
            for suffix in [None, Some("2"), Some("4fz9q1")] {
                let name = fitting(wanted, suffix);
                assert_eq!(user::username(&name).as_deref(), Ok(name.as_str()), "{wanted:?}");
            }
            let shown = shown(wanted, "fallback");
            assert_eq!(user::display_name(&shown).as_deref(), Ok(shown.as_str()), "{wanted:?}");
        }
    }
}
