//! Listeners that stay, come and go.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;

use crate::support::{
    binary::address_of_its_own,
    live::Setup,
    network::in_own_network,
    on_disk::{OnDisk, main_file},
    pki::{Authority, Wanted},
    process::becomes_true,
    raw::{Client, End, search, target},
    scripted::{Door, Scripted},
    tls::text,
};

/// A main file that also has these sections.
fn with(setup: &Setup, sections: &str) -> String {
    format!("{}{sections}", main_file(setup))
}

fn listen(address: SocketAddr, lines: &str) -> String {
    format!("[[listen]]\naddress = \"{address}\"\n{lines}\n")
}

#[test]
fn one_is_added_and_removed_and_the_others_stay_what_they_are() {
    let upstream = Scripted::well();
    let setup = Setup::new(upstream.address()).workers(2);
    let gateway = OnDisk::start(&setup);
    let first = gateway.address();
    let mut kept = gateway.client();
    assert_eq!(kept.lookup("one").status, 200);
    let second = address_of_its_own();
    for _ in 0..5 {
        gateway.write("gateway.toml", &with(&setup, &listen(second, "")));
        gateway.reload();
        assert_eq!(gateway.server().addresses(), [first, second]);
        let mut clients: Vec<Client> = (0..8).map(|_| Client::connect(second)).collect();
        clients.iter_mut().for_each(|client| assert_eq!(client.lookup("one").status, 200));
        gateway.write("gateway.toml", &main_file(&setup));
        gateway.reload();
        assert_eq!(gateway.server().addresses(), [first]);
        // Who has nothing under way is let go.
        clients.iter_mut().for_each(|client| assert_eq!(client.ended(), End::Orderly));
        assert!(becomes_true(|| TcpStream::connect(second).is_err()));
        assert_eq!(kept.lookup("one").status, 200);
    }
}

#[test]
fn a_connection_of_one_that_is_removed_ends_after_its_request() {
    let door = Door::default();
    let upstream = Scripted::slow(&door);
    let setup = Setup::new(upstream.address()).upstream("timeout = \"1h\"");
    let gateway = OnDisk::start(&setup);
    let second = address_of_its_own();
    gateway.write("gateway.toml", &with(&setup, &listen(second, "server_names = [\"gateway\"]")));
    gateway.reload();
    let mut busy = Client::connect(second);
    busy.search("slow");
    assert!(becomes_true(|| upstream.attempts("slow").len() == 1));
    // One that was accepted and has said nothing, and one whose request comes when it is gone.
    let mut late = Client::connect(second);
    gateway.write("gateway.toml", &main_file(&setup));
    gateway.reload();
    late.send(search("one"));
    door.open();
    let answer = busy.answer();
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    assert_eq!(busy.ended(), End::Orderly);
    match late.try_answer(true) {
        Ok(answer) => {
            assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
        }
        Err(cut) => assert!(cut.end == End::Orderly && cut.came.is_empty(), "{cut:?}"),
    }
}

#[test]
fn only_its_rules_change_and_connections_go_on_by_the_new_ones() {
    let upstream = Scripted::well();
    let mut setup = Setup::new(upstream.address());
    let gateway = OnDisk::start(&setup);
    let mut kept = gateway.client();
    assert_eq!(kept.lookup("one").status, 200);
    setup.listen = "server_names = [\"else.example\"]".to_owned();
    gateway.write("gateway.toml", &main_file(&setup));
    let report = gateway.reload();
    assert_eq!(report.changes[0].to_string(), "gateway: listen[1].server_names");
    assert_eq!(kept.lookup("one").status, 421);
    kept.send(format!("GET {} HTTP/1.1\r\nHost: else.example\r\n\r\n", target("one")));
    assert_eq!(kept.answer().status, 200);
}

/// Another order is another index; nobody's connection is to change its listener by it.
#[test]
fn they_may_change_their_order_and_names_stay_with_their_addresses() {
    let upstream = Scripted::well();
    let mut setup = Setup::new(upstream.address());
    let (first, second) = (address_of_its_own(), address_of_its_own());
    setup.address = first.to_string();
    setup.listen = "server_names = [\"one.example\"]".to_owned();
    let gateway = OnDisk::written(&setup);
    gateway
        .write("gateway.toml", &with(&setup, &listen(second, "server_names = [\"two.example\"]")));
    let gateway = gateway.started();
    let mut clients = [(first, "one.example"), (second, "two.example")]
        .map(|(address, name)| (Client::connect(address), name));
    let mut ask = || {
        for (client, name) in &mut clients {
            for (host, status) in [(*name, 200), ("three.example", 421)] {
                client.send(format!("GET {} HTTP/1.1\r\nHost: {host}\r\n\r\n", target("one")));
                assert_eq!(client.answer().status, status, "{host} at {name}");
            }
        }
    };
    ask();
    setup.address = second.to_string();
    setup.listen = "server_names = [\"two.example\"]".to_owned();
    gateway
        .write("gateway.toml", &with(&setup, &listen(first, "server_names = [\"one.example\"]")));
    gateway.reload();
    assert_eq!(gateway.server().addresses(), [second, first]);
    ask();
}

#[test]
fn an_address_that_cannot_be_listened_on_is_told_with_its_line_and_nothing_is_taken_over() {
    let upstream = Scripted::well();
    let setup = Setup::new(upstream.address());
    let gateway = OnDisk::start(&setup);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let good = address_of_its_own();
    let sections = listen(good, "") + &listen(taken.local_addr().unwrap(), "");
    let text = with(&setup, &sections);
    gateway.write("gateway.toml", &text);
    let fault = gateway.refused();
    let first = fault.first().unwrap();
    let line = text.lines().count() - 2;
    assert!(first.file.ends_with("gateway.toml") && first.line == line, "{fault} is not at {line}");
    assert!(first.message.contains("another program is listening there"), "{fault}");
    // What was bound for nothing is free again.
    assert!(TcpStream::connect(good).is_err());
    assert_eq!(gateway.client().lookup("one").status, 200);
    drop(taken);
    gateway.reload();
    assert_eq!(Client::connect(good).lookup("one").status, 200);
}

/// Its port is free on all addresses, and outside the range from which the system gives ports to others.
fn address_of_a_port_that_nobody_is_given() -> SocketAddr {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
    let first: u16 = range.split_whitespace().next().unwrap().parse().unwrap();
    let mut below = (1024..first).rev();
    let port = below.find(|&port| TcpListener::bind(("0.0.0.0", port)).is_ok()).unwrap();
    SocketAddr::from((Ipv4Addr::new(127, 7, 7, 7), port))
}

#[test]
fn one_takes_the_place_of_another_on_the_same_port() {
    let upstream = Scripted::well();
    let mut setup = Setup::new(upstream.address());
    let narrow = address_of_a_port_that_nobody_is_given();
    setup.address = narrow.to_string();
    let gateway = OnDisk::start(&setup);
    for address in [format!("0.0.0.0:{}", narrow.port()), narrow.to_string()] {
        setup.address = address;
        gateway.write("gateway.toml", &main_file(&setup));
        gateway.reload();
        assert!(becomes_true(|| Client::connect(narrow).lookup("one").status == 200));
    }
}

#[test]
fn a_certificate_that_cannot_be_loaded_is_told_and_one_that_can_is_used_at_once() {
    let upstream = Scripted::well();
    let setup = Setup::new(upstream.address());
    let gateway = OnDisk::start(&setup);
    let authority = Authority::new("Site CA");
    let address = address_of_its_own();
    let (pem, key) =
        authority.issue(&Wanted::server("localhost")).write(&gateway.path(""), "gateway");
    let (_, other) =
        authority.issue(&Wanted::server("localhost")).write(&gateway.path(""), "other");
    let tls = |key: &std::path::Path| {
        let (pem, key) = (text(&pem), text(key));
        listen(address, &format!("tls = {{ certificate = {pem:?}, private_key = {key:?} }}"))
    };
    gateway.write("gateway.toml", &with(&setup, &tls(&other)));
    assert!(gateway.refused().to_string().contains("not that of the certificate"));
    assert!(TcpStream::connect(address).is_err());
    gateway.write("gateway.toml", &with(&setup, &tls(&key)));
    gateway.reload();
    // HTTP without TLS is told so by a listener that has it.
    assert_eq!(Client::connect(address).lookup("one").status, 400);
    // The same address without TLS, on the same sockets.
    gateway.write("gateway.toml", &with(&setup, &listen(address, "")));
    gateway.reload();
    assert_eq!(Client::connect(address).lookup("one").status, 200);
}

#[test]
fn nobody_is_refused_while_others_come_and_go() {
    let upstream = Scripted::well();
    let setup = Setup::new(upstream.address()).workers(2);
    let gateway = OnDisk::start(&setup);
    let (first, second) = (gateway.address(), address_of_its_own());
    let ask = move || {
        let mut kept = Client::connect(first);
        for _ in 0..150 {
            assert_eq!(kept.lookup("one").status, 200);
            assert_eq!(Client::connect(first).lookup("one").status, 200);
        }
    };
    thread::scope(|scope| {
        let clients: Vec<_> = (0..3).map(|_| scope.spawn(ask)).collect();
        while clients.iter().any(|client| !client.is_finished()) {
            gateway.write("gateway.toml", &with(&setup, &listen(second, "")));
            gateway.reload();
            gateway.write("gateway.toml", &main_file(&setup));
            gateway.reload();
        }
    });
}

#[test]
fn a_reload_that_is_refused_takes_no_connection_away() {
    // All addresses of a port are asked for, which others may have one of.
    in_own_network(
        "reload::listeners::a_reload_that_is_refused_takes_no_connection_away",
        refused_with_a_narrower_address,
    );
}

fn refused_with_a_narrower_address() {
    let upstream = Scripted::well();
    let address = address_of_its_own();
    let everywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
    let setup = Setup::new(upstream.address()).workers(2);
    let gateway = OnDisk::written(&setup);
    let on = |text: &str| main_file(&setup).replace("127.0.0.1:0", text);
    gateway.write("gateway.toml", &on(&everywhere.to_string()));
    let gateway = gateway.started();
    let foreign = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listen(foreign.local_addr().unwrap(), "");
    // A narrower address would have every new connection, and the second cannot be had.
    gateway.write("gateway.toml", &format!("{}{taken}", on(&address.to_string())));
    thread::scope(|scope| {
        let refused = scope.spawn(|| gateway.refused());
        let mut asked = 0;
        while !refused.is_finished() || asked < 10 {
            assert_eq!(Client::connect(address).lookup("one").status, 200);
            asked += 1;
        }
        let fault = refused.join().unwrap();
        assert!(fault.to_string().contains("another program is listening there"), "{fault}");
    });
    assert_eq!(gateway.server().addresses(), [everywhere]);
    drop(foreign);
    gateway.reload();
    assert_eq!(Client::connect(address).lookup("one").status, 200);
}

#[test]
fn another_control_socket_needs_a_restart_and_says_so() {
    let upstream = Scripted::well();
    let setup = Setup::new(upstream.address());
    let gateway = OnDisk::start(&setup);
    gateway.write("gateway.toml", &with(&setup, "[control]\nsocket = \"other.sock\"\n"));
    let fault = gateway.refused();
    assert!(fault.to_string().contains("`control.socket` is "), "{fault}");
    assert!(fault.to_string().contains("needs a restart"), "{fault}");
}
