//! Histories that once failed, as they were. A seed finds its history again only as long as histories are drawn the same way.

use super::history::{Action, History, Own, Source, Terms};
use super::invariants::hold_all;
use super::teams::Client;
use crate::api::presence::{DoNotDisturbPolicy, OutOfOfficePolicy, RingingPolicy};
use crate::policy::presence::mapping::Choice;
use crate::policy::presence::pbx::{Activity, Line};

fn history(source: Source, terms: Terms, seed: u64, actions: Vec<(i64, Action)>) -> History {
    History {
        actions,
        source,
        terms,
        short_lives: false,
        seed,
    }
}

#[test]
#[allow(clippy::too_many_lines)] // a list
fn histories_that_failed_once_pass() {
    use Action::{Choose, Crash, Entry, GraphDown, NoEntry, PbxDown, Reset};
    let plain = Terms::default();
    let expires = Terms {
        own: Own::Expires,
        ..plain
    };
    let as_session = Terms {
        do_not_disturb: DoNotDisturbPolicy::Session,
        ..plain
    };
    let untold = Terms {
        entries: false,
        ..plain
    };
    let client = Action::Client;
    let line = Action::Line;
    let kept = [
        history(
            Source::Hint,
            expires,
            5_902_871_928_033_047_817,
            vec![
                (104_008, Reset),
                (15_887, client(Client::Idle)),
                (27_026, Entry(Activity::Unset)),
                (10_590, client(Client::InACall)),
                (1_091, PbxDown(320_027)),
                (219_752, Entry(Activity::Away)),
                (81_462, Reset),
                (19_624, client(Client::Available)),
            ],
        ),
        history(
            Source::Hint,
            plain,
            9_935_764_702_386_953_170,
            vec![
                (9_836, line(Line::Connected)),
                (2_109, Entry(Activity::Away)),
                (113_185, line(Line::Idle)),
                (19_663, PbxDown(0)),
                (19_017, Choose(Some(Choice::Busy))),
                (401, NoEntry),
                (1_854, Crash(0)),
            ],
        ),
        history(
            Source::Rich,
            as_session,
            15_940_927_144_446_684_798,
            vec![
                (0, Entry(Activity::Away)),
                (179_001, GraphDown(881)),
                (153_798, PbxDown(26_372)),
                (0, Entry(Activity::DoNotDisturb)),
                (27_984, Choose(Some(Choice::Away))),
                (4_699, Crash(0)),
            ],
        ),
        history(
            Source::Hint,
            as_session,
            777_044_076_645_790_601,
            vec![
                (100_000, client(Client::Idle)),
                (100_000, Entry(Activity::DoNotDisturb)),
                (121_619, line(Line::Idle)),
                (107_099, line(Line::Idle)),
                (136_049, Reset),
                (159_046, Entry(Activity::Away)),
            ],
        ),
        history(
            Source::Hint,
            plain,
            17_210_833_405_832_966_082,
            vec![
                (0, Entry(Activity::Busy)),
                (0, Entry(Activity::Lunch)),
                (7_287, client(Client::Available)),
                (1_345, Choose(Some(Choice::Busy))),
                (0, Crash(0)),
                (0, client(Client::Available)),
            ],
        ),
        history(
            Source::Rich,
            plain,
            14_196_874_954_158_301_471,
            vec![
                (5_979, client(Client::InACall)),
                (0, Entry(Activity::DoNotDisturb)),
                (7_495, Choose(Some(Choice::Available))),
                (0, Choose(Some(Choice::DoNotDisturb))),
                (19_181, Choose(Some(Choice::DoNotDisturb))),
                (4_691, line(Line::Idle)),
            ],
        ),
        history(
            Source::Rich,
            plain,
            12_278_537_298_949_173_702,
            vec![
                (144_550, line(Line::Idle)),
                (39_625, Choose(Some(Choice::Available))),
                (239_490, Entry(Activity::Away)),
                (1_601, NoEntry),
                (40_000, client(Client::Offline)),
                (628, client(Client::Idle)),
                (30_049, Reset),
                (262_983, client(Client::InACall)),
                (152, PbxDown(0)),
                (24_241, Entry(Activity::Busy)),
                (3_000, Crash(0)),
            ],
        ),
        history(
            Source::Poll,
            untold,
            16_578_031_146_456_066_332,
            vec![
                (117_166, Entry(Activity::Unset)),
                (1_835, Crash(0)),
                (33_353, client(Client::Offline)),
                (2_754, client(Client::Idle)),
                (24_310, Crash(0)),
            ],
        ),
        history(
            Source::Poll,
            Terms {
                own: Own::Switch,
                ..plain
            },
            12_148_725_658_252_406_069,
            vec![
                (283_529, Action::EntriesUnknown(106_799)),
                (16_300, Choose(Some(Choice::DoNotDisturb))),
                (0, Entry(Activity::DoNotDisturb)),
                (0, line(Line::Idle)),
                (43_275, line(Line::Idle)),
                (0, Crash(137_360)),
                (0, Entry(Activity::Unset)),
            ],
        ),
        history(
            Source::Rich,
            Terms { line: false, ..plain },
            9_213_511_546_856_579_415,
            vec![
                (1_179, GraphDown(58_701)),
                (14_677, client(Client::Idle)),
                (27_883, NoEntry),
                (15_262, Entry(Activity::OnThePhone)),
                (418, Entry(Activity::Away)),
                (400, Crash(0)),
                (0, NoEntry),
            ],
        ),
        history(
            Source::Poll,
            Terms {
                own: Own::Switch,
                out_of_office: OutOfOfficePolicy::Note,
                ..plain
            },
            8_137_823_844_812_671_361,
            vec![
                (4_222, Choose(Some(Choice::DoNotDisturb))),
                (2_096, line(Line::Idle)),
                (15_937, client(Client::Available)),
                (10_130, Action::OutOfOffice(true)),
                (8_170, client(Client::Available)),
                (2_053, Action::EntriesUnknown(22_300)),
                (17_808, NoEntry),
                (5_356, client(Client::Offline)),
            ],
        ),
        history(
            Source::Rich,
            Terms { line: false, ..plain },
            13_359_981_800_381_427_328,
            vec![
                (0, Entry(Activity::Busy)),
                (0, Entry(Activity::Lunch)),
                (179_416, Choose(Some(Choice::Available))),
                (0, client(Client::Offline)),
                (21_096, Choose(Some(Choice::BeRightBack))),
                (0, client(Client::Available)),
                (4_722, line(Line::Idle)),
            ],
        ),
        history(
            Source::Poll,
            Terms {
                ringing: RingingPolicy::InACall,
                ..plain
            },
            16_450_869_894_378_829_969,
            vec![
                (0, Entry(Activity::Busy)),
                (519, line(Line::Ringing)),
                (12_556, line(Line::Ringing)),
                (2_745, Choose(None)),
                (0, line(Line::Idle)),
                (0, Reset),
            ],
        ),
        History {
            short_lives: true,
            ..history(
                Source::Hint,
                Terms { line: false, ..plain },
                10_920_103_833_981_617_888,
                vec![
                    (31_043, line(Line::Idle)),
                    (37_889, line(Line::Idle)),
                    (88_806, Reset),
                    (2_678, Action::LineUnknown(0)),
                    (18_973, line(Line::Idle)),
                    (0, Entry(Activity::Busy)),
                    (5_777, Crash(282_504)),
                    (314_158, Action::EntriesUnknown(0)),
                ],
            )
        },
        history(
            Source::Hint,
            Terms { line: false, ..plain },
            4_130_111_168_654_889_338,
            vec![
                (30_071, Action::Calendar(Activity::OnThePhone)),
                (33_536, Entry(Activity::Busy)),
                (952, Crash(154_216)),
                (6_407, line(Line::Idle)),
                (137_918, client(Client::Offline)),
                (9_892, Entry(Activity::Away)),
                (6_189, line(Line::Idle)),
            ],
        ),
        history(
            Source::Hint,
            Terms {
                ringing: RingingPolicy::InACall,
                ..plain
            },
            9_870_632_624_131_475_778,
            vec![
                (0, line(Line::Ringing)),
                (0, Entry(Activity::Lunch)),
                (93_036, client(Client::Offline)),
                (0, Choose(None)),
                (0, Entry(Activity::OnThePhone)),
                (4_593, Entry(Activity::Lunch)),
                (0, Reset),
            ],
        ),
        History {
            short_lives: true,
            ..history(
                Source::Hint,
                plain,
                3_641_593_854_964_714_698,
                vec![
                    (0, Entry(Activity::Lunch)),
                    (926, line(Line::Connected)),
                    (134_273, line(Line::Idle)),
                    (354_974, client(Client::Available)),
                    (399, Crash(224_712)),
                    (0, Choose(Some(Choice::Available))),
                    (230_924, client(Client::Offline)),
                ],
            )
        },
        History {
            short_lives: true,
            ..history(
                Source::Hint,
                plain,
                14_689_476_170_675_289_245,
                vec![
                    (3_830, Entry(Activity::Busy)),
                    (13_970, client(Client::Available)),
                    (247_285, line(Line::Connected)),
                    (34_655, Reset),
                    (5_664, Reset),
                    (0, line(Line::Idle)),
                    (10_839, line(Line::Idle)),
                    (3_625, Entry(Activity::Away)),
                ],
            )
        },
        History {
            short_lives: true,
            ..history(
                Source::Poll,
                Terms { line: false, ..plain },
                16_140_635_613_044_228_932,
                vec![
                    (69_067, Choose(Some(Choice::Available))),
                    (0, Entry(Activity::Away)),
                    (294_413, Crash(8_610)),
                    (133_931, Crash(288_637)),
                    (7_072, GraphDown(0)),
                    (40_000, Action::Calendar(Activity::Unset)),
                    (247_898, PbxDown(23_002)),
                ],
            )
        },
        History {
            short_lives: true,
            ..history(
                Source::Hint,
                Terms { line: false, ..plain },
                17_377_659_372_824_746_499,
                vec![
                    (0, Action::OutOfOffice(true)),
                    (0, GraphDown(33_179)),
                    (10_679, Entry(Activity::Busy)),
                    (122_533, PbxDown(0)),
                    (224_147, Action::Calendar(Activity::Unset)),
                    (280_212, Entry(Activity::Unset)),
                    (6_678, Entry(Activity::Away)),
                    (0, Choose(Some(Choice::Available))),
                ],
            )
        },
        history(
            Source::Hint,
            untold,
            2_312_623_949_198_394_489,
            vec![
                (0, Choose(Some(Choice::Busy))),
                (16_278, GraphDown(0)),
                (1_257, client(Client::Offline)),
                (0, Crash(364_344)),
                (345_340, line(Line::Idle)),
                (17_639, line(Line::Connected)),
                (2_314, line(Line::Idle)),
                (1_383, Crash(5_526)),
                (0, client(Client::Available)),
                (6_306, Entry(Activity::Unset)),
            ],
        ),
        history(
            Source::Rich,
            Terms {
                own: Own::Switch,
                ..plain
            },
            5_378_399_267_846_955_152,
            vec![
                (0, Choose(Some(Choice::DoNotDisturb))),
                (15_336, Choose(None)),
                (602, Choose(Some(Choice::DoNotDisturb))),
                (757, Entry(Activity::Unset)),
                (4_021, client(Client::Available)),
            ],
        ),
        history(
            Source::Hint,
            plain,
            15_173_518_323_393_400_733,
            vec![
                (3_564, Entry(Activity::Away)),
                (666, Action::Calendar(Activity::Unset)),
                (0, client(Client::Idle)),
                (498, client(Client::Idle)),
                (13_693, line(Line::Connected)),
                (0, Reset),
            ],
        ),
        history(
            Source::Rich,
            Terms {
                ringing: crate::api::presence::RingingPolicy::InACall,
                ..plain
            },
            7_702_534_740_891_450_726,
            vec![
                (119_308, client(Client::Available)),
                (393_861, Reset),
                (159_882, Entry(Activity::Away)),
                (943, Choose(Some(Choice::Busy))),
                (2_115, Reset),
                (28_586, Action::OutOfOffice(false)),
                (12_793, line(Line::Ringing)),
                (186_408, NoEntry),
                (1_433, Entry(Activity::Away)),
                (0, Crash(0)),
            ],
        ),
        History {
            short_lives: true,
            ..history(
                Source::Hint,
                Terms { line: false, ..plain },
                9_060_563_563_704_341_249,
                vec![
                    (212_804, Action::EntriesUnknown(0)),
                    (146_197, Crash(210_729)),
                    (0, Reset),
                    (152_364, Crash(0)),
                    (34_305, PbxDown(0)),
                    (5_549, Entry(Activity::Busy)),
                    (374_040, Action::OutOfOffice(false)),
                    (29_385, Crash(0)),
                    (0, Choose(Some(Choice::Available))),
                    (5_922, Crash(145_384)),
                    (150_384, PbxDown(0)),
                ],
            )
        },
    ];
    for history in &kept {
        hold_all(history);
    }
}
