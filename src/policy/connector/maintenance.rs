//! Windows in which failures are expected: `cron` expressions of five fields, in UTC.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};

use crate::api::connector::MaintenanceWindow;

/// A longer window is a mistake: it would hide the connector for good.
const LONGEST: SignedDuration = SignedDuration::from_hours(31 * 24);
const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// A window that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    schedule: Schedule,
    duration: SignedDuration,
}

/// Understands windows, or says what is wrong with the first that is none.
pub fn parse(windows: &[MaintenanceWindow]) -> Result<Vec<Window>, String> {
    let parsed = windows.iter().enumerate().map(|(number, window)| {
        let place = format!("spec.maintenance[{number}]");
        let schedule = Schedule::parse(&window.cron).map_err(|why| format!("{place}.cron: {why}"))?;
        let seconds = window.duration.seconds().unwrap_or(0);
        let duration = SignedDuration::from_secs(seconds);
        if seconds <= 0 || duration > LONGEST {
            return Err(format!("{place}.duration must be longer than zero and at most 744h"));
        }
        Ok(Window { schedule, duration })
    });
    parsed.collect()
}

/// Whether one of them is open.
pub fn is_open(windows: &[Window], now: Timestamp) -> bool {
    windows.iter().any(|window| {
        let began = window.schedule.last_before(now, window.duration);
        began.is_some_and(|began| now < began + window.duration)
    })
}

/// What a `cron` expression admits, as sets of bits.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Schedule {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// With both days restricted, one of them suffices. (crontab(5))
    either_day: bool,
}

impl Schedule {
    fn parse(text: &str) -> Result<Self, String> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields.as_slice() else {
            return Err(format!(
                "\"{text}\" has {} fields; five are needed: minute, hour, day of month, month, day of week",
                fields.len()
            ));
        };
        let weekday_bits = set(weekdays, 0, 7, &DAYS, 0)?;
        Ok(Self {
            minutes: set(minutes, 0, 59, &[], 0)?,
            hours: set(hours, 0, 23, &[], 0)?,
            days: set(days, 1, 31, &[], 0)?,
            months: set(months, 1, 12, &MONTHS, 1)?,
            // Sunday is 0 and 7.
            weekdays: (weekday_bits | (weekday_bits >> 7)) & 0x7f,
            either_day: !days.starts_with('*') && !weekdays.starts_with('*'),
        })
    }

    fn admits(&self, date: Date) -> bool {
        let weekday = date.weekday().to_sunday_zero_offset();
        let day = has(self.days, date.day());
        let weekday = has(self.weekdays, weekday);
        let either = if self.either_day {
            day || weekday
        } else {
            day && weekday
        };
        has(self.months, date.month()) && either
    }

    /// The last minute that it admits, up to `now`, and no longer ago than `within` and a day.
    fn last_before(&self, now: Timestamp, within: SignedDuration) -> Option<Timestamp> {
        let today = now.to_zoned(TimeZone::UTC);
        for ago in 0..=within.as_hours() / 24 + 1 {
            let date = today.date().checked_sub(ago.days()).ok()?;
            if !self.admits(date) {
                continue;
            }
            let latest = if ago == 0 {
                (today.hour(), today.minute())
            } else {
                (23, 59)
            };
            if let Some((hour, minute)) = self.last_minute(latest) {
                let at = date.at(hour, minute, 0, 0).to_zoned(TimeZone::UTC).ok()?;
                return Some(at.timestamp());
            }
        }
        None
    }

    /// The last hour and minute of a day, up to `latest`.
    fn last_minute(&self, latest: (i8, i8)) -> Option<(i8, i8)> {
        let last = |bits: u64, most: i8| (0..=most).rev().find(|value| has(bits, *value));
        let hour = last(self.hours, latest.0)?;
        let most = if hour == latest.0 { latest.1 } else { 59 };
        if let Some(minute) = last(self.minutes, most) {
            return Some((hour, minute));
        }
        let hour = last(self.hours, hour.checked_sub(1)?)?;
        Some((hour, last(self.minutes, 59)?))
    }
}

fn has(bits: u64, value: i8) -> bool {
    u32::try_from(value).is_ok_and(|value| (bits >> value) & 1 == 1)
}

/// One field: `*`, `5`, `1-5`, `*/15`, `10-40/10`, and lists of them; names where there are any, which begin at `first_name`.
fn set(field: &str, least: u32, most: u32, names: &[&str], first_name: u32) -> Result<u64, String> {
    let mut bits = 0;
    for part in field.split(',') {
        let wrong =
            || format!("\"{part}\" is not understood; it takes {least} to {most}, as in *, 5, 1-5, */2 and 1,3");
        let number = |text: &str| {
            let word = names
                .iter()
                .zip(first_name..)
                .find(|(name, _)| text.eq_ignore_ascii_case(name));
            let digits = || {
                text.parse()
                    .ok()
                    .filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
            };
            let value = word.map(|(_, value)| value).or_else(digits);
            value.filter(|value| (least..=most).contains(value)).ok_or_else(wrong)
        };
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, step.parse().ok().filter(|step| *step > 0).ok_or_else(wrong)?),
            None => (part, 1),
        };
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (least, most),
            Some((from, to)) => (number(from)?, number(to)?),
            // From there on, as `5/15`.
            None if part.contains('/') => (number(range)?, most),
            None => (number(range)?, number(range)?),
        };
        if from > to {
            return Err(wrong());
        }
        bits |= (from..=to).step_by(step).fold(0_u64, |bits, value| bits | (1 << value));
    }
    Ok(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(cron: &str, duration: &str) -> MaintenanceWindow {
        MaintenanceWindow {
            cron: cron.to_owned(),
            duration: duration.into(),
        }
    }

    fn open(cron: &str, duration: &str, now: &str) -> bool {
        let windows = parse(&[window(cron, duration)]).unwrap();
        is_open(&windows, now.parse().unwrap())
    }

    #[test]
    fn a_window_is_open_from_its_minute_for_as_long_as_it_lasts() {
        // 2026-11-28 is a Saturday.
        let cases = [
            ("0 22 * * 6", "2h", "2026-11-28T21:59:59Z", false),
            ("0 22 * * 6", "2h", "2026-11-28T22:00:00Z", true),
            ("0 22 * * 6", "2h", "2026-11-28T23:59:59Z", true),
            ("0 22 * * 6", "2h", "2026-11-29T00:00:00Z", false),
            ("0 22 * * 6", "3h", "2026-11-29T00:59:59Z", true),
            ("0 22 * * sat", "2h", "2026-11-28T22:30:00Z", true),
            ("0 22 * * 0", "2h", "2026-11-29T22:30:00Z", true),
            ("0 22 * * 7", "2h", "2026-11-29T22:30:00Z", true),
            ("0 22 * * 1-5", "2h", "2026-11-28T22:30:00Z", false),
            ("0 0 1 * *", "744h", "2026-12-31T23:59:59Z", true),
            ("30 23 31 12 *", "1h", "2027-01-01T00:15:00Z", true),
            ("30 23 31 DEC *", "1h", "2027-01-01T00:30:00Z", false),
            ("*/15 * * * *", "1m", "2026-11-28T10:15:30Z", true),
            ("*/15 * * * *", "1m", "2026-11-28T10:16:00Z", false),
            ("5/20 10 * * *", "1m", "2026-11-28T10:45:00Z", true),
            ("10-40/10 * * * *", "1m", "2026-11-28T10:50:00Z", false),
            ("50 9,11 * * *", "20m", "2026-11-28T10:05:00Z", true),
            // Nothing in this hour up to now: the hour before counts.
            ("50 9,10 * * *", "20m", "2026-11-28T10:05:00Z", true),
            // The first of the month, or a Monday.
            ("0 3 1 * 1", "1h", "2026-11-30T03:30:00Z", true),
            ("0 3 1 * 1", "1h", "2026-12-01T03:30:00Z", true),
            ("0 3 1 * 1", "1h", "2026-12-02T03:30:00Z", false),
            ("0 0 29 2 *", "24h", "2028-02-29T12:00:00Z", true),
            ("0 0 31 2 *", "24h", "2028-03-01T12:00:00Z", false),
        ];
        for (cron, duration, now, expected) in cases {
            assert_eq!(open(cron, duration, now), expected, "{cron} for {duration} at {now}");
        }
    }

    #[test]
    fn what_is_no_window_is_refused_with_its_place() {
        let cases = [
            ("0 22 * *", "1h", "spec.maintenance[1].cron: \"0 22 * *\" has 4 fields"),
            (
                "60 22 * * *",
                "1h",
                "spec.maintenance[1].cron: \"60\" is not understood; it takes 0 to 59",
            ),
            ("0 22 0 * *", "1h", "it takes 1 to 31"),
            ("0 22 * 13 *", "1h", "it takes 1 to 12"),
            ("0 22 * * 8", "1h", "it takes 0 to 7"),
            ("0 22 * * fri-mon", "1h", "\"fri-mon\" is not understood"),
            ("*/0 22 * * *", "1h", "\"*/0\" is not understood"),
            ("+5 22 * * *", "1h", "\"+5\" is not understood"),
            ("0 22 * * 1,", "1h", "\"\" is not understood"),
            (
                "0 22 * * *",
                "745h",
                "spec.maintenance[1].duration must be longer than zero and at most 744h",
            ),
        ];
        for (cron, duration, expected) in cases {
            let refused = parse(&[window("0 0 * * *", "1h"), window(cron, duration)]).unwrap_err();
            assert!(refused.contains(expected), "{cron}: {refused}");
        }
    }

    /// The walk backwards finds what a look at each minute finds.
    #[test]
    fn the_last_beginning_is_that_of_a_slow_search() {
        let mut seed = 7_u64;
        let mut random = |most: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % most
        };
        let start: Timestamp = "2026-02-20T00:00:00Z".parse().unwrap();
        for _ in 0..300 {
            let star = |text: String, star: bool| if star { "*".to_owned() } else { text };
            let cron = format!(
                "{} {} {} * {}",
                star(format!("{}", random(60)), random(4) == 0),
                star(format!("{}-23/3", random(23)), random(4) == 0),
                star(format!("{}", 1 + random(31)), random(2) == 0),
                star(format!("{}", random(8)), random(2) == 0),
            );
            let schedule = Schedule::parse(&cron).unwrap();
            let now = start + SignedDuration::from_secs(i64::try_from(random(40 * 86_400)).unwrap());
            let within = SignedDuration::from_hours(i64::try_from(1 + random(72)).unwrap());
            let slow = (0..=within.as_mins()).find_map(|ago| {
                let at = now - SignedDuration::from_mins(ago);
                let at = Timestamp::from_second(at.as_second() / 60 * 60).unwrap();
                let zoned = at.to_zoned(TimeZone::UTC);
                let fits = schedule.admits(zoned.date())
                    && has(schedule.hours, zoned.hour())
                    && has(schedule.minutes, zoned.minute());
                (fits && now < at + within).then_some(at)
            });
            let fast = schedule.last_before(now, within).filter(|began| now < *began + within);
            assert_eq!(fast, slow, "{cron} at {now} within {within}");
        }
    }
}
