use super::tree::{Tree, root_above};
use super::{RULES, check};

#[test]
fn this_repository_is_tidy() {
    let here = std::env::current_dir().expect("a current directory");
    let root = root_above(&here).expect("the workspace");
    let report = check(&Tree::load(&root).expect("its files"));
    assert!(report.findings.is_empty(), "\n{report}");
}

/// What the named rule says about `files`, as `path:line`.
fn places(rule: &str, files: &[(&str, &str)]) -> Vec<String> {
    let findings = check(&Tree::of(files)).findings;
    let of_rule = findings.iter().filter(|finding| finding.rule == rule);
    of_rule.map(|finding| format!("{}:{}", finding.path, finding.line)).collect()
}

fn source(rule: &str, text: &str) -> Vec<String> {
    places(rule, &[("crates/read/query/src/page.rs", text)])
}

fn manifest(package: &str, rest: &str) -> String {
    format!("[package]\nname = \"{package}\"\n{rest}")
}

#[test]
fn an_arrow_outside_the_table_is_found_at_its_line() {
    let text = manifest(
        "klatch-query",
        "[dependencies]\nklatch-ports.workspace = true\nklatch-command.workspace = true\n",
    );
    assert_eq!(
        places("arrow", &[("crates/read/query/Cargo.toml", &text)]),
        ["crates/read/query/Cargo.toml:5"]
    );
}

#[test]
fn an_arrow_for_tests_is_no_arrow_for_the_product() {
    let path = "crates/adapters/embedded/Cargo.toml";
    let dev = manifest("klatch-embedded", "[dev-dependencies]\nklatch-memory.workspace = true\n");
    assert!(places("arrow", &[(path, &dev)]).is_empty());
    let normal = manifest("klatch-embedded", "[dependencies]\nklatch-memory.workspace = true\n");
    assert_eq!(places("arrow", &[(path, &normal)]), ["crates/adapters/embedded/Cargo.toml:4"]);
}

#[test]
fn a_renamed_or_targeted_dependency_does_not_hide_its_arrow() {
    let text = manifest(
        "klatch-domain",
        "[target.'cfg(unix)'.dependencies]\nrows = { package = \"klatch-ports\", path = \"x\" }\n",
    );
    assert_eq!(
        places("arrow", &[("crates/core/domain/Cargo.toml", &text)]),
        ["crates/core/domain/Cargo.toml:4"]
    );
}

#[test]
fn a_crate_that_the_table_does_not_know_is_found() {
    let text = manifest("klatch-extra", "");
    assert_eq!(
        places("arrow", &[("crates/read/extra/Cargo.toml", &text)]),
        ["crates/read/extra/Cargo.toml:1"]
    );
}

#[test]
fn a_row_of_the_table_without_its_crate_is_found() {
    assert!(!places("arrow", &[("Cargo.toml", "[workspace]\n")]).is_empty());
}

#[test]
fn anyhow_in_a_role_and_tokio_in_the_domain_are_found() {
    let role = manifest("klatch-query", "[dependencies]\nanyhow = \"1\"\n");
    let domain = manifest("klatch-domain", "[dependencies]\ntokio = \"1\"\n");
    let files = [
        ("crates/read/query/Cargo.toml", role.as_str()),
        ("crates/core/domain/Cargo.toml", domain.as_str()),
    ];
    assert_eq!(
        places("third-party", &files),
        ["crates/core/domain/Cargo.toml:4", "crates/read/query/Cargo.toml:4"]
    );
}

#[test]
fn a_long_file_is_found_unless_it_says_why() {
    let body = "fn a() {}\n".repeat(401);
    assert_eq!(source("size", &body), ["crates/read/query/src/page.rs:1"]);
    let reasoned = format!("//! Pages.\n//! size: one table that is read as a whole.\n{body}");
    assert!(source("size", &reasoned).is_empty());
    assert_eq!(source("size", &format!("{reasoned}{body}")).len(), 1);
}

#[test]
fn tests_do_not_count_for_the_length_of_a_file() {
    let tests = "    fn b() {}\n".repeat(500);
    assert!(
        source("size", &format!("fn a() {{}}\n#[cfg(test)]\nmod tests {{\n{tests}}}\n")).is_empty()
    );
}

#[test]
fn a_long_main_and_a_heavy_crate_are_found() {
    let main = "fn a() {}\n".repeat(61);
    assert_eq!(
        places("size", &[("crates/node/src/main.rs", &main)]),
        ["crates/node/src/main.rs:1"]
    );
    let manifest = manifest("klatch-query", "");
    let body = "fn a() {}\n".repeat(390);
    let paths: Vec<String> = (0..21).map(|n| format!("crates/read/query/src/m{n}.rs")).collect();
    let mut files = vec![("crates/read/query/Cargo.toml", manifest.as_str())];
    files.extend(paths.iter().map(|path| (path.as_str(), body.as_str())));
    assert_eq!(places("size", &files), ["crates/read/query/Cargo.toml:1"]);
}

#[test]
fn a_line_over_a_hundred_characters_is_found_unless_it_is_a_url_or_a_literal() {
    let long = "/".repeat(101);
    let url = format!("// https://example.org/{}", "a".repeat(100));
    let exact = "é".repeat(100);
    let json = format!("    br#\"{}\"#,", "x".repeat(100));
    assert_eq!(
        source("line-length", &format!("{long}\n{url}\n{exact}\n{json}\nlet a = {json}\n")),
        ["crates/read/query/src/page.rs:1", "crates/read/query/src/page.rs:5"]
    );
}

#[test]
fn crates_and_modules_with_empty_names_are_found() {
    let shared = manifest("klatch-shared", "");
    let found = places(
        "name",
        &[
            ("crates/core/shared/Cargo.toml", shared.as_str()),
            ("crates/core/domain/src/util.rs", ""),
            ("crates/core/domain/src/misc/a.rs", ""),
            ("crates/core/domain/src/lib.rs", "//! mod core {\n\npub mod helpers {\n}\n"),
            ("crates/testing/e2e/tests/common/mod.rs", ""),
        ],
    );
    assert_eq!(
        found,
        [
            "crates/core/domain/src/lib.rs:3",
            "crates/core/domain/src/misc/a.rs:1",
            "crates/core/domain/src/util.rs:1",
            "crates/core/shared/Cargo.toml:1",
            "crates/testing/e2e/tests/common/mod.rs:1",
        ]
    );
}

#[test]
fn a_crate_must_say_what_it_owns_and_what_stays_out() {
    let toml = manifest("klatch-query", "");
    let with = |text| {
        let files = [
            ("crates/read/query/Cargo.toml", toml.as_str()),
            ("crates/read/query/src/lib.rs", text),
        ];
        places("crate-doc", &files)
    };
    let good = "//! Owns every read of the stores.\n//! Must not contain: any writer.\n";
    assert!(with(good).is_empty());
    let wrapped = "//! Owns every read of the stores and\n//! what is counted from them.\n\
                   //! Must not contain: any writer.\n";
    assert!(with(wrapped).is_empty());
    assert_eq!(with("//! placeholder.\n").len(), 2);
    let apart = "//! Owns every read of the stores.\n//!\n//! Must not contain: any writer.\n";
    assert_eq!(with(apart), ["crates/read/query/src/lib.rs:1"]);
    assert_eq!(
        places("crate-doc", &[("crates/read/query/Cargo.toml", &toml)]),
        ["crates/read/query/Cargo.toml:1"]
    );
}

#[test]
fn stray_whitespace_is_found() {
    let text = "fn a() {} \n\tfn b() {}\nfn c() {}\r\nfn d() {}";
    assert_eq!(
        source("whitespace", text),
        ["page.rs:1", "page.rs:2", "page.rs:3", "page.rs:4"]
            .map(|p| format!("crates/read/query/src/{p}"))
    );
    assert!(places("whitespace", &[("docs/testdata/raw.txt", "a \n")]).is_empty());
}

#[test]
fn unfinished_work_is_found_and_talk_about_it_is_not() {
    let call = format!("fn a() {{ {}() }}\n// {}() is not called\n", "todo!", "todo!");
    assert_eq!(source("marker", &call), ["crates/read/query/src/page.rs:1"]);
    let text = format!("a\n// {}ME: later\n", "FIX");
    assert_eq!(source("marker", &text), ["crates/read/query/src/page.rs:2"]);
}

#[test]
fn a_test_that_is_ignored_without_a_reason_is_found() {
    let text = "#[ignore = \"needs two cores\"]\nfn a() {}\n#[ignore]\nfn b() {}\n";
    assert_eq!(source("ignore-reason", text), ["crates/read/query/src/page.rs:3"]);
}

const RECORD: &str = "# 0001. One\n\n## Context\n\n## Decision\n\n## Consequences\n\n\
                      ## What would change our mind\n";

#[test]
fn a_record_of_the_right_form_that_the_index_lists_passes() {
    let index = ("docs/adr/README.md", "- [One](0001-one.md)\n");
    assert!(places("adr", &[("docs/adr/0001-one.md", RECORD), index]).is_empty());
}

#[test]
fn a_record_unlisted_misnumbered_or_of_another_form_is_found() {
    let index = ("docs/adr/README.md", "nothing\n");
    assert_eq!(places("adr", &[("docs/adr/0001-one.md", RECORD), index]), ["docs/adr/README.md:1"]);
    assert_eq!(places("adr", &[("docs/adr/0002-one.md", RECORD), index]).len(), 3);
    let half = RECORD.replace("## Decision", "## Choice");
    assert_eq!(places("adr", &[("docs/adr/0001-one.md", &half), index]).len(), 2);
    let long = format!("{RECORD}{}", "a\n".repeat(80));
    assert_eq!(places("adr", &[("docs/adr/0001-one.md", &long), index]).len(), 2);
}

#[test]
fn links_that_lead_nowhere_are_found() {
    let text = "\
[a](b.md) [b](b.md#two-words) [c](../README.md) [d](/docs/) [e](#here) [f](https://x.org/y)
# Here
[gone](c.md)
[no heading](b.md#three)
[out](../../x.md)
`[code](d.md)`
```
[fenced](e.md)
```
";
    let files = [("docs/a.md", text), ("docs/b.md", "## Two, words\n"), ("README.md", "")];
    assert_eq!(places("link", &files), ["docs/a.md:3", "docs/a.md:4", "docs/a.md:5"]);
}

#[test]
fn a_guard_of_an_invariant_that_is_no_test_is_found() {
    let map = "| **a** | b_c | `there_it_is`, tidy's `size` |\n| **d** | e | `not_there` |\n";
    let test = "#[test]\nfn there_it_is() {}\n// fn not_there()\n";
    let files = [("ARCHITECTURE.md", map), ("crates/read/query/tests/it/main.rs", test)];
    assert_eq!(places("guard", &files), ["ARCHITECTURE.md:2"]);
}

#[test]
fn a_promise_without_a_test_or_with_one_that_is_not_there_is_found() {
    let rows = "| promise | kept in | tried by |\n| --- | --- | --- |\n\
        | a | b_c | soak; `there_it_is` |\n| d | e | `not_there` |\n| f | g | not yet |\n\
        | h | i |  |\n| j | k | – |\n";
    let test = "#[test]\nfn there_it_is() {}\n";
    let files = [("docs/promises.md", rows), ("crates/read/query/tests/it/main.rs", test)];
    let found = ["docs/promises.md:4", "docs/promises.md:6", "docs/promises.md:7"];
    assert_eq!(places("guard", &files), found);
}

#[test]
fn paths_of_one_machine_are_found_and_relative_ones_are_not() {
    let text = format!("a {0}x\nb docs{0}x\nc \"{0}y\"\nd $HOME{0}\n", concat!("/ro", "ot/"));
    assert_eq!(places("machine-path", &[("Makefile", &text)]), ["Makefile:1", "Makefile:3"]);
}

#[test]
fn hosts_of_registries_are_found() {
    let url = concat!("https://registry.npm", "js.org/");
    let lock = format!("{{\n\"resolved\": \"{}x/a.tgz\"\n}}\n", "http://mirror.example/");
    let files = [
        ("README.md", format!("see {url}x\n")),
        ("web/package-lock.json", lock),
        ("web/.npmrc", "registry=x\n".to_owned()),
    ];
    let files = files.each_ref().map(|(path, text)| (*path, text.as_str()));
    assert_eq!(
        places("registry-host", &files),
        ["README.md:1", "web/.npmrc:1", "web/package-lock.json:2"]
    );
}

#[test]
fn files_touched_outside_an_engine_are_found() {
    let texts = ["fn a() { std::fs::read(x); }\n", "use std::{\n    fmt,\n    fs,\n};\n"];
    for (text, line) in texts.iter().zip([1, 3]) {
        assert_eq!(source("file-io", text), [format!("crates/read/query/src/page.rs:{line}")]);
        assert!(places("file-io", &[("crates/adapters/embedded/src/log.rs", text)]).is_empty());
        assert!(source("file-io", &format!("#[cfg(test)]\nmod tests {{\n{text}}}\n")).is_empty());
    }
    assert!(source("file-io", "// std::fs\nlet s = \"std::fs\";\n").is_empty());
}

#[test]
fn a_clock_read_outside_the_named_places_is_found() {
    let bare = "use std::{sync::Arc, time::{Duration, Instant}};\nfn a() { Instant::now(); }\n";
    let system = "fn a() {\n    time::SystemTime::now();\n}\n";
    let full = "fn a() {\n    std::time::Instant::now();\n}\n";
    for text in [bare, system, full] {
        assert_eq!(source("clock", text), ["crates/read/query/src/page.rs:2"], "{text}");
        assert!(places("clock", &[("crates/node/src/clock.rs", text)]).is_empty());
    }
    let tokio =
        "use tokio::time::Instant;\nfn a() { Instant::now(); tokio::time::Instant::now(); }\n";
    assert!(source("clock", tokio).is_empty());
}

#[test]
fn the_report_names_all_breaches_and_counts_the_lints_switched_off() {
    let text = "#[expect(clippy::x, reason = \"y\")]\nfn a() {} \n\tfn b() {}\n";
    let report = check(&Tree::of(&[("crates/read/query/src/page.rs", text)])).to_string();
    let lines: Vec<&str> = report.lines().collect();
    assert_eq!(lines.len(), 3, "{report}");
    assert_eq!(
        lines.first(),
        Some(&"crates/read/query/src/page.rs:2: whitespace: trailing whitespace: take it away")
    );
    assert_eq!(lines.last(), Some(&"tidy: 1 files, 2 findings, 1 #[expect] in use"));
}

#[test]
fn every_rule_has_a_name_of_its_own() {
    let mut names: Vec<&str> = RULES.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), RULES.len());
}
