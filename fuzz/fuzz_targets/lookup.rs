//! What is parsed is written in one way, and read as the same again, by the gateway and by a XiVO.

#![no_main]

use libfuzzer_sys::fuzz_target;
use phonebook_gateway::demo::routing;
use phonebook_gateway::demo::routing::{Act, Place};
use phonebook_gateway::lookup::{Lookup, LookupParts, PATH};
use phonebook_gateway::refusal::Refusal;

fuzz_target!(|input: (bool, &[u8])| {
    let (bare_query, bytes) = input;
    // Half of the inputs are queries of the right path: few others get so far.
    let target = match bare_query {
        true => [PATH.as_bytes(), b"?", bytes].concat(),
        false => [b"/service/ipbx/json.php/", bytes].concat(),
    };
    let parsed = parse(&target);
    if let Ok(lookup) = &parsed {
        check_written(lookup);
    }
    // The head's reader refuses a `#` and control bytes; the sample XiVO takes the first for an end.
    if !target.contains(&b'#')
        && routing::read_url(&target).is_ok_and(|reading| reading.place() == Some(Place::Private))
    {
        assert_eq!(parsed, Err(Refusal::PrivatePath));
    }
});

fn parse(target: &[u8]) -> Result<Lookup, Refusal> {
    let cut = target.iter().position(|&byte| byte == b'?');
    let (path, query) = match cut {
        Some(at) => (&target[..at], Some(&target[at + 1..])),
        None => (target, None),
    };
    let parts = LookupParts { method: b"GET", path, query, has_body: false };
    Lookup::parse(parts).map_err(Refusal::from)
}

fn check_written(lookup: &Lookup) {
    let mut written = Vec::new();
    lookup.write_target(&mut written);
    assert_eq!(parse(&written).as_ref(), Ok(lookup));

    let rest = written.strip_prefix(PATH.as_bytes()).expect("the one path");
    let wanted = match lookup {
        Lookup::Search { .. } => (&b"?act=search&search="[..], Act::Search),
        Lookup::List { .. } => (&b"?act=list"[..], Act::List),
        Lookup::View { .. } => (&b"?act=view&id="[..], Act::View),
    };
    let values = rest.strip_prefix(wanted.0).expect("act and its argument come first");
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~%".contains(byte);
    let before_sum = values.split(|&byte| byte == b'&').next().unwrap_or_default();
    assert!(before_sum.iter().all(plain), "{}", written.escape_ascii());

    let reading = routing::read_url(&written).expect("nginx takes it");
    assert!(reading.place() == Some(Place::Restricted) && reading.is_phonebook());
    assert_eq!(Act::of(&reading.arguments()), wanted.1);
}
