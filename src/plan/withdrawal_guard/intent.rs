/// The intent of a binding towards what it no longer covers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WithdrawalIntent {
    /// None is stated: it is guarded.
    #[default]
    Guarded,
    /// Nothing is withdrawn while it is suspended, all or in part: no grace period runs.
    Suspended,
    /// The withdrawal is confirmed.
    Confirmed,
    /// The binding is being deleted: held parts go with the rest, by its `deletionPolicy`.
    Leaving,
}
