//! Programs that administrators read nginx's logs with read the gateway's, with the files in `packaging/`.

use std::fs;

use crate::support::{
    log_readers::{Reader, none_refuses_what_it_takes_from_nginx, refused_lines},
    needs::or_left_out,
};

/// Lines of which each reader refuses the last one.
const LINES: &str = "\
127.0.0.1 - lyon [23/Nov/2026:04:01:09 +0000] \"GET /service/ipbx/json.php?act=search HTTP/1.1\" 200 10 \"-\" \"curl\"
192.0.2.1 - - [23/Nov/2026:04:01:09 +0000] \"GET /a\\x22b HTTP/1.1\" 404 10 \"-\" \"a\\x22b\\xC3\"
no line of a log \"
";

#[test]
fn what_a_reader_refuses_is_seen() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("access.log");
    fs::write(&log, LINES).unwrap();
    for reader in Reader::ALL {
        let Some(refused) = or_left_out(refused_lines(reader, &log)) else { continue };
        assert_eq!(refused.into_iter().collect::<Vec<_>>(), [2], "{reader:?}");
    }
    none_refuses_what_it_takes_from_nginx(&log, &log);
}
