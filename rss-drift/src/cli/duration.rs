//! Durations on the command line: a bare number is seconds.

use std::time::Duration;

/// Parses "2", "0.5", "500ms", "1m 30s"; 0 and what does not end are refused.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let duration = match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        Err(_) => humantime::parse_duration(text).ok(),
    };
    match duration {
        Some(Duration::ZERO) => Err("must be more than 0".to_owned()),
        Some(duration) => Ok(duration),
        None => Err("give seconds (2, 0.5) or a number with a unit (500ms, 10s, 5m, 1h)".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_number_is_seconds() {
        assert_eq!(parse("2"), Ok(Duration::from_secs(2)));
        assert_eq!(parse("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse("1m 30s"), Ok(Duration::from_secs(90)));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "0", "0s", "0.0", "-1", "x", "1e999", "nan", "inf", "1 parsec", "1e-30"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
