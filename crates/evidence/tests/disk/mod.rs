//! A disk in memory whose power can be cut and whose space can end, at any operation.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::sync::{Arc, Mutex};

use portcullis_evidence::log::storage::{SegmentFile, SegmentStore, TileStore};

/// What the file system knows of a file, and what would survive a power cut.
#[derive(Clone, Default)]
struct Stored {
    current: Option<Vec<u8>>,
    durable: Option<Vec<u8>>,
}

#[derive(Default)]
struct State {
    tiles: BTreeMap<String, Stored>,
    segments: BTreeMap<u64, Stored>,
    operations: u64,
    fail_from: Option<u64>,
}

/// The disk. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Disk(Arc<Mutex<State>>);

impl Disk {
    /// Makes every writing operation from the `n`th on fail.
    pub(crate) fn fail_from(&self, n: u64) {
        self.0.lock().unwrap().fail_from = Some(n);
    }

    pub(crate) fn operations(&self) -> u64 {
        self.0.lock().unwrap().operations
    }

    /// What the disk holds after a power cut: of each file not synced, `luck` decides whether
    /// the old or the new content is found, or the new one cut short or in part blank.
    pub(crate) fn after_power_cut(&self, mut luck: impl FnMut() -> usize) -> Disk {
        let state = self.0.lock().unwrap();
        let mut survived = State::default();
        for (path, file) in &state.tiles {
            let bytes = match luck() % 4 {
                _ if file.current == file.durable => file.durable.clone(),
                0 => file.current.clone(),
                1 => file.current.as_ref().map(|_| Vec::new()),
                2 => {
                    file.current.as_ref().map(|bytes| bytes[..luck() % (bytes.len() + 1)].to_vec())
                }
                _ => file.durable.clone(),
            };
            survived.put_tile(path, bytes);
        }
        for (first, file) in &state.segments {
            let bytes = match (&file.current, &file.durable) {
                (Some(current), durable) => {
                    let kept = durable.as_ref().map_or(0, Vec::len).min(current.len());
                    let mut bytes = current.clone();
                    for byte in &mut bytes[kept..] {
                        if luck().is_multiple_of(3) {
                            *byte = 0;
                        }
                    }
                    bytes.truncate(kept + luck() % (current.len() - kept + 1));
                    durable.as_ref().map(|_| bytes)
                }
                (None, durable) if luck().is_multiple_of(2) => durable.clone(),
                (None, _) => None,
            };
            let file = Stored { current: bytes.clone(), durable: bytes };
            survived.segments.insert(*first, file);
        }
        Disk(Arc::new(Mutex::new(survived)))
    }

    fn write<T>(&self, run: impl FnOnce(&mut State) -> T) -> io::Result<T> {
        let mut state = self.0.lock().unwrap();
        state.operations += 1;
        if state.fail_from.is_some_and(|n| state.operations > n) {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        Ok(run(&mut state))
    }
}

impl State {
    fn put_tile(&mut self, path: &str, bytes: Option<Vec<u8>>) {
        let file = Stored { current: bytes.clone(), durable: bytes };
        self.tiles.insert(path.into(), file);
    }
}

impl TileStore for Disk {
    fn read(&self, path: &str, max_bytes: usize) -> io::Result<Option<Vec<u8>>> {
        let state = self.0.lock().unwrap();
        let bytes = state.tiles.get(path).and_then(|file| file.current.clone());
        assert!(bytes.as_ref().is_none_or(|bytes| bytes.len() <= max_bytes));
        Ok(bytes)
    }

    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.write(|state| {
            state.tiles.entry(path.into()).or_default().current = Some(bytes.to_vec());
        })
    }

    fn publish(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.write(|state| state.put_tile(path, Some(bytes.to_vec())))
    }

    fn sync(&self, paths: &BTreeSet<String>) -> io::Result<()> {
        for path in paths {
            self.write(|state| {
                if let Some(file) = state.tiles.get_mut(path) {
                    file.durable = file.current.clone();
                }
            })?;
        }
        Ok(())
    }

    fn list(&self, directory: &str) -> io::Result<Vec<String>> {
        let prefix = format!("{directory}/");
        let state = self.0.lock().unwrap();
        let there = state.tiles.iter().filter(|(_, file)| file.current.is_some());
        Ok(there
            .filter_map(|(path, _)| Some(path.strip_prefix(&prefix)?.split('/').next()?.to_owned()))
            .collect())
    }

    fn remove_directory(&self, directory: &str) -> io::Result<()> {
        let prefix = format!("{directory}/");
        self.write(|state| {
            for (path, file) in &mut state.tiles {
                if path.starts_with(&prefix) {
                    file.current = None;
                }
            }
        })
    }
}

impl SegmentStore for Disk {
    fn list(&self) -> io::Result<Vec<u64>> {
        let state = self.0.lock().unwrap();
        let there = state.segments.iter().filter(|(_, file)| file.current.is_some());
        Ok(there.map(|(first, _)| *first).collect())
    }

    fn read(&self, first: u64) -> io::Result<Box<dyn Read + Send>> {
        let state = self.0.lock().unwrap();
        let bytes = state.segments.get(&first).and_then(|file| file.current.clone());
        let bytes = bytes.ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(io::Cursor::new(bytes)))
    }

    fn append_to(&self, first: u64, length: u64) -> io::Result<Box<dyn SegmentFile>> {
        self.write(|state| {
            let file = state.segments.entry(first).or_default();
            let mut bytes = file.current.take().unwrap_or_default();
            bytes.truncate(length as usize);
            *file = Stored { current: Some(bytes.clone()), durable: Some(bytes) };
        })?;
        Ok(Box::new(Open { disk: self.clone(), first }))
    }

    fn remove(&self, first: u64) -> io::Result<()> {
        self.write(|state| {
            state.segments.remove(&first);
        })
    }
}

struct Open {
    disk: Disk,
    first: u64,
}

impl SegmentFile for Open {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        // A full disk takes part of a write before it refuses the rest.
        let done = self.disk.write(|_| ());
        let part = if done.is_ok() { bytes } else { &bytes[..bytes.len() / 2] };
        let mut state = self.disk.0.lock().unwrap();
        let file = state.segments.entry(self.first).or_default();
        file.current.get_or_insert_default().extend_from_slice(part);
        done
    }

    fn sync(&mut self) -> io::Result<()> {
        let first = self.first;
        self.disk.write(|state| {
            let file = state.segments.entry(first).or_default();
            file.durable = file.current.clone();
        })
    }
}
