//! The same exchanges with a Java observer and with an Outpost of one ensemble, and their answers compared.

fn main() {}
