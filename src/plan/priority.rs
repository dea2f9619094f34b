//! Priorities of work on namespaces, and how they share a number of places.

/// The priority of a namespace's work, the most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// A namespace or a ServiceAccount is new: its Pods may be created next.
    New,
    /// Something else changed in it.
    Changed,
    /// A retry that fell due.
    Retry,
    /// Its last writes took long, which precedes each other reason.
    Slow,
    /// One of thousands, such as a refresh.
    Bulk,
}

/// Number of priorities.
const COUNT: usize = 5;

impl Priority {
    /// All, the most urgent first.
    pub const ALL: [Self; COUNT] = [Self::New, Self::Changed, Self::Retry, Self::Slow, Self::Bulk];

    /// Returns whether it may hang: those that do share places of their own.
    pub fn may_hang(self) -> bool {
        match self {
            Self::Retry | Self::Slow => true,
            Self::New | Self::Changed | Self::Bulk => false,
        }
    }

    /// Returns its place in the order.
    pub fn place(self) -> usize {
        match self {
            Self::New => 0,
            Self::Changed => 1,
            Self::Retry => 2,
            Self::Slow => 3,
            Self::Bulk => 4,
        }
    }

    /// Returns an array with one element a priority.
    pub fn map<T>(of: impl FnMut(Self) -> T) -> [T; COUNT] {
        Self::ALL.map(of)
    }
}

/// The share of one priority.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    /// Places that no other priority takes.
    pub reserved: usize,
    /// The most places that it takes.
    pub most: usize,
}

/// Numbers of places.
#[derive(Clone, Copy, Debug)]
pub struct PlaceLimits {
    /// Places of the priorities that are expected to end at once.
    pub quick: usize,
    /// Places of those that may hang.
    pub hanging: usize,
    /// The share of each priority, in the order of [`Priority::ALL`].
    pub shares: [Share; COUNT],
}

impl PlaceLimits {
    /// Limits that stop nothing: those who take places are few already.
    pub const NONE: Self = Self {
        quick: usize::MAX,
        hanging: usize::MAX,
        shares: [Share { reserved: 0, most: usize::MAX }; COUNT],
    };
}

impl PlaceLimits {
    /// Returns whether each of those that take places of `self` may get a place of `others` at once.
    pub const fn fit_into(&self, others: &Self) -> bool {
        let mut at = 0;
        while at < COUNT {
            let (share, other) = (self.shares[at], others.shares[at]);
            if other.reserved < share.reserved || other.most < share.most {
                return false;
            }
            at += 1;
        }
        self.quick <= others.quick && self.hanging <= others.hanging
    }
}

/// Places, and who has taken them.
///
/// # Guarantees
/// - A priority always gets its reserved places.
/// - Priorities that may hang never take the place of another.
#[derive(Clone, Debug)]
pub struct Places {
    limits: PlaceLimits,
    taken: [usize; COUNT],
}

impl Places {
    /// Returns places that are all free.
    pub fn new(limits: PlaceLimits) -> Self {
        Self { limits, taken: [0; COUNT] }
    }

    /// Returns whether a place is free for this priority.
    pub fn admits(&self, priority: Priority) -> bool {
        let (taken, share) = (self.taken(priority), self.limits.shares[priority.place()]);
        if taken >= share.most {
            return false;
        }
        let all = if priority.may_hang() { self.limits.hanging } else { self.limits.quick };
        let beside = Priority::ALL.into_iter().filter(|other| other.may_hang() == priority.may_hang());
        let kept = beside.filter(|other| *other != priority).map(|other| {
            let reserved = self.limits.shares[other.place()].reserved;
            self.taken(other).max(reserved)
        });
        taken < share.reserved || taken.saturating_add(kept.sum()) < all
    }

    /// Takes a place, whether or not one is free.
    pub fn take(&mut self, priority: Priority) {
        self.taken[priority.place()] += 1;
    }

    /// Gives a place back.
    pub fn give_back(&mut self, priority: Priority) {
        let taken = &mut self.taken[priority.place()];
        *taken = taken.saturating_sub(1);
    }

    /// Returns the number of places that a priority has taken.
    pub fn taken(&self, priority: Priority) -> usize {
        self.taken[priority.place()]
    }
}

#[cfg(test)]
mod tests {
    use super::{PlaceLimits, Places, Priority, Share};

    const LIMITS: PlaceLimits = PlaceLimits {
        quick: 10,
        hanging: 6,
        shares: [
            Share { reserved: 3, most: 10 },
            Share { reserved: 1, most: 10 },
            Share { reserved: 2, most: 6 },
            Share { reserved: 1, most: 6 },
            Share { reserved: 1, most: 4 },
        ],
    };

    fn fill(places: &mut Places, priority: Priority) -> usize {
        let before = places.taken(priority);
        while places.admits(priority) {
            places.take(priority);
        }
        places.taken(priority) - before
    }

    #[test]
    fn each_priority_gets_its_reserved_places_beside_any_others() {
        let mut places = Places::new(LIMITS);
        let taken = [Priority::Bulk, Priority::Slow, Priority::Changed, Priority::Retry, Priority::New]
            .map(|priority| fill(&mut places, priority));
        assert_eq!(taken, [4, 4, 3, 2, 3]);
        places.give_back(Priority::Changed);
        assert!(!places.admits(Priority::Bulk), "it has its most");
        assert!(places.admits(Priority::New) && places.admits(Priority::Changed));
    }

    #[test]
    fn those_that_may_hang_take_no_place_of_another() {
        let mut places = Places::new(LIMITS);
        (0..50).for_each(|_| places.take(Priority::Slow));
        assert!(!places.admits(Priority::Slow));
        assert!(places.admits(Priority::Retry), "its reserved places");
        assert_eq!(fill(&mut places, Priority::New), 8);
    }

    #[test]
    fn the_order_is_that_of_urgency() {
        assert!(Priority::ALL.is_sorted());
        assert_eq!(Priority::map(Priority::place), [0, 1, 2, 3, 4]);
    }
}
