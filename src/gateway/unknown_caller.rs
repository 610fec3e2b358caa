//! What is remembered of callers in no policy: whether they ask as a XiVO does.

use std::time::{SystemTime, UNIX_EPOCH};

use super::Exchange;
use super::judge::lookup_parts;
use crate::http1::request::RequestHead;
use crate::lookup::{Lookup, LookupParts, PATH, PRIVATE_PATH};
use crate::policy::{Action, decide};
use crate::worker::unknown_callers::UnknownRequest;

impl Exchange<'_> {
    /// Remembers that a caller in no policy was refused.
    pub(super) fn remember(&self, head: &RequestHead<'_>) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.worker.shared.unknown_callers.note(&UnknownRequest {
            address: self.source.caller.shown_address(),
            millis: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
            lookup: lookup(lookup_parts(head)),
            user_agent: head.user_agent().unwrap_or_default(),
        });
    }
}

/// The lookup that a request is in form, and whether it is on the path that a XiVO's directory has at first.
fn lookup(parts: LookupParts<'_>) -> Option<(Action, bool)> {
    let path = parts.path.strip_suffix(b"/").unwrap_or(parts.path);
    let private = path == PRIVATE_PATH.as_bytes();
    let path = if private { PATH.as_bytes() } else { parts.path };
    let lookup = Lookup::parse(LookupParts { path, ..parts }).ok()?;
    Some((decide::action(&lookup), private))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lookup_is_seen_on_either_path_and_nothing_else_is_one() {
        let asked = |method: &'static str, target: &'static str| {
            let (path, query) = target.split_once('?').unwrap_or((target, ""));
            lookup(LookupParts {
                method: method.as_bytes(),
                path: path.as_bytes(),
                query: Some(query.as_bytes()),
                has_body: false,
            })
        };
        let base = "/service/ipbx/json.php/";
        for (target, expected) in [
            ("restricted/pbx_services/phonebook?act=search&search=a", (Action::Search, false)),
            ("restricted/pbx_services/phonebook/?act=view&id=1", (Action::View, false)),
            ("private/pbx_services/phonebook?act=search&search=a", (Action::Search, true)),
            ("private/pbx_services/phonebook/?act=list", (Action::List, true)),
        ] {
            let target: &'static str = format!("{base}{target}").leak();
            assert_eq!(asked("GET", target), Some(expected), "{target}");
            assert_eq!(asked("POST", target), None, "{target}");
        }
        for target in [
            "/",
            "/service/ipbx/json.php/pri..vate/pbx_services/phonebook?act=search&search=a",
            "/service/ipbx/json.php/private/pbx_services/phonebook?act=delete&id=1",
            "/service/ipbx/json.php/restricted/configuration/users?act=list",
        ] {
            assert_eq!(asked("GET", target), None, "{target}");
        }
    }
}
