//! A real S3 server, versitygw over a directory: it checks every signature. `make test-s3` builds it
//! and names it in `PORTCULLIS_S3_SERVER`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use portcullis_connectors::s3::{Bucket, BucketError, BucketOptions, Condition, Credentials};
use portcullis_connectors::sinks::{BucketSink, TilesSink};
use portcullis_domain::Secret;
use portcullis_evidence::log::verify_dir;
use portcullis_testkit::{Daemon, free_port};

use crate::authority::Authority;
use crate::journal::{Journal, assert_complete, now, sequences};

const BUCKET: &str = "audit";

/// The server and the directory its objects lie in.
pub(crate) struct ObjectStorage {
    daemon: Option<Daemon>,
    authority: Authority,
    root: PathBuf,
    port: u16,
}

impl ObjectStorage {
    pub(crate) fn start(directory: &Path) -> Self {
        let root = directory.join("s3");
        fs::create_dir_all(root.join("objects").join(BUCKET)).unwrap();
        let authority = Authority::make(&root);
        let mut storage = Self { daemon: None, authority, root, port: free_port() };
        storage.up();
        storage
    }

    pub(crate) fn up(&mut self) {
        let program = std::env::var("PORTCULLIS_S3_SERVER").expect("run `make test-s3`");
        let (address, objects) = (format!("127.0.0.1:{}", self.port), self.objects());
        let (certificate, key) = &self.authority.server;
        let arguments = [
            "--access",
            "gate",
            "--secret",
            "a secret key",
            "--region",
            "eu-test-1",
            "--port",
            &address,
            "--cert",
            certificate.to_str().unwrap(),
            "--key",
            key.to_str().unwrap(),
            "--quiet",
            "posix",
            objects.to_str().unwrap(),
        ];
        self.daemon = Some(Daemon::start("versitygw", &program, &arguments, &self.root, self.port));
    }

    pub(crate) fn down(&mut self) {
        drop(self.daemon.take());
    }

    fn objects(&self) -> PathBuf {
        self.root.join("objects")
    }

    /// Where the objects of the bucket lie as files.
    pub(crate) fn files(&self) -> PathBuf {
        self.objects().join(BUCKET)
    }

    pub(crate) fn bucket(&self, prefix: &str) -> Bucket {
        self.bucket_with(prefix, "a secret key")
    }

    fn bucket_with(&self, prefix: &str, secret: &str) -> Bucket {
        let options = BucketOptions {
            endpoint: format!("https://127.0.0.1:{}", self.port).parse().unwrap(),
            tls: self.authority.trust(false).client_config().unwrap(),
            region: "eu-test-1".into(),
            bucket: BUCKET.into(),
            prefix: prefix.into(),
            path_style: true,
            credentials: Credentials {
                access_key_id: "gate".into(),
                secret_access_key: Secret::new(secret.as_bytes().to_vec()),
                session_token: None,
            },
        };
        Bucket::new(options, Arc::new(now)).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_put_read_listed_and_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let storage = ObjectStorage::start(directory.path());
    let bucket = storage.bucket("a/b");
    assert_eq!(bucket.get("x", 10).await.unwrap(), None);
    let tag = bucket.put("x", "one".as_bytes(), &Condition::Absent).await.unwrap().unwrap();
    let twice = bucket.put("x", "two".as_bytes(), &Condition::Absent).await;
    assert!(matches!(twice, Err(BucketError::Conflict { .. })), "{twice:?}");
    assert_eq!(bucket.get("x", 10).await.unwrap().unwrap().bytes, b"one");
    let unchanged = Condition::Unchanged(tag.clone());
    bucket.put("x", "three".as_bytes(), &unchanged).await.unwrap();
    let stale = bucket.put("x", "four".as_bytes(), &unchanged).await;
    assert!(matches!(stale, Err(BucketError::Conflict { .. })), "{stale:?}");
    assert!(matches!(bucket.get("x", 4).await, Err(BucketError::TooLarge { limit: 4, .. })));
    for n in 0..1100 {
        bucket.put(&format!("tile/{n:04}"), Vec::new(), &Condition::Always).await.unwrap();
    }
    bucket.put("tile/x001/000", "deep".as_bytes(), &Condition::Always).await.unwrap();
    let names = bucket.list("tile").await.unwrap();
    assert_eq!(names.len(), 1101, "a listing has several pages");
    assert!(names.contains(&"0042".into()) && names.contains(&"x001".into()));
    assert_eq!(bucket.list("nothing").await.unwrap(), [""; 0]);
    bucket.delete("x").await.unwrap();
    bucket.delete("x").await.unwrap();
    assert_eq!(bucket.get("x", 10).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let storage = ObjectStorage::start(directory.path());
    let refused =
        storage.bucket_with("", "wrong").put("x", "y".as_bytes(), &Condition::Always).await;
    let Err(BucketError::Refused { status: 403, said, .. }) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(said, "SignatureDoesNotMatch");
}

#[tokio::test(flavor = "multi_thread")]
async fn storage_that_goes_away_and_comes_back_has_every_entry() {
    let journal = Journal::open();
    let mut storage = ObjectStorage::start(journal.path());
    let running = journal.export(vec![Box::new(BucketSink::new(storage.bucket("export")))]);
    journal.write(1000).await;
    running.caught_up(0, &journal).await;
    storage.down();
    journal.write(1000).await;
    running.wait_for(0, "it never failed", |state| state.failing.is_some()).await;
    storage.up();
    running.caught_up(0, &journal).await;
    let mut names = Vec::new();
    collect(&storage.files(), &mut names);
    names.sort_unstable();
    let text: String = names.iter().map(|name| fs::read_to_string(name).unwrap()).collect();
    assert_complete(&sequences(&text), &journal.all());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_holds_the_log_itself_and_a_copy_of_it_verifies_alone() {
    let journal = Journal::open();
    let mut storage = ObjectStorage::start(journal.path());
    let sink = |storage: &ObjectStorage| {
        vec![Box::new(TilesSink::new(storage.bucket("log"), journal.path().join("log"))) as Box<_>]
    };
    let verified = |storage: &ObjectStorage| {
        verify_dir(&storage.files().join("log"), journal.log.verifier()).unwrap().size
    };
    let running = journal.export(sink(&storage));
    for count in [3, 250, 4, 700] {
        journal.write(count).await;
        running.caught_up(0, &journal).await;
        assert!(verified(&storage) >= journal.log.size());
    }
    let gone = storage.files().join("log/tile/0/000.p");
    let left = std::fs::read_dir(&gone).map_or(0, Iterator::count);
    assert_eq!(left, 0, "partial tiles go once the full one is there");
    storage.down();
    journal.write(1000).await;
    running.wait_for(0, "it never failed", |state| state.failing.is_some()).await;
    running.kill().await;
    storage.up();
    let running = journal.export(sink(&storage));
    running.caught_up(0, &journal).await;
    assert_eq!(verified(&storage), journal.log.size());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_with_another_history_is_not_written_to() {
    let (first, second) = (Journal::open(), Journal::open());
    let storage = ObjectStorage::start(first.path());
    let sink = |journal: &Journal| {
        vec![Box::new(TilesSink::new(storage.bucket("log"), journal.path().join("log"))) as Box<_>]
    };
    first.write(10).await;
    let running = first.export(sink(&first));
    running.caught_up(0, &first).await;
    running.kill().await;
    second.write(20).await;
    let running = second.export(sink(&second));
    let failing = |state: &portcullis_connectors::export::ExportState| state.failing.is_some();
    let why = running.wait_for(0, "it was written", failing).await.failing.unwrap().why;
    assert!(why.contains("another history"), "{why}");
    let size = verify_dir(&storage.files().join("log"), first.log.verifier()).unwrap().size;
    assert_eq!(size, 10, "what was there is untouched");
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "jsonl") {
            files.push(path);
        }
    }
}
