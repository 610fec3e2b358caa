//! What `--json` prints is what `packaging/control.schema.json` says.

use std::{fs, process::Command};

use serde_json::{Value, json};

use super::Controlled;
use crate::support::needs::{or_left_out, python_with_jsonschema};

#[test]
fn every_answer_is_what_the_schema_says() {
    let Some(python) = or_left_out(python_with_jsonschema()) else { return };
    let controlled = Controlled::start();
    assert_eq!(controlled.client().lookup("one").status, 200);
    controlled.client().send("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n");
    controlled.told(json!({"command": "disable", "name": "lyon", "seconds": 60}));
    assert_eq!(controlled.client().lookup("one").status, 403);
    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/control.schema.json");
    let validate = "import json, sys\n\
        from jsonschema import Draft202012Validator as V\n\
        schema = json.load(open(sys.argv[1])); V.check_schema(schema)\n\
        for error in V(schema).iter_errors(json.load(open(sys.argv[2]))): print(error.message)\n";
    let file = controlled.gateway.path("answer.json");
    let errors = |answer: &Value| {
        fs::write(&file, answer.to_string()).unwrap();
        let output =
            Command::new(python).args(["-c", validate, schema]).arg(&file).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    for command in [
        json!({"command": "status"}),
        json!({"command": "revision"}),
        json!({"command": "peers"}),
        json!({"command": "peers", "name": "lyon"}),
        json!({"command": "peers", "name": "nobody"}),
        json!({"command": "names"}),
        json!({"command": "certs"}),
        json!({"command": "connections"}),
        json!({"command": "errors"}),
        json!({"command": "reset", "name": "lyon"}),
        json!({"command": "reload"}),
        json!({"command": "history"}),
        json!({"command": "rollback-changes", "number": 0}),
        json!({"command": "rollback", "number": 0}),
        json!({"command": "frobnicate"}),
    ] {
        let answer = controlled.ask(command.clone());
        assert_eq!(errors(&answer), "", "{command}: {answer}");
    }
    // The schema holds something.
    let mut answer = controlled.ask(json!({"command": "status"}));
    answer["ok"]["surplus"] = json!(1);
    assert_ne!(errors(&answer), "");
    let mut answer = controlled.ask(json!({"command": "peers"}));
    answer["ok"]["peers"][0].as_object_mut().unwrap().remove("rate");
    assert_ne!(errors(&answer), "");
}
