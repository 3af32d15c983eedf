pub mod checkpoint;
pub mod merkle;
pub mod note;
pub mod proof;
pub mod segment;
pub mod storage;
pub mod tile;
