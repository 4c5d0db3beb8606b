//! File descriptors: as many as the system lets this process have, and some of them kept from clients, so that a
//! crowd of them takes neither the link its socket nor operators theirs.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::limits::{DESCRIPTORS_KEPT, DESCRIPTORS_PER_THREAD};

/// Raises the limit to what the system allows without asking for more rights.
///
/// # Errors
/// When the system refuses after all.
pub fn raise() -> io::Result<()> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return Ok(());
    }
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    Ok(setrlimit(Resource::Nofile, raised)?)
}

/// How many connections of clients there may be, besides `threads` that serve them; `None`: any number.
pub fn for_clients(threads: usize) -> Option<usize> {
    let limit = getrlimit(Resource::Nofile).current?;
    Some(left_of(usize::try_from(limit).ok()?, threads))
}

fn left_of(limit: usize, threads: usize) -> usize {
    let kept = DESCRIPTORS_KEPT + threads.saturating_mul(DESCRIPTORS_PER_THREAD);
    limit - kept.min(limit / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p6_some_descriptors_are_kept_from_clients_and_never_more_than_half() {
        assert_eq!(left_of(65_536, 8), 65_536 - DESCRIPTORS_KEPT - 8 * 4);
        assert_eq!(left_of(100, 8), 50);
        assert_eq!(left_of(1, 1), 1);
    }

    #[test]
    fn the_limit_is_what_the_system_allows_once_it_is_raised() {
        raise().unwrap();
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        assert_eq!(current, maximum);
        if let Some(limit) = current {
            assert!(for_clients(2).unwrap() < usize::try_from(limit).unwrap());
        }
    }
}
