//! evidence
pub mod log;
