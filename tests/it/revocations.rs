//! What a revocation list names is refused, also where a policy pins its key, whatever else is wrong with list and
//! certificate.

use std::fs;

use rustls::{HandshakeKind, SupportedProtocolVersion, version};
use time::Duration;

use crate::support::{
    live::{Live, Setup, policy},
    pki::{Authority, Issued, Wanted},
    program,
    raw::{reason, target},
    scripted::Scripted,
    tls::{self, credulous, file, text},
};

/// Its serial number is in every list.
const REVOKED: u64 = 66;

/// Whose certificate it is, and whether a pin of its key lets it in.
type Person = (&'static str, Issued, bool);

/// What a listener trusts, and who shows what.
struct World {
    client_ca: String,
    crl: String,
    people: Vec<Person>,
}

fn person(serial: u64) -> Wanted {
    Wanted { serial, ..Wanted::client("pinned") }
}

/// Lists of several authorities, all of them overdue where `ends` is before now.
fn world(ends: Duration) -> World {
    let root = Authority::new("Root");
    let between = root.intermediate("Between");
    let ended = root.intermediate_until("Ended", 5, -Duration::HOUR);
    let foreign = Authority::new("Foreign");
    // Another authority of the same name, as one that was made anew: it gives its numbers itself.
    let twin = Authority::new("Root");
    let lists = [&root, &between, &ended, &foreign].map(|it| it.revocations(&[REVOKED], ends));
    let server = Wanted { serial: REVOKED, ..Wanted::server("pinned") };
    let expired = Wanted { ends: -Duration::HOUR, ..person(REVOKED) };
    let people = vec![
        ("of the root", root.issue(&person(REVOKED)), false),
        ("not for clients", root.issue(&server), false),
        ("expired", root.issue(&expired), false),
        ("below", between.issue(&person(REVOKED)).behind(&between), false),
        ("below, alone", between.issue(&person(REVOKED)), false),
        ("below an expired one", ended.issue(&person(REVOKED)).behind(&ended), false),
        ("of nobody", foreign.issue(&person(REVOKED)), false),
        ("of nobody, with it", foreign.issue(&person(REVOKED)).behind(&foreign), false),
        ("with another's", root.issue(&person(REVOKED)).behind(&twin), false),
        ("another", root.issue(&person(7)), true),
        ("below, another", between.issue(&person(7)).behind(&between), true),
        ("of nobody, another", foreign.issue(&person(7)), true),
        ("the twin's", twin.issue(&person(REVOKED)), true),
        ("self-made", person(REVOKED).self_signed(), true),
    ];
    World { client_ca: format!("{}{}", root.pem(), twin.pem()), crl: lists.concat(), people }
}

fn policies(world: &World, require: &str) -> Vec<(String, String)> {
    let pins: Vec<String> =
        world.people.iter().map(|(_, issued, _)| format!("{:?}", issued.pin())).collect();
    let hosts = match require {
        "both" => policy("127.0.0.1", ""),
        "either" => policy("192.0.2.1", ""),
        _ => policy("192.0.2.1", "").replace("hosts = [\"192.0.2.1\"]", ""),
    };
    let text = format!(
        "{hosts}\n[certificate]\npublic_key_sha256 = [{}]\nrequire = \"{require}\"\n",
        pins.join(", ")
    );
    vec![("pinned".to_owned(), text)]
}

/// The listener's line, with its files in a directory.
fn listen(world: &World, directory: &std::path::Path) -> String {
    let server = Authority::new("Site").issue(&Wanted::server("localhost"));
    let (certificate, key) = server.write(directory, "gateway");
    let ca = file(directory, "clients.pem", &world.client_ca);
    let crl = file(directory, "clients.crl", &world.crl);
    format!(
        "tls = {{ certificate = {:?}, private_key = {:?}, client_ca = {:?}, crl = {:?} }}\n",
        text(&certificate),
        text(&key),
        text(&ca),
        text(&crl)
    )
}

fn serve(world: &World, require: &str, directory: &std::path::Path) -> (Live, Scripted) {
    let upstream = Scripted::well();
    let mut setup = Setup::new(upstream.address());
    setup.listen = listen(world, directory);
    setup.policies = policies(world, require);
    let setup = setup.limits("unknown_rate = { per_second = 100000, burst = 100000 }");
    (setup.start(), upstream)
}

#[test]
fn a_pin_lets_nobody_in_whose_certificate_is_in_a_list_however_old_the_list() {
    const VERSIONS: [&[&SupportedProtocolVersion]; 2] = [&[&version::TLS12], &[&version::TLS13]];
    for (ends, require) in [
        (-Duration::HOUR, "both"),
        (-Duration::HOUR, "certificate"),
        (-Duration::HOUR, "either"),
        (Duration::DAY, "both"),
    ] {
        let world = world(ends);
        let directory = tempfile::tempdir().unwrap();
        let (gateway, _upstream) = serve(&world, require, directory.path());
        for (who, issued, let_in) in &world.people {
            for versions in VERSIONS {
                let config = credulous(versions, Some(issued));
                for resumed in [false, true] {
                    let case = format!("{who}, {require}, resumed: {resumed}, list ends {ends}");
                    let mut tls = tls::connect(gateway.address, &config, "localhost").unwrap();
                    let kind = tls.conn.handshake_kind() == Some(HandshakeKind::Resumed);
                    assert_eq!(kind, resumed, "{case}");
                    let answer = tls::get(&mut tls, &target("doe"));
                    if *let_in {
                        assert_eq!(answer.status, 200, "{case}");
                        continue;
                    }
                    assert_eq!(answer.status, 403, "{case}");
                    assert_eq!(reason(&answer), "certificate-mismatch", "{case}");
                    let detail = answer.json()["detail"].to_string();
                    let why = if *who == "expired" { "has expired" } else { "has been revoked" };
                    assert!(detail.contains(why), "{case}: {detail}");
                }
            }
        }
    }
}

#[test]
fn what_a_revoked_authority_issued_is_not_trusted() {
    let root = Authority::new("Root");
    let [good, revoked] = [5, REVOKED]
        .map(|serial| root.intermediate_until(&format!("No. {serial}"), serial, Duration::DAY));
    let lists = [&root, &good, &revoked].map(|it| it.revocations(&[REVOKED], Duration::DAY));
    let named = |authority: &Authority| authority.issue(&person(7)).behind(authority);
    let people =
        vec![("of a good one", named(&good), true), ("of a revoked one", named(&revoked), false)];
    let world = World { client_ca: root.pem().to_owned(), crl: lists.concat(), people };
    let directory = tempfile::tempdir().unwrap();
    let upstream = Scripted::well();
    let mut setup = Setup::new(upstream.address());
    setup.listen = listen(&world, directory.path());
    let rule = "\n[certificate]\ncommon_name = [\"pinned\"]\n";
    setup.policies = vec![("named".to_owned(), policy("127.0.0.1", "") + rule)];
    let gateway = setup.start();
    for (who, issued, let_in) in &world.people {
        let config = credulous(&[&version::TLS13], Some(issued));
        let mut tls = tls::connect(gateway.address, &config, "localhost").unwrap();
        let answer = tls::get(&mut tls, &target("doe"));
        assert_eq!(answer.status, if *let_in { 200 } else { 403 }, "{who}");
    }
}

#[test]
fn explain_says_of_a_pinned_certificate_what_serve_does() {
    let world = world(-Duration::HOUR);
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::write(
        at("gateway.toml"),
        format!(
            "[[listen]]\naddress = \"127.0.0.1:9443\"\n{}[upstream]\nurl = \"http://192.0.2.80\"\n",
            listen(&world, directory.path())
        ),
    )
    .unwrap();
    fs::create_dir(at("policies")).unwrap();
    let (name, text) = &policies(&world, "both")[0];
    fs::write(at("policies").join(format!("{name}.toml")), text).unwrap();
    for (who, issued, let_in) in &world.people {
        fs::write(at("who.pem"), &issued.certificate).unwrap();
        let url = format!("https://localhost:9443{}", target("doe"));
        let words = ["explain", "--config", "gateway.toml", "--from", "127.0.0.1"];
        let words = [&words[..], &["--certificate", "who.pem", &url]].concat();
        let run = program::run(directory.path(), &words);
        assert_eq!(run.code, Some(if *let_in { 0 } else { 1 }), "{who}: {run:?}");
        let said = run.stdout.contains("has been revoked") || run.stdout.contains("has expired");
        assert_eq!(said, !let_in, "{who}: {run:?}");
    }
    // The pin and the list are told apart before anybody relies on either for the other.
    let check = program::run(directory.path(), &["check", "--offline", "--config", "gateway.toml"]);
    let said = check.stdout + &check.stderr;
    for part in [
        "policies/pinned.toml:7:1",
        "the `crl` at gateway.toml:3 revokes certificates",
        "to withdraw a pin, remove it from the policy",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(check.code, Some(0), "{said}");
}
