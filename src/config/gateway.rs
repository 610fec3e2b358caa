//! The main file, `gateway.toml`, as a whole, and its small sections.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::environment::Variables;
use super::log_formats::Formats;
use super::problem::{Document, Mark, Problem};
use super::reader::{self, Field, Section};
use super::{Limits, Listener, Upstream, limits, listen, logs, names, upstream};
use crate::access_log::Format;
use crate::resolver::Settings;

const STATE_DIRECTORY: &str = "/var/lib/phonebook-gateway";
const POLICIES_DIRECTORY: &str = "policies";
const MOST_WORKERS: u32 = 1024;

/// What the main file says. Complete only if no error was reported with it.
pub(super) struct Draft {
    pub(super) state_directory: PathBuf,
    pub(super) workers: usize,
    pub(super) listeners: Vec<Listener>,
    pub(super) upstream: Option<Upstream>,
    pub(super) limits: Limits,
    pub(super) access_logs: Vec<logs::Written>,
    pub(super) log_formats: Vec<(String, Arc<Format>)>,
    pub(super) policies_directory: PathBuf,
    /// Where the policies' directory is written.
    pub(super) policies_mark: Mark,
    pub(super) whoami: bool,
    pub(super) names: Settings,
}

/// Reads the main file.
pub(super) fn read(document: &Arc<Document>, variables: Variables<'_>) -> (Draft, Vec<Problem>) {
    reader::read(document, variables, |root| read_root(root, document))
}

fn read_root(mut root: Section<'_>, document: &Arc<Document>) -> Draft {
    let base = document.file().parent().unwrap_or_else(|| Path::new(""));
    let state_directory =
        root.value("state_directory", base.join(STATE_DIRECTORY), |f| f.path(base));
    let workers = root.value("workers", 0, |f| f.whole(0, MOST_WORKERS));
    let listeners = listen::read(&mut root, base);
    let upstream = upstream::read(root.section("upstream"), base);
    let mut policies = root.section("policies");
    let directory = policies.take("directory");
    policies.finish();
    let policies_directory = directory.as_ref().and_then(|field| field.path(base));
    let names = names::read(root.section("names"));
    let limits = limits::read(root.section("limits"));
    let formats = Formats::read(root.section("log_format"));
    let access_logs = logs::read(&mut root, &formats, base);
    let mut whoami = root.section("whoami");
    let whoami_enabled = whoami.value("enabled", true, Field::boolean);
    whoami.finish();
    root.finish();
    Draft {
        state_directory,
        workers: usize::try_from(workers).unwrap_or_default(),
        listeners,
        upstream,
        limits,
        access_logs,
        log_formats: formats.own(),
        policies_directory: policies_directory.unwrap_or_else(|| base.join(POLICIES_DIRECTORY)),
        policies_mark: directory
            .map_or_else(|| Mark::whole_file(document), |field| field.mark("this directory")),
        whoami: whoami_enabled,
        names,
    }
}
