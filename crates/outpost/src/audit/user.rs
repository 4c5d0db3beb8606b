//! The user as whom this process runs, who does what nobody has asked for.

use std::fs;

/// The user's name, as a Java server shows it; the number where it has no name.
pub(super) fn of_this_process() -> String {
    let uid = rustix::process::getuid().as_raw();
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    // A user that only a directory service knows is named by whoever has started the process.
    let named = || std::env::var("USER").ok().filter(|name| !name.is_empty());
    name_in(&users, uid)
        .or_else(named)
        .unwrap_or_else(|| uid.to_string())
}

/// `name:password:uid:…` in each line.
fn name_in(users: &str, uid: u32) -> Option<String> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (number.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_number() {
        let users = "root:x:0:0:root:/root:/bin/sh\n\n# nobody\noutpost:x:101:102::/:/bin/false\n";
        assert_eq!(name_in(users, 0).as_deref(), Some("root"));
        assert_eq!(name_in(users, 101).as_deref(), Some("outpost"));
        assert_eq!(name_in(users, 102), None);
    }
}
