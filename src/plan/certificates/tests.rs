//! Tests of the renewal, and of the trust in the newest authority.

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::{
    Authority, AuthorityTrust, CertificateStep, Certificates, Lifetimes, ServingCertificate, TrustTracker,
    end, next,
};
use crate::plan::fixture::at;

const LIFETIMES: Lifetimes = Lifetimes {
    authority: SignedDuration::from_secs(300),
    certificate: SignedDuration::from_secs(90),
    settle: SignedDuration::from_secs(6),
};

fn names() -> Vec<String> {
    vec!["acr.svc".to_owned()]
}

/// Applies a step.
fn apply(certificates: &mut Certificates, step: CertificateStep, now: Timestamp) {
    match step {
        CertificateStep::Wait(_) => {}
        CertificateStep::CreateAuthority => {
            let id = certificates.authorities.last().map_or(1, |a| a.id + 1);
            let until = end(now, LIFETIMES.authority, None);
            certificates.authorities.push(Authority { id, since: now, until, needed_until: now });
        }
        CertificateStep::Sign(id) => {
            let authority = certificates.authorities.iter_mut().find(|a| a.id == id).unwrap();
            let until = end(now, LIFETIMES.certificate, Some(authority));
            authority.needed_until = authority.needed_until.max(until);
            certificates.serving =
                Some(ServingCertificate { authority: id, since: now, until, names: names() });
        }
        CertificateStep::RemoveAuthority(id) => certificates.authorities.retain(|a| a.id != id),
    }
}

fn certificates() -> Certificates {
    let mut certificates = Certificates::default();
    apply(&mut certificates, CertificateStep::CreateAuthority, at(0));
    apply(&mut certificates, CertificateStep::Sign(1), at(0));
    certificates
}

fn step(certificates: &Certificates, trust: AuthorityTrust, seconds: i64) -> CertificateStep {
    next(certificates, &names(), trust, &LIFETIMES, at(seconds))
}

#[test]
fn an_authority_is_created_first_and_then_its_certificate() {
    let mut certificates = Certificates::default();
    assert_eq!(step(&certificates, AuthorityTrust::NotConfigured, 0), CertificateStep::CreateAuthority);
    apply(&mut certificates, CertificateStep::CreateAuthority, at(0));
    assert_eq!(step(&certificates, AuthorityTrust::NotConfigured, 0), CertificateStep::Sign(1));
    apply(&mut certificates, CertificateStep::Sign(1), at(0));
    assert_eq!(step(&certificates, AuthorityTrust::NotConfigured, 0), CertificateStep::Wait(at(60)));
}

#[test]
fn a_certificate_is_renewed_after_two_thirds_of_its_validity_or_for_other_names() {
    let certificates = certificates();
    assert_eq!(step(&certificates, AuthorityTrust::Since(at(0)), 59), CertificateStep::Wait(at(60)));
    assert_eq!(step(&certificates, AuthorityTrust::Since(at(0)), 60), CertificateStep::Sign(1));
    let other = ["other.svc".to_owned()];
    assert_eq!(
        next(&certificates, &other, AuthorityTrust::Since(at(0)), &LIFETIMES, at(1)),
        CertificateStep::Sign(1)
    );
}

#[test]
fn a_new_authority_signs_nothing_before_it_is_trusted_for_a_while() {
    let mut certificates = certificates();
    apply(&mut certificates, CertificateStep::Sign(1), at(180));
    assert_eq!(step(&certificates, AuthorityTrust::Since(at(0)), 200), CertificateStep::CreateAuthority);
    apply(&mut certificates, CertificateStep::CreateAuthority, at(200));
    assert_eq!(step(&certificates, AuthorityTrust::NotYet, 200), CertificateStep::Wait(at(240)));
    assert_eq!(step(&certificates, AuthorityTrust::NotYet, 240), CertificateStep::Sign(1));
    assert_eq!(step(&certificates, AuthorityTrust::Since(at(201)), 206), CertificateStep::Wait(at(207)));
    assert_eq!(step(&certificates, AuthorityTrust::Since(at(201)), 207), CertificateStep::Sign(2));
}

#[test]
fn an_old_authority_is_trusted_until_its_last_certificate_has_expired() {
    let mut certificates = certificates();
    apply(&mut certificates, CertificateStep::Sign(1), at(180));
    apply(&mut certificates, CertificateStep::CreateAuthority, at(200));
    apply(&mut certificates, CertificateStep::Sign(2), at(207));
    assert_eq!(step(&certificates, AuthorityTrust::Since(at(201)), 208), CertificateStep::Wait(at(267)));
    apply(&mut certificates, CertificateStep::Sign(2), at(267));
    assert_eq!(step(&certificates, AuthorityTrust::Since(at(201)), 269), CertificateStep::Wait(at(270)));
    assert_eq!(step(&certificates, AuthorityTrust::Since(at(201)), 270), CertificateStep::RemoveAuthority(1));
}

#[test]
fn an_expired_authority_is_replaced_at_once() {
    let certificates = certificates();
    assert_eq!(step(&certificates, AuthorityTrust::Since(at(0)), 300), CertificateStep::CreateAuthority);
    let mut late = certificates.clone();
    apply(&mut late, CertificateStep::CreateAuthority, at(300));
    assert_eq!(step(&late, AuthorityTrust::NotYet, 300), CertificateStep::Sign(2));
}

/// Ten lifetimes of an authority, second by second, with a configuration that follows two seconds late.
#[test]
fn every_certificate_that_may_be_served_is_trusted_at_every_moment() {
    let mut certificates = Certificates::default();
    let mut configured: (Vec<u64>, Timestamp) = (Vec::new(), at(0));
    let mut served: Vec<(u64, Timestamp)> = Vec::new();
    let mut created = 0;
    for second in 0..3000 {
        let now = at(second);
        let newest = certificates.authorities.last().map(|a| a.id);
        let trust = match newest {
            Some(id) if configured.0.contains(&id) => AuthorityTrust::Since(configured.1),
            _ if configured.0.is_empty() => AuthorityTrust::NotConfigured,
            _ => AuthorityTrust::NotYet,
        };
        let step = next(&certificates, &names(), trust, &LIFETIMES, now);
        created += usize::from(step == CertificateStep::CreateAuthority);
        apply(&mut certificates, step, now);
        if let (CertificateStep::Sign(_), Some(serving)) = (step, &certificates.serving) {
            served.push((serving.authority, serving.until));
        }
        let ids: Vec<u64> = certificates.authorities.iter().map(|a| a.id).collect();
        if second % 2 == 1 && ids != configured.0 && certificates.serving.is_some() {
            configured = (ids, now);
        }
        for (authority, until) in &served {
            let trusted = configured.0.is_empty() || configured.0.contains(authority);
            assert!(*until <= now || trusted, "at {second}: {authority} of {configured:?}");
        }
        if second > 5 {
            assert!(certificates.serving.as_ref().is_some_and(|serving| serving.until > now), "at {second}");
        }
    }
    assert!((10..=20).contains(&created), "{created}");
    assert!(certificates.authorities.len() <= 2);
}

#[test]
fn an_authority_is_trusted_since_every_webhook_names_it() {
    let newest = Some((2, "NEW"));
    let (both, old) = (Some(&b"OLD NEW"[..]), Some(&b"OLD"[..]));
    let mut tracker = TrustTracker::default();
    for (case, newest, bundles, seconds, expected) in [
        ("no authority", None, &[both][..], 0, AuthorityTrust::NotConfigured),
        ("no configuration", newest, &[], 0, AuthorityTrust::NotConfigured),
        ("one webhook names it", newest, &[both, old], 0, AuthorityTrust::NotYet),
        ("a webhook without a bundle", newest, &[None], 0, AuthorityTrust::NotYet),
        ("all name it", newest, &[both, both], 1, AuthorityTrust::Since(at(1))),
        ("still", newest, &[both], 5, AuthorityTrust::Since(at(1))),
        ("no longer", newest, &[old], 6, AuthorityTrust::NotYet),
        ("again", newest, &[both], 7, AuthorityTrust::Since(at(7))),
        ("another authority", Some((3, "OLD")), &[old], 8, AuthorityTrust::Since(at(8))),
    ] {
        assert_eq!(tracker.observe(newest, bundles.iter().copied(), at(seconds)), expected, "{case}");
    }
}
