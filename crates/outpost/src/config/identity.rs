//! The id of this observer, and whether it may be used in this ensemble.

use std::path::Path;

use outpost_wire::ServerId;
use outpost_wire::membership::{Membership, Role};

use super::findings::Place;
use super::members::Members;
use super::settings::Settings;
use super::{Agreed, ReadFile};

/// What the command line calls the id.
const ID_OPTION: &str = "--id";
/// Low byte of an id that would make every session look like the owner of a TTL znode.
const TTL_BYTE: u8 = 0xff;

/// The id: from the command line, else `outpost.id`, else the file `myid` in `data_dir`.
pub(super) fn read(
    settings: &mut Settings,
    read_file: &ReadFile<'_>,
    id_override: Option<ServerId>,
    data_dir: Option<&Path>,
) -> Option<(ServerId, Place)> {
    let own_key = settings.get("outpost.id");
    if let Some(id) = id_override {
        return checked(settings, &id.to_string(), Place::CommandLine(ID_OPTION));
    }
    if let Some(setting) = own_key {
        return checked(settings, &setting.value, setting.place);
    }
    let myid = data_dir?.join("myid");
    match read_file(&myid) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            let first_line = text.lines().next().unwrap_or_default();
            checked(settings, first_line, Place::Line(myid, 1))
        }
        Err(error) => {
            let text = format!(
                "cannot be read: {error}; write the observer's id into it, or give the id with {ID_OPTION}"
            );
            settings.complain_at(Place::File(myid), &text);
            None
        }
    }
}

fn checked(settings: &mut Settings, text: &str, place: Place) -> Option<(ServerId, Place)> {
    let text = text.trim();
    match text.parse() {
        Ok(id) if id >= 0 => Some((ServerId(id), place)),
        _ => {
            let text = format!("`{text}` is not a server id; an id is a whole number, 0 or more");
            settings.complain_at(place, &text);
            None
        }
    }
}

/// Complains of an id that would hurt the ensemble or this observer's clients.
pub(super) fn check(
    settings: &mut Settings,
    (id, place): &(ServerId, Place),
    members: &Members,
    agreed: &Agreed,
) {
    let membership = &members.membership;
    if membership
        .get(*id)
        .is_some_and(|own| own.role == Role::Participant)
    {
        let line = members.setting(*id);
        let line = line.map_or(String::new(), |line| format!(" ({})", line.place));
        let text = format!(
            "id {id} belongs to a voter{line}; give this observer an id that no voter has, \
             or list it as :observer"
        );
        settings.complain_at(place.clone(), &text);
    }
    for text in troubles_of_the_low_byte(*id, membership, agreed) {
        settings.complain_at(place.clone(), &text);
    }
}

/// The low byte of the id is the high byte of every session id given out here.
fn troubles_of_the_low_byte(id: ServerId, membership: &Membership, agreed: &Agreed) -> Vec<String> {
    let [byte, ..] = id.0.to_le_bytes();
    let mut troubles = Vec::new();
    if agreed.extended_types && byte == TTL_BYTE {
        troubles.push(format!(
            "id {id} cannot be used with extendedTypesEnabled=true: its low byte is 255, so every ephemeral \
             znode made here would pass for a TTL znode; choose another id"
        ));
    }
    let shares_byte = |voter: ServerId| voter != id && voter.0.to_le_bytes()[0] == byte;
    let voter = membership
        .participants()
        .map(|voter| voter.id)
        .find(|voter| shares_byte(*voter));
    if let (true, Some(voter)) = (agreed.local_sessions, voter) {
        troubles.push(format!(
            "id {id} has the same low byte as voter {voter}, which would refuse this observer's local \
             sessions as leader; choose another id, or set localSessionsEnabled=false"
        ));
    }
    troubles
}
