//! Rings of arrows between the files and folders of one folder.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::tree::{Arrow, Place};

/// Files or folders that use each other in a circle.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ring {
    /// The folder that they are in.
    pub(super) folder: Place,
    /// Each uses the next, and the last one the first.
    pub(super) members: Vec<String>,
}

/// A shortest ring through each member that is in one; the same ring only once.
pub(super) fn rings(arrows: &[Arrow]) -> Vec<Ring> {
    let mut folders = BTreeMap::<&Place, BTreeMap<&str, BTreeSet<&str>>>::new();
    for arrow in arrows {
        folders
            .entry(&arrow.folder)
            .or_default()
            .entry(arrow.from.as_str())
            .or_default()
            .insert(arrow.to.as_str());
    }
    let mut rings = Vec::new();
    for (folder, uses) in folders {
        let mut told = BTreeSet::new();
        for start in uses.keys() {
            let Some(members) = shortest(&uses, start) else { continue };
            if told.is_disjoint(&members.iter().copied().collect()) {
                told.extend(members.iter().copied());
                let members = members.into_iter().map(str::to_owned).collect();
                rings.push(Ring { folder: folder.clone(), members });
            }
        }
    }
    rings
}

/// The shortest way from `start` back to it.
fn shortest<'a>(uses: &BTreeMap<&'a str, BTreeSet<&'a str>>, start: &'a str) -> Option<Vec<&'a str>> {
    let mut came_from = BTreeMap::new();
    let mut next = VecDeque::from([start]);
    while let Some(at) = next.pop_front() {
        for &to in uses.get(at).into_iter().flatten() {
            if to == start {
                let mut way = vec![at];
                while let Some(&before) = came_from.get(way[way.len() - 1]) {
                    way.push(before);
                }
                way.reverse();
                return Some(way);
            }
            if !came_from.contains_key(to) {
                came_from.insert(to, at);
                next.push_back(to);
            }
        }
    }
    None
}
