//! Users and their groups by name or number.
//!
//! A static program reads /etc/passwd and /etc/group itself: glibc loads a module for users from anywhere else (systemd, LDAP) into the
//! process, and that crashes in a static one.

use std::{
    ffi::{CString, OsString},
    fs, io,
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::Path,
};

use nix::unistd::{Gid, Uid, User, getgrouplist};

/// Whether this is a static program with glibc.
const STATIC: bool = cfg!(all(target_env = "gnu", target_feature = "crt-static"));
/// passwd(5)
const USERS: &str = "/etc/passwd";
/// group(5)
const GROUPS: &str = "/etc/group";

/// A user of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub name: OsString,
    pub uid: Uid,
    pub gid: Gid,
    pub home: OsString,
    pub shell: OsString,
}

impl From<User> for Account {
    fn from(User { name, uid, gid, dir, shell, .. }: User) -> Self {
        Self { name: name.into(), uid, gid, home: dir.into(), shell: shell.into() }
    }
}

/// Where users are looked for, in an error text.
#[must_use]
pub const fn asked() -> &'static str {
    if STATIC { " in /etc/passwd, all that a static build of rss-drift asks" } else { "" }
}

/// The user of this name.
pub fn by_name(name: &str) -> io::Result<Option<Account>> {
    if STATIC {
        return find(Path::new(USERS), |account| account.name == name);
    }
    Ok(User::from_name(name)?.map(Account::from))
}

/// The user of this number.
pub fn by_uid(uid: Uid) -> io::Result<Option<Account>> {
    if STATIC {
        return find(Path::new(USERS), |account| account.uid == uid);
    }
    Ok(User::from_uid(uid)?.map(Account::from))
}

/// The names in /etc/passwd.
#[must_use]
pub fn names() -> Vec<String> {
    let accounts =
        lines(Path::new(USERS)).map(|lines| lines.filter_map(|line| account(&line)).collect::<Vec<_>>());
    accounts.unwrap_or_default().iter().map(|account| account.name.to_string_lossy().into_owned()).collect()
}

/// The groups of a user, with `gid` as the first.
pub fn groups(account: &Account, gid: Gid) -> io::Result<Vec<Gid>> {
    if STATIC {
        return groups_in(Path::new(GROUPS), account, gid);
    }
    let name = CString::new(account.name.as_bytes())?;
    Ok(getgrouplist(&name, gid)?)
}

/// The first user of a file like /etc/passwd that is meant. Without the file there is none.
fn find(path: &Path, is_meant: impl Fn(&Account) -> bool) -> io::Result<Option<Account>> {
    Ok(lines(path)?.filter_map(|line| account(&line)).find(is_meant))
}

fn lines(path: &Path) -> io::Result<impl Iterator<Item = Vec<u8>>> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        read => read?,
    };
    Ok(bytes.split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect::<Vec<_>>().into_iter())
}

/// `name:password:uid:gid:gecos:home:shell`
fn account(line: &[u8]) -> Option<Account> {
    let fields: Vec<&[u8]> = line.split(|&byte| byte == b':').collect();
    let [name, _, uid, gid, _, home, shell] = fields[..] else { return None };
    let text = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    Some(Account {
        name: text(name),
        uid: Uid::from_raw(number(uid)?),
        gid: Gid::from_raw(number(gid)?),
        home: text(home),
        shell: text(shell),
    })
}

/// `name:password:gid:member,member`
fn groups_in(path: &Path, account: &Account, gid: Gid) -> io::Result<Vec<Gid>> {
    let mut groups = vec![gid];
    for line in lines(path)? {
        let fields: Vec<&[u8]> = line.split(|&byte| byte == b':').collect();
        let [_, _, number_of_it, members] = fields[..] else { continue };
        let is_member = members.split(|&byte| byte == b',').any(|member| member == account.name.as_bytes());
        if let Some(group) = number(number_of_it).map(Gid::from_raw).filter(|_| is_member)
            && !groups.contains(&group)
        {
            groups.push(group);
        }
    }
    Ok(groups)
}

fn number(bytes: &[u8]) -> Option<u32> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn lines_that_are_no_user_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let [users, of_groups] = ["passwd", "group"].map(|name| folder.path().join(name));
        fs::write(
            &users,
            b"# x\n+::::::\nbad:x:y:1:::\n\xff:x:7:8:a b:/h\xfe:/bin/sh\nlast:x:9:9::/:/bin/sh",
        )
        .unwrap();
        let found = find(&users, |account| account.uid.as_raw() == 7).unwrap().unwrap();
        assert_eq!((found.name.as_bytes(), found.home.as_bytes()), (&b"\xff"[..], &b"/h\xfe"[..]));
        let last = find(&users, |account| account.name == "last").unwrap().unwrap();
        assert!(find(&users, |account| account.name == "bad").unwrap().is_none());
        fs::write(&of_groups, "a:x:1:last,other\nb:x:2:lastly\nc:x:9:last\nd:x:3:other,last\n").unwrap();
        let of = groups_in(&of_groups, &last, last.gid).unwrap();
        assert_eq!(of.into_iter().map(Gid::as_raw).collect::<Vec<_>>(), [9, 1, 3]);
        assert!(find(&folder.path().join("gone"), |_| true).unwrap().is_none());
    }

    #[test]
    fn the_files_say_what_the_system_says() {
        let mut compared = 0;
        for line in lines(Path::new(USERS)).unwrap() {
            let Some(account) = account(&line) else { continue };
            let found = find(Path::new(USERS), |other| other.name == account.name).unwrap().unwrap();
            // Another source than libc here: `id` prints the groups of every user.
            let Ok(printed) = Command::new("id").arg("-G").arg(&found.name).output() else { return };
            let mut expected: Vec<u32> = String::from_utf8_lossy(&printed.stdout)
                .split_whitespace()
                .map(|word| word.parse().unwrap())
                .collect();
            let groups = groups_in(Path::new(GROUPS), &found, found.gid).unwrap();
            let mut groups: Vec<u32> = groups.into_iter().map(Gid::as_raw).collect();
            expected.sort_unstable();
            groups.sort_unstable();
            assert_eq!(groups, expected, "{found:?}");
            compared += 1;
        }
        assert!(compared > 0);
    }
}
