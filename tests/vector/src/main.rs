//! Reads the lines of its standard input as Vector would: `vector-lines PROGRAM` runs the VRL program in that file over
//! each, as the event of a `file` source, and prints one line of JSON for it: `{"event": …}`, or `{"refused": "why"}`.
//!
//! A program that Vector would not start with is not run: it says why, and exits with 1.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, Write},
    process::ExitCode,
};

use vrl::{
    compiler::{Context, Program, TargetValue, TimeZone, state::RuntimeState},
    diagnostic::Formatter,
    value::{ObjectMap, Secrets, Value},
};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("vector-lines: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let file = std::env::args().nth(1).ok_or("no program: vector-lines PROGRAM")?;
    let text = std::fs::read_to_string(&file).map_err(|error| format!("{file}: {error}"))?;
    let functions = vrl::stdlib::all();
    let compiled = vrl::compiler::compile(&text, &functions)
        .map_err(|faults| format!("{file}:\n{}", Formatter::new(&text, faults)))?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    for line in io::stdin().lock().split(b'\n') {
        let read = line.and_then(|line| {
            let answer = answer(&compiled.program, line);
            writeln!(out, "{answer}")
        });
        read.map_err(|error| error.to_string())?;
    }
    out.flush().map_err(|error| error.to_string())
}

/// What becomes of one line.
fn answer(program: &Program, line: Vec<u8>) -> serde_json::Value {
    let event = ObjectMap::from([("message".into(), Value::Bytes(line.into()))]);
    let mut target = TargetValue {
        value: Value::Object(event),
        metadata: Value::Object(BTreeMap::new()),
        secrets: Secrets::default(),
    };
    let mut state = RuntimeState::default();
    let zone = TimeZone::default();
    match program.resolve(&mut Context::new(&mut target, &mut state, &zone)) {
        Ok(_) => serde_json::json!({ "event": target.value }),
        Err(refused) => serde_json::json!({ "refused": refused.to_string() }),
    }
}
