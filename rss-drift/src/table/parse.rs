//! `--fields` and `--sort`: from names to fields.

use super::{Field, Units, fields};

/// Why a list of fields was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// No field has this name.
    #[error("unknown field '{name}'{}; valid are: {}", suggestion(*.nearest), valid())]
    Unknown {
        /// What was asked for.
        name: String,
        /// The name that it may be a slip of.
        nearest: Option<&'static str>,
    },
    /// A field was asked for twice.
    #[error("field '{0}' is given twice")]
    Twice(&'static str),
    /// Nothing between two commas, or nothing at all.
    #[error("an empty name in the list of fields; valid are: {}", valid())]
    Empty,
}

fn suggestion(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!(" (did you mean '{name}'?)"))
}

fn valid() -> String {
    let names: Vec<_> = fields().map(shortest).collect();
    names.join(", ")
}

/// The name that a person would type.
fn shortest(field: &'static Field) -> &'static str {
    field.aliases.first().copied().unwrap_or(field.name)
}

/// The field of this name or alias, in capitals or not.
#[must_use]
pub fn find(name: &str) -> Option<&'static Field> {
    fields().find(|field| names(field).any(|known| known.eq_ignore_ascii_case(name)))
}

fn names(field: &'static Field) -> impl Iterator<Item = &'static str> {
    field.aliases.iter().copied().chain([field.name])
}

/// The fields of a list like `pid,comm,drift`, in its order.
pub fn parse_fields(list: &str) -> Result<Vec<&'static Field>, FieldError> {
    let mut fields: Vec<&'static Field> = Vec::new();
    for name in list.split(',').map(str::trim) {
        if name.is_empty() {
            return Err(FieldError::Empty);
        }
        let field = find(name)
            .ok_or_else(|| FieldError::Unknown { name: name.to_owned(), nearest: nearest(name) })?;
        if fields.iter().any(|known| known.name == field.name) {
            return Err(FieldError::Twice(field.name));
        }
        fields.push(field);
    }
    Ok(fields)
}

/// The table's columns when `--fields` says nothing, those that hide when empty among them. People have the time above the table;
/// who picks lines out of it has it in each.
#[must_use]
pub fn default_fields(units: Units) -> Vec<&'static Field> {
    const NAMES: &str = "time pid comm reported exact drift drift% bound uncertainty resident note";
    let named = NAMES.split(' ').filter(|name| units != Units::Human || *name != "time");
    named.filter_map(find).collect()
}

/// The valid name with the fewest edits, when they are few enough for a typing error.
fn nearest(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    let (distance, found) = fields()
        .flat_map(names)
        .map(|known| (strsim::osa_distance(&name, known), known))
        .min_by_key(|(distance, _)| *distance)?;
    (distance <= 1.max(name.chars().count() / 3)).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_aliases_are_found_in_the_order_asked_for() {
        let fields = parse_fields("drift, PID,exact_bytes,drift%").unwrap();
        let names: Vec<_> = fields.iter().map(|field| field.name).collect();
        assert_eq!(names, ["drift_bytes", "pid", "exact_bytes", "drift_percent"]);
    }

    #[test]
    fn a_slip_is_named_with_the_nearest_and_the_valid_ones() {
        let error = parse_fields("pid,drfit").unwrap_err().to_string();
        assert!(error.starts_with("unknown field 'drfit' (did you mean 'drift'?); valid are: "), "{error}");
        for field in fields() {
            assert!(names(field).any(|name| error.contains(name)), "{} is not listed: {error}", field.name);
        }
    }

    #[test]
    fn what_is_near_nothing_gets_no_suggestion() {
        let error = parse_fields("bananas").unwrap_err();
        assert_eq!(error, FieldError::Unknown { name: "bananas".to_owned(), nearest: None });
    }

    #[test]
    fn one_field_twice_and_empty_names_are_refused() {
        assert_eq!(parse_fields("drift,pid,drift_bytes").unwrap_err(), FieldError::Twice("drift_bytes"));
        assert_eq!(parse_fields("pid,,comm").unwrap_err(), FieldError::Empty);
        assert_eq!(parse_fields("").unwrap_err(), FieldError::Empty);
    }
}
