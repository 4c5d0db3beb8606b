//! Writes the golden vectors into `corpus/<target>/`, where `cargo fuzz` starts from.

use std::fs;
use std::path::Path;

use outpost_fuzz::seeds;

fn main() {
    for (target, _) in seeds::TARGETS {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("corpus")
            .join(target);
        fs::create_dir_all(&dir).expect("the corpus can be written");
        let seeds = seeds::of(target);
        for (number, seed) in seeds.iter().enumerate() {
            fs::write(dir.join(format!("seed-{number:04}")), seed)
                .expect("the corpus can be written");
        }
        println!("{target}: {} seeds", seeds.len());
    }
}
