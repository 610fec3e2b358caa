use super::*;
use crate::report::count::block::Asked;
use crate::report::count::patience::Patience;
use crate::report::count::tally::ThingHasher;
use crate::report::count::{Ledger, Worker};
use crate::report::read::formats::Formats;
use crate::report::read::input::lines;
use crate::report::read::line::Line;
use crate::report::read::select::Selection;

/// What lines tell, handed over in these blocks.
fn told(blocks: &[String]) -> Ledger {
    let formats = Formats::with(Vec::new(), 0);
    let selection = Selection::default();
    let mut worker = Worker::new(&formats, ThingHasher::default(), &selection);
    let mut ledger = Ledger::new();
    ledger.add_file("a.log".to_owned(), 0);
    for block in blocks {
        let format = formats.detect(lines(block.as_bytes())).0;
        ledger.append(0, worker.count(block.as_bytes(), format));
    }
    ledger.timeline.finish();
    ledger
}

fn line(second: i64, peer: &str, term: &str) -> String {
    let time = jiff::Timestamp::from_second(1_795_392_000 + second).unwrap();
    let time = time.strftime("%d/%b/%Y:%H:%M:%S +0000");
    format!(
        "192.0.2.1 - {peer} [{time}] \"GET /service/ipbx/json.php/restricted/pbx_services/phonebook?act=search\
         &search={term} HTTP/1.1\" 200 2 \"-\" \"x\"\n"
    )
}

/// What the peer of this name did.
fn of<'l>(ledger: &'l Ledger, peer: &str) -> &'l PeerLine {
    let at = ledger.timeline.names.iter().position(|name| &**name == peer.as_bytes()).unwrap();
    &ledger.timeline.peers[at]
}

#[test]
fn bursts_gaps_and_terms_are_counted() {
    let mut log = String::new();
    for _ in 0..30 {
        log += &line(10, "lyon", "doe");
    }
    log += &line(11, "lyon", "roe");
    log += &line(5000, "lyon", "DOE");
    let ledger = told(&[log]);
    let lyon = of(&ledger, "lyon");
    assert_eq!(lyon.busiest, Some((1_795_392_010, 30)));
    assert_eq!(lyon.longest_gap, 4989);
    assert_eq!((lyon.terms.estimate(), ledger.timeline.terms()), (2, 2));
    assert_eq!(lyon.most_terms, Some((1_795_392_000, 2)));
    assert_eq!(lyon.quotas.sufficient().last().unwrap().burst, 30);
}

#[test]
fn two_logs_of_one_time_are_those_of_their_sum() {
    // Two gateways that each let five a second through.
    let one: String = (0..100).flat_map(|at| vec![line(at, "lyon", "a1"); 5]).collect();
    let other: String = (0..100).flat_map(|at| vec![line(at, "lyon", "b1"); 5]).collect();
    let ledger = told(&[one, other]);
    let lyon = of(&ledger, "lyon");
    assert_eq!(lyon.busiest.unwrap().1, 10);
    let sufficient = lyon.quotas.sufficient();
    assert!(sufficient.iter().any(|it| (it.per_second, it.burst) == (10, 10)), "{sufficient:?}");
    assert!(sufficient.iter().all(|it| it.per_second >= 10), "{sufficient:?}");
}

#[test]
fn the_order_of_lines_and_blocks_makes_no_difference() {
    let mut lines = Vec::new();
    let mut random = 5_u64;
    let mut next = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (random >> 33) % below
    };
    for _ in 0..3000 {
        let second = (next(20) * 3600 + next(40)).cast_signed();
        let peer = ["lyon", "paris", "nantes"][next(3) as usize];
        let term = format!("{}{}", ["du", "dup", "dupont", "ma"][next(4) as usize], next(9));
        lines.push(line(second, peer, &term));
    }
    let figures = |ledger: &Ledger| {
        let mut all: Vec<String> = ["lyon", "paris", "nantes"]
            .map(|peer| {
                let at = ledger.timeline.names.iter().position(|it| &**it == peer.as_bytes());
                let repeated = ledger.timeline.repeats.of(at.unwrap());
                let PeerLine { busiest, longest_gap, quotas, terms, persons, most_terms, .. } =
                    of(ledger, peer);
                let Persons { all, by_hour, enumerations, .. } = persons;
                let (terms, persons) = (terms.estimate(), all.estimate());
                let (quotas, enumerations) = (quotas.sufficient(), enumerations.found());
                format!(
                    "{busiest:?} {longest_gap} {quotas:?} {terms} {persons} {most_terms:?} {by_hour:?} {enumerations:?} \
                     {repeated:?}"
                )
            })
            .to_vec();
        all.push(format!("{} {}", ledger.timeline.terms(), ledger.timeline.persons()));
        all
    };
    let first = figures(&told(&[lines.concat()]));
    for blocks in [2, 7] {
        for at in (1..lines.len()).rev() {
            lines.swap(at, next(at as u64 + 1) as usize);
        }
        let length = lines.len().div_ceil(blocks);
        let blocks: Vec<String> = lines.chunks(length).map(<[String]>::concat).collect();
        assert_eq!(figures(&told(&blocks)), first);
    }
}

#[test]
fn more_than_there_is_room_for_is_looked_at_by_and_by_and_what_comes_too_late_is_told() {
    let mut timeline = Timeline::default();
    let name: Arc<[u8]> = (&b"lyon"[..]).into();
    let formats = Formats::with(Vec::new(), 0);
    let entry_line = line(0, "lyon", "doe");
    let (mut reader, mut scratch) = (formats.reader(), Vec::new());
    reader.begin(formats.detect(lines(entry_line.as_bytes())).0);
    let Ok(Line::Entry(entry)) = reader.read(entry_line.trim_end().as_bytes(), &mut scratch) else {
        panic!("{entry_line} is not read");
    };
    let mut fill = |hour: i64, count: usize| {
        let mut block = BlockSummary::default();
        let mut entry = entry;
        entry.time.unix += hour * HOUR;
        let asked = Asked { patience: Patience::of(&entry), is_chosen: true };
        (0..count).for_each(|_| block.ask(0, &entry, asked, &ThingHasher::default()));
        timeline.append(&mut block, &[0], std::iter::once(&name));
        (timeline.late, timeline.waiting)
    };
    assert_eq!(fill(0, MOST_EVENTS / 2), (0, MOST_EVENTS / 2));
    assert_eq!(fill(1, MOST_EVENTS / 2), (0, MOST_EVENTS));
    assert_eq!(fill(2, 10), (0, MOST_EVENTS / 2 + 10));
    assert_eq!(fill(0, 3), (3, MOST_EVENTS / 2 + 13));
    timeline.finish();
    assert_eq!(timeline.peers[0].busiest, Some((1_795_392_000, MOST_EVENTS as u32 / 2 + 3)));
    assert_eq!(timeline.terms(), 1);
}
