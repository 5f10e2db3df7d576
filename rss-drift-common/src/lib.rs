//! What the eBPF programs and user space share: the members of RSS, the records of the iterator, and the shadow's protocol.
//!
//! Everything here is `no_std`, allocates nothing and cannot panic, because the eBPF programs use it too.
#![no_std]

pub mod layout;
pub mod member;
pub mod memory;
pub mod protocol;
pub mod record;
pub mod room;
pub mod run;
pub mod running;
pub mod shadow;
pub mod slot;

pub use layout::{Layout, RDONLY_CAST};
pub use member::{MEMBERS, Member, Pages};
