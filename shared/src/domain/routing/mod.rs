//! Where traffic goes, and what to write so that it goes where it should: an alias with a revision, and records
//! and rules with weights.

pub mod alias;
pub mod weighted;
