//! A TCP relay that remembers what crossed it.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// What crossed one connection, each direction for itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct Conversation {
    /// From whoever connected.
    pub(crate) asked: Vec<u8>,
    /// From whoever was connected to.
    pub(crate) answered: Vec<u8>,
}

type Shared = Arc<Mutex<Vec<Conversation>>>;

/// Relays every connection to one address. Its threads live until their connections end.
#[derive(Debug)]
pub(crate) struct Recorder {
    address: SocketAddr,
    conversations: Shared,
}

impl Recorder {
    /// Listens on a free port.
    pub(crate) fn start(target: SocketAddr) -> Recorder {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port can be bound");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let conversations = Shared::default();
        let shared = Arc::clone(&conversations);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                relay(client, target, &shared);
            }
        });
        Recorder {
            address,
            conversations,
        }
    }

    /// Where to connect.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What has crossed so far, connection by connection.
    pub(crate) fn peek(&self) -> Vec<Conversation> {
        self.conversations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// As [`Recorder::peek`], and forgets it.
    pub(crate) fn take(&self) -> Vec<Conversation> {
        std::mem::take(
            &mut *self
                .conversations
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }
}

fn relay(client: TcpStream, target: SocketAddr, shared: &Shared) {
    let Ok(server) = TcpStream::connect(target) else {
        return;
    };
    let index = {
        let mut conversations = shared.lock().unwrap_or_else(PoisonError::into_inner);
        conversations.push(Conversation::default());
        conversations.len() - 1
    };
    let (Ok(client_out), Ok(server_out)) = (client.try_clone(), server.try_clone()) else {
        return;
    };
    copy(client, server_out, Arc::clone(shared), move |all, bytes| {
        if let Some(conversation) = all.get_mut(index) {
            conversation.asked.extend_from_slice(bytes);
        }
    });
    copy(server, client_out, Arc::clone(shared), move |all, bytes| {
        if let Some(conversation) = all.get_mut(index) {
            conversation.answered.extend_from_slice(bytes);
        }
    });
}

fn copy(
    mut from: TcpStream,
    mut to: TcpStream,
    shared: Shared,
    remember: impl Fn(&mut [Conversation], &[u8]) + Send + 'static,
) {
    thread::spawn(move || {
        let mut buffer = [0; 16 << 10];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            // Remembered first: whoever waits for an effect finds its cause here.
            remember(
                &mut shared.lock().unwrap_or_else(PoisonError::into_inner),
                &buffer[..count],
            );
            if to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    });
}
