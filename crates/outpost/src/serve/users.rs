//! Who may log in with SASL, as the JAAS file has it now.
//!
//! The file is looked at as the stores of TLS are. One that cannot be used changes nothing but the log. Whoever has
//! logged in stays: a password is asked for once.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use crate::config::{SaslUsers, Secret};
use crate::tls::handle::{LOOK_EVERY, Seen, seen};

/// Users and passwords.
pub struct Users {
    source: SaslUsers,
    current: RwLock<Arc<BTreeMap<String, Secret>>>,
    seen: Mutex<Option<Seen>>,
}

/// Hides the passwords.
impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Users").field(&self.source.file).finish()
    }
}

impl Users {
    /// Those that the configuration has found.
    pub fn new(source: SaslUsers) -> Users {
        Users {
            current: RwLock::new(Arc::new(source.passwords.clone())),
            source,
            // Whatever happened to the file since it was read shows at the first look.
            seen: Mutex::new(None),
        }
    }

    /// All of them, as they are now.
    pub fn current(&self) -> Arc<BTreeMap<String, Secret>> {
        Arc::clone(&self.current.read())
    }

    /// Reads the file again if it has changed. Blocks while it reads.
    pub fn look(&self) {
        let now = seen(&self.source.file);
        let mut before = self.seen.lock();
        if before.as_ref() == Some(&now) {
            return;
        }
        *before = Some(now);
        let file = self.source.file.display();
        match self.source.read_again() {
            Ok(passwords) if passwords == **self.current.read() => {}
            Ok(passwords) => {
                let users = passwords.len();
                tracing::info!(%file, users, "the users of the JAAS file have changed");
                *self.current.write() = Arc::new(passwords);
            }
            Err(error) => {
                tracing::error!(%file, %error, "a changed JAAS file cannot be used; the users stay as they were");
            }
        }
    }
}

/// Looks at the file until `stopped`.
pub async fn watch(users: Arc<Users>, stopped: impl Future<Output = ()>) {
    tokio::pin!(stopped);
    loop {
        tokio::select! {
            () = &mut stopped => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        let users = Arc::clone(&users);
        if tokio::task::spawn_blocking(move || users.look())
            .await
            .is_err()
        {
            tracing::error!("reading the JAAS file ended in a panic");
        }
    }
}
