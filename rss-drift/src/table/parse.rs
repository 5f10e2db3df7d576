//! `--fields` and `--sort`: from names to columns.

use super::{Column, Record, Set, Units};

/// Why a list of fields was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// No field has this name.
    #[error("unknown field '{name}'{}; valid are: {valid}", suggestion(*.nearest))]
    Unknown {
        /// What was asked for.
        name: String,
        /// The name that it may be a slip of.
        nearest: Option<&'static str>,
        /// What may be asked for.
        valid: String,
    },
    /// A field was asked for twice.
    #[error("field '{0}' is given twice")]
    Twice(&'static str),
    /// Nothing between two commas, or nothing at all.
    #[error("an empty name in the list of fields; valid are: {valid}")]
    Empty {
        /// What may be asked for.
        valid: String,
    },
}

fn suggestion(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!(" (did you mean '{name}'?)"))
}

fn valid<R: Record>() -> String {
    let names: Vec<_> = R::columns().map(shortest).collect();
    names.join(", ")
}

/// What a list may have: sets too.
fn valid_in_list<R: Record>() -> String {
    format!("{}; sets of fields: {}", valid::<R>(), sets::<R>().collect::<Vec<_>>().join(", "))
}

/// The set of all fields.
const ALL: &str = "all";

/// The names of the sets.
fn sets<R: Record>() -> impl Iterator<Item = &'static str> {
    let has_fields = |set: &Set| R::columns().any(|column| column.sets.contains(set));
    [ALL].into_iter().chain(Set::ALL.into_iter().filter(has_fields).map(Set::name))
}

/// The fields of a set, in the table's order; `None` where no set has this name. The set `kernel` hides the field of that name, which
/// `release` names too.
fn fields_of_set<R: Record>(name: &str) -> Option<Vec<&'static Column<R>>> {
    if name.eq_ignore_ascii_case(ALL) {
        return Some(R::columns().collect());
    }
    let set = Set::ALL.into_iter().find(|set| set.name().eq_ignore_ascii_case(name))?;
    let fields: Vec<_> = R::columns().filter(|field| field.sets.contains(&set)).collect();
    (!fields.is_empty()).then_some(fields)
}

/// The name that a person would type.
fn shortest<R>(field: &'static Column<R>) -> &'static str {
    field.aliases.first().copied().unwrap_or(field.name)
}

/// The field of this name or alias, in capitals or not.
#[must_use]
pub fn find<R: Record>(name: &str) -> Option<&'static Column<R>> {
    R::columns().find(|field| names(field).any(|known| known.eq_ignore_ascii_case(name)))
}

fn names<R>(field: &'static Column<R>) -> impl Iterator<Item = &'static str> {
    field.aliases.iter().copied().chain([field.name])
}

/// The field of this name.
pub fn parse_field<R: Record>(name: &str) -> Result<&'static Column<R>, FieldError> {
    find(name).ok_or_else(|| FieldError::Unknown {
        name: name.to_owned(),
        nearest: nearest(name, R::columns().flat_map(names)),
        valid: valid::<R>(),
    })
}

/// The fields of a list like `pid,comm,drift` or `pid,rfc,cgroup`, in its order. A set adds those of its fields that are not there yet.
pub fn parse_fields<R: Record>(list: &str) -> Result<Vec<&'static Column<R>>, FieldError> {
    let mut fields: Vec<&'static Column<R>> = Vec::new();
    let mut named: Vec<&'static str> = Vec::new();
    for name in list.split(',').map(str::trim) {
        if name.is_empty() {
            return Err(FieldError::Empty { valid: valid_in_list::<R>() });
        }
        let more = if let Some(set) = fields_of_set(name) {
            set
        } else {
            let field = find(name).ok_or_else(|| unknown_in_list::<R>(name))?;
            if named.contains(&field.name) {
                return Err(FieldError::Twice(field.name));
            }
            named.push(field.name);
            vec![field]
        };
        let is_new = |field: &&Column<R>| fields.iter().all(|known| known.name != field.name);
        let more: Vec<_> = more.into_iter().filter(is_new).collect();
        fields.extend(more);
    }
    Ok(fields)
}

fn unknown_in_list<R: Record>(name: &str) -> FieldError {
    let nearest = nearest(name, R::columns().flat_map(names).chain(sets::<R>()));
    FieldError::Unknown { name: name.to_owned(), nearest, valid: valid_in_list::<R>() }
}

/// The table's columns when `--fields` says nothing, the optional ones among them. People have the time above the table; who picks
/// lines out of it has it in each.
#[must_use]
pub fn default_fields<R: Record>(units: Units) -> Vec<&'static Column<R>> {
    let named = R::DEFAULT.split(' ').filter(|name| units != Units::Human || *name != "time");
    named.filter_map(find).collect()
}

/// Of the names that would be valid the one with the fewest edits, when they are few enough for a typing error.
pub fn nearest<N: AsRef<str>>(name: &str, valid: impl IntoIterator<Item = N>) -> Option<N> {
    let name = name.to_ascii_lowercase();
    let (distance, found) = valid
        .into_iter()
        .map(|known| (strsim::osa_distance(&name, &known.as_ref().to_ascii_lowercase()), known))
        .min_by_key(|(distance, _)| *distance)?;
    (distance <= 1.max(name.chars().count() / 3)).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drift::sample::Row;

    #[test]
    fn names_and_aliases_are_found_in_the_order_asked_for() {
        let fields = parse_fields::<Row>("drift, PID,exact_bytes,drift%").unwrap();
        let names: Vec<_> = fields.iter().map(|field| field.name).collect();
        assert_eq!(names, ["drift_bytes", "pid", "exact_bytes", "drift_percent"]);
    }

    #[test]
    fn a_slip_is_named_with_the_nearest_and_the_valid_ones() {
        let error = parse_fields::<Row>("pid,drfit").unwrap_err().to_string();
        assert!(error.starts_with("unknown field 'drfit' (did you mean 'drift'?); valid are: "), "{error}");
        for field in Row::columns() {
            assert!(names(field).any(|name| error.contains(name)), "{} is not listed: {error}", field.name);
        }
    }

    #[test]
    fn what_is_near_nothing_gets_no_suggestion() {
        let error = parse_fields::<Row>("bananas").unwrap_err();
        assert!(
            matches!(&error, FieldError::Unknown { name, nearest: None, .. } if name == "bananas"),
            "{error}"
        );
        let error = parse_field::<Row>("bananas").unwrap_err().to_string();
        assert!(!error.contains("sets of fields"), "{error}");
    }

    #[test]
    fn sets_and_fields_can_be_mixed() {
        let names =
            |list| parse_fields::<Row>(list).unwrap().iter().map(|field| field.name).collect::<Vec<_>>();
        assert_eq!(names("all").len(), Row::columns().count());
        let mixed = names("cgroup,rfc,PID,hits,vm_hwm");
        assert_eq!(mixed[..3], ["cgroup", "pid", "comm"]);
        assert_eq!(mixed.iter().filter(|name| ["pid", "hits"].contains(name)).count(), 2, "{mixed:?}");
        assert_eq!(mixed.last(), Some(&"vm_hwm_bytes"));
        assert_eq!(names("memory,kernel").iter().filter(|name| **name == "vm_hwm_bytes").count(), 1);
        let error = parse_fields::<Row>("pid,kernels").unwrap_err().to_string();
        assert!(
            error.contains("did you mean 'kernel'?") && error.contains("all, memory, rfc, kernel"),
            "{error}"
        );
        assert_eq!(parse_fields::<Row>("rfc,pid,pid").unwrap_err(), FieldError::Twice("pid"));
    }

    #[test]
    fn one_field_twice_and_empty_names_are_refused() {
        assert_eq!(
            parse_fields::<Row>("drift,pid,drift_bytes").unwrap_err(),
            FieldError::Twice("drift_bytes")
        );
        for list in ["pid,,comm", ""] {
            assert!(matches!(parse_fields::<Row>(list).unwrap_err(), FieldError::Empty { .. }), "{list}");
        }
    }
}
