//! Any bytes as a sequence of operations, compared with the model of `tests/it/model`.

use crate::model::operation::Operation;
use crate::model::world::World;
use crate::random::Random;

/// Each eight bytes are one operation, so that mutations change, drop and repeat single ones.
const OPERATION: usize = 8;

pub fn operations(bytes: &[u8]) {
    let mut world = World::new();
    for (index, bytes) in bytes.as_chunks::<OPERATION>().0.iter().enumerate() {
        let mut random = Random::new(u64::from_le_bytes(*bytes));
        let operation = if index == 0 {
            Operation::create_topic(&mut random)
        } else {
            Operation::random(&mut random, bytes[0] % 4 == 0)
        };
        if let Err(wrong) = world.perform(&operation) {
            panic!("operation {index}, {operation:?}: {wrong}");
        }
    }
    if let Err(wrong) = world.finish() {
        panic!("at the end: {wrong}");
    }
}
