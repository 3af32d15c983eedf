//! Takes the console's built files (`web/dist`) into the crate, each with a compressed form beside it.
//!
//! In: `web/dist`, which `npm run build` in `web/` writes. Out: a list of files for `console.rs`,
//! empty where nothing was built: the API works without the console, and building needs no Node.

use std::error::Error;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

/// Most files taken; more is not the console.
const MAX_FILES: usize = 1000;
/// Compressed forms that save less than this are left out, in bytes.
const WORTHWHILE: usize = 64;

fn main() -> Result<(), Box<dyn Error>> {
    let variable = |name| std::env::var_os(name).map(PathBuf::from).ok_or("cargo sets this");
    let built = variable("CARGO_MANIFEST_DIR")?.join("../../web/dist");
    let out = variable("OUT_DIR")?;
    println!("cargo::rerun-if-changed=build.rs");
    let mut files = Vec::new();
    // A path that is not there would have cargo build this crate anew each time.
    if built.is_dir() {
        println!("cargo::rerun-if-changed={}", built.display());
        collect(&built, &mut files)?;
    }
    files.sort();
    let mut list = String::from("&[\n");
    for (number, file) in files.iter().enumerate() {
        let bytes = std::fs::read(file)?;
        let name = file.strip_prefix(&built)?.to_str().ok_or("a name is not UTF-8")?;
        let plain = out.join(format!("{number}.bin"));
        std::fs::write(&plain, &bytes)?;
        let packed = compress(&bytes)?;
        let packed = if packed.len() + WORTHWHILE < bytes.len() {
            let path = out.join(format!("{number}.gz"));
            std::fs::write(&path, packed)?;
            format!("Some(include_bytes!({path:?}))")
        } else {
            "None".to_owned()
        };
        writeln!(
            list,
            "Asset {{ path: {name:?}, body: include_bytes!({plain:?}), gzip: {packed}, \
             tag: \"\\\"{:016x}\\\"\" }},",
            tag(&bytes)
        )?;
    }
    list.push(']');
    std::fs::write(out.join("console.rs"), list)?;
    Ok(())
}

/// Every file below, hidden ones left out.
fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), files)?;
        } else if files.len() == MAX_FILES {
            return Err(format!("more than {MAX_FILES} files in web/dist").into());
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}

fn compress(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// FNV-1a: tells one build's file from another's and protects nothing.
fn tag(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
