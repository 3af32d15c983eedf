//! Where the columns of a result come from, so that protected ones can be masked or withheld.
//!
//! [`trace`] takes a statement, the [`Protected`] columns and, where it is known, the [`Schema`],
//! and tells for every column of the result whether it is a plain copy of a protected column
//! (which can be masked), computed from one (which is withheld), or has nothing to do with one;
//! and through which conditions and orders a protected column shows although it is not in the
//! result. What cannot be told is withheld.
//!
//! [`Mask`] makes the value that is handed on in a masked one's place, and [`Content`] tells what a
//! value is where no column was named.
//!
//! A table is protected by its own name: a view over it must be in the schema with its definition,
//! or be named by a pattern itself.

mod content;
mod expression;
mod origin;
mod protected;
mod query;
mod relations;
mod scope;
mod trace;
mod transform;

pub use content::Content;
pub use origin::{Masking, Origin, Output, Place, ProtectedColumn, SideChannel, Treatment};
pub use protected::{ColumnPattern, PatternError, Protected, Schema};
pub use trace::trace;
pub use transform::{Encoding, LONGEST_VALUE, Mask, MaskKey};
