use std::collections::BTreeMap;

use portcullis_store::LogSequence;

use super::home::Home;

const WRITERS: u64 = 8;
const BATCHES: u64 = 25;

pub(crate) async fn batches_of_many_writers_follow_each_other_without_gaps(home: Home) {
    // The tables come with the store.
    let _store = home.open().await;
    let nodes =
        [LogSequence::open(&home.url).await.unwrap(), LogSequence::open(&home.url).await.unwrap()];
    let nodes = nodes.map(std::sync::Arc::new);
    let mut writers = Vec::new();
    for writer in 0..WRITERS {
        let sequence = nodes[usize::try_from(writer % 2).unwrap()].clone();
        writers.push(tokio::spawn(async move {
            let mut written = Vec::new();
            for batch in 0..BATCHES {
                let entries = 1 + (writer + batch) % 3;
                let body = format!("{writer}/{batch}").into_bytes();
                let first = sequence.append(body.clone(), entries).await.unwrap();
                written.push((first, (body, entries)));
            }
            written
        }));
    }
    // Whoever follows meanwhile never sees a batch before the one it comes after.
    let follower = {
        let sequence = nodes[0].clone();
        tokio::spawn(async move {
            let mut seen: Vec<(u64, Vec<u8>)> = Vec::new();
            while seen.len() < usize::try_from(WRITERS * BATCHES).unwrap() {
                let from = seen.last().map_or(0, |(first, _)| first + 1);
                seen.extend(sequence.after(from).await.unwrap());
            }
            seen
        })
    };
    let mut written = BTreeMap::new();
    for writer in writers {
        written.extend(writer.await.unwrap());
    }
    let mut next = 0;
    for (first, (body, entries)) in &written {
        assert_eq!(*first, next, "a gap or an overlap");
        next += entries;
        let last = nodes[1].holding(next - 1).await.unwrap();
        assert_eq!(last, Some((*first, body.clone())));
    }
    assert_eq!(nodes[0].end().await.unwrap(), next);
    assert_eq!(nodes[1].holding(next).await.unwrap(), None);
    let followed = follower.await.unwrap();
    let expected: Vec<_> = written.into_iter().map(|(first, (body, _))| (first, body)).collect();
    assert_eq!(followed, expected);
}
