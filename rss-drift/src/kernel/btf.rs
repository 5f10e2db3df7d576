//! BTF walker (to come).
