//! What the eBPF programs and user space share: the members of RSS and the records of the iterator.
//!
//! Everything here is `no_std`, allocates nothing and cannot panic, because the eBPF programs use it too.
#![no_std]

pub mod layout;
pub mod member;
pub mod record;

pub use layout::Layout;
pub use member::{MEMBERS, Member, Pages};
