//! Our exports, verified by Go's `golang.org/x/mod/sumdb`: an implementation that shares nothing
//! with ours. Needs Debian's golang-go and golang-golang-x-mod-dev (`scripts/ensure`), no network.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use portcullis_evidence::log::export::{Export, ExportDirectory};
use portcullis_evidence::log::note::{Note, add_signatures};
use portcullis_evidence::log::{Checkpoint, Cosigner, Log, LogOptions, LogReader, NoteSigner};
use tempfile::TempDir;

/// Where Debian puts Go libraries.
const GOPATH: &str = "/usr/share/gocode";

#[tokio::test]
async fn go_verifies_our_exports_and_refuses_changed_ones() {
    let work = TempDir::new().unwrap();
    let go = Verifier::build(work.path());
    let log = work.path().join("log");
    let witness = Cosigner::new("example.com/witness", &[9; 32]).unwrap();
    let (key, witness_key) = (signer().verifier().to_vkey(), witness.key().to_vkey());
    let earlier = work.path().join("earlier");
    let mut size = 0;
    // One entry, a full bundle, one more, and a tree with a second level that is partial too.
    for (round, more) in [1, 255, 1, 600, 65_000].into_iter().enumerate() {
        append(&log, more).await;
        size += more;
        let reader = LogReader::open(&log).unwrap();
        let dir = work.path().join(format!("export-{round}"));
        export(&reader, &witness, &dir);
        let old = if round == 0 { "-" } else { earlier.to_str().unwrap() };
        let output = go.run(&dir, &key, &witness_key, old);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), size.to_string(), "{error}");
        fs::write(&earlier, reader.checkpoint_note().unwrap()).unwrap();
    }
    let changed = work.path().join("export-3");
    let other = NoteSigner::new("example.com/log", &[8; 32]).unwrap().verifier().to_vkey();
    assert!(!go.run(&changed, &other, "-", "-").status.success(), "another key");
    // The log of round 4 continues it; it does not continue that of round 4.
    let longer = earlier.to_str().unwrap();
    assert!(!go.run(&changed, &key, "-", longer).status.success(), "cut");
    for path in ["tile/entries/000", "tile/0/000", "tile/1/000.p/3", "checkpoint"] {
        let file = changed.join(path);
        let good = fs::read(&file).unwrap();
        let mut bad = good.clone();
        bad[40] ^= 1;
        fs::write(&file, bad).unwrap();
        assert!(!go.run(&changed, &key, "-", "-").status.success(), "{path}");
        fs::write(&file, good).unwrap();
    }
    assert!(go.run(&changed, &key, "-", "-").status.success());
}

/// The compiled verifier.
struct Verifier(PathBuf);

impl Verifier {
    fn build(work: &Path) -> Self {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/go_sumdb/verify.go");
        let program = work.join("verify");
        let built = Command::new("go")
            .args(["build", "-o"])
            .arg(&program)
            .arg(source)
            .env("GO111MODULE", "off")
            .env("GOFLAGS", "")
            .env("GOPATH", GOPATH)
            .env("GOPROXY", "off")
            .env("GOCACHE", concat!(env!("CARGO_TARGET_TMPDIR"), "/go-cache"))
            .output();
        let built = built.unwrap_or_else(|error| {
            panic!("{error}: run `scripts/ensure golang-go golang-golang-x-mod-dev`")
        });
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        Self(program)
    }

    fn run(&self, dir: &Path, key: &str, witness: &str, earlier: &str) -> Output {
        Command::new(&self.0).arg(dir).args([key, witness, earlier]).output().unwrap()
    }
}

fn signer() -> NoteSigner {
    NoteSigner::new("example.com/log", &[7; 32]).unwrap()
}

async fn append(log: &Path, count: u64) {
    let log = Log::open(log, signer(), LogOptions::default()).unwrap();
    let entries: Vec<Vec<u8>> =
        (log.size()..log.size() + count).map(|n| format!("{{\"n\":{n}}}").into_bytes()).collect();
    for batch in entries.chunks(8000) {
        log.append_many(batch.to_vec()).await.unwrap();
    }
    log.close().await.unwrap();
}

fn export(reader: &LogReader, witness: &Cosigner, to: &Path) {
    let note = reader.checkpoint_note().unwrap();
    let cosignature = witness.cosign(Note::parse(&note).unwrap().text(), 1_795_000_000);
    let export = Export {
        checkpoint: Checkpoint::read_unverified(&note).unwrap(),
        note: add_signatures(&note, &cosignature).unwrap(),
        entries: 0..u64::MAX,
        handovers: Vec::new(),
        log_keys: vec![signer().verifier().to_vkey()],
        witness_keys: vec![witness.key().to_vkey()],
        made_at: "2026-11-22T17:00:00Z".into(),
    };
    let mut directory = ExportDirectory::create(to).unwrap();
    export.write(reader.tiles(), &mut directory, |_, _| {}).unwrap();
    directory.finish().unwrap();
}
