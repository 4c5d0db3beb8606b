//! A scripted client: connect request, frames out, frames in, bytes as they are.
