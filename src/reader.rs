//! Offset-based readers.
