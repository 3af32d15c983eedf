//! Windows of hours by the clocks of their zones, networks, and what is not met.

use proptest::prelude::*;

use super::*;

fn window(text: &str) -> Window {
    let [hours, days, zone] = text.split(' ').collect::<Vec<_>>()[..] else { panic!("{text}") };
    let (from, to) = hours.split_once('-').unwrap();
    let day = |name: &str| Weekday::ALL.into_iter().find(|day| day.as_str() == name).unwrap();
    Window {
        time_zone: zone.parse().unwrap(),
        days: days.split(',').map(day).collect(),
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn a_window_is_open_by_the_clocks_of_its_zone() {
    let office = window("08:00-18:00 mon,tue,wed,thu,fri Europe/Berlin");
    for (time, open) in [
        ("2026-11-23T06:59:59Z", false),
        ("2026-11-23T07:00:00Z", true),
        ("2026-11-23T16:59:59Z", true),
        ("2026-11-23T17:00:00Z", false),
        // In summer the same hours begin an hour earlier elsewhere.
        ("2026-07-20T06:00:00Z", true),
        ("2026-07-20T16:00:00Z", false),
        ("2026-11-22T10:00:00Z", false),
    ] {
        assert_eq!(office.open(at(time)), open, "{time}");
    }
    assert_eq!(office.next_change(at("2026-11-23T12:00:00Z")), Some(at("2026-11-23T17:00:00Z")));
    assert_eq!(office.next_open(at("2026-11-20T17:00:00Z")), Some(at("2026-11-23T07:00:00Z")));
    assert_eq!(office.to_string(), "08:00-18:00 mon,tue,wed,thu,fri Europe/Berlin");
}

#[test]
fn a_window_over_midnight_belongs_to_the_day_it_begins_on() {
    let night = window("22:00-06:00 fri UTC");
    assert!(night.open(at("2026-11-20T23:00:00Z")) && night.open(at("2026-11-21T05:59:59Z")));
    assert!(!night.open(at("2026-11-20T05:00:00Z")) && !night.open(at("2026-11-21T22:00:00Z")));
    let whole = window("00:00-24:00 sun UTC");
    assert!(whole.open(at("2026-11-22T00:00:00Z")) && whole.open(at("2026-11-22T23:59:59Z")));
    assert!(!whole.open(at("2026-11-23T00:00:00Z")));
}

#[test]
fn a_window_that_clocks_jump_over_is_never_open() {
    // On 2026-03-29 it is never between 02:00 and 03:00 in Berlin.
    let gone = window("02:00-03:00 sun Europe/Berlin");
    let mut quarters =
        (0..96).map(|n| at("2026-03-28T23:00:00Z").plus(Duration::from_secs(900 * n)));
    assert!(!quarters.any(|quarter| gone.open(quarter)));
    assert!(gone.open(at("2026-04-05T00:30:00Z")));
}

#[test]
fn networks_read_write_and_contain() {
    let office: Network = "10.1.0.0/16".parse().unwrap();
    assert!(office.contains("10.1.255.1".parse().unwrap()));
    assert!(office.contains("::ffff:10.1.2.3".parse().unwrap()));
    assert!(!office.contains("10.2.0.1".parse().unwrap()));
    assert!(!office.contains("2001:db8::1".parse().unwrap()));
    let all: Network = "0.0.0.0/0".parse().unwrap();
    assert!(all.contains("203.0.113.9".parse().unwrap()));
    assert_eq!("2001:db8::1".parse::<Network>().unwrap().to_string(), "2001:db8::1/128");
    for wrong in
        ["", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0/8", "::ffff:10.0.0.0/104", "10.0.0.0/ 8"]
    {
        assert!(wrong.parse::<Network>().is_err(), "{wrong}");
    }
    let error = "10.1.2.3/16".parse::<Network>().unwrap_err();
    assert!(error.to_string().ends_with("write `10.1.0.0/16`"), "{error}");
}

#[test]
fn times_and_zones_read_strictly() {
    assert_eq!("24:00".parse::<TimeOfDay>().unwrap().to_string(), "24:00");
    for wrong in ["", "8:00", "08:60", "24:01", "-1:00", "08:00:00", "aa:bb"] {
        assert!(wrong.parse::<TimeOfDay>().is_err(), "{wrong}");
    }
    assert_eq!("europe/berlin".parse::<ZoneName>().unwrap().to_string(), "Europe/Berlin");
    for wrong in ["", "Mars/Olympus", "../etc/passwd", "Europe/Berlin\n"] {
        assert!(wrong.parse::<ZoneName>().is_err(), "{wrong}");
    }
}

#[test]
fn what_is_not_met_is_named_and_a_second_factor_is_not_among_it() {
    let conditions = Conditions {
        second_factor_max_age: Some(Duration::from_secs(900)),
        networks: ["10.0.0.0/8".parse().unwrap()].into(),
        hours: [window("08:00-18:00 mon UTC")].into(),
        ticket: Some("OPS-#".into()),
    };
    let source = "10.1.2.3".parse().unwrap();
    let monday = at("2026-11-23T10:00:00Z");
    assert!(conditions.unmet(source, Some("OPS-7"), monday).is_empty());
    assert_eq!(
        conditions.unmet("192.0.2.1".parse().unwrap(), None, at("2026-11-24T10:00:00Z")),
        ["from 10.0.0.0/8", "within 08:00-18:00 mon UTC", "with a ticket like OPS-#"]
    );
    assert_eq!(conditions.described().len(), 4);
}

proptest! {
    #[test]
    fn a_window_does_not_change_before_it_says_it_does(
        days in proptest::sample::subsequence(Weekday::ALL.to_vec(), 1..7),
        (from, to) in (0_u16..1440, 1_u16..=1440),
        zone in proptest::sample::select(vec![
            "UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu",
        ]),
        start in 1_700_000_000_000_i64..1_900_000_000_000,
        part in 0.0..1.0_f64,
    ) {
        let window = Window {
            time_zone: zone.parse().unwrap(),
            days: days.into_iter().collect(),
            from: TimeOfDay(from),
            to: TimeOfDay(to),
        };
        let start = Timestamp::from_millis(start);
        let change = window.next_change(start).unwrap();
        prop_assert!(change > start);
        // Anywhere before that it is as it was.
        let span = change.as_millis() - start.as_millis();
        #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "a point in between")]
        let between = Timestamp::from_millis(start.as_millis() + (span as f64 * part) as i64);
        prop_assert_eq!(window.open(between), window.open(start));
    }

    #[test]
    fn a_network_reads_back_as_it_is_written(bits: u32, prefix in 0_u8..=32) {
        let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
        let address = std::net::Ipv4Addr::from(bits & mask);
        let network: Network = format!("{address}/{prefix}").parse().unwrap();
        prop_assert_eq!(network.to_string().parse::<Network>().unwrap(), network);
        prop_assert!(network.contains(std::net::Ipv4Addr::from(bits).into()));
    }
}
