//! Who the command is to be: looked up before the fork, so that the child only makes system calls.

use std::{
    env,
    ffi::{CString, OsString},
    io,
    os::unix::ffi::OsStrExt as _,
};

use anyhow::{Context as _, bail};
use nix::{
    errno::Errno,
    unistd::{Gid, Uid},
};

use crate::proc::accounts::{self, Account};

/// Whom `--user` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum User {
    /// Who started rss-drift by sudo(8).
    Sudo,
    /// A user's name, or a number.
    Named(String),
}

/// A user as the kernel and programs know him.
#[derive(Debug)]
pub(super) struct Identity {
    uid: Uid,
    gid: Gid,
    groups: Vec<libc::gid_t>,
    /// What sudo(8) and systemd set of a user: `None` for a number that no user has.
    environment: Option<[(&'static str, OsString); 4]>,
}

impl Identity {
    /// Looks the user up.
    ///
    /// # Errors
    /// Where there is no such user, or no sudo.
    pub(super) fn find(user: &User) -> anyhow::Result<Self> {
        match user {
            User::Sudo => {
                let [uid, gid] = ["SUDO_UID", "SUDO_GID"].map(of_sudo);
                Self::of_uid(Uid::from_raw(uid?), Some(Gid::from_raw(gid?)))
            }
            User::Named(name) => {
                let found = accounts::by_name(name);
                if let Some(found) = found.with_context(|| format!("cannot look up the user {name}"))? {
                    return Self::of_account(&found, None);
                }
                match name.parse() {
                    Ok(uid) => Self::of_uid(Uid::from_raw(uid), None),
                    Err(_) => bail!(
                        "there is no user {name:?}{}: give a name or a number, or `sudo` (--user)",
                        accounts::asked()
                    ),
                }
            }
        }
    }

    fn of_uid(uid: Uid, gid: Option<Gid>) -> anyhow::Result<Self> {
        if uid.as_raw() == libc::uid_t::MAX {
            // -1 leaves the user as it is (setresuid(2)).
            bail!("{uid} is nobody's number: give a user's (--user)");
        }
        let found = accounts::by_uid(uid).with_context(|| format!("cannot look up the user {uid}"))?;
        if let Some(found) = found {
            return Self::of_account(&found, gid);
        }
        let gid = gid.unwrap_or(Gid::from_raw(uid.as_raw()));
        Ok(Self { uid, gid, groups: vec![gid.as_raw()], environment: None })
    }

    fn of_account(account: &Account, gid: Option<Gid>) -> anyhow::Result<Self> {
        let Account { name, uid, home, shell, .. } = account;
        let gid = gid.unwrap_or(account.gid);
        let groups = accounts::groups(account, gid)
            .with_context(|| format!("cannot list the groups of {}", name.display()))?;
        Ok(Self {
            uid: *uid,
            gid,
            groups: groups.into_iter().map(Gid::as_raw).collect(),
            environment: Some([
                ("HOME", home.clone()),
                ("SHELL", shell.clone()),
                ("USER", name.clone()),
                ("LOGNAME", name.clone()),
            ]),
        })
    }

    /// Makes this process that user, without a privilege that an execve could keep.
    ///
    /// # Safety
    /// Only system calls are made, so a forked child may call it. It must have one thread: libc would change the others too.
    pub(super) unsafe fn assume(&self) -> Result<(), Errno> {
        let (uid, gid) = (self.uid.as_raw(), self.gid.as_raw());
        // SAFETY: the groups live through the call; the others take numbers.
        unsafe {
            Errno::result(libc::setgroups(self.groups.len(), self.groups.as_ptr()))?;
            Errno::result(libc::setresgid(gid, gid, gid))?;
            Errno::result(libc::setresuid(uid, uid, uid))?;
            // Where rss-drift is not root: the kernel takes these away only from who was.
            Errno::result(libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0))?;
        }
        Ok(())
    }
}

/// A number that sudo(8) leaves in the environment.
fn of_sudo(name: &str) -> anyhow::Result<u32> {
    let Some(text) = env::var_os(name) else {
        bail!(
            "--user sudo: {name} is not set, so sudo did not start rss-drift: give a user's name or number"
        );
    };
    let text = text.to_string_lossy();
    text.parse().ok().with_context(|| format!("--user sudo: {name} is {text:?}, which is not a number"))
}

/// The environment of the command as execve(2) takes it: ours, with what the user has of his own.
pub(super) fn environment(user: Option<&Identity>) -> io::Result<Vec<CString>> {
    let own = user.and_then(|user| user.environment.as_ref());
    let own = own.into_iter().flatten().map(|(name, value)| (OsString::from(name), value.clone()));
    let mut all: std::collections::BTreeMap<OsString, OsString> = env::vars_os().collect();
    all.extend(own);
    let line = |(name, value): (OsString, OsString)| {
        CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()).map_err(io::Error::from)
    };
    all.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_no_user_has() {
        let nobody = Identity::find(&User::Named("3999999999".to_owned())).unwrap();
        assert_eq!((nobody.uid.as_raw(), nobody.gid.as_raw()), (3_999_999_999, 3_999_999_999));
        assert_eq!(nobody.groups, [3_999_999_999]);
        assert!(nobody.environment.is_none());
        // -1 would leave the command root.
        for user in ["4294967295", "-1", "no-such-user", "", "a\0b", "4294967296"] {
            assert!(Identity::find(&User::Named(user.to_owned())).is_err(), "{user:?}");
        }
    }

    #[test]
    fn a_users_own_environment() {
        let root = Identity::find(&User::Named("0".to_owned())).unwrap();
        let lines = environment(Some(&root)).unwrap();
        let text = |line: &CString| line.to_str().unwrap().to_owned();
        let homes: Vec<_> = lines.iter().map(text).filter(|line| line.starts_with("HOME=")).collect();
        assert_eq!(homes, ["HOME=/root"]);
        assert!(lines.iter().map(text).any(|line| line == "USER=root"));
        assert_eq!(environment(None).unwrap().len(), env::vars_os().count());
    }
}
