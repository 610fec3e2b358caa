//! Requests by grammar and by mutation: good ones, the known tricks, and both with a few bytes changed.

use fastrand::Rng;

/// A generated request: a GET or something else, of a target in origin-form or with an authority before it.
#[derive(Debug)]
pub(crate) struct Request {
    method: &'static str,
    authority: &'static str,
    local: Vec<u8>,
    fields: &'static str,
}

impl Request {
    /// The target without an authority: what nginx routes by.
    pub(crate) fn local(&self) -> &[u8] {
        &self.local
    }

    /// The whole head.
    pub(super) fn head(&self) -> Vec<u8> {
        let mut head = format!("{} {}", self.method, self.authority).into_bytes();
        head.extend_from_slice(&self.local);
        head.extend_from_slice(
            format!(" HTTP/1.1\r\nHost: xivo\r\n{}\r\n", self.fields).as_bytes(),
        );
        head
    }
}

/// A head of a request with these further field lines.
pub(super) fn head(method: &str, target: &str, fields: &str) -> Vec<u8> {
    format!("{method} {target} HTTP/1.1\r\nHost: xivo\r\n{fields}\r\n").into_bytes()
}

pub(crate) fn request(random: &mut Rng) -> Request {
    let mut local = path(random);
    if random.u8(..8) > 0 {
        local.push(b'?');
        local.extend(query(random));
    }
    if random.u8(..5) == 0 {
        mutate(random, &mut local);
    }
    // The oracle reads lines, and a target without a slash is no path for it.
    local.retain(|&byte| byte != b'\n');
    let methods = ["GET", "GET", "GET", "GET", "GET", "GET", "HEAD", "POST", "DELETE", "get"];
    let authorities =
        ["", "", "", "", "", "", "http://xivo", "HTTP://XIVO:80", "http://evil", "//xivo"];
    let fields = [
        "",
        "",
        "",
        "",
        "",
        "",
        "Content-Length: 0\r\n",
        "Content-Length: 5\r\n",
        "Connection: close\r\n",
    ];
    // An authority that is none (`//xivo`) is a part of the path.
    let (authority, local) = match pick(random, &authorities) {
        "//xivo" => ("", [b"//xivo", local.as_slice()].concat()),
        authority => (authority, local),
    };
    Request { method: pick(random, &methods), authority, local, fields: pick(random, &fields) }
}

/// Any head: a good one, with each of its parts sometimes replaced by one of the tricks, and bytes changed.
pub(super) fn any_head(random: &mut Rng) -> Vec<u8> {
    let mut head = request(random).head();
    let end = head.len() - 2;
    let tricks = [
        "Content-Length: 0\r\n",
        "Content-Length: 7\r\n",
        "Content-Length: +0\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding : x\r\n",
        "User-Agent: a/1 (b)\r\n",
        "User-Agent:\t\u{e9} \r\n",
        "X:\r\n",
        ": x\r\n",
        "X Y: z\r\n",
        " fold\r\n",
        "Accept: */*\r\n",
        "A: b\nC: d\r\n",
        "Connection: keep-alive\r\n",
        "Host: xivo\r\n",
        "X-\u{1}: y\r\n",
        "!#$%&'*+-.^_`|~: t\r\n",
        "\r\n",
    ];
    for _ in 0..random.usize(..3) {
        let trick = pick(random, &tricks).as_bytes();
        head.splice(end..end, trick.iter().copied());
    }
    if random.bool() {
        mutate(random, &mut head);
    }
    head
}

fn path(random: &mut Rng) -> Vec<u8> {
    const SCRIPT: &str = "/service/ipbx/json.php";
    const GOOD: &str = "/service/ipbx/json.php/restricted/pbx_services/phonebook";
    match random.u8(..10) {
        0..=3 => return GOOD.into(),
        4 => return format!("{GOOD}/").into(),
        5 => {
            let more = ["//", "/x", "/..", "%2f", "/.", ";x", "%00", "/x.php", "%20", "/private"];
            return format!("{GOOD}{}", pick(random, &more)).into();
        }
        _ => {}
    }
    if random.u8(..8) == 0 {
        // A script that is none, whose name is as long as what PHP must keep to read a realm there, or nearly so.
        let kept = format!(
            "/{}/pbx_services/phonebook",
            pick(random, &["private", "private", "restricted"])
        );
        let length = kept.len() + random.usize(..5) / 2 - 1;
        let name = "x".repeat(length - "/.php".len());
        let between = pick(random, &["", "/zz", "/zz/zz", "/restricted"]);
        return format!("{SCRIPT}/{name}.php{between}{kept}").into();
    }
    // Segments, some of them private, each spelt in a way that may or may not mean itself.
    let mut path = SCRIPT.as_bytes().to_vec();
    let before = [
        "",
        "",
        "",
        "",
        "/.",
        "/x/..",
        "/",
        "//",
        "/..",
        "/restricted/..",
        "/x.php",
        "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.php",
        "/0123456789.php/zz",
        "/12345678.php/zzzz",
        "/../json.php",
        "/%2e%2e/json.php",
        "/...",
        "/....",
        "/a%2f..",
        "/..;",
    ];
    path.extend_from_slice(pick(random, &before).as_bytes());
    for segment in [
        pick(random, &["private", "private", "private", "restricted", "Private", "x"]),
        "pbx_services",
        "phonebook",
    ] {
        path.extend_from_slice(
            pick(random, &["/", "/", "/", "/", "//", "%2f", "/./", "\\"]).as_bytes(),
        );
        respell(random, segment, &mut path);
    }
    path.extend_from_slice(
        pick(random, &["", "", "", "", "/", "/x/y", "//", "%0a", "/..", "/."]).as_bytes(),
    );
    path
}

/// Spells a segment: mostly as it is, else with escapes and with dots that XiVO deletes.
fn respell(random: &mut Rng, segment: &str, out: &mut Vec<u8>) {
    let tricky = random.u8(..3) == 0;
    for byte in segment.bytes() {
        match random.u8(..24) {
            0 | 4 if tricky => out.extend_from_slice(
                pick(random, &["..", "....", "%2e%2e", ".%2E", ".", "%2f", "%0a"]).as_bytes(),
            ),
            1 | 2 if tricky => {
                out.extend_from_slice(format!("%{byte:02x}").as_bytes());
                continue;
            }
            3 if tricky => {
                out.extend_from_slice(format!("%25{byte:02x}").as_bytes());
                continue;
            }
            _ => {}
        }
        out.push(byte);
    }
}

fn query(random: &mut Rng) -> Vec<u8> {
    let good = random.u8(..5) < 3;
    let mut pairs: Vec<Vec<u8>> = Vec::new();
    match random.u8(..if good { 3 } else { 8 }) {
        0 => {
            pairs.push(b"act=search".into());
            pairs.push([b"search=", term(random).as_slice()].concat());
        }
        1 => pairs.push(b"act=list".into()),
        2 => {
            pairs.push(b"act=view".into());
            pairs.push(format!("id={}", random.u64(..12_000_000_000)).into());
        }
        3 | 4 => pairs.push(format!("act={}&id=1", pick(random, super::WRITING)).into()),
        5 => pairs.push(["act=search&search=a&", pick(random, ACTS)].concat().into()),
        6 => pairs.push([pick(random, ACTS), "&act=search&search=a"].concat().into()),
        _ => pairs.push(pick(random, ACTS).into()),
    }
    if random.u8(..6) == 0 {
        let sum = [
            format!("sum={:032x}", random.u128(..)),
            format!("sum={:X}", random.u128(..)),
            "sum=".to_owned(),
        ];
        pairs.push(sum[random.usize(..3)].clone().into());
    }
    if !good && random.u8(..3) == 0 {
        let fillers = [
            "x=1",
            "",
            "search=b",
            "id=2",
            "act[]=list",
            "=",
            "%",
            "search[]=a",
            "%61ct=list",
            "&x".repeat(1001).as_str(),
        ]
        .map(str::to_owned);
        pairs.push(fillers[random.usize(..fillers.len())].clone().into());
    }
    if random.bool() {
        random.shuffle(&mut pairs);
    }
    pairs.join(&b'&')
}

/// Ways to say an act, most of them to delete.
const ACTS: &[&str] = &[
    "act=delete",
    "%20act=delete",
    "+act=delete",
    "act%00x=delete",
    "act=%20delete",
    "act=delete%20",
    "act=%0bdelete",
    "act[]=delete",
    "act%5b%5d=delete",
    "%61ct=delete",
    "a%63t=d%65lete",
    "act=delete%00",
    "act.=delete",
    "act[=delete",
    "act=DELETE",
    "act;=delete",
    "act=search;act=delete",
    "act=search%26act=delete",
    "act",
    "act=",
    "act==delete",
    "%09act=delete",
    "+++act=+delete+",
    "act[a]=x",
];

fn term(random: &mut Rng) -> Vec<u8> {
    let pieces = [
        "a",
        "doe",
        "é",
        "%C3%A9",
        "+",
        "%20",
        "%2B",
        "%26act=delete",
        "%00",
        "%FF",
        "%E2%82%AC",
        "'",
        "\"",
        "%0a",
        "*",
        "%25",
        "=",
        "0123",
        "%ED%A0%80",
        "%61",
        "~",
        "日本",
    ];
    let mut term = Vec::new();
    for _ in 0..random.usize(..5) {
        // The ones that spoil a term come less often.
        let piece = pick(random, &pieces);
        if !matches!(piece, "%00" | "%FF" | "%0a" | "%ED%A0%80") || random.u8(..4) == 0 {
            term.extend_from_slice(piece.as_bytes());
        }
    }
    if random.u8(..50) == 0 {
        term.extend(std::iter::repeat_n(b'x', random.usize(200..300)));
    }
    term
}

/// Changes, removes, inserts or doubles a few bytes.
fn mutate(random: &mut Rng, bytes: &mut Vec<u8>) {
    for _ in 0..random.usize(1..4) {
        let at = random.usize(..=bytes.len());
        let byte = match random.u8(..3) {
            0 => random.u8(..),
            _ => b"%&=?/.+;#[]\\ \t\0\r0aA2eEfF:\xc3\xa9"[random.usize(..27)],
        };
        match random.u8(..4) {
            0 => bytes.insert(at, byte),
            _ if at == bytes.len() => {}
            1 => bytes[at] = byte,
            2 => drop(bytes.remove(at)),
            _ => {
                let end = (at + random.usize(1..12)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                let to = random.usize(..=bytes.len());
                bytes.splice(to..to, piece);
            }
        }
    }
}

fn pick<T: Copy>(random: &mut Rng, from: &[T]) -> T {
    from[random.usize(..from.len())]
}
