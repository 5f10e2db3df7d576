//! What processes are summed up by.

/// What the processes of a row have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    Comm,
    /// The group that limits memory.
    Cgroup,
    /// Of systemd.
    Unit,
    Container,
    /// The effective one.
    User,
    Host,
}

impl By {
    /// The word of `--by`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Comm => "comm",
            Self::Cgroup => "cgroup",
            Self::Unit => "unit",
            Self::Container => "container",
            Self::User => "user",
            Self::Host => "host",
        }
    }

    /// One of them and many, in a sentence.
    #[must_use]
    pub const fn nouns(self) -> (&'static str, &'static str) {
        match self {
            Self::Comm => ("name", "names"),
            Self::Cgroup => ("control group", "control groups"),
            Self::Unit => ("unit", "units"),
            Self::Container => ("container", "containers"),
            Self::User => ("user", "users"),
            Self::Host => ("host", "hosts"),
        }
    }

    /// Whether such a group is a control group, which says itself what it is charged for.
    #[must_use]
    pub const fn is_control_group(self) -> bool {
        matches!(self, Self::Cgroup | Self::Unit | Self::Container)
    }
}
