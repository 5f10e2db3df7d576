//! Records that the iterator writes and user space reads.
