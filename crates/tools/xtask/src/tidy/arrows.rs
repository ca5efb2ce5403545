//! Which crate may depend on which, and which third-party crates stay out of where.

use toml::{Table, Value};

use super::Findings;
use super::tree::Tree;

/// One crate of the workspace and the arrows that may leave it.
struct Arrows {
    folder: &'static str,
    package: &'static str,
    /// Workspace crates that its production code may use.
    uses: &'static [&'static str],
    /// Workspace crates that its tests may use besides.
    tests_use: &'static [&'static str],
}

const fn row(
    folder: &'static str,
    package: &'static str,
    uses: &'static [&'static str],
    tests_use: &'static [&'static str],
) -> Arrows {
    Arrows { folder, package, uses, tests_use }
}

/// What tests of a role use that decides on what the workers have stored.
const ON_WORKERS: &[&str] = &["klatch-memory", "klatch-pump", "klatch-testkit", "klatch-workers"];

/// What roles have in common; the meter counts the processor time that goes into each.
const CORE: &[&str] =
    &["klatch-domain", "klatch-meter", "klatch-ports", "klatch-protocol", "klatch-recent"];
const PORTS: &[&str] = &["klatch-domain", "klatch-ports"];
const REMEMBERING: &[&str] = &["klatch-domain", "klatch-ports", "klatch-recent"];
/// Who tells what was missed. Like the pump, `sync` is no role, but what roles have in common.
const WITH_SYNC: &[&str] = &[
    "klatch-domain",
    "klatch-meter",
    "klatch-ports",
    "klatch-protocol",
    "klatch-recent",
    "klatch-sync",
];
/// Who takes requests asks how often they may come; `limits` is no role either.
const WITH_LIMITS: &[&str] =
    &["klatch-domain", "klatch-limits", "klatch-meter", "klatch-ports", "klatch-protocol"];
const WITH_SYNC_AND_LIMITS: &[&str] = &[
    "klatch-domain",
    "klatch-limits",
    "klatch-meter",
    "klatch-ports",
    "klatch-protocol",
    "klatch-recent",
    "klatch-sync",
];
const REACTOR: &[&str] =
    &["klatch-domain", "klatch-ports", "klatch-protocol", "klatch-pump", "klatch-recent"];
/// What a role's tests run on: the engine that keeps everything in memory, and the test kit.
const ON_MEMORY: &[&str] = &["klatch-memory", "klatch-testkit"];
/// The edge is tested on the roles that answer it, not on imitations of them.
const BEHIND_THE_EDGE: &[&str] = &[
    "klatch-auth",
    "klatch-command",
    "klatch-compliance",
    "klatch-memory",
    "klatch-presence",
    "klatch-pump",
    "klatch-query",
    "klatch-testkit",
    "klatch-workers",
];
/// What people say of themselves comes to connections through the service that takes it.
const BESIDE_PRESENCE: &[&str] =
    &["klatch-memory", "klatch-presence", "klatch-pump", "klatch-testkit", "klatch-workers"];
const WHOLE: &[&str] = &[
    "klatch-auth",
    "klatch-checker",
    "klatch-command",
    "klatch-compliance",
    "klatch-domain",
    "klatch-embedded",
    "klatch-fanout",
    "klatch-gateway",
    "klatch-limits",
    "klatch-log",
    "klatch-memory",
    "klatch-ports",
    "klatch-presence",
    "klatch-protocol",
    "klatch-pump",
    "klatch-query",
    "klatch-realtime",
    "klatch-retention",
    "klatch-soak",
    "klatch-sync",
    "klatch-testkit",
    "klatch-workers",
];
const SUITES: &[&str] = &["klatch-conformance", "klatch-memory", "klatch-testkit"];

/// The whole truth about arrows between crates. No role knows another role, no engine another
/// engine (the embedded one shows the log, which is a crate of its own), and no engine a role or
/// the protocol.
const TABLE: &[Arrows] = &[
    row("crates/core/domain", "klatch-domain", &[], &[]),
    row("crates/core/meter", "klatch-meter", &[], &[]),
    row("crates/core/recent", "klatch-recent", &[], &[]),
    row("crates/core/ports", "klatch-ports", &["klatch-domain"], &[]),
    row("crates/core/protocol", "klatch-protocol", REMEMBERING, &["klatch-testkit"]),
    row("crates/edge/limits", "klatch-limits", PORTS, ON_MEMORY),
    row("crates/edge/gateway", "klatch-gateway", WITH_LIMITS, BEHIND_THE_EDGE),
    row("crates/edge/realtime", "klatch-realtime", WITH_SYNC_AND_LIMITS, BESIDE_PRESENCE),
    row(
        "crates/edge/auth",
        "klatch-auth",
        CORE,
        &["klatch-memory", "klatch-outside", "klatch-testkit"],
    ),
    row("crates/edge/presence", "klatch-presence", CORE, ON_MEMORY),
    row("crates/edge/compliance", "klatch-compliance", CORE, ON_MEMORY),
    row("crates/write/command", "klatch-command", CORE, ON_WORKERS),
    row("crates/react/pump", "klatch-pump", CORE, ON_MEMORY),
    row("crates/react/fanout", "klatch-fanout", REACTOR, ON_MEMORY),
    row("crates/react/workers", "klatch-workers", REACTOR, ON_MEMORY),
    row("crates/read/query", "klatch-query", WITH_SYNC, ON_WORKERS),
    row("crates/read/sync", "klatch-sync", CORE, ON_WORKERS),
    row("crates/adapters/memory", "klatch-memory", PORTS, SUITES),
    row(
        "crates/adapters/embedded",
        "klatch-embedded",
        &["klatch-domain", "klatch-log", "klatch-meter", "klatch-ports", "klatch-recent"],
        SUITES,
    ),
    row("crates/adapters/log", "klatch-log", PORTS, SUITES),
    row("crates/adapters/issuers", "klatch-issuers", PORTS, &["klatch-outside"]),
    row("crates/adapters/mail", "klatch-mail", PORTS, &["klatch-outside", "klatch-testkit"]),
    row(
        "crates/node",
        "klatch",
        &[
            "klatch-auth",
            "klatch-command",
            "klatch-compliance",
            "klatch-domain",
            "klatch-embedded",
            "klatch-fanout",
            "klatch-gateway",
            "klatch-issuers",
            "klatch-limits",
            "klatch-loadgen",
            "klatch-mail",
            "klatch-memory",
            "klatch-meter",
            "klatch-ports",
            "klatch-presence",
            "klatch-protocol",
            "klatch-pump",
            "klatch-query",
            "klatch-realtime",
            "klatch-retention",
            "klatch-soak",
            "klatch-sync",
            "klatch-workers",
        ],
        &["klatch-checker", "klatch-testkit"],
    ),
    // A part of the binary that the simulation runs as well: work on the embedded engines with the
    // workers' code.
    row(
        "crates/retention",
        "klatch-retention",
        &["klatch-domain", "klatch-embedded", "klatch-ports", "klatch-pump", "klatch-workers"],
        &[],
    ),
    row("crates/testing/conformance", "klatch-conformance", PORTS, &[]),
    row("crates/testing/testkit", "klatch-testkit", PORTS, &[]),
    row("crates/testing/checker", "klatch-checker", &["klatch-domain"], &[]),
    row(
        "crates/testing/loadgen",
        "klatch-loadgen",
        &["klatch-checker", "klatch-domain", "klatch-protocol"],
        &[],
    ),
    row(
        "crates/testing/fuzz",
        "klatch-fuzz",
        &["klatch-log", "klatch-ports", "klatch-protocol", "klatch-query", "klatch-realtime"],
        &[],
    ),
    // Black-box: it knows the product by its surfaces only.
    row("crates/testing/soak", "klatch-soak", &["klatch-checker"], &[]),
    row("crates/testing/outside", "klatch-outside", &[], &[]),
    row(
        "crates/testing/e2e",
        "klatch-e2e",
        &["klatch-checker", "klatch-outside", "klatch-soak"],
        &[],
    ),
    // The whole product in one process, put together otherwise than by the binary.
    row("crates/testing/simulation", "klatch-simulation", WHOLE, &[]),
    row("crates/tools/xtask", "xtask", &[], &[]),
];

/// Third-party crates that only the named packages may use, and why.
const ONLY_IN: &[(&str, &[&str], &str)] = &[(
    "anyhow",
    &[
        "klatch",
        "klatch-e2e",
        "klatch-loadgen",
        "klatch-retention",
        "klatch-simulation",
        "klatch-soak",
        "xtask",
    ],
    "callers act on the kind of an error, so give this crate an error type",
)];

/// Third-party crates that a package must do without, and why.
const NEVER_IN: &[(&str, &[&str], &str)] = &[(
    "klatch-domain",
    &["async-trait", "futures", "serde", "serde_json", "tokio", "tracing"],
    "the domain decides; it neither waits, stores nor speaks",
)];

pub(crate) fn check(tree: &Tree, out: &mut Findings<'_>) {
    for folder in tree.crate_folders() {
        let path = format!("{folder}/Cargo.toml");
        let Some(manifest) = Manifest::read(tree, &path, out) else { continue };
        let known = TABLE.iter().find(|row| row.folder == folder);
        let Some(row) = known.filter(|row| row.package == manifest.package) else {
            let advice = "add the crate and its arrows to TABLE in xtask/src/tidy/arrows.rs";
            out.add(&path, 1, advice);
            continue;
        };
        for dependency in manifest.dependencies.iter().filter(|found| is_ours(&found.package)) {
            let Dependency { package, line, dev } = dependency;
            let name = package.as_str();
            let allowed = row.uses.contains(&name) || *dev && row.tests_use.contains(&name);
            if !allowed {
                let kind = if *dev { "tests of " } else { "" };
                let from = row.package;
                let advice = format!("{kind}{from} may not use {package}; see TABLE in arrows.rs");
                out.add(&path, *line, advice);
            }
        }
    }
    let is_workspace = tree.text("Cargo.toml").is_some_and(|text| text.contains("[workspace]"));
    for row in TABLE.iter().filter(|row| is_workspace && !tree.exists(row.folder)) {
        out.add("Cargo.toml", 1, format!("{} is gone: take it out of TABLE", row.folder));
    }
}

pub(crate) fn check_third_party(tree: &Tree, out: &mut Findings<'_>) {
    for folder in tree.crate_folders() {
        let path = format!("{folder}/Cargo.toml");
        let Some(manifest) = Manifest::read(tree, &path, out) else { continue };
        let owner = manifest.package.as_str();
        for Dependency { package, line, dev } in &manifest.dependencies {
            for (name, owners, why) in ONLY_IN {
                if package == name && !owners.contains(&owner) && !dev {
                    out.add(&path, *line, format!("{owner} may not use {name}: {why}"));
                }
            }
            for (_, names, why) in NEVER_IN.iter().filter(|(holder, ..)| *holder == owner) {
                if names.contains(&package.as_str()) && !dev {
                    out.add(&path, *line, format!("{owner} may not use {package}: {why}"));
                }
            }
        }
    }
}

fn is_ours(package: &str) -> bool {
    TABLE.iter().any(|row| row.package == package) || package.starts_with("klatch-")
}

struct Dependency {
    package: String,
    line: usize,
    dev: bool,
}

struct Manifest {
    package: String,
    dependencies: Vec<Dependency>,
}

impl Manifest {
    fn read(tree: &Tree, path: &str, out: &mut Findings<'_>) -> Option<Self> {
        let text = tree.text(path)?;
        let table: Table = match text.parse() {
            Ok(table) => table,
            Err(error) => {
                out.add(path, 1, format!("not a manifest: {}", error.message()));
                return None;
            }
        };
        let package = table.get("package")?.get("name")?.as_str()?.to_owned();
        let mut dependencies = Vec::new();
        collect(&table, text, &mut dependencies);
        for (_, target) in table.get("target").and_then(Value::as_table).into_iter().flatten() {
            target.as_table().into_iter().for_each(|own| collect(own, text, &mut dependencies));
        }
        Some(Self { package, dependencies })
    }
}

fn collect(table: &Table, text: &str, out: &mut Vec<Dependency>) {
    for section in ["dependencies", "build-dependencies", "dev-dependencies"] {
        for (key, value) in table.get(section).and_then(Value::as_table).into_iter().flatten() {
            let renamed = value.get("package").and_then(Value::as_str);
            let package = renamed.unwrap_or(key).to_owned();
            let line = line_of(text, section, key);
            out.push(Dependency { package, line, dev: section == "dev-dependencies" });
        }
    }
}

/// The line of `key` after the head of its section; 1 where the manifest is written another way.
fn line_of(text: &str, section: &str, key: &str) -> usize {
    let head = format!("{section}]");
    let mut lines = text.lines().enumerate();
    let inside = lines.by_ref().any(|(_, line)| {
        let line = line.trim();
        line.ends_with(&head) && matches!(line.trim_end_matches(&head), "[" | "[workspace.")
            || line.starts_with("[target.") && line.ends_with(&format!(".{head}"))
    });
    let starts = |line: &str| {
        line.trim_start().strip_prefix(key).is_some_and(|rest| rest.starts_with(['.', ' ', '=']))
    };
    lines.find(|(_, line)| inside && starts(line)).map_or(1, |(at, _)| at + 1)
}
