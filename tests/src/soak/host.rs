//! What a soak does to the whole host: in guests of `cargo xtask vm` alone.

use super::random::Random;
use crate::{
    guard::Setting,
    harness::{KSM_RUN, Reason, allowed_cpus},
    thp,
};

/// One order in so many is the host's.
const ONE_IN: u64 = 60;

/// What is changed, and what it takes to put it back.
pub struct Host {
    guest: bool,
    /// A CPU that is offline.
    offline: Option<Setting>,
    /// One went offline so far.
    pub cpus_went: bool,
    /// KSM merges, huge pages are given, as far as this kernel has either.
    _settings: Vec<Setting>,
}

impl Host {
    /// In a guest KSM and huge pages are switched on; a host is left alone.
    pub fn of_this() -> Self {
        let guest = !Reason::NotAGuest.holds();
        let mut settings = Vec::new();
        if guest {
            if !Reason::NoKsm.holds() {
                settings.push(Setting::change(KSM_RUN, "1").expect("a setting that can be written"));
            }
            if thp::can_be_had() {
                settings.extend(thp::allow().expect("a setting that can be written"));
            }
        }
        Self { guest, offline: None, cpus_went: false, _settings: settings }
    }

    /// Once in a while takes a CPU offline, or gives it back; the words.
    pub fn act(&mut self, random: &mut Random) -> Option<String> {
        let turn = random.below(ONE_IN) == 0;
        let cpus = allowed_cpus();
        if !turn || !self.guest {
            return None;
        }
        if self.offline.take().is_some() {
            return Some("the CPU comes back".to_owned());
        }
        // The first stays; a machine with two keeps one.
        let cpu = random.of(cpus.get(1..).filter(|others| !others.is_empty())?);
        let file = format!("/sys/devices/system/cpu/cpu{cpu}/online");
        self.cpus_went = true;
        self.offline = Some(Setting::change(&file, "0").expect("take a CPU offline"));
        Some(format!("CPU {cpu} goes offline"))
    }
}
