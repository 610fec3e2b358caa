//! The main file, `gateway.toml`, as a whole, and its small sections.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::access_log::Format;
use crate::config::document::environment::Variables;
use crate::config::document::problem::{Document, Mark, Problem};
use crate::config::document::{self, Field, Section};
use crate::config::section::log_format::Formats;
use crate::config::section::{access_log, admin, control, limits, listen, names, reload, upstream};
use crate::config::{Admin, Limits, Listener, Reload, Upstream};
use crate::location::Located;
use crate::resolver::Settings;

/// What the main file says. Complete only if no error was reported with it.
pub(crate) struct Draft {
    pub(crate) state_directory: Located<PathBuf>,
    pub(crate) workers: Located<u32>,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) upstream: Option<Upstream>,
    pub(crate) limits: Limits,
    pub(crate) access_logs: Vec<access_log::Written>,
    pub(crate) log_formats: Vec<(String, Arc<Format>)>,
    pub(crate) policies_directory: PathBuf,
    /// Where the policies' directory is written.
    pub(crate) policies_mark: Mark,
    pub(crate) whoami: bool,
    pub(crate) names: Settings,
    pub(crate) control_socket: Located<Option<PathBuf>>,
    pub(crate) admin: Admin,
    pub(crate) reload: Reload,
    /// Whether a broken policy denies its peer, instead of keeping all from being used.
    pub(crate) tolerant: bool,
}

/// Reads the main file.
pub(crate) fn read(document: &Arc<Document>, variables: Variables<'_>) -> (Draft, Vec<Problem>) {
    document::read(document, variables, |root| read_root(root, document))
}

fn read_root(mut root: Section<'_>, document: &Arc<Document>) -> Draft {
    let base = document.file().parent().unwrap_or_else(|| Path::new(""));
    let state_directory =
        root.placed("state_directory", base.join(STATE_DIRECTORY), |f| f.path(base));
    let workers = root.placed("workers", 0, |f| f.whole(0, MOST_WORKERS));
    let listeners = listen::read(&mut root, base);
    let upstream = upstream::read(root.section("upstream"), base);
    let mut policies = root.section("policies");
    let directory = policies.take("directory");
    policies.finish();
    let policies_directory = directory.as_ref().and_then(|field| field.path(base));
    let names = names::read(root.section("names"));
    let reload = reload::read(root.section("reload"));
    let limits = limits::read(root.section("limits"));
    let control_socket = control::read(root.section("control"), base);
    let admin = admin::read(root.section("admin"), base, &listeners);
    let formats = Formats::read(root.section("log_format"));
    let access_logs = access_log::read(&mut root, &formats, base);
    let mut whoami = root.section("whoami");
    let whoami_enabled = whoami.value("enabled", true, Field::boolean);
    whoami.finish();
    root.finish();
    Draft {
        state_directory,
        workers,
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
        control_socket,
        admin,
        reload,
        tolerant: false,
    }
}

const STATE_DIRECTORY: &str = "/var/lib/phonebook-gateway";
const POLICIES_DIRECTORY: &str = "policies";
const MOST_WORKERS: u32 = 1024;
