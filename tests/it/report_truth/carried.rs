//! The week's lines as whatever carries logs keeps them, and its files as whatever packs them leaves them.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use jiff::Timestamp;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use super::week::{Asked, Random};

/// A line as it is carried: of this request, in this text, which has no line end.
pub(super) type Carrier = fn(&Asked, &str) -> String;

/// What carries lines, each by its name.
pub(super) const CARRIERS: [(&str, Carrier); 27] = [
    ("bare", |_, line| format!("{line}\n")),
    ("with the line ends of Windows", |_, line| format!("{line}\r\n")),
    ("rsyslog, traditional", |at, line| {
        format!("{} pbx-paris phonebook_gateway: {line}\n", time(at, "%b %e %T"))
    }),
    ("rsyslog, with times of RFC 3339", |at, line| {
        format!("{} pbx-paris phonebook_gateway: {line}\n", time(at, "%FT%T.123456+00:00"))
    }),
    ("rsyslog, RFC 5424", |at, line| {
        format!("{} pbx phonebook_gateway - - - {line}\n", time(at, "%FT%T.123456+00:00"))
    }),
    ("syslog-ng", |at, line| {
        format!("{} 192.0.2.200 phonebook_gateway[812]: {line}\n", time(at, "%b %e %T"))
    }),
    ("syslog-ng, with times of RFC 3339", |at, line| {
        format!("{} pbx phonebook_gateway[812]: {line}\n", time(at, "%FT%T+00:00"))
    }),
    ("RFC 3164", |at, line| {
        format!("<190>{} pbx phonebook_gateway: {line}\n", time(at, "%b %e %T"))
    }),
    ("RFC 3164 without a host", |at, line| {
        format!("<190>{} phonebook_gateway: {line}\n", time(at, "%b %e %T"))
    }),
    ("RFC 5424", |at, line| {
        format!("<190>1 {} pbx phonebook_gateway 812 - - {line}\n", time(at, "%FT%TZ"))
    }),
    ("RFC 5424 with structured data and a mark", |at, line| {
        let data = "[origin@32473 ip=\"192.0.2.7\" x=\"a \\\"] b\"]";
        format!("<190>1 {} pbx gateway 812 ID47 {data} \u{feff}{line}\n", time(at, "%FT%T.5Z"))
    }),
    ("journalctl", |at, line| {
        format!("{} pbx phonebook-gateway[812]: {line}\n", time(at, "%b %d %T"))
    }),
    ("journalctl -o short-precise", |at, line| {
        format!("{} pbx phonebook-gateway[812]: {line}\n", time(at, "%b %d %T.654321"))
    }),
    ("journalctl -o short-iso", |at, line| {
        format!("{} pbx phonebook-gateway[812]: {line}\n", time(at, "%FT%T+0000"))
    }),
    ("journalctl -o short-full", |at, line| {
        format!("{} pbx phonebook-gateway[812]: {line}\n", time(at, "%a %F %T UTC"))
    }),
    ("journalctl -o short-unix", |at, line| {
        format!("{}.654321 pbx phonebook-gateway[812]: {line}\n", at.unix)
    }),
    ("journalctl -o short-monotonic", |at, line| {
        format!("[{:>5}.654321] pbx phonebook-gateway[812]: {line}\n", at.unix % 100_000)
    }),
    ("journalctl -o json", |at, line| {
        let entry = serde_json::json!({"MESSAGE": line, "PRIORITY": "6", "_HOSTNAME": "pbx",
            "__REALTIME_TIMESTAMP": format!("{}000000", at.unix)});
        format!("{entry}\n")
    }),
    ("journalctl -o json, as bytes", |_, line| {
        format!("{}\n", serde_json::json!({"_PID": "812", "MESSAGE": line.as_bytes()}))
    }),
    ("Docker's json-file", |at, line| {
        let log = serde_json::to_string(&format!("{line}\n")).unwrap();
        format!("{{\"log\":{log},\"stream\":\"stdout\",\"time\":\"{}\"}}\n", container_time(at))
    }),
    ("Docker's json-file, each line in two records", |at, line| {
        let (first, second) = line.split_at(line.len() / 2);
        let record = |text: &str| {
            let log = serde_json::to_string(text).unwrap();
            format!("{{\"log\":{log},\"stream\":\"stdout\",\"time\":\"{}\"}}\n", container_time(at))
        };
        record(first) + &record(&format!("{second}\n"))
    }),
    ("docker logs --timestamps", |at, line| format!("{} {line}\n", container_time(at))),
    ("CRI", |at, line| format!("{} stdout F {line}\n", container_time(at))),
    ("CRI, each line in three records", |at, line| {
        let (first, rest) = line.split_at(line.len() / 3);
        let (second, third) = rest.split_at(rest.len() / 2);
        [("P", first), ("P", second), ("F", third)]
            .map(|(tag, text)| format!("{} stderr {tag} {text}\n", container_time(at)))
            .concat()
    }),
    ("docker compose", |_, line| format!("gateway-1  | {line}\n")),
    ("kubectl logs --prefix", |_, line| format!("[pod/gateway-7d4/gateway] {line}\n")),
    ("vhost_combined", |_, line| format!("pbx.example.org:443 {line}\n")),
];

fn time(asked: &Asked, format: &str) -> String {
    Timestamp::from_second(asked.unix).unwrap().strftime(format).to_string()
}

fn container_time(asked: &Asked) -> String {
    time(asked, "%FT%T.123456789Z")
}

/// What a file's bytes are once it is packed.
type Packing = fn(&[u8]) -> Vec<u8>;

/// What packs a file, and the end of its name.
pub(super) const PACKINGS: [(&str, Packing); 6] = [
    ("", <[u8]>::to_vec),
    (".gz", gzip),
    (".many.gz", |text| members(text, gzip)),
    (".zst", |text| compress_to_vec(text, CompressionLevel::Fastest)),
    (".many.zst", |text| {
        members(text, |text| compress_to_vec(text, CompressionLevel::Uncompressed))
    }),
    // What was truncated while it was written to.
    (".hole", |text| [&[0; 70_000], text].concat()),
];

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(text).unwrap();
    packed.finish().unwrap()
}

/// In parts, each packed for itself, that end wherever it falls: as the gateway's own `gzip` and other programs do it.
fn members(text: &[u8], pack: fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let mut random = Random(text.len() as u64);
    let (mut packed, mut rest) = (Vec::new(), text);
    while !rest.is_empty() {
        let length = usize::try_from(1 + random.below(400_000)).unwrap().min(rest.len());
        let (part, behind) = rest.split_at(length);
        packed.extend(pack(part));
        rest = behind;
    }
    packed
}
