//! The model that `tests/it` compares a broker with, from there.

#[path = "../../tests/it/model/consumers.rs"]
pub mod consumers;
#[path = "../../tests/it/model/operation.rs"]
pub mod operation;
#[path = "../../tests/it/model/readers.rs"]
pub mod readers;
#[path = "../../tests/it/model/world.rs"]
pub mod world;
