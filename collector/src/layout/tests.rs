//! Tables of paths, as the platforms and the real core servers write them, and as nobody should.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use archive::{Direction, Instant, Leg};
use jiff::tz::TimeZone;

use super::*;

/// 2026-11-21T12:00:00Z.
const NOW: Instant = Instant::from_millis(1_795_262_400_000);

fn read(layout: &str, pattern: Option<&str>, path: &str, zone: &str) -> Meaning {
    let zone = TimeZone::get(zone).unwrap();
    Layout::new(layout, pattern).unwrap().read(Path::new(path), &zone, NOW)
}

/// Token, call reference, leg, direction, caller, callee, start: in one line, so that a table is a table.
fn line(meaning: &Meaning) -> String {
    let start = meaning.started_at.map_or("-".to_owned(), |at| at.timestamp().to_string());
    format!(
        "{}|{}|{}|{}|{}|{}|{start}",
        meaning.pbx_token, meaning.call_ref, meaning.leg, meaning.direction, meaning.caller, meaning.callee
    )
}

#[track_caller]
fn check(layout: &str, pattern: Option<&str>, zone: &str, table: &[(&str, &str)]) {
    for (path, expected) in table {
        assert_eq!(line(&read(layout, pattern, path, zone)), *expected, "{path}");
    }
}

#[test]
fn asterisk_paths_are_read() {
    check(
        "asterisk",
        None,
        "UTC",
        &[
            (
                "acme/2026/11/21/out-102-101-20261121-073942-1795246782.0.wav",
                "acme|1795246782.0|mixed|out|101|102|2026-11-21T07:39:42Z",
            ),
            (
                "acme/2026/11/21/out-102-101-20261121-073942-1795246782.0-in.wav",
                "acme|1795246782.0|caller|out|101|102|2026-11-21T07:39:42Z",
            ),
            (
                "acme/2026/11/21/out-+4930123456-103-20261121-073942-1795246782.2-out.WAV",
                "acme|1795246782.2|callee|out|103|+4930123456|2026-11-21T07:39:42Z",
            ),
            (
                "borealis/2026/11/21/out-209-208-20261121-074000-1795246800.22.g726-32",
                "borealis|1795246800.22|mixed|out|208|209|2026-11-21T07:40:00Z",
            ),
            (
                "borealis/2026/11/21/out-207-206-20261121-073959-1795246799.20.sln16",
                "borealis|1795246799.20|mixed|out|206|207|2026-11-21T07:39:59Z",
            ),
            // A system name before the uniqueid, and no folder for the PBX.
            (
                "2026/11/21/in-200-+79161234567-20261121-073942-core-1-1795246782.7.wav",
                "|core-1-1795246782.7|mixed|in|+79161234567|200|2026-11-21T07:39:42Z",
            ),
            // Dashes in the callee; a callee and a caller that are not there; a folder more than usual.
            (
                "acme/out-conf-9-1-101-20261121-073942-1795246782.0.wav",
                "acme|1795246782.0|mixed|out|101|conf-9-1|2026-11-21T07:39:42Z",
            ),
            ("acme/out---20261121-073942-1795246782.0.wav", "acme|1795246782.0|mixed|out|||2026-11-21T07:39:42Z"),
            (
                "acme/berlin/2026/11/21/exten-11-12-20261121-073942-1.5.gsm",
                "acme|1.5|mixed|internal|12|11|2026-11-21T07:39:42Z",
            ),
            // A tenant that is called after a year.
            (
                "2026/2026/11/21/out-102-101-20261121-073942-1795246782.0.wav",
                "2026|1795246782.0|mixed|out|101|102|2026-11-21T07:39:42Z",
            ),
            // Impossible dates: the uniqueid knows better.
            (
                "acme/out-102-101-20261399-073942-1795246782.0.wav",
                "acme|1795246782.0|mixed|out|101|102|2026-11-21T07:39:42Z",
            ),
            (
                "acme/out-102-101-20261121-256199-1795246782.0.wav",
                "acme|1795246782.0|mixed|out|101|102|2026-11-21T07:39:42Z",
            ),
        ],
    );
}

#[test]
fn plain_names_are_their_own_reference() {
    check(
        "asterisk",
        None,
        "UTC",
        &[
            ("1795246782.0.wav", "|1795246782.0|mixed|unknown|||2026-11-21T07:39:42Z"),
            ("acme/1795246782.12-in.gsm", "acme|1795246782.12|caller|unknown|||2026-11-21T07:39:42Z"),
            ("acme/sys-1795246782.12.WAV", "acme|sys-1795246782.12|mixed|unknown|||2026-11-21T07:39:42Z"),
            ("acme/conference 12.wav", "acme|conference 12|mixed|unknown|||-"),
            ("acme/support-7-out.ulaw", "acme|support-7|callee|unknown|||-"),
            ("acme/support-7.ulaw", "acme|support-7|mixed|unknown|||-"),
            ("no-extension", "|no-extension|mixed|unknown|||-"),
            ("acme/1795246782.12", "acme|1795246782.12|mixed|unknown|||-"),
            // Ten digits that are no time.
            ("acme/9999999999.12.wav", "acme|9999999999.12|mixed|unknown|||-"),
        ],
    );
}

#[test]
fn freepbx_paths_are_read() {
    check(
        "freepbx",
        None,
        "Europe/Moscow",
        &[
            (
                "2026/08/17/q-600-79161234567-20260817-142233-1786976553.1042.wav",
                "|1786976553.1042|mixed|in|79161234567|600|2026-08-17T11:22:33Z",
            ),
            (
                "2026/08/17/out-79035550011-201-20260817-101500-1786961700.77.WAV",
                "|1786961700.77|mixed|out|201|79035550011|2026-08-17T07:15:00Z",
            ),
            (
                "2026/08/17/exten-202-201-20260817-101500-1786961700.78.wav",
                "|1786961700.78|mixed|internal|201|202|2026-08-17T07:15:00Z",
            ),
            (
                "2026/08/17/internal-202-201-20260817-101500-1786961700.78.wav",
                "|1786961700.78|mixed|internal|201|202|2026-08-17T07:15:00Z",
            ),
            (
                "2026/08/17/rg-601-201-20260817-101500-1786961700.79.wav",
                "|1786961700.79|mixed|internal|201|601|2026-08-17T07:15:00Z",
            ),
            (
                "2026/08/17/q-600-anonymous-20260817-101500-1786961700.79.wav",
                "|1786961700.79|mixed|unknown|anonymous|600|2026-08-17T07:15:00Z",
            ),
            (
                "2026/08/17/force-s-201-20260817-101500-1786961700.80.wav",
                "|1786961700.80|mixed|unknown|201|s|2026-08-17T07:15:00Z",
            ),
            (
                "2026/08/17/in-sip-trunk-7-79161234567-20260817-101500-1786961700.81.ogg",
                "|1786961700.81|mixed|in|79161234567|sip-trunk-7|2026-08-17T07:15:00Z",
            ),
            (
                "acme/2026/08/17/in-200--20260817-101500-1786961700.82.mp3",
                "acme|1786961700.82|mixed|in||200|2026-08-17T07:15:00Z",
            ),
            ("2026/08/17/something else.wav", "|something else|mixed|unknown|||-"),
        ],
    );
}

#[test]
fn fusionpbx_paths_are_read_and_a_day_never_makes_a_recording_older() {
    let uuid = "5f0f3e0a-9d0c-4a7e-8b59-0a4be1d2c9a1";
    let table = [
        // A day that is over means its end; today means now, and so does tomorrow.
        ("2026/Aug/17", "2026-08-17T21:59:59Z"),
        ("2026/Feb/28", "2026-02-28T22:59:59Z"),
        ("2026/Nov/21", "2026-11-21T12:00:00Z"),
        ("2026/Nov/22", "2026-11-21T12:00:00Z"),
        ("2026/Xyz/21", "-"),
        ("2026/Feb/30", "-"),
    ];
    for (folder, start) in table {
        let path = format!("tenant1.example.com/archive/{folder}/{uuid}.mp3");
        let expected = format!("tenant1.example.com|{uuid}|mixed|unknown|||{start}");
        check("fusionpbx", None, "Europe/Berlin", &[(&path, &expected)]);
    }
    check(
        "fusionpbx",
        None,
        "UTC",
        &[
            (
                "recordings/tenant1.example.com/archive/2026/Aug/17/my call 12:30.wav",
                "tenant1.example.com|my call 12:30|mixed|unknown|||2026-08-17T23:59:59Z",
            ),
            ("tenant1.example.com/greeting.wav", "tenant1.example.com|greeting|mixed|unknown|||-"),
        ],
    );
    let layout = Layout::new("fusionpbx", None).unwrap();
    assert!(!layout.is_recording("call_screen.5f0f3e0a.wav"));
    assert!(layout.is_recording("call_screening.wav"));
}

#[test]
fn custom_patterns_read_what_they_name() {
    let vicidial = r"^(?P<pbx>)(?P<date>\d{8})-(?P<time>\d{6})_(?P<callee>\d+)-(?P<leg>all|in|out)\.";
    check(
        "custom",
        Some(vicidial),
        "America/New_York",
        &[
            (
                "20260817-142233_3125551212-all.mp3",
                "|20260817-142233_3125551212-all|mixed|unknown||3125551212|2026-08-17T18:22:33Z",
            ),
            (
                "20260817-142233_3125551212-in.wav",
                "|20260817-142233_3125551212-in|caller|unknown||3125551212|2026-08-17T18:22:33Z",
            ),
        ],
    );
    let rtpengine = r"^(?P<pbx>[^/]+)/(?P<year>\d{4})/(?P<month>\d\d)/(?P<day>\d\d)/(?P<uniqueid>.+)-[0-9a-f]{12,16}-(?:mix|[0-9a-f]+)(?:-\d+)?\.(?:wav|mp3)$";
    check(
        "custom",
        Some(rtpengine),
        "UTC",
        &[
            (
                "acme/2026/11/20/1795247559-16596%40acme.example-0b32494fb3fc4d1e-mix.wav",
                "acme|1795247559-16596@acme.example|mixed|unknown|||2026-11-20T23:59:59Z",
            ),
            (
                "acme/2026/11/20/VkQr%2540BaNWk~-8327f1aa02d8c8ae-709d027b-1.wav",
                "acme|VkQr%40BaNWk~|mixed|unknown|||2026-11-20T23:59:59Z",
            ),
            ("acme/2026/11/20/100%-8327f1aa02d8c8ae-mix.mp3", "acme|100%|mixed|unknown|||2026-11-20T23:59:59Z"),
        ],
    );
    let oktell = r"^(?P<pbx>)\d{8}/\d{4}/mix_(?P<caller>[^_]+)_(?P<callee>[^_]+)__(?P<date>\d{4}_\d\d_\d\d)__(?P<time>\d\d_\d\d_\d\d)_\d{3}\.mp3$";
    check(
        "custom",
        Some(oktell),
        "Europe/Moscow",
        &[(
            "20260817/1422/mix_01013_e0007__2026_08_17__14_22_33_417.mp3",
            "|mix_01013_e0007__2026_08_17__14_22_33_417|mixed|unknown|01013|e0007|2026-08-17T11:22:33Z",
        )],
    );
    let own = r"(?P<pbx>[^/]+)/(?P<direction>\w+)/(?P<caller>[^/]*)_(?P<callee>[^/]*)_(?P<epoch>\d+(?:\.\d+)?)_(?P<uniqueid>[^/]+)\.";
    check(
        "custom",
        Some(own),
        "UTC",
        &[
            (
                "Ромашка/inbound/Анна_Склад №2_1795246782_id-1.wav",
                "Ромашка|id-1|mixed|in|Анна|Склад №2|2026-11-21T07:39:42Z",
            ),
            (
                "acme/outgoing/101_%2B4930_1795246782123_id-2.wav",
                "acme|id-2|mixed|out|101|+4930|2026-11-21T07:39:42.123Z",
            ),
            (
                "acme/internal/101_102_1795246782.987654_id-3.wav",
                "acme|id-3|mixed|internal|101|102|2026-11-21T07:39:42Z",
            ),
            ("acme/else/101_102_17_id-4.wav", "acme|id-4|mixed|unknown|101|102|-"),
            // It does not fit: collected all the same.
            ("acme/stray.wav", "acme|stray|mixed|unknown|||-"),
        ],
    );
}

#[test]
fn an_hour_that_the_clocks_repeat_is_the_earlier_and_one_they_skip_is_shifted() {
    check(
        "asterisk",
        None,
        "Europe/Berlin",
        &[
            ("a/in-1-2-20261025-023000-x-1.1.wav", "a|x-1.1|mixed|in|2|1|2026-10-25T00:30:00Z"),
            ("a/in-1-2-20261025-030000-x-1.1.wav", "a|x-1.1|mixed|in|2|1|2026-10-25T02:00:00Z"),
            ("a/in-1-2-20260329-023000-x-1.1.wav", "a|x-1.1|mixed|in|2|1|2026-03-29T01:30:00Z"),
            // A call that crosses midnight lies in the folder of the day on which it began.
            ("a/2026/11/21/in-1-2-20261121-235959-x-1.1.wav", "a|x-1.1|mixed|in|2|1|2026-11-21T22:59:59Z"),
        ],
    );
}

#[test]
fn hostile_names_stay_harmless() {
    let long = "9".repeat(250);
    let path = format!("acme/out-{long}-{long}-20261121-073942-1795246782.0.wav");
    assert_eq!(read("asterisk", None, &path, "UTC").callee.len(), 250);
    check(
        "asterisk",
        None,
        "UTC",
        &[
            (
                "acme/out-1\r\nSet-Cookie: x-2-20261121-073942-1795246782.0.wav",
                "acme|1795246782.0|mixed|out|2|1Set-Cookie: x|2026-11-21T07:39:42Z",
            ),
            (
                "acme/out-%00%0d%0a-2-20261121-073942-1795246782.0.wav",
                "acme|1795246782.0|mixed|out|2||2026-11-21T07:39:42Z",
            ),
            (
                "acme/out-$(reboot)-;ls-20261121-073942-1795246782.0.wav",
                "acme|1795246782.0|mixed|out|;ls|$(reboot)|2026-11-21T07:39:42Z",
            ),
            ("%2e%2e/x.wav", "%2e%2e|x|mixed|unknown|||-"),
            (
                "acme/[]_100-0836826436_20190211124709(2).wav",
                "acme|[]_100-0836826436_20190211124709(2)|mixed|unknown|||-",
            ),
            ("acme/...wav", "acme|..|mixed|unknown|||-"),
            ("acme/٢٠٢٦-1-2-٢٠٢٦١١٢١-٠٧٣٩٤٢-1.0.wav", "acme|٢٠٢٦-1-2-٢٠٢٦١١٢١-٠٧٣٩٤٢-1.0|mixed|unknown|||-"),
        ],
    );
    let not_utf8 = std::ffi::OsStr::from_bytes(b"acme/\xff\xfe.wav");
    let meaning = Layout::new("asterisk", None).unwrap().read(Path::new(not_utf8), &TimeZone::UTC, NOW);
    assert_eq!((meaning.pbx_token.as_str(), meaning.call_ref.as_str()), ("acme", "\u{fffd}\u{fffd}"));
}

#[test]
fn hidden_and_temporary_files_are_no_recordings() {
    let layout = Layout::new("asterisk", None).unwrap();
    for name in
        [".out-1.wav", ".nfs0001", "a.wav.tmp", "a.part", "a.filepart", "call-8327.meta", "a.meta.DISCARD", "a.wav~"]
    {
        assert!(!layout.is_recording(name), "{name}");
    }
    for name in ["a.wav", "a", "tmp.wav", "a.tmp.wav", "part", "backup-a.wav", "a.WAV", "a.g726-32"] {
        assert!(layout.is_recording(name), "{name}");
    }
}

#[test]
fn a_layout_or_pattern_that_cannot_work_is_refused_by_name() {
    let cases = [
        ("asterix", None, "is not one of asterisk, freepbx, fusionpbx, custom"),
        ("asterisk", Some("x"), "only a custom layout has a pattern"),
        ("custom", None, "needs a pattern"),
        ("custom", Some("(?P<pbx>"), "pattern: "),
        ("custom", Some(r"(?P<tenant>\w+)"), "group \"tenant\" is not one of pbx, "),
        ("custom", Some(r"(?P<caller>\w+)"), "needs a group \"pbx\""),
        ("custom", Some(r"(?P<pbx>\w+)(?P<year>\d+)"), "group \"year\" needs a group \"month\""),
        ("custom", Some(r"(?P<pbx>\w+)(?P<hour>\d+)"), "group \"hour\" needs a group \"minute\""),
        ("custom", Some(r"(?P<pbx>\w+)(?P<time>\d+)"), "a time needs a date"),
        ("custom", Some(r"(?P<pbx>)(?P<date>)(?P<year>)(?P<month>)(?P<day>)"), "not both"),
    ];
    for (layout, pattern, complaint) in cases {
        let made = check_layout(layout, pattern).expect_err(complaint);
        assert!(made.contains(complaint), "{made}");
    }
    for layout in ["asterisk", "freepbx", "fusionpbx"] {
        check_layout(layout, None).expect(layout);
    }
    check_layout("custom", Some(r"(?P<pbx>\w+)")).expect("the least");
}

/// Every path of the corpus of real recordings reads as its manifest says.
#[test]
fn the_corpus_reads_as_its_manifest_says() {
    let manifest = include_str!("../../../tests/fixtures/MANIFEST.tsv");
    let mut seen = 0;
    for row in manifest.lines().skip(1) {
        let columns: Vec<&str> = row.split('\t').collect();
        let Some(path) = columns[0].strip_prefix("asterisk-22/monitor/") else { continue };
        let leg = match columns[3] {
            "leg: caller says" => Leg::Caller,
            "leg: caller hears" => Leg::Callee,
            _ => Leg::Mixed,
        };
        let meaning = read("asterisk", None, path, "UTC");
        let started_at: jiff::Timestamp = columns[17].parse().unwrap();
        let expected = Meaning {
            pbx_token: columns[12].to_owned(),
            call_ref: columns[15].to_owned(),
            leg,
            direction: Direction::Out,
            caller: columns[13].to_owned(),
            callee: columns[14].to_owned(),
            started_at: Some(started_at.into()),
        };
        assert_eq!(meaning, expected, "{path}");
        seen += 1;
    }
    assert!(seen > 20, "{seen} paths");
}
