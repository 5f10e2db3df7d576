//! Conditions on the command line: `FIGURE OPERATOR AMOUNT [for REPORTS]`, or `near SIZE [for REPORTS]`. What is refused is told with its
//! place, with what is nearest to it, and with an example.

use super::size;
use crate::{
    table::nearest,
    watch::{Condition, Figure, Operator, Test},
};

/// Stands behind what is refused.
const EXAMPLE: &str = "example: 'drift > 64MiB for 3'";
/// What `near` takes.
const NEAR_TAKES: &str = "near takes a size above 0 and no operator";
/// Begins the number of reports.
const FOR: &str = "for";

/// Parses a condition.
pub(super) fn parse(text: &str) -> Result<Condition, String> {
    Parser { text, at: 0 }.condition()
}

/// The figures that processes have, or control groups.
pub(super) fn names(of_groups: bool) -> impl Iterator<Item = &'static str> + Clone {
    let figures = Figure::ALL.into_iter().filter(move |figure| of_groups || !figure.is_of_charge());
    figures.map(Figure::name).chain([Condition::NEAR])
}

struct Parser<'a> {
    text: &'a str,
    /// The byte that is read next.
    at: usize,
}

impl<'a> Parser<'a> {
    fn condition(mut self) -> Result<Condition, String> {
        let (at, name) = self.word(|it| it.is_alphanumeric() || "_%".contains(it));
        let test = if name.eq_ignore_ascii_case(Condition::NEAR) {
            Test::Near {
                level: self.size(NEAR_TAKES).and_then(|(at, level)| match level {
                    0 => Err(self.refused(at, NEAR_TAKES)),
                    level => Ok(level),
                })?,
            }
        } else {
            let figure = Figure::ALL.into_iter().find(|figure| name.eq_ignore_ascii_case(figure.name()));
            let figure = figure.ok_or_else(|| self.unknown(at, "figure", name, names(true)))?;
            let operator = self.operator(figure)?;
            if figure.is_share() {
                Test::Share { figure, operator, percent: self.percent(figure)? }
            } else {
                let (_, bytes) = self.size("a size is missing")?;
                Test::Size { figure, operator, bytes }
            }
        };
        let reports = self.reports()?;
        let words: Vec<_> = self.text.split_whitespace().collect();
        Ok(Condition { text: words.join(" "), test, reports })
    }

    fn operator(&mut self, figure: Figure) -> Result<Operator, String> {
        let (mut at, mut sign) =
            self.word(|it| !it.is_alphanumeric() && !it.is_whitespace() && !".+-_%".contains(it));
        if sign.is_empty() {
            (at, sign) = self.word(char::is_alphabetic);
        }
        let known = Operator::ALL.into_iter().find(|operator| operator.sign() == sign);
        known.ok_or_else(|| {
            let signs = Operator::ALL.map(Operator::sign);
            if sign.is_empty() {
                let why = format!("an operator is missing behind '{}': {}", figure.name(), signs.join(", "));
                return self.refused(at, &format!("{why} (in quotes, as the shell takes > and < otherwise)"));
            }
            self.unknown(at, "operator", sign, signs)
        })
    }

    /// Where the size stands, and the size in bytes. `missing` is what is said where there is none.
    fn size(&mut self, missing: &str) -> Result<(usize, u64), String> {
        let (at, number) = self.number(missing)?;
        let (unit_at, unit) = self.unit();
        if !size::is_unit(unit) {
            let percent = if unit == "%" { "; a share of exact is 'percent'" } else { "" };
            let unknown = self.unknown(unit_at, "unit", unit, size::units());
            return Err(format!("{unknown}{percent}"));
        }
        let bytes = size::of(number, unit);
        let wrong = || self.refused(at, &format!("'{number}{unit}' is no size such as 65536, 64K or 1.5MiB"));
        Ok((at, bytes.ok_or_else(wrong)?))
    }

    fn percent(&mut self, figure: Figure) -> Result<f64, String> {
        let (at, number) = self.number("a percentage is missing")?;
        let (unit_at, unit) = self.unit();
        if !["", "%"].contains(&unit) {
            let why = format!("'{unit}' is no unit of {}, which is in percent: 5 or 5%", figure.name());
            return Err(self.refused(unit_at, &why));
        }
        // Of digits and points alone, so that it is neither below 0 nor `nan`.
        let percent = number.parse().ok().filter(|percent: &f64| percent.is_finite());
        percent.ok_or_else(|| self.refused(at, &format!("'{number}' is no percentage such as 5 or 0.5%")))
    }

    /// What stands behind the amount.
    fn reports(&mut self) -> Result<u64, String> {
        let (at, word) = self.word(|it| !it.is_whitespace());
        if word.is_empty() {
            return Ok(1);
        }
        if !word.eq_ignore_ascii_case(FOR) {
            return Err(self.unknown(at, "word", word, [FOR]));
        }
        let (at, number) = self.word(|it| !it.is_whitespace());
        let reports = number.parse().ok().filter(|&reports: &u64| reports > 0 && !number.starts_with('+'));
        let wrong = || self.refused(at, "behind 'for' stands a number of reports, 1 or more");
        let reports = reports.ok_or_else(wrong)?;
        match self.word(|it| !it.is_whitespace()) {
            (_, "") => Ok(reports),
            (at, more) => Err(self
                .refused(at, &format!("'{more}' is too much: give each condition a --fail-if of its own"))),
        }
    }

    fn number(&mut self, missing: &str) -> Result<(usize, &'a str), String> {
        self.skip_blanks();
        let (at, (number, _)) = (self.at, size::split(&self.text[self.at..]));
        if number.is_empty() {
            return Err(self.refused(at, missing));
        }
        self.at += number.len();
        Ok((at, number))
    }

    /// The unit behind a number, with a blank between them or not.
    fn unit(&mut self) -> (usize, &'a str) {
        let before = self.at;
        let (at, unit) = self.word(|it| !it.is_whitespace());
        if unit.eq_ignore_ascii_case(FOR) || at > before && !size::is_unit(unit) && unit != "%" {
            // The next word.
            self.at = before;
            return (before, "");
        }
        (at, unit)
    }

    /// The next characters of a kind, behind blanks, and where they begin.
    fn word(&mut self, is_part: impl Fn(char) -> bool) -> (usize, &'a str) {
        self.skip_blanks();
        let rest = &self.text[self.at..];
        let word = &rest[..rest.find(|it| !is_part(it)).unwrap_or(rest.len())];
        let at = self.at;
        self.at += word.len();
        (at, word)
    }

    fn skip_blanks(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
    }

    /// What is wrong at this byte.
    fn refused(&self, at: usize, why: &str) -> String {
        let place = if at >= self.text.trim_end().len() {
            "at the end".to_owned()
        } else {
            format!("at character {}", self.text[..at].chars().count() + 1)
        };
        format!("{place}: {why}; {EXAMPLE}")
    }

    /// A word that is none of those that are valid.
    fn unknown<N: AsRef<str>>(
        &self,
        at: usize,
        kind: &str,
        word: &str,
        valid: impl IntoIterator<Item = N, IntoIter: Clone>,
    ) -> String {
        let valid = valid.into_iter();
        let meant = nearest(word, valid.clone());
        let meant = meant.map_or_else(String::new, |name| format!(" (did you mean '{}'?)", name.as_ref()));
        let names: Vec<_> = valid.map(|name| name.as_ref().to_owned()).collect();
        let said =
            if word.is_empty() { format!("no {kind}") } else { format!("unknown {kind} '{word}'{meant}") };
        self.refused(at, &format!("{said}; valid are: {}", names.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(figure: Figure, operator: Operator, bytes: u64) -> Test {
        Test::Size { figure, operator, bytes }
    }

    fn share(figure: Figure, operator: Operator, percent: f64) -> Test {
        Test::Share { figure, operator, percent }
    }

    #[test]
    fn conditions() {
        use Figure::{ChargePercent, ChargedExactPercent, Drift, Exact, Percent, Reported};
        use Operator::{Above, AtLeast, AtMost, Below};
        for (text, test, reports) in [
            ("drift > 64MiB for 3", size(Drift, Above, 64 << 20), 3),
            ("drift>64MiB", size(Drift, Above, 64 << 20), 1),
            ("drift>64MiB for 3", size(Drift, Above, 64 << 20), 3),
            ("  DRIFT\t>=  64 mib   FOR  10 ", size(Drift, AtLeast, 64 << 20), 10),
            ("drift > 0", size(Drift, Above, 0), 1),
            ("exact<=1.5M", size(Exact, AtMost, 3 << 19), 1),
            ("reported < 65536 for 1", size(Reported, Below, 65536), 1),
            ("percent > 5", share(Percent, Above, 5.0), 1),
            ("percent>=0.5% for 2", share(Percent, AtLeast, 0.5), 2),
            ("percent < 150 % for 2", share(Percent, Below, 150.0), 2),
            ("charge_percent > 90", share(ChargePercent, Above, 90.0), 1),
            ("charged_exact_percent <= 90%", share(ChargedExactPercent, AtMost, 90.0), 1),
            ("near 512MiB", Test::Near { level: 512 << 20 }, 1),
            ("Near 1T for 18446744073709551615", Test::Near { level: 1 << 40 }, u64::MAX),
        ] {
            let written = text.split_whitespace().collect::<Vec<_>>().join(" ");
            assert_eq!(parse(text), Ok(Condition { text: written, test, reports }), "{text}");
        }
    }

    #[test]
    fn what_is_refused_is_told_with_its_place_and_what_is_meant() {
        for (text, words) in [
            (
                "",
                "at the end: no figure; valid are: exact, reported, drift, percent, charge_percent, charged_exact_percent, near",
            ),
            ("   ", "at the end: no figure"),
            (
                "drfit > 1M",
                "at character 1: unknown figure 'drfit' (did you mean 'drift'?); valid are: exact, ",
            ),
            (" rss > 1M", "at character 2: unknown figure 'rss'; valid are: "),
            ("nera 1M", "unknown figure 'nera' (did you mean 'near'?)"),
            ("> 1M", "at character 1: no figure"),
            ("drift", "at the end: an operator is missing behind 'drift': >=, <=, >, < (in quotes"),
            ("drift 64M", "at character 7: an operator is missing behind 'drift'"),
            (
                "drift => 1M",
                "at character 7: unknown operator '=>' (did you mean '>='?); valid are: >=, <=, >, <",
            ),
            ("drift = 1M", "unknown operator '=' (did you mean '>='?)"),
            ("drift \u{2265} 1M", "at character 7: unknown operator '\u{2265}'"),
            ("drift gt 1M", "at character 7: unknown operator 'gt'"),
            ("drift >", "at the end: a size is missing"),
            ("drift > x", "at character 9: a size is missing"),
            ("drift > -1", "at character 9: a size is missing"),
            (
                "drift > 64MiC",
                "at character 11: unknown unit 'MiC' (did you mean 'MiB'?); valid are: B, K, KiB, M, ",
            ),
            ("drift > 5%", "at character 10: unknown unit '%'"),
            ("drift > 1,5M", "unknown unit ',5M'"),
            ("drift > 1e3", "unknown unit 'e3'"),
            ("drift > 1.2.3M", "at character 9: '1.2.3M' is no size"),
            ("exact > 8E", "at character 9: '8E' is no size"),
            ("exact > 1M fro 3", "at character 12: unknown word 'fro' (did you mean 'for'?)"),
            ("exact > 1M 3", "at character 12: unknown word '3'; valid are: for"),
            ("exact > 1M for", "at the end: behind 'for' stands a number of reports"),
            ("exact > 1M for 0", "at character 16: behind 'for' stands"),
            ("exact > 1M for +1", "at character 16: behind 'for' stands"),
            ("exact > 1M for 1.5", "behind 'for' stands"),
            ("exact > 1M for 3 and", "at character 18: 'and' is too much: give each condition a --fail-if"),
            ("percent > 64MiB", "at character 13: 'MiB' is no unit of percent, which is in percent"),
            ("percent > .", "at character 11: '.' is no percentage"),
            ("percent > nan", "at character 11: a percentage is missing"),
            ("near", "at the end: near takes a size above 0"),
            ("near 0", "at character 6: near takes a size above 0"),
            ("near > 1M", "at character 6: near takes a size above 0"),
            ("\u{e4}\u{f6} > 1M", "at character 1: unknown figure '\u{e4}\u{f6}'"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(words) && error.contains(EXAMPLE), "{text}: {error}");
        }
    }

    #[test]
    fn any_text_is_taken_or_refused() {
        let long = "9".repeat(400);
        let words = ["drift", "near", ">", "<=", "1", "M", "%", "for", "\u{2265}", " ", &long, "\u{0}"];
        for one in words {
            for two in words {
                for three in words {
                    let _ = (parse(&[one, two, three].concat()), parse(&[one, two, three].join(" ")));
                }
            }
        }
    }
}
