//! Durations on the command line: a bare number is seconds.

use std::time::Duration;

/// Longer than anybody waits, and short enough to be added to any instant.
const LONGEST: Duration = Duration::from_secs(100 * 366 * 24 * 3600);

/// The shortest time between two reports. A report of a host with some hundred processes takes milliseconds: shorter intervals
/// would measure little but rss-drift.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);

/// Parses "2", "0.5", "500ms", "1m 30s"; 0 and what does not end are refused.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let number = text.parse::<f64>();
    let duration = match number {
        Ok(seconds) if seconds > LONGEST.as_secs_f64() => return Err(too_long()),
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        Err(_) => match humantime::parse_duration(text) {
            Err(humantime::DurationError::NumberOverflow) => return Err(too_long()),
            parsed => parsed.ok(),
        },
    };
    match duration {
        Some(Duration::ZERO) => Err("must be more than 0".to_owned()),
        Some(duration) if duration > LONGEST => Err(too_long()),
        Some(duration) => Ok(duration),
        None => Err("give seconds (2, 0.5) or a number with a unit (500ms, 10s, 5m, 1h)".to_owned()),
    }
}

/// Parses the time between two reports or samples.
pub(super) fn parse_interval(text: &str) -> Result<Duration, String> {
    let interval = parse(text)?;
    if interval < SHORTEST_INTERVAL {
        return Err("must be at least 10ms: a reading of all processes takes milliseconds itself".to_owned());
    }
    Ok(interval)
}

fn too_long() -> String {
    "must be at most 100 years".to_owned()
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

    #[test]
    fn times_that_no_clock_can_add_up_are_refused() {
        for text in
            ["1e19", "inf", "1e308", "4000000000", "101y", "18446744073709551615s", "99999999999999999999y"]
        {
            assert_eq!(parse(text), Err("must be at most 100 years".to_owned()), "{text}");
        }
        assert_eq!(parse("99y").map(|time| time.as_secs() / (365 * 86400)), Ok(99));
    }

    #[test]
    fn an_interval_is_longer_than_a_reading() {
        assert_eq!(parse_interval("0.01"), Ok(Duration::from_millis(10)));
        for text in ["0.009", "9ms", "9999us", "1e-9"] {
            let error = parse_interval(text).expect_err(text);
            assert!(error.contains("at least 10ms") && error.contains("a reading"), "{error}");
        }
        // Nothing is longer than no time at all, either.
        assert_eq!(parse_interval("0"), Err("must be more than 0".to_owned()));
    }
}
