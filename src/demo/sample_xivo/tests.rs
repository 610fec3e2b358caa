//! Over a real socket, with a client that writes bytes.

use std::net::{IpAddr, Ipv4Addr};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::sync::oneshot;

use super::*;
use crate::demo::routing::{Act, Place};

struct Client {
    address: SocketAddr,
    recorder: Recorder,
}

struct Reply {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn has(&self, line: &str) -> bool {
        self.head.lines().any(|its| its.eq_ignore_ascii_case(line))
    }
}

impl Client {
    /// Sends bytes from an address of the loopback net and reads to the end.
    async fn send_from(&self, source: Ipv4Addr, bytes: &[u8]) -> Vec<u8> {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from((source, 0))).unwrap();
        let mut stream = socket.connect(self.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        answer
    }

    async fn send(&self, bytes: &[u8]) -> Reply {
        parse(&self.send_from(Ipv4Addr::LOCALHOST, bytes).await)
    }

    async fn request(&self, method: &str, target: &str) -> Reply {
        let head = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        self.send(head.as_bytes()).await
    }

    async fn get(&self, query: &str) -> Reply {
        self.request("GET", &format!("{PHONEBOOK}{query}")).await
    }

    async fn post(&self, query: &str, kind: &str, body: &str) -> Reply {
        let length = body.len();
        let request = format!(
            "POST {PHONEBOOK}{query} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );
        self.send(request.as_bytes()).await
    }
}

fn parse(bytes: &[u8]) -> Reply {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no head: {}", String::from_utf8_lossy(bytes)));
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    Reply { status: head[9..12].parse().unwrap(), head, body: bytes[end + 4..].to_vec() }
}

/// Runs a sample XiVO and a client in one single-threaded runtime, and ends the former in order.
fn with_site(test: impl AsyncFnOnce(&Client)) {
    let recorder = Recorder::new();
    let site = SampleXivo::bind("127.0.0.1:0").unwrap();
    let site = site.with_recorder(recorder.clone());
    let address = site.local_addr().unwrap();
    let client = Client { address, recorder };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    runtime.block_on(async {
        let (stop, stopped) = oneshot::channel();
        let served = site.run(async { stopped.await.unwrap_or(()) });
        let tested = async {
            test(&client).await;
            stop.send(()).unwrap();
        };
        let (served, ()) = tokio::join!(served, tested);
        served.unwrap();
    });
}

#[test]
fn search_finds_accents_however_they_are_escaped() {
    with_site(async |client| {
        for query in ["?act=search&search=%C3%89lodie", "?act=search&search=+%C3%A9LODIE%0b"] {
            let reply = client.get(query).await;
            assert_eq!(reply.status, 200, "{query}");
            assert!(reply.has("content-type: application/json"), "{}", reply.head);
            assert!(reply.has("x-xivo-ws-version: 1.0"), "{}", reply.head);
            let found = reply.json();
            assert_eq!(found.as_array().unwrap().len(), 1);
            assert_eq!(found[0]["phonebook"]["displayname"], "Élodie Tremblay");
        }
        assert_eq!(client.get("?act=search&search=O%27Brien+%26").await.status, 200);
    });
}

#[test]
fn search_without_a_match_is_204_without_a_body() {
    with_site(async |client| {
        for term in ["search=nobody", "search=", "search=+", "", "search[]=a", "search=%ff"] {
            let reply = client.get(&format!("?act=search&{term}")).await;
            assert_eq!((reply.status, reply.body.len()), (204, 0), "{term}");
            assert!(reply.has("x-xivo-ws-version: 1.0"), "{}", reply.head);
            assert!(!reply.head.contains("content-type"), "{}", reply.head);
        }
    });
}

#[test]
fn list_and_unknown_acts_return_everything() {
    with_site(async |client| {
        for query in ["?act=list", "", "?act=nonsense", "?act=search&act[]=delete"] {
            let reply = client.get(query).await;
            let count = reply.json().as_array().unwrap().len();
            assert_eq!((reply.status, count), (200, Phonebook::sample().len()), "{query}");
        }
    });
}

#[test]
fn empty_phonebook_lists_as_204() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    let site = SampleXivo::bind("127.0.0.1:0").unwrap();
    let site = site.with_phonebook(Phonebook::default());
    let client = Client { address: site.local_addr().unwrap(), recorder: Recorder::new() };
    runtime.block_on(async {
        tokio::select! {
            ended = site.run(std::future::pending()) => panic!("{ended:?}"),
            reply = client.get("?act=list") => assert_eq!(reply.status, 204),
        }
    });
}

#[test]
fn view_is_one_object_or_404() {
    with_site(async |client| {
        let reply = client.get("?act=view&id=+5").await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.json()["phonebook"]["id"], 5);
        for id in ["0", "9999", "-1", "x", "", "99999999999999999999"] {
            assert_eq!(client.get(&format!("?act=view&id={id}")).await.status, 404, "{id}");
        }
    });
}

#[test]
fn delete_works_by_get_and_add_by_post() {
    with_site(async |client| {
        assert_eq!(client.get("?act=search&%20act=delete&id=1").await.status, 200);
        assert_eq!(client.get("?act=delete&id=1").await.status, 404);
        assert_eq!(client.get("?act=view&id=1").await.status, 404);
        let json = r#"{"phonebook": {"firstname": "Noël"}}"#;
        assert_eq!(client.post("?act=add", "application/json", json).await.status, 200);
        assert_eq!(client.post("?act=add", "application/json", "{").await.status, 400);
        assert_eq!(client.get("?act=search&search=no%C3%AB").await.status, 200);
        let acts: Vec<_> = client.recorder.arrivals().iter().map(|one| one.act).collect();
        assert_eq!(acts[0], Some(Act::Delete));
        assert_eq!(acts[3], Some(Act::Add));
    });
}

#[test]
fn form_body_of_a_post_wins_over_the_query() {
    with_site(async |client| {
        let kind = "application/x-www-form-urlencoded; charset=utf-8";
        let reply = client.post("?act=search&search=doe", kind, "act=delete&id=2").await;
        assert_eq!((reply.status, reply.body.len()), (200, 0));
        assert_eq!(client.get("?act=view&id=2").await.status, 404);
    });
}

#[test]
fn head_reads_no_arguments_and_has_no_body() {
    with_site(async |client| {
        let target = format!("{PHONEBOOK}?act=delete&id=1");
        let reply = client.request("HEAD", &target).await;
        assert_eq!((reply.status, reply.body.len()), (200, 0));
        assert_eq!(client.recorder.arrivals()[0].act, Some(Act::List));
        assert_eq!(client.get("?act=view&id=1").await.status, 200);
    });
}

#[test]
fn private_is_for_the_loopback_address_only() {
    with_site(async |client| {
        let target = "/service/ipbx/json.php/pri..vate/pbx_services/phonebook?act=view&id=1";
        assert_eq!(client.request("GET", target).await.status, 200);
        let head = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let other = Ipv4Addr::new(127, 0, 0, 2);
        let reply = parse(&client.send_from(other, head.as_bytes()).await);
        assert_eq!((reply.status, reply.body.len()), (403, 0));
        let arrivals = client.recorder.take();
        assert_eq!(arrivals[1].from.ip(), IpAddr::from(other));
        assert_eq!(arrivals[1].place, Some(Place::Private));
        assert_eq!((arrivals[1].act, arrivals[1].status), (None, 403));
        assert!(client.recorder.arrivals().is_empty());
    });
}

#[test]
fn other_hosts_are_redirected_to_https() {
    with_site(async |client| {
        for (host, location) in [
            ("Xivo.Example.org:8080", "https://xivo.example.org"),
            ("192.168.1.125", "https://192.168.1.125"),
            ("[::1]:80", "https://[::1]"),
        ] {
            let head = format!("GET /a%20b?c HTTP/1.1\r\nHost: {host}\r\n\r\n");
            let reply = client.send(head.as_bytes()).await;
            assert_eq!(reply.status, 302, "{host}");
            assert!(reply.has(&format!("location: {location}/a%20b?c")), "{}", reply.head);
            assert!(!reply.head.contains("x-xivo-ws-version"), "{}", reply.head);
        }
        for host in ["localhost", "127.0.0.1:80", "LOCALHOST:1"] {
            let head = format!("GET {PHONEBOOK} HTTP/1.1\r\nHost: {host}\r\n\r\n");
            assert_eq!(client.send(head.as_bytes()).await.status, 200, "{host}");
        }
        let absolute =
            format!("GET http://other.example{PHONEBOOK} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let reply = client.send(absolute.as_bytes()).await;
        assert!(
            reply.has(&format!("location: https://other.example{PHONEBOOK}")),
            "{}",
            reply.head
        );
    });
}

#[test]
fn bad_targets_are_400_and_other_paths_404() {
    with_site(async |client| {
        for (target, status) in [
            ("/..", 400),
            ("/%zz", 400),
            ("/a%00", 400),
            ("*", 400),
            ("/", 404),
            ("/service/ipbx/json.php/restricted/pbx_services/users", 404),
            ("/service/ipbx/json.php/x.php/restricted/pbx_services/phonebook", 404),
        ] {
            assert_eq!(client.request("GET", target).await.status, status, "{target}");
        }
        let hostless = format!("GET {PHONEBOOK} HTTP/1.1\r\n\r\n");
        assert_eq!(client.send(hostless.as_bytes()).await.status, 400);
    });
}

#[test]
fn requests_on_one_connection_are_answered_and_recorded_in_order() {
    with_site(async |client| {
        let one =
            |id| format!("GET {PHONEBOOK}?act=view&id={id} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let bytes = [one(1), one(9999), one(2)].concat();
        let answer = client.send_from(Ipv4Addr::LOCALHOST, bytes.as_bytes()).await;
        let text = String::from_utf8(answer).unwrap();
        let statuses: Vec<_> =
            text.match_indices("HTTP/1.1 ").map(|(at, _)| &text[at + 9..at + 12]).collect();
        assert_eq!(statuses, ["200", "404", "200"]);
        let expected: Vec<_> =
            [1, 9999, 2].iter().map(|id| format!("{PHONEBOOK}?act=view&id={id}")).collect();
        assert_eq!(client.recorder.targets(), expected);
        let ports: Vec<_> = client.recorder.arrivals().iter().map(|one| one.from).collect();
        assert!(ports.windows(2).all(|pair| pair[0] == pair[1]));
    });
}

#[test]
fn garbage_ends_its_connection_and_not_the_site() {
    with_site(async |client| {
        for garbage in [&b"\x16\x03\x01\x02\x00"[..], b"GET / HTTP/9.9\r\n\r\n", b"\0", b"GET"] {
            let _ = client.send_from(Ipv4Addr::LOCALHOST, garbage).await;
        }
        assert_eq!(client.get("?act=view&id=1").await.status, 200);
        assert_eq!(client.recorder.arrivals().len(), 1);
    });
}

const PHONEBOOK: &str = "/service/ipbx/json.php/restricted/pbx_services/phonebook";
