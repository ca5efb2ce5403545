//! Just enough of Rust's lexical grammar to tell code from comments and strings.

/// `text` with every comment and every string or character literal turned into spaces, one per
/// character, so that line and column stay what they were.
pub(crate) fn code_only(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut after_word = false;
    while let Some(next) = rest.chars().next() {
        let blank = comment_len(rest).or_else(|| literal_len(rest, after_word)).unwrap_or(0);
        if blank == 0 {
            out.push(next);
            after_word = next == '_' || next.is_alphanumeric();
            rest = after(rest, next.len_utf8());
            continue;
        }
        let literal = rest.get(..blank).unwrap_or(rest);
        out.extend(literal.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        after_word = false;
        rest = after(rest, blank);
    }
    out
}

fn after(text: &str, len: usize) -> &str {
    text.get(len..).unwrap_or("")
}

fn comment_len(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    let mut tail = rest.strip_prefix("/*")?;
    let mut depth = 1;
    while depth > 0 {
        let Some(at) = tail.find(['/', '*']) else { return Some(rest.len()) };
        tail = after(tail, at);
        (tail, depth) = if let Some(inner) = tail.strip_prefix("/*") {
            (inner, depth + 1)
        } else if let Some(outer) = tail.strip_prefix("*/") {
            (outer, depth - 1)
        } else {
            (after(tail, 1), depth)
        };
    }
    Some(rest.len() - tail.len())
}

fn literal_len(rest: &str, after_word: bool) -> Option<usize> {
    if rest.starts_with('"') {
        return Some(quoted_len(rest));
    }
    if rest.starts_with('\'') {
        return char_len(rest);
    }
    if after_word {
        return None;
    }
    ["br", "cr", "r", "b", "c"].iter().find_map(|prefix| {
        let body = rest.strip_prefix(prefix)?;
        let len = if prefix.ends_with('r') {
            raw_len(body)?
        } else if body.starts_with('"') {
            quoted_len(body)
        } else if *prefix == "b" && body.starts_with('\'') {
            char_len(body)?
        } else {
            return None;
        };
        Some(prefix.len() + len)
    })
}

fn quoted_len(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

fn raw_len(rest: &str) -> Option<usize> {
    let hashes = rest.len() - rest.trim_start_matches('#').len();
    let body = after(rest, hashes).strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    let end = body.find(&close).map_or(body.len(), |at| at + close.len());
    Some(hashes + 1 + end)
}

/// The length of a character literal; `None` for a lifetime.
fn char_len(rest: &str) -> Option<usize> {
    let mut chars = rest.char_indices().skip(1);
    let (_, first) = chars.next()?;
    if first == '\\' {
        let (_, _escaped) = chars.next()?;
        return chars.find(|(_, c)| *c == '\'').map(|(at, _)| at + 1);
    }
    chars.next().filter(|(_, c)| *c == '\'').map(|(at, _)| at + 1)
}

#[cfg(test)]
mod tests {
    use super::code_only;

    #[test]
    fn comments_and_literals_become_spaces_of_the_same_width() {
        for (text, code) in [
            ("a // b\nc", "a     \nc"),
            ("a /* b /* c */ d */ e", "a                   e"),
            (r#"f("x\"y") + g"#, "f(      ) + g"),
            (r##"r#"a"b"# z"##, "         z"),
            (r"let c = '\''; d", "let c =     ; d"),
            ("b'\"' + b\"q\"", "     +     "),
            ("fn f<'a>(x: &'a str) {}", "fn f<'a>(x: &'a str) {}"),
            ("r#type = 'é'", "r#type =    "),
            ("bar\"x\"", "bar   "),
            ("\"a\nb\" c", "  \n   c"),
        ] {
            assert_eq!(code_only(text), code, "{text}");
        }
    }

    #[test]
    fn what_never_ends_is_blank_to_the_end() {
        for text in ["\"abc", "/* abc", "r#\"abc\"", "// abc"] {
            assert_eq!(code_only(text).trim(), "", "{text}");
        }
    }
}
