//! What is installed here.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result, bail};

/// The version of an installed package.
pub(crate) fn version(package: &str) -> Result<String> {
    let output = Command::new("dpkg-query")
        .args(["--show", "--showformat", "${Version}", package])
        .output()
        .context("cannot run dpkg-query")?;
    if !output.status.success() {
        bail!("package {package} is not installed: apt-get install {package}");
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The names in a folder.
pub(crate) fn list(dir: &Path) -> Result<Vec<String>> {
    let context = || format!("cannot list {}", dir.display());
    let entries = fs::read_dir(dir).with_context(context)?;
    entries.map(|entry| Ok(entry.with_context(context)?.file_name().to_string_lossy().into_owned())).collect()
}

/// uid and gid of a user of this system.
pub(crate) fn user(name: &str) -> Result<(u32, u32)> {
    let text = fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
    parse_user(&text, name).with_context(|| format!("there is no user {name} in /etc/passwd"))
}

fn parse_user(passwd: &str, name: &str) -> Option<(u32, u32)> {
    let mut lines = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    lines.find_map(|fields| match fields[..] {
        [first, _, uid, gid, ..] if first == name => Some((uid.parse().ok()?, gid.parse().ok()?)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_the_whole_name() {
        let passwd =
            "root:x:0:0:root:/root:/bin/bash\npostgres2:x:7:8::/:\npostgres:x:101:104::/var:/bin/sh\n";
        assert_eq!(parse_user(passwd, "postgres"), Some((101, 104)));
        assert_eq!(parse_user(passwd, "post"), None);
    }
}
