//! Every dependency is under a licence of `deny.toml`, none is banned there, and all come from the
//! registry. What cargo-deny says too, without a tool to install; advisories need their database.

#![cfg(test)]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use toml::Table;

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../.."))
}

/// Texts of an array of `deny.toml`.
fn listed(deny: &Table, section: &str, key: &str) -> BTreeSet<String> {
    let array = deny[section].as_table().unwrap()[key].as_array().unwrap();
    let text = |item: &toml::Value| match item {
        toml::Value::Table(table) => table["crate"].as_str().unwrap().to_owned(),
        other => other.as_str().unwrap().to_owned(),
    };
    array.iter().map(text).collect()
}

/// Whether a licence expression (SPDX, or `A/B` of old) can be met with these.
fn is_met(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let met = either(&words, &mut at, allowed);
    met && at == words.len()
}

fn either(words: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let mut met = both(words, at, allowed);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        met |= both(words, at, allowed);
    }
    met
}

fn both(words: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let mut met = one(words, at, allowed);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        met &= one(words, at, allowed);
    }
    met
}

fn one(words: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let Some(word) = words.get(*at) else { return false };
    *at += 1;
    if *word == "(" {
        let met = either(words, at, allowed);
        let closed = words.get(*at) == Some(&")");
        *at += 1;
        return met && closed;
    }
    if words.get(*at) == Some(&"WITH") {
        // An exception only ever allows more.
        *at += 2;
    }
    allowed.contains(*word)
}

#[test]
fn licence_expressions_are_met_by_one_side_of_or_and_both_of_and() {
    let allowed = BTreeSet::from(["MIT".to_owned(), "Zlib".to_owned()]);
    for (expression, met) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("MIT OR GPL-3.0", true),
        ("GPL-3.0/MIT", true),
        ("MIT AND GPL-3.0", false),
        ("MIT AND Zlib", true),
        ("(GPL-3.0 OR Zlib) AND MIT", true),
        ("Zlib WITH some-exception", true),
        ("", false),
    ] {
        assert_eq!(is_met(expression, &allowed), met, "{expression}");
    }
}

#[test]
fn every_dependency_is_licensed_and_comes_from_where_it_should() {
    let deny: Table = std::fs::read_to_string(root().join("deny.toml")).unwrap().parse().unwrap();
    let allowed = listed(&deny, "licenses", "allow");
    let banned = listed(&deny, "bans", "deny");
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    // What is built: packages that only other systems need may not be on this machine.
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let arguments = ["metadata", "--locked", "--offline", "--format-version", "1"];
    let mut command = Command::new(cargo);
    command.args(arguments).args(["--filter-platform", &platform]).current_dir(root());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut wrong = Vec::new();
    let mut seen = 0;
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        let Some(source) = package["source"].as_str() else { continue };
        seen += 1;
        if !source.starts_with("registry+") && !source.starts_with("sparse+") {
            wrong.push(format!("{name} comes from {source}"));
        }
        if banned.contains(name) {
            wrong.push(format!("{name} is banned in deny.toml"));
        }
        match package["license"].as_str() {
            Some(licence) if is_met(licence, &allowed) => {}
            other => wrong.push(format!("{name}: {}", other.unwrap_or("no licence"))),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 100, "only {seen} dependencies were looked at");
}
