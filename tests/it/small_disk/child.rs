//! The process that has the small file system: it plays one scene, and says so.

use super::{SCENE, fill, steps};

#[test]
fn process() {
    let Ok(scene) = std::env::var(SCENE) else {
        return;
    };
    match &*scene {
        "fill" => fill::play(None),
        "budget" => fill::play(Some(24 << 20)),
        "steps" => steps::play(),
        other => panic!("there is no scene {other}"),
    }
    println!("{scene}: played");
}
