//! What the tests of the shadow found, for `vm report`: the random orders, and the hard cases.

use super::report::{Guest, section};

/// Those of the random orders are named by it.
const SOAK: &str = "soak";

/// What a test found, as the columns of the tables name it. The hard cases assert that the shadow is right; the random orders
/// tell the largest error.
const FOUND: [(&str, &str); 7] = [
    ("at_rest", "judged at rest"),
    ("error", "largest error"),
    ("repaired", "repaired"),
    ("missed", "events missed"),
    ("late", "found at the end"),
    ("deaths", "mms ended"),
    ("deaths_with_rest", "with a rest"),
];

/// The hard cases: how their figures begin, and what they are.
const CASES: [(&str, &str); 11] = [
    ("hotplug", "CPUs off- and online under load"),
    ("thp_split", "huge pages that are split"),
    ("io_worker", "a worker of io_uring"),
    ("khugepaged", "khugepaged, interrupted"),
    ("address_again", "an address that is used again"),
    ("exec_address_again", "the same by one process's execve"),
    ("ended_by_readers", "mms that end with their reader"),
    ("forks", "forks"),
    ("short_lives", "short lives"),
    ("long_programs", "programs with long arguments"),
    ("no_room", "no room for all"),
];

/// Whether a figure has its place here.
pub(super) fn has(figure: &str) -> bool {
    let rest = |name: &str| figure.strip_prefix(name)?.strip_prefix('_');
    let shown = |name: &str| {
        rest(name).is_some_and(|rest| {
            ["readings", "swept"].contains(&rest) || FOUND.iter().any(|(key, _)| *key == rest)
        })
    };
    rest(SOAK).is_some() || CASES.iter().any(|(name, _)| shown(name))
}

fn found(guest: &Guest<'_>, test: &str) -> Option<Vec<String>> {
    let found = FOUND.map(|(key, _)| guest.fact(&format!("{test}_{key}")));
    (!found[0].is_empty()).then(|| found.into())
}

/// The random orders.
pub(super) fn orders(guests: &[Guest<'_>]) -> String {
    let rows = guests.iter().filter_map(|guest| {
        let [kernel, cpus] = [guest.cell.kernel.to_string(), guest.text("cpus")];
        Some([vec![kernel, cpus], found(guest, SOAK)?].concat())
    });
    let heading: Vec<_> = ["kernel", "CPUs"].into_iter().chain(FOUND.map(|(_, title)| title)).collect();
    section(
        "The shadow in random orders",
        "A minute of what moves memory, in random orders, on each kernel. Errors, repairs and what was found at the end of an \
         mm are in pages; a repair is the correction, by a reading, of an mm at rest.",
        &heading,
        rows.collect(),
    )
}

/// The hard cases.
pub(super) fn cases(guests: &[Guest<'_>]) -> String {
    // Their errors are asserted to be 0, and not told.
    const ERROR: usize = 1;
    let rows = CASES.iter().flat_map(|(name, what)| {
        guests.iter().filter_map(move |guest| {
            let mut cells = found(guest, name)?;
            cells.remove(ERROR);
            let [kernel, cpus] = [guest.cell.kernel.to_string(), guest.text("cpus")];
            Some([vec![(*what).to_owned(), kernel, cpus], cells].concat())
        })
    });
    let titles =
        FOUND.iter().enumerate().filter(|(column, _)| *column != ERROR).map(|(_, (_, title))| *title);
    let heading: Vec<_> = ["case", "kernel", "CPUs"].into_iter().chain(titles).collect();
    section(
        "The shadow in hard cases",
        "Of every process at rest the shadow was exact: the tests assert it. Columns as above.",
        &heading,
        rows.collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_a_table_and_others() {
        for figure in ["soak_orders", "forks_at_rest", "no_room_deaths_with_rest", "address_again_swept"] {
            assert!(has(figure), "{figure}");
        }
        for figure in ["forks", "no_room_lives", "address_again_tries", "swept", "soaked"] {
            assert!(!has(figure), "{figure}");
        }
    }
}
