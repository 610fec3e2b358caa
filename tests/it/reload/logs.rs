//! Access logs that change: no line is lost, none is written twice.

use std::{fs, thread};

use crate::support::{
    live::Setup,
    on_disk::{OnDisk, main_file},
    process::becomes_true,
    raw::Client,
    scripted::{Door, Scripted},
};

#[test]
fn every_request_has_one_line_in_one_of_the_logs() {
    let upstream = Scripted::well();
    let setup = Setup::new(upstream.address()).workers(2);
    let gateway = OnDisk::start(&setup);
    let address = gateway.address();
    let main = main_file(&setup);
    let mains = [
        // Another file, and back; other settings of the same one; another format; a second log of others.
        main.replace("access.log", "second.log"),
        main.replace("buffer = \"0\"", "buffer = \"4k\""),
        main.replace("buffer = \"0\"", "format = \"gateway\""),
        format!("{main}[[access_log]]\npath = \"refused.log\"\nif = {{ status = [\"4xx\"] }}\n"),
        main.clone(),
    ];
    let ask = move |client: usize| {
        let mut kept = Client::connect(address);
        for number in 0..100 {
            assert_eq!(kept.lookup(&format!("term-{client}-{number}-kept")).status, 200);
            let term = format!("term-{client}-{number}-new");
            assert_eq!(Client::connect(address).lookup(&term).status, 200);
        }
    };
    thread::scope(|scope| {
        let clients: Vec<_> = (0..3).map(|client| scope.spawn(move || ask(client))).collect();
        let mut mains = mains.iter().cycle();
        while clients.iter().any(|client| !client.is_finished()) {
            gateway.write("gateway.toml", mains.next().unwrap());
            gateway.reload();
        }
    });
    let terms = || {
        let read = |name| fs::read_to_string(gateway.path(name)).unwrap_or_default();
        let text = read("access.log") + &read("second.log");
        let term = |line: &str| Some(line.split_once("search=")?.1.split(' ').next()?.to_owned());
        let mut terms: Vec<String> = text.lines().filter_map(term).collect();
        terms.sort();
        terms
    };
    assert!(becomes_true(|| terms().len() >= 600), "{} of 600 lines", terms().len());
    let all = terms();
    let mut once = all.clone();
    once.dedup();
    assert_eq!((all.len(), once.len()), (600, 600));
    assert_eq!(fs::read_to_string(gateway.path("refused.log")).unwrap_or_default(), "");
}

/// As nginx's: what began under the former configuration is logged by it.
#[test]
fn a_request_that_is_under_way_is_logged_where_it_began() {
    let door = Door::default();
    let upstream = Scripted::slow(&door);
    let setup = Setup::new(upstream.address()).upstream("timeout = \"1h\"");
    let gateway = OnDisk::start(&setup);
    let mut busy = gateway.client();
    busy.search("slow");
    assert!(becomes_true(|| upstream.attempts("slow").len() == 1));
    gateway.write("gateway.toml", &main_file(&setup).replace("access.log", "second.log"));
    gateway.reload();
    assert_eq!(gateway.client().lookup("one").status, 200);
    door.open();
    assert_eq!(busy.answer().status, 200);
    assert!(gateway.log("access.log", 1)[0].contains("search=slow"));
    assert!(gateway.log("second.log", 1)[0].contains("search=one"));
    // Its connection's next one is of the new configuration.
    assert_eq!(busy.lookup("two").status, 200);
    assert!(gateway.log("second.log", 2)[1].contains("search=two"));
    assert_eq!(gateway.log("access.log", 1).len(), 1);
}

#[test]
fn a_log_that_cannot_be_opened_is_told_with_its_line_and_nothing_is_taken_over() {
    let upstream = Scripted::well();
    let setup = Setup::new(upstream.address());
    let gateway = OnDisk::start(&setup);
    let main = main_file(&setup);
    let text = format!("{main}[[access_log]]\npath = \"missing/second.log\"\n");
    gateway.write("gateway.toml", &text);
    let fault = gateway.refused();
    let first = fault.first().unwrap();
    assert_eq!(first.line, main.lines().count() + 1, "{fault}");
    assert!(first.message.contains("missing/second.log"), "{fault}");
    assert_eq!(gateway.client().lookup("one").status, 200);
    assert_eq!(gateway.log("access.log", 1).len(), 1);
    assert_eq!(gateway.server().log_counters().len(), 1);
    fs::create_dir(gateway.path("missing")).unwrap();
    gateway.reload();
    assert_eq!(gateway.client().lookup("one").status, 200);
    assert_eq!(gateway.log("missing/second.log", 1).len(), 1);
}
