//! Transparent huge pages: whether a region that asks for them by madvise can get them.

use std::{
    fs::{self, OpenOptions},
    io,
};

use crate::guard::Setting;

const ENABLED: &str = "/sys/kernel/mm/transparent_hugepage/enabled";
/// Since 6.8: a setting for each size; `inherit` follows the one above.
const ENABLED_2M: &str = "/sys/kernel/mm/transparent_hugepage/hugepages-2048kB/enabled";

/// Whether huge pages are built in and not switched off, or can be switched on.
pub fn can_be_had() -> bool {
    [ENABLED, ENABLED_2M].into_iter().all(|path| match fs::read_to_string(path) {
        Ok(text) => !text.contains("[never]") || OpenOptions::new().write(true).open(path).is_ok(),
        // The file of the size came later; without the other there are no huge pages.
        Err(_) => path == ENABLED_2M,
    })
}

/// Lets regions have huge pages that ask for them, until the settings are dropped. Nothing is changed where they may
/// already.
pub fn allow() -> io::Result<Vec<Setting>> {
    let mut changed = Vec::new();
    for (path, value) in [(ENABLED, "madvise"), (ENABLED_2M, "inherit")] {
        if fs::read_to_string(path).is_ok_and(|text| text.contains("[never]")) {
            changed.push(Setting::change(path, value)?);
        }
    }
    Ok(changed)
}
