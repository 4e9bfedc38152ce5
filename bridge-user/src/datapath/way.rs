//! By what the TC programs are held to a device.

/// How TC programs are attached. It is a matter of the whole bridge, chosen when its first program goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// tcx links, which are pinned: the pin alone holds the program there.
    Tcx,
    /// Filters of the clsact qdisc, which hold their program themselves. A mark is pinned for each.
    Clsact,
}

impl Way {
    /// The first kernel with tcx (`tcx_link_attach`), as (major, minor).
    pub const FIRST_TCX: (u32, u32) = (6, 6);

    /// The way for a kernel of this major and minor number.
    pub fn of(kernel: (u32, u32)) -> Self {
        if kernel >= Self::FIRST_TCX { Self::Tcx } else { Self::Clsact }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tcx_came_with_6_6() {
        for old in [(6, 1), (6, 5), (5, 15)] {
            assert_eq!(Way::of(old), Way::Clsact, "{old:?}");
        }
        for new in [(6, 6), (6, 18), (7, 0)] {
            assert_eq!(Way::of(new), Way::Tcx, "{new:?}");
        }
    }
}
