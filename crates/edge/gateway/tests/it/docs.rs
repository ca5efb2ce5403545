//! The pages under `docs/protocol` list what there is.

use std::fmt::Write as _;

use klatch_protocol::problem::Code;

const REST: &str = include_str!("../../../../../docs/protocol/rest.md");
const PROBLEMS: &str = include_str!("../../../../../docs/protocol/problems.md");

/// What stands between two marks of a page.
fn between(page: &'static str, name: &str) -> &'static str {
    let (_, rest) = page.split_once(&format!("<!-- {name} -->\n")).unwrap();
    rest.split_once(&format!("<!-- /{name} -->")).unwrap().0
}

#[test]
fn the_page_of_problems_lists_every_code() {
    let mut wanted = String::from("| status | code | what it means |\n| --- | --- | --- |\n");
    for code in Code::ALL {
        let words = code.explanation().split_whitespace().collect::<Vec<_>>().join(" ");
        writeln!(wanted, "| {} | `{}` | {words} |", code.status(), code.as_str()).unwrap();
    }
    let found = between(PROBLEMS, "codes");
    assert!(found == wanted, "docs/protocol/problems.md should list:\n{wanted}");
}

#[test]
fn the_page_of_the_interface_lists_every_operation() {
    let document = klatch_gateway::document();
    let mut wanted = String::from("| operation | does |\n| --- | --- |\n");
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let summary = operation["summary"].as_str().unwrap();
            writeln!(wanted, "| `{} {path}` | {summary} |", method.to_uppercase()).unwrap();
        }
    }
    let found = between(REST, "operations");
    assert!(found == wanted, "docs/protocol/rest.md should list:\n{wanted}");
}
