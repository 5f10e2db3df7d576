//! A kernel of this host's files: somebody's own build, or what a distribution has in /boot.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::{bzimage, cached::Cached, fetch, kernels::Kernel, tools};

/// Puts the kernel and those of its modules that a guest may want into a folder.
pub(crate) fn open(kernel: Kernel, path: &Path) -> Result<Cached> {
    let image = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let release = bzimage::release(&image).with_context(|| path.display().to_string())?;
    let dir = super::target().join("own").join(&release);
    // Made anew each time: the same release may have been built again.
    if dir.exists() {
        fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    }
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    fetch::write(&dir.join("vmlinuz"), &image)?;
    let modules = modules(path, &release);
    if modules.is_none() {
        eprintln!("{}: no modules of {release} beside it: tests that need zram are skipped", path.display());
    }
    // Where there are none, an empty folder.
    let root = modules.as_deref().unwrap_or(&dir);
    fetch::copy_modules(root, &dir.join("modules"), &release, &tools::busybox()?)?;
    Ok(Cached { kernel, release, version: String::new(), dir })
}

/// The folder with a kernel's modules: the one that it lies in itself, that of the same root file system, or the tree that it
/// was built in.
fn modules(path: &Path, release: &str) -> Option<PathBuf> {
    let parent = path.parent()?;
    if parent.file_name().is_some_and(|name| name == release) {
        return Some(parent.to_owned());
    }
    let root = parent.parent().unwrap_or(parent);
    let installed = ["lib/modules", "usr/lib/modules"].map(|dir| root.join(dir).join(release));
    if let Some(dir) = installed.into_iter().find(|dir| dir.is_dir()) {
        return Some(dir);
    }
    let tree = path.ancestors().find(|dir| path.starts_with(dir.join("arch/x86/boot")))?;
    Some(tree.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_found_where_people_have_them() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        fs::create_dir_all(at("lib/modules/6.12.1")).unwrap();
        let found = |path: &str| modules(&at(path), "6.12.1");
        assert_eq!(found("boot/vmlinuz-6.12.1"), Some(at("lib/modules/6.12.1")));
        assert_eq!(found("usr/lib/modules/6.12.1/vmlinuz"), Some(at("usr/lib/modules/6.12.1")));
        assert_eq!(found("linux/arch/x86/boot/bzImage"), Some(at("linux")));
        assert_eq!(found("Downloads/x/vmlinuz"), None);
    }
}
