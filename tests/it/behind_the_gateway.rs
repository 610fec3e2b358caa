//! A real XiVO behind the gateway: what a peer gets, what XiVO is asked, and what the administrator reads when XiVO says no.

use std::{collections::BTreeMap, net::SocketAddr};

use serde_json::{Value, json};

use crate::support::{
    dird,
    http::{Answer, get, request},
    needs::or_left_out,
    network::{LAN, in_own_network},
    serving::{Serving, config, loopback_config},
    xivo::{PHONEBOOK, RealXivo, md5},
};

const PRIVATE: &str = "/service/ipbx/json.php/private/pbx_services/phonebook";

/// A peer at 127.0.0.1 that may do everything that a policy can grant.
const EVERYTHING: &str = "hosts = [\"127.0.0.1\"]\nactions = [\"search\", \"list\", \"view\"]\n\
                          rate = { per_second = 1000, burst = 1000 }\n";

#[test]
fn a_client_as_xivo_dird_finds_contacts_with_accents_and_reads_204_as_none() {
    let Some(xivo) = or_left_out(RealXivo::start()) else { return };
    let gateway = serve(&xivo, EVERYTHING);
    let terms = ["lefèvre", "山田", "CÔTÉ", "o'neil", "+1514", "50% off_season", "nobody"];
    let Some(found) = or_left_out(dird::lookups(&gateway.url(PHONEBOOK), &terms)) else { return };
    assert_eq!(
        found,
        [
            json!({"term": "lefèvre", "status": 200, "names": ["Éléonore Lefèvre"]}),
            json!({"term": "山田", "status": 200, "names": ["太郎 山田"]}),
            json!({"term": "CÔTÉ", "status": 200, "names": ["François Côté"]}),
            json!({"term": "o'neil", "status": 200, "names": ["Zoë Brontë-O'Neil"]}),
            json!({"term": "+1514", "status": 200, "names": ["Éléonore Lefèvre"]}),
            json!({"term": "50% off_season", "status": 200, "names": ["François Côté"]}),
            json!({"term": "nobody", "status": 204, "names": []}),
        ]
    );
    let asked: Vec<String> = xivo.records().into_iter().map(|record| record.uri).collect();
    let search = |term: &str| format!("{PHONEBOOK}?act=search&search={term}");
    assert_eq!(asked[0], search("lef%C3%A8vre"));
    assert_eq!(asked[4], search("%2B1514"));
    assert_eq!(asked.len(), terms.len());
}

#[test]
fn a_client_as_xivo_dird_is_refused_with_the_status_that_tells_why() {
    let Some(xivo) = or_left_out(RealXivo::start()) else { return };
    let gateway = serve(&xivo, "hosts = [\"127.0.0.1\"]\nrate = { per_minute = 1, burst = 3 }\n");
    let ask = |url: &str, terms: &[&str]| or_left_out(dird::lookups_and_warnings(url, terms));
    // The token is spent by the refusal, too: two of the three are left.
    let Some((found, log)) = ask(&gateway.url(PRIVATE), &["doe"]) else { return };
    assert_eq!(found, [json!({"term": "doe", "status": 403, "names": []})]);
    assert!(log.contains("status 403"), "{log}");

    let (found, log) = ask(&gateway.url(PHONEBOOK), &["doe", "doe", "doe"]).unwrap();
    let statuses: Vec<&Value> = found.iter().map(|lookup| &lookup["status"]).collect();
    assert_eq!(statuses, [200, 200, 429]);
    assert!(log.contains("status 429") && log.lines().count() == 1, "{log}");
    assert_eq!(xivo.records().len(), 2);

    let unknown_caller = serve(&xivo, "hosts = [\"192.0.2.1\"]\n");
    let (found, log) = ask(&unknown_caller.url(PHONEBOOK), &["doe"]).unwrap();
    assert_eq!(found, [json!({"term": "doe", "status": 403, "names": []})]);
    assert!(log.contains("status 403"), "{log}");
    assert_eq!(xivo.records().len(), 2, "an unknown caller's lookup never reaches XiVO");
}

#[test]
fn xivo_sees_the_canonical_request_and_nothing_else_of_the_client_s() {
    let Some(xivo) = or_left_out(RealXivo::start()) else { return };
    let gateway = serve(&xivo, EVERYTHING);
    let lines = "Authorization: Basic dXNlcjpzZWNyZXQ=\r\nProxy-Authorization: Basic eA==\r\n\
                 Cookie: session=1\r\nUser-Agent: python-requests/2.28.1\r\nReferer: http://x/\r\n\
                 Accept: */*\r\nAccept-Encoding: gzip, deflate\r\nAccept-Language: fr\r\n\
                 X-Forwarded-For: 127.0.0.1\r\nX-Real-IP: 127.0.0.1\r\nForwarded: for=127.0.0.1\r\n\
                 X-Request-Id: mine\r\nX-HTTP-Method-Override: DELETE\r\nProxy: http://x/\r\n\
                 Via: 1.1 x\r\nIf-None-Match: \"x\"\r\nRange: bytes=0-1\r\nX_Forwarded_Host: x\r\n\
                 Upgrade: h2c\r\nTE: trailers\r\n";
    let target = format!("{PHONEBOOK}/?search=+L%65f%c3%a8vre%20&act=search");
    let answer = request(gateway.addr(), None, "GET", &target, lines);
    assert_eq!(names(&answer), ["Éléonore Lefèvre"]);
    let records = xivo.records();
    let [record] = records.as_slice() else { panic!("{records:?}") };
    assert_eq!(record.method, "GET");
    assert_eq!(record.uri, format!("{PHONEBOOK}?act=search&search=Lef%C3%A8vre"));
    let expected = [
        ("HTTP_HOST", "localhost"),
        ("HTTP_ACCEPT", "application/json"),
        ("HTTP_USER_AGENT", "python-requests/2.28.1"),
        ("HTTP_X_REQUEST_ID", answer.header("x-request-id").unwrap()),
        ("HTTP_X_FORWARDED_FOR", "127.0.0.1"),
        ("HTTP_X_FORWARDED_PROTO", "http"),
        ("HTTP_X_REAL_IP", "127.0.0.1"),
    ];
    let expected: BTreeMap<String, String> =
        expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    assert_eq!(record.headers, expected);
}

#[test]
fn a_head_is_asked_as_a_get_and_answered_without_a_body() {
    let Some(xivo) = or_left_out(RealXivo::start()) else { return };
    let gateway = serve(&xivo, EVERYTHING);
    let target = format!("{PHONEBOOK}?act=search&search=doe");
    let answer = request(gateway.addr(), None, "HEAD", &target, "");
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let record = xivo.records().remove(0);
    assert_eq!((record.method.as_str(), record.act), ("GET", json!("search")));
}

#[test]
fn a_contact_is_viewed_an_unknown_one_is_404_and_a_known_sum_is_304() {
    let Some(xivo) = or_left_out(RealXivo::start()) else { return };
    let gateway = serve(&xivo, EVERYTHING);
    let ask = |query: &str| get(gateway.addr(), &format!("{PHONEBOOK}?{query}"));
    let answer = ask("act=view&id=4");
    assert_eq!(answer.json()["phonebook"]["displayname"], "Łukasz Żółć");
    assert_eq!(answer.header("x-xivo-ws-version"), Some("1.0"));

    let unknown = ask("act=view&id=999");
    assert_eq!((unknown.status, &unknown.json()["reason"]), (404, &json!("no-contact")));

    let sum = md5(&answer.body);
    let same = ask(&format!("act=view&id=4&sum={sum}"));
    assert_eq!((same.status, same.body.len()), (304, 0));
    assert_eq!(ask(&format!("act=view&id=5&sum={sum}")).status, 200);

    let list = ask("act=list");
    assert_eq!(list.json(), xivo.phonebook());
    assert_eq!(ask(&format!("act=list&sum={}", md5(&list.body))).status, 304);
}

#[test]
fn a_phonebook_of_ten_megabytes_passes_whole() {
    let Some(xivo) = or_left_out(RealXivo::start()) else { return };
    let entry = xivo.phonebook()[0].clone();
    let entries = (0..14_000).map(|id| {
        let mut entry = entry.clone();
        entry["phonebook"]["id"] = json!(id);
        entry["phonebook"]["description"] = json!("é".repeat(100));
        entry
    });
    xivo.set_phonebook(&entries.collect());
    let gateway = serve(&xivo, EVERYTHING);
    let answer = get(gateway.addr(), &format!("{PHONEBOOK}?act=list"));
    assert_eq!(answer.status, 200);
    assert!(answer.body.len() > 10_000_000, "{}", answer.body.len());
    assert_eq!(answer.json(), xivo.phonebook());
}

#[test]
fn a_xivo_that_does_not_know_the_gateway_is_502_and_the_log_says_which_host_to_add() {
    let Some(xivo) = or_left_out(RealXivo::start()) else { return };
    let gateway = serve(&xivo, EVERYTHING);
    xivo.set_hosts(&["192.168.1.124"]);
    let answer = get(gateway.addr(), &format!("{PHONEBOOK}?act=search&search=doe"));
    assert_eq!(answer.status, 502);
    assert_eq!(answer.json()["reason"], "upstream-refused-gateway");
    assert_eq!(answer.header("www-authenticate"), None);
    assert!(gateway.says("add a Web Services user for host 127.0.0.1"), "{}", gateway.said());
    assert!(gateway.said().contains("XiVO answered 401"), "{}", gateway.said());
}

#[test]
fn a_xivo_that_redirects_is_502_and_the_log_says_what_host_to_set() {
    let Some(xivo) = or_left_out(RealXivo::start()) else { return };
    let url = format!("http://{}", xivo.addr());
    let main = config(&url, "host = \"xivo.example.org\"\ndanger_loopback_source = true");
    let gateway = Serving::start(&main, &[("peer", EVERYTHING)]).unwrap();
    let answer = get(gateway.addr(), &format!("{PHONEBOOK}?act=search&search=doe"));
    assert_eq!(answer.status, 502);
    assert_eq!(answer.json()["reason"], "upstream-redirect");
    assert_eq!(answer.header("location"), None);
    assert!(gateway.says("set upstream.host = \"localhost\""), "{}", gateway.said());
    assert!(gateway.said().contains("XiVO answered 302"), "{}", gateway.said());
    assert_eq!(xivo.records().len(), 0);
}

#[test]
fn asked_from_the_lan_address_xivo_itself_refuses_private() {
    in_own_network(
        "behind_the_gateway::asked_from_the_lan_address_xivo_itself_refuses_private",
        || {
            let lan = SocketAddr::new(LAN, 8080);
            let Some(xivo) = or_left_out(RealXivo::start_also_on(&[lan])) else { return };
            let loopback = format!("http://{}", xivo.addr());
            let source = format!("host = \"localhost\"\nsource = \"{LAN}\"");
            // A Web Services user for the LAN address alone.
            xivo.set_hosts(&["192.168.1.125"]);
            for (url, upstream) in [
                (loopback.clone(), source.clone()),
                (format!("http://{lan}"), source),
                // Where the source is also the destination there is nothing to choose: the kernel takes it by itself.
                (format!("http://{lan}"), "host = \"localhost\"".to_owned()),
            ] {
                let gateway =
                    Serving::start(&config(&url, &upstream), &[("peer", EVERYTHING)]).unwrap();
                assert!(gateway.said().contains("from 192.168.1.125"), "{}", gateway.said());
                let answer = get(gateway.addr(), &format!("{PHONEBOOK}?act=search&search=doe"));
                assert_eq!(names(&answer), ["John Doe"], "{url}");
                let record = xivo.records().pop().unwrap();
                assert_eq!(record.remote_addr, "192.168.1.125", "{url}");
            }
            for to in [xivo.addr(), lan] {
                assert_eq!(request(to, Some(LAN), "GET", PRIVATE, "").status, 403);
            }
            assert_eq!(get(xivo.addr(), PRIVATE).status, 200, "which is why a source is needed");
            let asked = xivo.records().len();

            let error =
                Serving::start(&config(&loopback, "host = \"localhost\""), &[("peer", EVERYTHING)])
                    .unwrap_err();
            assert_eq!(error.code, Some(78), "{}", error.said);
            for part in ["would come from 127.0.0.1", "source = \"192.168.1.125\"", "`private`"] {
                assert!(error.said.contains(part), "{part} is not in: {}", error.said);
            }
            assert_eq!(xivo.records().len(), asked);
        },
    );
}

fn serve(xivo: &RealXivo, policy: &str) -> Serving {
    Serving::start(&loopback_config(xivo.addr()), &[("peer", policy)]).unwrap()
}

/// The display names of an answer to a search.
fn names(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{answer:?}");
    let entries = answer.json();
    let name = |entry: &Value| entry["phonebook"]["displayname"].as_str().unwrap().to_owned();
    entries.as_array().unwrap().iter().map(name).collect()
}
