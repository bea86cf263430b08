//! What consumers promise, on brokers in memory.

mod views;
