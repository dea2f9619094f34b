//! Regions: their IDs, their names in the console, and what people write in their place.
//!
//! One list serves lint, admission and the status. A region that is not in it may be new: it is served, and reported
//! where the cloud does not answer for it.

mod known;

use super::distance::distance;
use known::{KNOWN, KnownRegion, plain};

/// Month in which the list of regions was compared with the cloud's own, for messages.
const COMPARED: &str = "November 2026";

/// Checks a region ID, which may be one that is not known yet.
///
/// # Errors
/// It is not of the form of a region ID, or is the ID of a zone. The message gives the value meant, if it is known.
pub fn check(id: &str) -> Result<&str, String> {
    check_form(id)?;
    match of_zone(id) {
        Some(region) => Err(format!("{id:?} is a zone and not a region: write its region {region}")),
        None => Ok(id),
    }
}

/// Checks the form of a region ID alone.
///
/// # Errors
/// As [`check`], without zones.
pub fn check_form(id: &str) -> Result<&str, String> {
    if is_well_formed(id) {
        return Ok(id);
    }
    let written: String = id.chars().take(60).collect();
    Err(match meant(id) {
        Some(region) => format!("{written:?} is not a region ID: write {region}"),
        None => format!(
            "{written:?} is not a region ID such as cn-hangzhou: write the ID, not the console's name"
        ),
    })
}

/// Returns the region that a text means which is not an ID of a region: a zone, a name in the console, or an ID with
/// other separators or letters.
pub fn meant(text: &str) -> Option<&'static str> {
    let plain = plain(text);
    if plain.is_empty() {
        return None;
    }
    let mut named = KNOWN.iter().filter(|region| region.is_named(&plain));
    if let Some(region) = named.next() {
        return named.next().is_none().then_some(region.id);
    }
    let lower = text.trim().to_ascii_lowercase();
    let zone = of_zone(&lower).and_then(known);
    // `cn-hangzhou-MAZ10(h,i)`: several zones of one region.
    let several = || {
        let zones = |region: &&KnownRegion| {
            lower.strip_prefix(region.id).is_some_and(|rest| rest.starts_with("-maz"))
        };
        KNOWN.iter().find(zones).map(|region| region.id)
    };
    zone.or_else(several).or_else(|| within(&lower))
}

/// Returns the region in the name of a host or of a network, such as `oss-cn-hangzhou` or `cn-hangzhou-internal`.
fn within(lower: &str) -> Option<&'static str> {
    let region = |part: &str| {
        let part = ["oss-", "vpc-", "cr-", "registry-"]
            .iter()
            .find_map(|head| part.strip_prefix(head))
            .unwrap_or(part);
        let tails = ["-internal", "-intranet", "-vpc", "-public"];
        known(tails.iter().find_map(|tail| part.strip_suffix(tail)).unwrap_or(part))
    };
    let mut found = lower.split(['.', '/', ':']).filter_map(region);
    found.next().filter(|first| found.all(|other| other == *first))
}

/// Returns the ID that a text spells with other separators or letters, such as `CN_Hangzhou`.
pub fn respelled(text: &str) -> Option<&'static str> {
    let plain = plain(text);
    KNOWN.iter().map(|region| region.id).find(|id| known::plain(id) == plain)
}

/// Remarks on a region ID of valid form that is not known: it may be new, or misspelt.
pub fn unknown(id: &str) -> Option<String> {
    if known(id).is_some() {
        return None;
    }
    if let Some(region) = of_zone(id) {
        return Some(format!("{id} is a zone and not a region: write its region {region}"));
    }
    let cure = match similar(id).or_else(|| within(id)) {
        Some(region) => format!("write {region} if that is meant"),
        None => "check it in the console".to_owned(),
    };
    Some(format!("{id} is not among the regions that were known in {COMPARED}: {cure}"))
}

/// Returns the one known ID that is one or two letters away.
pub fn similar(id: &str) -> Option<&'static str> {
    let digits = |id: &str| id.chars().filter(char::is_ascii_digit).collect::<String>();
    let near = |most: usize| {
        let mut found = KNOWN.iter().map(|region| region.id);
        let mut found =
            found.by_ref().filter(|known| digits(known) == digits(id) && distance(known, id) <= most);
        found.next().filter(|_| found.next().is_none())
    };
    near(1).or_else(|| near(2))
}

/// Returns the region that a host of Container Registry names.
pub fn of_address(address: &str) -> Option<&str> {
    let host = address.split(['/', ':']).next()?;
    let inner = host.strip_suffix(".aliyuncs.com")?;
    let label = match inner.strip_suffix(".cr") {
        Some(inner) => inner.rsplit_once('.')?.1,
        // `registry[-vpc].<region>.aliyuncs.com` of the Personal Edition.
        None => inner.strip_prefix("registry").and_then(|rest| rest.split_once('.'))?.1,
    };
    (is_well_formed(label) && of_zone(label).is_none()).then_some(label)
}

/// Remarks on an address of another region than its entry's.
pub fn other_region(region: &str, domains: &[String]) -> Option<String> {
    let other = |domain: &String| {
        Some((domain.clone(), of_address(domain).filter(|named| *named != region)?.to_owned()))
    };
    let (domain, named) = domains.iter().find_map(other)?;
    Some(format!(
        "{domain} is a host in {named}, and the entry's region is {region}: write regionId {named} if the instance is there"
    ))
}

/// Returns the region of a zone ID: `cn-hangzhou-b`, `us-east-1a`.
fn of_zone(id: &str) -> Option<&str> {
    let region = id.strip_suffix(|c: char| c.is_ascii_lowercase())?;
    let last = region.rsplit('-').next()?;
    let zone = last.chars().all(|c| c.is_ascii_digit()) && known(id).is_none();
    let region = region.trim_end_matches('-');
    (zone && is_well_formed(region)).then_some(region)
}

fn known(id: &str) -> Option<&'static str> {
    KNOWN.iter().map(|region| region.id).find(|known| *known == id)
}

fn is_well_formed(id: &str) -> bool {
    let mut parts = id.split('-');
    let country = parts.next().unwrap_or_default();
    let plain =
        |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let country_ok = country.len() == 2 && country.chars().all(|c| c.is_ascii_lowercase());
    country_ok && id.len() > 3 && id.len() <= 32 && parts.all(plain)
}

#[cfg(test)]
mod tests;
