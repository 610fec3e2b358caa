//! The week.

use jiff::Timestamp;

use crate::support::xivo::PHONEBOOK;

/// A request.
pub(super) struct Asked {
    /// When it ended: the second that the log shows.
    pub(super) unix: i64,
    /// The milliseconds of it, which the log does not show.
    part: i64,
    pub(super) address: String,
    pub(super) peer: String,
    /// What follows `search=`; empty for a request that is no lookup.
    sent: String,
    pub(super) is_number: bool,
    pub(super) status: u16,
    pub(super) reason: &'static str,
    limit: &'static str,
    pub(super) millis: u64,
}

impl Asked {
    pub(super) fn term(&self) -> Option<String> {
        (!self.sent.is_empty()).then(|| self.sent.to_lowercase())
    }

    /// When it ended, in milliseconds.
    pub(super) fn end(&self) -> i64 {
        self.unix * 1000 + self.part
    }

    pub(super) fn bytes(&self) -> u64 {
        u64::from(self.status) + self.sent.len() as u64
    }

    pub(super) fn reached_xivo(&self) -> bool {
        !matches!(self.status, 400..499)
    }

    /// In the format `gateway`, without a line end.
    pub(super) fn line(&self) -> String {
        let Self { address, peer, sent, status, reason, limit, millis, .. } = self;
        let time = Timestamp::from_second(self.unix).unwrap().strftime("%d/%b/%Y:%H:%M:%S +0000");
        let (target, action) = match sent.as_str() {
            "" => ("/index.php".to_owned(), "-"),
            sent => (format!("{PHONEBOOK}?act=search&search={sent}"), "search"),
        };
        let (bytes, time_taken) = (self.bytes(), format!("{}.{:03}", millis / 1000, millis % 1000));
        let upstream = if self.reached_xivo() { &*time_taken } else { "-" };
        format!(
            "{address} - {peer} [{time}] \"GET {target} HTTP/1.1\" {status} {bytes} \"-\" \"python-requests/2.28.1\" \
             \"peer={peer} action={action} reason={reason} limit={limit} rule=- source=socket host=gw rt={time_taken} \
             uct=0.000 uht={upstream} urt={upstream} us=- revision=a id=1\""
        )
    }

    /// The same in the format `gateway_json`.
    pub(super) fn json_line(&self) -> String {
        let Self { address, peer, sent, status, reason, limit, millis, .. } = self;
        let time = Timestamp::from_second(self.unix).unwrap().strftime("%Y-%m-%dT%H:%M:%S+00:00");
        let (uri, args, action) = match sent.as_str() {
            "" => ("/index.php", String::new(), ""),
            sent => (PHONEBOOK, format!("act=search&search={sent}"), "search"),
        };
        let target = if args.is_empty() { uri.to_owned() } else { format!("{uri}?{args}") };
        let or_nothing = |word: &'static str| if word == "-" { "" } else { word };
        let (reason, limit) = (or_nothing(reason), or_nothing(limit));
        let peer = if peer == "-" { "" } else { peer };
        let (bytes, time_taken) = (self.bytes(), format!("{}.{:03}", millis / 1000, millis % 1000));
        let upstream = if self.reached_xivo() { &*time_taken } else { "" };
        format!(
            "{{\"time\":\"{time}\",\"msec\":{}.{:03},\"remote_addr\":\"{address}\",\"peer\":\"{peer}\",\
             \"client_source\":\"socket\",\"request\":\"GET {target} HTTP/1.1\",\"method\":\"GET\",\"uri\":\"{uri}\",\
             \"args\":\"{args}\",\"action\":\"{action}\",\"host\":\"gw\",\"scheme\":\"http\",\"status\":{status},\
             \"reason\":\"{reason}\",\"limit\":\"{limit}\",\"rule\":\"\",\"policy_revision\":\"a\",\
             \"body_bytes_sent\":{bytes},\"request_time\":{time_taken},\"upstream_addr\":\"\",\"upstream_status\":\"\",\
             \"upstream_connect_time\":\"0.000\",\"upstream_header_time\":\"{upstream}\",\
             \"upstream_response_time\":\"{upstream}\",\"referer\":\"\",\"user_agent\":\"python-requests/2.28.1\",\
             \"ssl_protocol\":\"\",\"ssl_client_s_dn\":\"\",\"connection\":7,\"connection_requests\":1,\
             \"request_id\":\"1\"}}",
            self.unix, self.part
        )
    }
}

/// As the report writes it.
pub(super) fn iso(unix: i64) -> String {
    Timestamp::from_second(unix).unwrap().strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string()
}

/// Numbers that are the same in each run.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, below: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }

    pub(super) fn shuffle<T>(&mut self, list: &mut [T]) {
        for at in (1..list.len()).rev() {
            list.swap(at, usize::try_from(self.below(at as u64 + 1)).unwrap());
        }
    }
}

/// What was asked in it, in the order of time.
pub(super) struct Week {
    pub(super) asked: Vec<Asked>,
    random: Random,
}

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
/// 2026-11-16T00:00:00Z, a Monday.
const BEGIN: i64 = 1_794_787_200;

impl Week {
    /// With so many lookups of everyday work, and others, of which there are fewer where that is little.
    pub(super) fn of(work: u64) -> Self {
        let is_whole = work >= 100_000;
        let mut week = Self { asked: Vec::new(), random: Random(1) };
        week.work(work);
        week.rush_hours(if is_whole { 1200 } else { 600 });
        week.typing(if is_whole { 400 } else { 100 });
        week.outages();
        week.limited();
        week.sweep();
        week.slow();
        week.unknown_callers();
        week.asked.sort_by_key(|asked| asked.unix);
        week
    }

    fn ask(&mut self, unix: i64, site: u64, sent: String) -> &mut Asked {
        let (part, millis) = (self.random.below(1000).cast_signed(), 5 + self.random.below(90));
        let is_number = sent.starts_with('0');
        self.asked.push(Asked {
            unix,
            part,
            address: format!("192.0.2.{site}"),
            peer: format!("site-{site:02}"),
            sent,
            is_number,
            status: 200,
            reason: "-",
            limit: "-",
            millis,
        });
        self.asked.last_mut().unwrap()
    }

    /// Names and numbers, by day and a little by night; the last site is silent from Thursday on.
    fn work(&mut self, many: u64) {
        for number in 0..many {
            let site = 1 + self.random.below(12).min(self.random.below(14));
            let day = self.random.below(if site == 12 { 3 } else { 7 });
            let hour = match self.random.below(20) {
                0 => self.random.below(24),
                _ => 7 + self.random.below(11),
            };
            let unix = BEGIN
                + (day * 24 + hour).cast_signed() * HOUR
                + self.random.below(3600).cast_signed();
            let whom = self.random.below(180);
            let sent = match number % 3 {
                0 => format!("0514555{whom:04}"),
                1 => format!("Person{whom}"),
                _ => format!("zz{whom}q"),
            };
            self.ask(unix, site, sent);
        }
    }

    /// The head office looks up six hundred people from nine to ten on each working day, and eighty at other hours.
    fn rush_hours(&mut self, many: i64) {
        for day in 0..5 {
            for number in 0..many {
                let unix = BEGIN + day * DAY + 9 * HOUR + number * 3;
                self.ask(unix, 1, format!("Rush{}", number % 600));
            }
        }
    }

    fn typing(&mut self, many: i64) {
        for number in 0..many {
            let unix = BEGIN + DAY + 10 * HOUR + number * 9;
            for (at, typed) in (0..).zip(["m", "ma", "mar", "marti", "martin-dubois"]) {
                self.ask(unix + at, 2, typed.to_owned());
            }
        }
    }

    /// One of a quarter of an hour, and behind it more single failures than once were kept.
    fn outages(&mut self) {
        for number in 0..900 {
            let asked = self.ask(
                BEGIN + DAY + 14 * HOUR + number,
                1 + number.unsigned_abs() % 11,
                format!("lost{number}"),
            );
            (asked.status, asked.reason) = (502, "upstream-unreachable");
        }
        for number in 0..120_i64 {
            let asked = self.ask(BEGIN + 3 * DAY + number * 1800, 4, format!("0999{number:06}"));
            (asked.status, asked.reason, asked.millis) = (504, "upstream-timeout", 900);
        }
    }

    fn limited(&mut self) {
        for number in 0..60 {
            let asked = self.ask(BEGIN + 2 * DAY + 15 * HOUR, 3, format!("burst{number}"));
            if number >= 20 {
                (asked.status, asked.reason, asked.limit, asked.millis) =
                    (429, "rate-limited", "peer", 0);
            }
        }
    }

    fn sweep(&mut self) {
        let letters = || 'a'..='z';
        for (number, (one, other)) in
            (0..).zip(letters().flat_map(|a| letters().map(move |b| (a, b))))
        {
            self.ask(BEGIN + 2 * DAY + 2 * HOUR + number * 3, 7, format!("{one}{other}"));
        }
    }

    /// Late answers of each kind, callers that left, and equal lookups while one is under way.
    fn slow(&mut self) {
        for number in 0..70_i64 {
            let unix = BEGIN + 4 * DAY + 8 * HOUR + number * 120;
            self.ask(unix, 5, format!("0777{number:06}")).millis =
                if number % 2 == 0 { 1000 } else { 1001 };
            self.ask(unix, 6, format!("slow{number}")).millis =
                if number % 2 == 0 { 2900 } else { 2901 };
            let left = self.ask(unix, 8, format!("gone{number}"));
            (left.status, left.reason, left.millis) = (499, "client-closed", 3100);
            if number < 40 {
                self.ask(unix + 30, 9, format!("long{number}")).millis = 20_000;
                self.ask(unix + 20, 10, format!("LONG{number}")).millis = 400;
            }
        }
        self.ask(BEGIN + 5 * DAY, 5, "slowest".to_owned()).millis = 65_432;
    }

    /// A XiVO that is in no policy, and scanners of two networks.
    fn unknown_callers(&mut self) {
        for number in 0..60 {
            let asked = self.ask(BEGIN + 6 * DAY + 9 * HOUR + number * 300, 0, "bob".to_owned());
            (asked.status, asked.reason, asked.millis) = (403, "unknown-peer", 0);
            (asked.peer, asked.address) = ("-".to_owned(), "198.51.100.23".to_owned());
        }
        for number in 0..780 {
            let asked = self.ask(BEGIN + number * 777, 0, String::new());
            (asked.status, asked.reason, asked.millis) = (403, "unknown-peer", 0);
            asked.peer = "-".to_owned();
            asked.address = match number % 195 {
                at @ 0..150 => format!("203.0.113.{at}"),
                at => format!("2001:db8:bad:{at:x}::1"),
            };
        }
    }
}
