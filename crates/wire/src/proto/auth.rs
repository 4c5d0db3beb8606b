//! Who a client is: identities added to its connection, and asked back.

use bstr::BStr;

use super::record::record;
use crate::jute::{DecodeError, Reader, Record, Writer};

record! {
    /// Adds an identity to the connection. Answered by the header alone.
    #[derive(Copy)]
    pub struct AuthPacket<'a> {
        /// Clients send 0; servers ignore it.
        pub kind: i32,
        /// Name of the authentication scheme.
        pub scheme: &'a BStr,
        /// What the scheme makes an identity of.
        pub auth: Option<&'a [u8]>,
    }
}

record! {
    /// A client's step of a SASL exchange.
    #[derive(Copy)]
    pub struct GetSaslRequest<'a> {
        /// The step.
        pub token: Option<&'a [u8]>,
    }
}

record! {
    /// A server's step of a SASL exchange.
    #[derive(Copy)]
    pub struct SetSaslResponse<'a> {
        /// The step; null when there is none, and with an error.
        pub token: Option<&'a [u8]>,
    }
}

record! {
    /// One identity of a connection, as whoAmI shows it.
    #[derive(Copy)]
    pub struct ClientInfo<'a> {
        /// Name of the authentication scheme.
        pub auth_scheme: &'a BStr,
        /// Name without anything secret.
        pub user: &'a BStr,
    }
}

/// Answers whoAmI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WhoAmIResponse<'a> {
    /// The connection's identities, in no particular order.
    pub client_info: Vec<ClientInfo<'a>>,
}

impl<'a> Record<'a> for WhoAmIResponse<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let client_info = reader.vector("WhoAmIResponse.client_info", ClientInfo::read)?;
        Ok(WhoAmIResponse { client_info })
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.vector(&self.client_info, |w, info| info.write(w));
    }
}
