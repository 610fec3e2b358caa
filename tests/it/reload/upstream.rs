//! Another XiVO, or the same on another way.

use crate::support::{
    live::Setup,
    on_disk::{OnDisk, main_file},
    scripted::Scripted,
};

#[test]
fn the_next_request_goes_to_the_new_one_and_no_connection_of_the_former_is_used() {
    let (first, second) = (Scripted::well(), Scripted::well());
    let setup = Setup::new(first.address());
    let gateway = OnDisk::start(&setup);
    let mut client = gateway.client();
    let to = |upstream: &Scripted| {
        main_file(&setup).replace(&setup.upstream_url, &format!("http://{}", upstream.address()))
    };
    for round in 1..=3 {
        assert_eq!(client.lookup("one").status, 200);
        gateway.write("gateway.toml", &to(&second));
        gateway.reload();
        assert_eq!(client.lookup("two").status, 200);
        gateway.write("gateway.toml", &to(&first));
        gateway.reload();
        assert_eq!((first.attempts("two").len(), second.attempts("one").len()), (0, 0));
        assert_eq!((first.attempts("one").len(), second.attempts("two").len()), (round, round));
    }
    // Each time over a fresh connection.
    assert_eq!(first.attempts("one"), [0, 1, 2]);
    assert_eq!(second.attempts("two"), [0, 1, 2]);
}

#[test]
fn connections_are_used_on_where_only_times_change() {
    let upstream = Scripted::well();
    let setup = Setup::new(upstream.address());
    let gateway = OnDisk::start(&setup);
    let mut client = gateway.client();
    for number in 0..3 {
        assert_eq!(client.lookup("one").status, 200);
        let lines = format!("danger_loopback_source = true\nstall_timeout = \"{}s\"", number + 7);
        let main = main_file(&setup).replace("danger_loopback_source = true", &lines);
        gateway.write("gateway.toml", &main);
        gateway.reload();
    }
    assert_eq!(upstream.attempts("one"), [0, 0, 0]);
}

#[test]
fn another_source_is_used_at_once() {
    let upstream = Scripted::well();
    let setup = Setup::new(upstream.address());
    let gateway = OnDisk::start(&setup);
    let mut client = gateway.client();
    assert_eq!(client.lookup("one").status, 200);
    let source = "danger_loopback_source = true\nsource = \"127.0.0.9\"";
    let main = main_file(&setup).replace("danger_loopback_source = true", source);
    gateway.write("gateway.toml", &main);
    gateway.reload();
    assert_eq!(client.lookup("one").status, 200);
    assert_eq!(upstream.attempts("one"), [0, 1]);
}

#[test]
fn a_source_that_this_host_does_not_have_is_told_with_its_line_and_nothing_is_taken_over() {
    let upstream = Scripted::well();
    let setup = Setup::new(upstream.address());
    let gateway = OnDisk::start(&setup);
    let source = "danger_loopback_source = true\nsource = \"192.0.2.77\"";
    let main = main_file(&setup).replace("danger_loopback_source = true", source);
    gateway.write("gateway.toml", &main);
    let fault = gateway.refused().to_string();
    assert!(
        fault.contains("gateway.toml:") && fault.contains("192.0.2.77 is no address"),
        "{fault}"
    );
    assert_eq!(gateway.client().lookup("one").status, 200);
}
