//! Nodes and their lease on the store.
//!
//! A node whose heartbeat does not come through must act as cut off when its lease ends: the
//! store cannot tell it so. That decision is the node's own, by its own clock.

use portcullis_domain::Timestamp;

use crate::Store;
use crate::database::args;
use crate::error::StoreError;

/// Longest name of a node, in bytes.
const MAX_NODE_NAME_BYTES: usize = 255;
/// Most nodes listed.
const MAX_NODES: i64 = 1000;

/// A node as others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// When its first heartbeat came.
    pub started_at: Timestamp,
    /// When its latest heartbeat came.
    pub seen_at: Timestamp,
}

impl Store {
    /// Says that a node lives and that the store takes its writes. Its failure is what a lease
    /// is lost by. A silent network can hold it for many seconds; it may be given up at any
    /// moment, so wrap it in the timeout the lease needs.
    pub async fn heartbeat(&self, node: &str, now: Timestamp) -> Result<(), StoreError> {
        if node.is_empty() || node.len() > MAX_NODE_NAME_BYTES {
            let why = format!("a name has 1 to {MAX_NODE_NAME_BYTES} bytes");
            return Err(StoreError::invalid("the node", why));
        }
        let sql = "INSERT INTO nodes (name, started_at, seen_at) VALUES ($1, $2, $2)
            ON CONFLICT (name) DO UPDATE SET seen_at = excluded.seen_at";
        self.write_one(sql, args![node, now]).await.map(drop)
    }

    /// Every node that has not been forgotten, by name.
    pub async fn nodes(&self) -> Result<Vec<Node>, StoreError> {
        let sql = "SELECT name, started_at, seen_at FROM nodes ORDER BY name LIMIT $1";
        let rows = self.inner.database.rows(sql, args![MAX_NODES]).await?;
        let nodes = rows.iter().map(|row| {
            let name = row.text(0)?.to_owned();
            Ok(Node { name, started_at: row.time(1)?, seen_at: row.time(2)? })
        });
        nodes.collect()
    }

    /// Forgets a node that stopped for good.
    pub async fn forget_node(&self, node: &str) -> Result<(), StoreError> {
        self.write_one("DELETE FROM nodes WHERE name = $1", args![node]).await.map(drop)
    }
}
