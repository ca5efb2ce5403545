//! One Rust file, with its code told apart from its words and its tests from its product.

use super::lexer::code_only;

/// A Rust file as the rules see it.
pub(crate) struct Source {
    pub(crate) path: String,
    lines: Vec<SourceLine>,
    /// Files and folders that this file declares by `#[cfg(test)] mod name;`.
    test_modules: Vec<String>,
}

pub(crate) struct SourceLine {
    /// Counted from 1.
    pub(crate) number: usize,
    pub(crate) text: String,
    /// The line without comments and literals, of the same width.
    pub(crate) code: String,
    pub(crate) test: bool,
}

impl Source {
    pub(crate) fn new(path: String, whole: &str) -> Self {
        let code = code_only(whole);
        let (ranges, modules) = test_items(&code);
        let all_test = is_test_path(&path);
        let lines = whole.lines().zip(code.lines()).enumerate().map(|(at, (line, code))| {
            let test = all_test || ranges.iter().any(|range| range.contains(&at));
            SourceLine { number: at + 1, text: line.to_owned(), code: code.to_owned(), test }
        });
        let test_modules = modules.iter().map(|name| module_path(&path, name)).collect();
        Self { lines: lines.collect(), test_modules, path }
    }

    pub(crate) fn lines(&self) -> &[SourceLine] {
        &self.lines
    }

    /// Lines outside tests.
    pub(crate) fn production(&self) -> impl Iterator<Item = &SourceLine> {
        self.lines.iter().filter(|line| !line.test)
    }

    pub(crate) fn test_modules(&self) -> Vec<String> {
        self.test_modules.clone()
    }

    pub(crate) fn mark_if_declared_as_test(&mut self, declared: &[String]) {
        let stem = self.path.strip_suffix(".rs").unwrap_or(&self.path);
        let inside = |module: &String| {
            stem == module || stem.strip_prefix(module).is_some_and(|rest| rest.starts_with('/'))
        };
        if declared.iter().any(inside) {
            self.lines.iter_mut().for_each(|line| line.test = true);
        }
    }

    /// Whether this is a file of a crate's `src` folder.
    pub(crate) fn in_src(&self) -> bool {
        self.path.starts_with("crates/") && self.path.contains("/src/")
    }
}

/// Whether `code` has `word` at `at` as a whole word.
pub(crate) fn is_word_at(code: &str, at: usize, word: &str) -> bool {
    let part_of_word = |c: char| c == '_' || c.is_alphanumeric();
    let before = code.get(..at).and_then(|text| text.chars().next_back());
    let after = code.get(at + word.len()..).and_then(|text| text.chars().next());
    !before.is_some_and(part_of_word) && !after.is_some_and(part_of_word)
}

/// Whether `word` occurs in `code` as a whole word.
pub(crate) fn has_word(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| is_word_at(code, at, word))
}

fn is_test_path(path: &str) -> bool {
    let mut folders = path.split('/');
    let file = folders.next_back();
    file == Some("tests.rs") || folders.any(|folder| matches!(folder, "tests" | "benches"))
}

/// Where `mod name;` in the file at `path` lives, without `.rs`.
fn module_path(path: &str, name: &str) -> String {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    let stem = file.strip_suffix(".rs").unwrap_or(file);
    match stem {
        "lib" | "main" | "mod" => format!("{folder}/{name}"),
        _ => format!("{folder}/{stem}/{name}"),
    }
}

/// Line ranges (from 0) of items under `#[cfg(test)]`, and the names of such modules that are in
/// files of their own.
fn test_items(code: &str) -> (Vec<std::ops::Range<usize>>, Vec<String>) {
    let (mut ranges, mut modules) = (Vec::new(), Vec::new());
    for (at, _) in code.match_indices("#[cfg(") {
        let tail = code.get(at..).unwrap_or("");
        let attribute = tail.get(..tail.find(")]").unwrap_or(tail.len())).unwrap_or(tail);
        if !has_word(attribute, "test") || has_word(attribute, "not") {
            continue;
        }
        let line_of = |offset: usize| code.get(..offset).unwrap_or("").matches('\n').count();
        let end = at + item_len(tail);
        ranges.push(line_of(at)..line_of(end) + 1);
        let item = code.get(at..end).unwrap_or("");
        if let Some(head) = item.strip_suffix(';') {
            let mut words = head.split_whitespace().rev();
            if let (Some(name), Some("mod")) = (words.next(), words.next()) {
                modules.push(name.to_owned());
            }
        }
    }
    (ranges, modules)
}

/// The length of the item at the start of `code`: to its first `;`, or to the end of its block.
fn item_len(code: &str) -> usize {
    let mut depth = 0usize;
    let mut brackets = 0usize;
    for (at, c) in code.char_indices() {
        match c {
            '[' | '(' => brackets += 1,
            ']' | ')' => brackets = brackets.saturating_sub(1),
            '{' => depth += 1,
            '}' if depth <= 1 => return at + 1,
            '}' => depth -= 1,
            ';' if depth == 0 && brackets == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn production(path: &str, text: &str) -> Vec<String> {
        let source = Source::new(path.to_owned(), text);
        source.production().map(|line| line.text.clone()).collect()
    }

    #[test]
    fn a_test_module_is_not_production() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n  fn b() { \"}\"; }\n}\nfn c() {}";
        assert_eq!(production("crates/x/y/src/z.rs", text), ["fn a() {}", "fn c() {}"]);
    }

    #[test]
    fn a_test_only_function_is_not_production_and_cfg_not_test_is() {
        let text = "#[cfg(test)]\nfn a(x: [u8; 2]) {\n}\n#[cfg(not(test))]\nfn b() {}";
        assert_eq!(production("src/z.rs", text), ["#[cfg(not(test))]", "fn b() {}"]);
    }

    #[test]
    fn files_of_a_tests_folder_are_tests() {
        assert!(production("crates/x/y/tests/it/main.rs", "fn a() {}").is_empty());
        assert!(production("crates/x/y/src/tests.rs", "fn a() {}").is_empty());
    }

    #[test]
    fn a_module_declared_for_tests_is_a_test_file() {
        let parent = Source::new("c/src/room.rs".into(), "#[cfg(test)]\nmod model;\n");
        assert_eq!(parent.test_modules(), ["c/src/room/model"]);
        let mut child = Source::new("c/src/room/model/deep.rs".into(), "fn a() {}");
        child.mark_if_declared_as_test(&parent.test_modules());
        assert_eq!(child.production().count(), 0);
        let mut other = Source::new("c/src/room/models.rs".into(), "fn a() {}");
        other.mark_if_declared_as_test(&parent.test_modules());
        assert_eq!(other.production().count(), 1);
    }
}
