//! Who may log in with SASL, as the JAAS file has it now.
//!
//! A file that cannot be used changes nothing but the log and a figure. Whoever has
//! logged in stays: a password is asked for once.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::config::{SaslUsers, Secret};
use crate::jaas::{JaasReloads, Watched};
use crate::tls::handle::LOOK_EVERY;

/// Users and passwords.
pub struct Users {
    source: SaslUsers,
    current: RwLock<Arc<BTreeMap<String, Secret>>>,
    watched: Watched,
}

/// Hides the passwords.
impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Users").field(&self.source.file).finish()
    }
}

impl Users {
    /// Those that the configuration has found. Whatever becomes of a changed file is counted in `reloads`.
    pub fn new(source: SaslUsers, reloads: Arc<JaasReloads>) -> Users {
        Users {
            current: RwLock::new(Arc::new(source.passwords.clone())),
            source,
            watched: Watched::new(reloads),
        }
    }

    /// All of them, as they are now.
    pub fn current(&self) -> Arc<BTreeMap<String, Secret>> {
        Arc::clone(&self.current.read())
    }

    /// Reads the file again if it has changed. Blocks while it reads.
    pub fn look(&self) {
        let read = || self.source.read_again();
        let looked = self.watched.look(&self.source.file, &*self.current(), read);
        let file = self.source.file.display();
        match looked {
            None => {}
            Some(Ok(passwords)) => {
                let users = passwords.len();
                tracing::info!(%file, users, "the users of the JAAS file have changed");
                *self.current.write() = Arc::new(passwords);
            }
            Some(Err(error)) => {
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
