//! The shards of the saved credentials: which Secret keeps which one.
//!
//! Few credentials are kept in the first shard alone, as in versions without shards. Where they outgrow it, the number of
//! shards doubles. A credential stays in its shard while the number stays, so a refresh writes only the shards that hold
//! it.

use std::collections::BTreeMap;

/// Number of shards at most.
pub const MAX_SHARDS: usize = 8;

/// Bytes of one shard at most. The API server accepts 1 MiB in a Secret.
pub const SHARD_BYTES: usize = 900_000;

/// Bytes that an entry takes besides its id and its value: quotes, a colon and a comma.
const AROUND_ENTRY: usize = 4;

/// The division of the saved credentials into shards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout<'a> {
    /// Number of shards in use: 1, 2, 4 or 8.
    pub count: usize,
    /// The ids in each of them.
    pub shards: Vec<Vec<&'a str>>,
    /// Number of credentials that no shard has room for.
    pub left_out: usize,
}

impl<'a> Layout<'a> {
    /// Divides credentials, given the length of each one's value by id, where `current` shards are in use.
    pub fn of(lengths: &BTreeMap<&'a str, usize>, current: usize) -> Self {
        let largest = |count: usize| {
            let mut sums = vec![0; count];
            for (id, length) in lengths {
                sums[home(id, count)] += size(id, *length);
            }
            sums.into_iter().max().unwrap_or_default()
        };
        let mut count = current.clamp(1, MAX_SHARDS).next_power_of_two();
        while count < MAX_SHARDS && largest(count) > SHARD_BYTES {
            count *= 2;
        }
        // With room to spare, so that a small change does not move everything back.
        while count > 1 && largest(count / 2) <= SHARD_BYTES / 2 {
            count /= 2;
        }
        Self::divided(lengths, count)
    }

    fn divided(lengths: &BTreeMap<&'a str, usize>, count: usize) -> Self {
        let mut layout = Self { count, shards: vec![Vec::new(); count], left_out: 0 };
        let mut room = vec![SHARD_BYTES; count];
        for (id, length) in lengths {
            let size = size(id, *length);
            let home = home(id, count);
            let from_home = (0..count).map(|step| (home + step) % count);
            match from_home.into_iter().find(|&shard| room[shard] >= size) {
                Some(shard) => {
                    room[shard] -= size;
                    layout.shards[shard].push(id);
                }
                None => layout.left_out += 1,
            }
        }
        layout
    }
}

/// Returns the number of shards that are in use where the last one with a credential has this index.
pub fn count_up_to(last: usize) -> usize {
    (last + 1).next_power_of_two().min(MAX_SHARDS)
}

fn size(id: &str, length: usize) -> usize {
    id.len() + length + AROUND_ENTRY
}

/// Returns the shard of an id. The hash is FNV-1a, which no version of the compiler changes.
fn home(id: &str, count: usize) -> usize {
    let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // The upper half: the lowest bits of this hash follow the last byte closely.
    let upper = usize::try_from(hash >> 32).unwrap_or_default();
    upper % count
}

#[cfg(test)]
mod tests {
    use super::{Layout, MAX_SHARDS, SHARD_BYTES, count_up_to, home, size};
    use std::collections::BTreeMap;

    fn ids(count: usize) -> Vec<String> {
        (0..count).map(|n| format!("enterprise/cri-{n:016}/cn-hangzhou/worker-role")).collect()
    }

    fn layout(ids: &[String], length: usize, current: usize) -> Layout<'_> {
        let lengths: BTreeMap<&str, usize> = ids.iter().map(|id| (id.as_str(), length)).collect();
        Layout::of(&lengths, current)
    }

    fn largest(layout: &Layout<'_>, length: usize) -> usize {
        let bytes = |ids: &Vec<&str>| ids.iter().map(|id| size(id, length)).sum::<usize>();
        layout.shards.iter().map(bytes).max().unwrap()
    }

    #[test]
    fn few_credentials_are_in_the_first_shard_and_many_are_spread_below_the_limit() {
        let all = ids(9_000);
        for (count, shards) in [(0, 1), (1, 1), (1_000, 1), (1_500, 2), (3_000, 4), (6_000, 8)] {
            let layout = layout(&all[..count], 700, 1);
            assert_eq!((layout.count, layout.left_out), (shards, 0), "{count}");
            assert!(largest(&layout, 700) <= SHARD_BYTES, "{count}");
            assert_eq!(layout.shards.iter().map(Vec::len).sum::<usize>(), count);
        }
    }

    /// A credential that changed shard would be written twice, and be lost by a crash in between.
    #[test]
    fn a_credential_stays_in_its_shard_when_others_come_and_go() {
        let all = ids(3_000);
        let (many, fewer) = (layout(&all, 700, 1), layout(&all[..2_900], 700, 4));
        assert_eq!((many.count, fewer.count), (4, 4));
        for (before, after) in many.shards.iter().zip(&fewer.shards) {
            assert!(after.iter().all(|id| before.contains(id)));
        }
        // Numbers that are on disk of an earlier version: the rule must not change.
        assert_eq!(["a", "b", "enterprise/cri-1"].map(|id| home(id, 8)), [4, 4, 0]);
    }

    #[test]
    fn shards_are_joined_again_only_with_room_to_spare() {
        let all = ids(1_500);
        assert_eq!(layout(&all, 700, 2).count, 2);
        assert_eq!(layout(&all[..1_000], 700, 2).count, 2, "they would fit, but barely");
        assert_eq!(layout(&all[..500], 700, 8).count, 1);
    }

    #[test]
    fn what_finds_no_room_in_its_own_shard_goes_to_another_and_the_rest_is_counted() {
        let all = ids(MAX_SHARDS * 3);
        // Three of them fill a shard, and not every shard is the home of three.
        let length = SHARD_BYTES / 3 - 100;
        let full = layout(&all, length, 1);
        assert_eq!((full.count, full.left_out), (MAX_SHARDS, 0));
        assert!(full.shards.iter().all(|shard| shard.len() == 3), "{:?}", full.shards);
        let more = ids(MAX_SHARDS * 3 + 5);
        assert_eq!(layout(&more, length, 1).left_out, 5);
    }

    #[test]
    fn the_number_of_shards_follows_from_the_last_one_in_use() {
        assert_eq!((0..MAX_SHARDS).map(count_up_to).collect::<Vec<_>>(), [1, 2, 4, 4, 8, 8, 8, 8]);
    }
}
