//! Makes sure that the folder of the built web client is there to be embedded, empty or not.

use std::path::Path;

fn main() {
    let dist = Path::new("../../../web/dist");
    // A checkout without Node still builds; the binary then says how to build the client.
    if let Err(error) = std::fs::create_dir_all(dist) {
        println!("cargo::warning=web/dist cannot be made, the web client is left out: {error}");
    }
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../../../web/dist");
}
