//! Where the workspace is.

use std::{env, path::PathBuf};

/// The workspace's root directory.
pub(crate) fn root() -> PathBuf {
    // cargo names the place as it is now; the compiled-in one may have been moved since.
    let manifest_dir = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    manifest_dir.parent().map_or_else(|| manifest_dir.clone(), PathBuf::from)
}
