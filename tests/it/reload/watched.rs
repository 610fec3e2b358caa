//! `[reload] watch = true`: however files come to be others, they are taken over.

use std::{fs, os::unix::fs::symlink, path::Path};

use crate::support::{
    live::{Setup, policy},
    on_disk::OnDisk,
    process::becomes_true,
    scripted::Scripted,
};

fn watching(upstream: &Scripted) -> OnDisk {
    let disk = OnDisk::written(&Setup::new(upstream.address()));
    let main = fs::read_to_string(disk.path("gateway.toml")).unwrap();
    disk.write("gateway.toml", &format!("{main}[reload]\nwatch = true\n"));
    disk
}

fn becomes(gateway: &OnDisk, status: u16) {
    let status_now = || gateway.client_from("127.0.0.2").lookup("one").status;
    assert!(
        becomes_true(|| status_now() == status),
        "{} is not {status}; {}",
        status_now(),
        gateway.difference()
    );
}

#[test]
fn files_that_are_written_renamed_and_removed_are_taken_over() {
    let upstream = Scripted::well();
    let gateway = watching(&upstream).started();
    let nice = gateway.path("policies/nice.toml");
    becomes(&gateway, 403);
    // In place, by rename, by an editor's backup, and by removal.
    fs::write(&nice, policy("127.0.0.2", "")).unwrap();
    becomes(&gateway, 200);
    fs::rename(&nice, gateway.path("policies/nice.toml~")).unwrap();
    becomes(&gateway, 403);
    gateway.write("policies/nice.toml", &policy("127.0.0.2", ""));
    becomes(&gateway, 200);
    fs::write(gateway.path("policies/.nice.toml.swp"), "no policy").unwrap();
    fs::remove_file(&nice).unwrap();
    becomes(&gateway, 403);
    // A broken one is harmless, and corrected it is taken over.
    fs::write(&nice, "hosts = [\"127.0.0.2\"").unwrap();
    assert!(becomes_true(|| gateway.difference().contains("policies/nice.toml:1: ")));
    assert_eq!(gateway.client().lookup("one").status, 200);
    fs::write(&nice, policy("127.0.0.2", "")).unwrap();
    becomes(&gateway, 200);
    assert!(becomes_true(|| gateway.difference().is_empty()));
    // Other files in these directories are nobody's business.
    let before = gateway.server().shared().snapshot();
    fs::write(gateway.path("notes"), "one").unwrap();
    fs::write(gateway.path("policies/notes"), "one").unwrap();
    becomes(&gateway, 200);
    assert!(std::sync::Arc::ptr_eq(&before, &gateway.server().shared().snapshot()));
}

/// As Kubernetes does it: the files are links through `..data`, which is replaced by a rename.
#[test]
fn a_directory_that_is_replaced_through_a_link_is_taken_over() {
    let upstream = Scripted::well();
    let gateway = watching(&upstream);
    let policies = gateway.path("policies");
    let version = |name: &str, files: &[(&str, String)]| {
        let directory = policies.join(name);
        fs::create_dir(&directory).unwrap();
        for (file, text) in files {
            fs::write(directory.join(file), text).unwrap();
        }
    };
    let link = |to: &str| {
        symlink(to, policies.join("..data_tmp")).unwrap();
        fs::rename(policies.join("..data_tmp"), policies.join("..data")).unwrap();
    };
    version("..1", &[("nice.toml", policy("127.0.0.2", ""))]);
    version("..2", &[("nice.toml", policy("127.0.0.3", ""))]);
    link("..1");
    symlink(Path::new("..data").join("nice.toml"), policies.join("nice.toml")).unwrap();
    let gateway = gateway.started();
    becomes(&gateway, 200);
    link("..2");
    becomes(&gateway, 403);
    link("..1");
    becomes(&gateway, 200);
}

#[test]
fn the_whole_directory_may_be_a_link_that_leads_elsewhere() {
    let upstream = Scripted::well();
    let gateway = watching(&upstream);
    let (first, second) = (gateway.path("first"), gateway.path("second"));
    fs::rename(gateway.path("policies"), &first).unwrap();
    fs::create_dir(&second).unwrap();
    fs::copy(first.join("lyon.toml"), second.join("lyon.toml")).unwrap();
    fs::write(second.join("nice.toml"), policy("127.0.0.2", "")).unwrap();
    let link = |to: &Path| {
        symlink(to, gateway.path("new")).unwrap();
        fs::rename(gateway.path("new"), gateway.path("policies")).unwrap();
    };
    link(&first);
    let gateway = gateway.started();
    becomes(&gateway, 403);
    let link = |to: &Path| {
        symlink(to, gateway.path("new")).unwrap();
        fs::rename(gateway.path("new"), gateway.path("policies")).unwrap();
    };
    link(&second);
    becomes(&gateway, 200);
    link(&first);
    becomes(&gateway, 403);
    fs::write(first.join("nice.toml"), policy("127.0.0.2", "")).unwrap();
    becomes(&gateway, 200);
}

#[test]
fn nothing_is_watched_unless_that_is_wanted() {
    let upstream = Scripted::well();
    let gateway = OnDisk::start(&Setup::new(upstream.address()));
    gateway.write("policies/nice.toml", &policy("127.0.0.2", ""));
    assert!(becomes_true(|| gateway.difference().contains("peer `nice` added")));
    assert_eq!(gateway.client_from("127.0.0.2").lookup("one").status, 403);
    // The key itself is taken over by a reload.
    let main = fs::read_to_string(gateway.path("gateway.toml")).unwrap();
    gateway.write("gateway.toml", &format!("{main}[reload]\nwatch = true\n"));
    gateway.reload();
    gateway.remove("policies/nice.toml");
    becomes(&gateway, 403);
}
