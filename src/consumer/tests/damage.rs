//! Damage: named, never skipped, and it stays where it is.
