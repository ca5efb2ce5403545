//! Characters that nobody sees, or that turn the order of others around: no part of a name.

/// Whether `c` has no place in a name: control characters, line breaks, marks that change the
/// direction of what follows, and characters without width. Joiners (U+200C, U+200D) have one:
/// scripts and emoji are written with them.
pub fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180b}'..='\u{180f}' | '\u{200b}'
            | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
        )
}

/// `text` without what nobody sees.
pub fn seen(text: &str) -> String {
    text.chars().filter(|c| !is_unseen(*c)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tricks_are_unseen_and_scripts_and_emoji_are_not() {
        for trick in
            ["\u{202e}nimda", "ad\u{200b}min", "\u{2066}x\u{2069}", "a\u{feff}", "\u{3164}"]
        {
            assert!(trick.chars().any(is_unseen), "{trick:?}");
        }
        for name in
            ["Ann", "Zoë", "علی\u{200c}رضا", "👩\u{200d}👩\u{200d}👧", "❤\u{fe0f}", "नमस्ते", "陳"]
        {
            assert!(!name.chars().any(is_unseen), "{name:?}");
            assert_eq!(seen(name), name);
        }
        assert_eq!(seen("\u{202e}ad\u{200b}min\n"), "admin");
    }
}
