//! The states a clip and a generation pass through.

macro_rules! text_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$vdoc])* #[serde(rename = $text)] $variant),+
        }

        impl $name {
            /// Every value, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name used in the database, in JSON and on screens.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::state::UnknownName;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    _ => Err($crate::state::UnknownName { expected: &[$($text),+] }),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
pub(crate) use text_enum;

/// The text names none of the values.
#[derive(Debug, Clone, thiserror::Error)]
#[error("must be one of: {}", expected.join(", "))]
pub struct UnknownName {
    /// The names that are known.
    pub expected: &'static [&'static str],
}

text_enum! {
    /// Where a clip stands.
    ClipState {
        /// Known, not copied.
        Waiting = "waiting",
        /// A node holds the lease and copies it.
        Filling = "filling",
        /// Complete and confirmed in the store.
        Stored = "stored",
        /// The source is gone.
        Lost = "lost",
        /// What came is no acceptable media.
        Rejected = "rejected",
        /// Removed on request; the row stays as a tombstone.
        Deleted = "deleted",
    }
}

text_enum! {
    /// Where a generation stands at its provider, as far as we were told.
    GenerationStatus {
        /// Registered; no terminal word from the provider yet.
        Pending = "pending",
        /// The provider delivered a result.
        Completed = "completed",
        /// Finished at the provider, but the webhook came without its result
        /// (`payload: null`). The result can still be fetched.
        ResultMissing = "result_missing",
        /// The provider delivered a result that is not understood, or not all of
        /// it. It is kept as it came.
        Unreadable = "unreadable",
        /// The provider said it failed.
        Failed = "failed",
    }
}

impl GenerationStatus {
    /// The status after `news`: nothing takes a completed generation back, media
    /// beats an earlier failure, and of a failure and a result that is not
    /// understood the later word counts.
    #[must_use]
    pub fn after(self, news: Self) -> Self {
        if news.rank() >= self.rank() { news } else { self }
    }

    const fn rank(self) -> u8 {
        match self {
            Self::Pending => 0,
            Self::ResultMissing => 1,
            Self::Unreadable | Self::Failed => 2,
            Self::Completed => 3,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_completed_generation_stays_completed() {
        use GenerationStatus::{Completed, Failed, Pending, ResultMissing, Unreadable};
        assert_eq!(Completed.after(Failed), Completed);
        assert_eq!(Failed.after(Completed), Completed);
        assert_eq!(Pending.after(ResultMissing), ResultMissing);
        assert_eq!(Failed.after(Pending), Failed);
        assert_eq!((Unreadable.after(Failed), Failed.after(Unreadable)), (Failed, Unreadable));
        assert_eq!((Unreadable.after(Completed), Completed.after(Unreadable)), (Completed, Completed));
        assert_eq!((Unreadable.after(ResultMissing), Unreadable.after(Pending)), (Unreadable, Unreadable));
    }
}
