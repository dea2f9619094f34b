//! Tests of the rotation: a renewal, a new authority, and one that is replaced before it was presented.

use std::time::{Duration, Instant};

use super::{CertificateRotation, FilesChange, Presentable, merge_bundles};

const SETTLE: Duration = Duration::from_secs(60);

/// A certificate and the authority that signed it.
#[derive(Clone, Copy, Debug)]
struct Files(&'static str, &'static str);

impl Presentable for Files {
    fn authorities(&self) -> &[u8] {
        self.1.as_bytes()
    }

    fn is_same(&self, other: &Self) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}

struct Scene {
    start: Instant,
    rotation: CertificateRotation<Files>,
}

impl Scene {
    fn new() -> Self {
        Self { start: Instant::now(), rotation: CertificateRotation::new(Files("1", "a"), SETTLE) }
    }

    fn observe(&mut self, files: Files, minutes: u64) -> FilesChange {
        self.rotation.observe(files, self.start + SETTLE * u32::try_from(minutes).unwrap())
    }

    /// Does what is due. Returns the presented certificate and the trusted authorities.
    fn at(&mut self, minutes: u64, valid: bool) -> (&'static str, String) {
        let now = self.start + SETTLE * u32::try_from(minutes).unwrap();
        self.rotation.remove_retired(now);
        self.rotation.present_due(now, |_| valid);
        (self.rotation.presented().0, String::from_utf8(self.rotation.bundle()).unwrap())
    }
}

fn state(presented: &'static str, trusted: &str) -> (&'static str, String) {
    (presented, trusted.to_owned())
}

#[test]
fn a_renewed_certificate_is_presented_at_once() {
    let mut scene = Scene::new();
    assert_eq!(scene.observe(Files("1", "a"), 0), FilesChange::None);
    assert_eq!(scene.observe(Files("2", "a"), 0), FilesChange::Renewed);
    assert_eq!(scene.at(0, true), state("2", "a"));
}

#[test]
fn a_new_authority_is_trusted_at_once_and_presented_later() {
    let mut scene = Scene::new();
    assert_eq!(scene.observe(Files("2", "b"), 0), FilesChange::NewAuthority);
    for (minutes, presented, trusted) in
        [(0, "1", "ab"), (1, "1", "ab"), (2, "2", "ab"), (5, "2", "ab"), (6, "2", "b")]
    {
        assert_eq!(scene.at(minutes, true), state(presented, trusted), "after {minutes} min");
    }
}

#[test]
fn a_certificate_that_is_not_valid_any_more_is_replaced_at_once() {
    let mut scene = Scene::new();
    scene.observe(Files("2", "b"), 0);
    assert_eq!(scene.at(0, false), state("2", "ab"));
}

#[test]
fn a_pending_certificate_that_is_renewed_keeps_its_time() {
    let mut scene = Scene::new();
    scene.observe(Files("2", "b"), 0);
    assert_eq!(scene.observe(Files("3", "b"), 1), FilesChange::NewAuthority);
    assert_eq!(scene.at(2, true), state("3", "ab"));
}

#[test]
fn an_authority_that_was_never_presented_is_trusted_for_a_while() {
    let mut scene = Scene::new();
    scene.observe(Files("2", "b"), 0);
    assert_eq!(scene.observe(Files("3", "c"), 1), FilesChange::NewAuthority);
    assert_eq!(scene.at(2, true), state("1", "bac"));
    assert_eq!(scene.at(3, true), state("3", "bac"));
    assert_eq!(scene.at(7, true), state("3", "c"));
}

#[test]
fn a_new_leader_adds_to_the_trusted_authorities() {
    for (known, configured, all) in [
        ("b", "", "b"),
        ("b", "b", "b"),
        ("b", "a", "ab"),
        ("b", "ab", "ab"),
        ("ab", "a", "ab"),
        ("c", "ab", "abc"),
    ] {
        let merged = merge_bundles(known.as_bytes(), configured.as_bytes());
        assert_eq!(merged, all.as_bytes(), "{known} {configured}");
    }
}
