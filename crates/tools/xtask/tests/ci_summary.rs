//! The closing line of `.ci/run` counts what the test runners really said.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};

fn summary(log: &str) -> Result<String> {
    let path = std::env::temp_dir().join(format!("klatch-summary-{}.log", std::process::id()));
    // Tests of one binary share a process id, so the name carries the log's size as well.
    let path = path.with_extension(log.len().to_string());
    std::fs::write(&path, log)?;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../.ci/run");
    let output = Command::new("bash").args([script, "--summary"]).arg(&path).output();
    std::fs::remove_file(&path)?;
    let output = output.context("running bash")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

#[test]
fn the_summary_adds_what_all_runners_counted() -> Result<()> {
    let log = "\
running 2 tests
test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.04s
test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1s
     Summary [   0.004s] 31 tests run: 30 passed, 1 failed, 0 skipped
 Test Files  1 failed | 3 passed (4)
\u{1b}[2m      Tests \u{1b}[22m \u{1b}[31m4 failed\u{1b}[39m | \u{1b}[32m40 passed\u{1b}[39m (44)
      Tests  5 passed | 1 skipped (6)
";
    assert_eq!(summary(log)?, "90 passed, 7 failed");
    Ok(())
}

#[test]
fn words_that_only_look_like_results_count_nothing() -> Result<()> {
    let log = "7 passed over the bridge\nTests are fun: 3 passed\n    test result: 4 passed\n";
    assert_eq!(summary(log)?, "0 passed, 0 failed");
    Ok(())
}
