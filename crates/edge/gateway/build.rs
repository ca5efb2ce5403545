//! Makes sure that the folder of the built web client is there to be embedded, empty or not.

use std::path::Path;

fn main() -> std::io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../../../web/dist");
    // A checkout without Node still builds; the binary then says how to build the client.
    std::fs::create_dir_all(Path::new("../../../web/dist"))
}
