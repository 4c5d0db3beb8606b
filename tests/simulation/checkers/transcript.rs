//! The recorded history sorted by who took part in it: what was committed, what each connection said and heard,
//! what each link carried, what the observer went through.
//!
//! Checkers read this and not the raw records. Nothing is judged here but whether the history can be read at
//! all.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::time::Duration;

use bstr::BString;
use outpost_wire::proto::EventType;
use outpost_wire::{ErrorCode, OpCode, SessionId, Xid, Zxid};

use super::model::Model;
use crate::history::{
    AtClient, AtElsewhere, AtLeader, AtObserver, Closer, Conn, Link as LinkId, Received, Record,
    Reply as Body, Request as Asked, Sight, SyncKind, What,
};

/// A sentence that turned out false, and the records that show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    /// `P1` to `P9`; `history` when the record contradicts itself.
    pub(crate) promise: &'static str,
    pub(crate) message: String,
    /// Places in the history.
    pub(crate) records: Vec<usize>,
}

impl Violation {
    pub(crate) fn new(
        promise: &'static str,
        message: impl Into<String>,
        records: &[usize],
    ) -> Violation {
        Violation {
            promise,
            message: message.into(),
            records: records.to_vec(),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Violation {
            promise,
            message,
            records,
        } = self;
        write!(f, "{promise}: {message} (records {records:?})")
    }
}

/// What a checker says.
pub(crate) type Verdict = Result<(), Violation>;

/// What the observer was told at its start, as far as promises depend on it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// How long clients are served without a link.
    pub(crate) hold: Duration,
    /// How long a silent link is believed in.
    pub(crate) link_timeout: Duration,
    /// How long something may be on its way between a client and the observer: so much later may a client see it.
    pub(crate) client_transit: Duration,
    /// The same between the ensemble and the observer.
    pub(crate) link_transit: Duration,
}

/// When something happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Its place in the history.
    pub(crate) record: usize,
    pub(crate) at: Duration,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'h> {
    pub(crate) moment: Moment,
    pub(crate) xid: Xid,
    pub(crate) asked: &'h Asked,
}

impl Request<'_> {
    /// Whether it is answered out of its turn.
    pub(crate) fn is_out_of_band(&self) -> bool {
        matches!(self.asked, Asked::Ping)
    }

    /// Whether it becomes a transaction.
    pub(crate) fn is_write(&self) -> bool {
        is_write(self.asked)
    }
}

/// Whether a request becomes a transaction.
pub(crate) fn is_write(asked: &Asked) -> bool {
    matches!(
        asked,
        Asked::Create { .. }
            | Asked::Delete { .. }
            | Asked::SetData { .. }
            | Asked::Check { .. }
            | Asked::Multi(_)
            | Asked::CloseSession
    )
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Reply<'h> {
    pub(crate) moment: Moment,
    pub(crate) xid: Xid,
    pub(crate) zxid: Zxid,
    pub(crate) error: ErrorCode,
    pub(crate) body: &'h Body,
    /// Place of its request among the connection's items; `None` if it answers nothing that was next.
    pub(crate) request: Option<usize>,
}

impl Reply<'_> {
    /// Whether its header tells a state of the tree: refusals before the tree was asked carry 0 or -1.
    pub(crate) fn tells_zxid(&self) -> bool {
        self.zxid > Zxid::ZERO
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Event<'h> {
    pub(crate) moment: Moment,
    pub(crate) kind: EventType,
    pub(crate) path: &'h BString,
    /// -1 for what setWatches catches up with.
    pub(crate) zxid: Zxid,
}

/// What went over a connection, in the order in which its client saw it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Item<'h> {
    Request(Request<'h>),
    Reply(Reply<'h>),
    Event(Event<'h>),
}

impl Item<'_> {
    pub(crate) fn moment(&self) -> Moment {
        match self {
            Item::Request(request) => request.moment,
            Item::Reply(reply) => reply.moment,
            Item::Event(event) => event.moment,
        }
    }
}

/// What a client was granted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Granted {
    pub(crate) moment: Moment,
    pub(crate) session: SessionId,
    pub(crate) timeout_ms: i32,
}

/// One client connection.
#[derive(Debug)]
pub(crate) struct Connection<'h> {
    pub(crate) conn: Conn,
    pub(crate) began: Moment,
    /// The session it brought along; none asks for a new one.
    pub(crate) brought: SessionId,
    pub(crate) last_zxid_seen: Zxid,
    pub(crate) granted: Option<Granted>,
    /// When it was told that its session is over.
    pub(crate) refused: Option<Moment>,
    pub(crate) items: Vec<Item<'h>>,
    pub(crate) ended: Option<(Moment, Closer)>,
}

impl<'h> Connection<'h> {
    /// The session it was granted.
    pub(crate) fn session(&self) -> Option<SessionId> {
        self.granted.map(|granted| granted.session)
    }

    pub(crate) fn requests(&self) -> impl Iterator<Item = &Request<'h>> {
        self.items.iter().filter_map(|item| match item {
            Item::Request(request) => Some(request),
            _ => None,
        })
    }

    pub(crate) fn replies(&self) -> impl Iterator<Item = &Reply<'h>> {
        self.items.iter().filter_map(|item| match item {
            Item::Reply(reply) => Some(reply),
            _ => None,
        })
    }

    /// Replies with the requests they answer.
    pub(crate) fn exchanges(&self) -> impl Iterator<Item = (&Request<'h>, &Reply<'h>)> {
        self.replies()
            .filter_map(|reply| Some((self.request_of(reply)?, reply)))
    }

    pub(crate) fn request_of(&self, reply: &Reply<'h>) -> Option<&Request<'h>> {
        match self.items.get(reply.request?)? {
            Item::Request(request) => Some(request),
            _ => None,
        }
    }
}

/// One connection from the observer to a leader.
#[derive(Debug)]
pub(crate) struct Link<'h> {
    pub(crate) id: LinkId,
    /// Of the leader.
    pub(crate) epoch: u32,
    /// When the observer said what it has, and what that was.
    pub(crate) presented: (Moment, Zxid),
    pub(crate) sync: Option<(Moment, SyncKind, Zxid)>,
    /// What the leader took from it.
    pub(crate) received: Vec<(Moment, &'h Received)>,
    pub(crate) gone: Option<Moment>,
}

/// A snapshot took the place of the mirror's tree.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TakeOver {
    pub(crate) moment: Moment,
    /// The last zxid of the tree that went.
    pub(crate) from: Zxid,
    /// That of the tree that came.
    pub(crate) to: Zxid,
}

/// A number that has a bound.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gauge<'h> {
    pub(crate) moment: Moment,
    pub(crate) name: &'h str,
    pub(crate) value: u64,
    pub(crate) bound: u64,
    pub(crate) at_rest: u64,
}

/// What the observer is to its clients, from some moment on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Attached,
    /// Without a link; clients are held.
    Lost,
    /// Nobody is served until it is attached again.
    GivenUp,
}

/// The whole history, sorted.
#[derive(Debug)]
pub(crate) struct Transcript<'h> {
    pub(crate) settings: Settings,
    pub(crate) model: Model,
    pub(crate) connections: Vec<Connection<'h>>,
    pub(crate) links: Vec<Link<'h>>,
    /// When each leader took office, and its epoch.
    pub(crate) elected: Vec<(Moment, u32)>,
    /// Sessions whose time was over at the leader.
    pub(crate) expired: HashMap<SessionId, Moment>,
    pub(crate) standings: Vec<(Moment, Standing)>,
    pub(crate) take_overs: Vec<TakeOver>,
    pub(crate) sights: Vec<(Moment, &'h Sight)>,
    pub(crate) gauges: Vec<Gauge<'h>>,
    pub(crate) harms: Vec<(Moment, &'h str)>,
    /// What sessions did at other servers.
    pub(crate) elsewhere: Vec<(Moment, SessionId, &'h AtElsewhere)>,
    /// The last record.
    pub(crate) end: Moment,
}

impl<'h> Transcript<'h> {
    /// Sorts a history.
    ///
    /// # Errors
    /// When it contradicts itself.
    pub(crate) fn read(
        records: &'h [Record],
        settings: Settings,
    ) -> Result<Transcript<'h>, Violation> {
        let mut transcript = Transcript {
            settings,
            model: Model::new(),
            connections: Vec::new(),
            links: Vec::new(),
            elected: Vec::new(),
            expired: HashMap::new(),
            standings: Vec::new(),
            take_overs: Vec::new(),
            sights: Vec::new(),
            gauges: Vec::new(),
            harms: Vec::new(),
            elsewhere: Vec::new(),
            end: Moment {
                record: records.len().saturating_sub(1),
                at: records.last().map_or(Duration::ZERO, |last| last.at),
            },
        };
        let mut reader = Sorting::default();
        for (record, Record { at, what }) in records.iter().enumerate() {
            let moment = Moment { record, at: *at };
            let sorted = match what {
                What::Client(conn, seen) => reader.client(&mut transcript, moment, *conn, seen),
                What::Elsewhere(session, seen) => {
                    transcript.elsewhere.push((moment, *session, seen));
                    Ok(())
                }
                What::Leader(seen) => reader.leader(&mut transcript, moment, seen),
                What::Observer(seen) => {
                    reader.observer(&mut transcript, moment, seen);
                    Ok(())
                }
                What::Fault(_) => Ok(()),
            };
            sorted.map_err(|message| Violation::new("history", message, &[record]))?;
        }
        for connection in &mut transcript.connections {
            pair(&mut connection.items);
        }
        Ok(transcript)
    }
}

/// Where connections and links stand in the transcript.
#[derive(Default)]
struct Sorting {
    connections: BTreeMap<Conn, usize>,
    links: HashMap<LinkId, usize>,
}

impl Sorting {
    fn client<'h>(
        &mut self,
        transcript: &mut Transcript<'h>,
        moment: Moment,
        conn: Conn,
        seen: &'h AtClient,
    ) -> Result<(), String> {
        if let AtClient::Connecting {
            session,
            last_zxid_seen,
            ..
        } = seen
        {
            let place = transcript.connections.len();
            transcript.connections.push(Connection {
                conn,
                began: moment,
                brought: *session,
                last_zxid_seen: *last_zxid_seen,
                granted: None,
                refused: None,
                items: Vec::new(),
                ended: None,
            });
            return match self.connections.insert(conn, place) {
                None => Ok(()),
                Some(_) => Err(format!("{conn:?} is opened twice")),
            };
        }
        let connection = self
            .connections
            .get(&conn)
            .and_then(|&place| transcript.connections.get_mut(place))
            .ok_or_else(|| format!("{conn:?} was never opened"))?;
        if connection.ended.is_some() {
            return Err(format!("{conn:?} goes on after its end"));
        }
        connection.note(moment, seen);
        Ok(())
    }

    fn leader<'h>(
        &mut self,
        transcript: &mut Transcript<'h>,
        moment: Moment,
        seen: &'h AtLeader,
    ) -> Result<(), String> {
        match seen {
            AtLeader::Elected { epoch } => transcript.elected.push((moment, *epoch)),
            AtLeader::Fallen { .. } => {}
            AtLeader::Committed(txn) => transcript.model.commit(moment.record, &txn.bytes)?,
            AtLeader::Expired { session } => {
                transcript.expired.insert(*session, moment);
            }
            AtLeader::Presented { link, last_zxid } => {
                let epoch = transcript.elected.last().map_or(0, |(_, epoch)| *epoch);
                self.links.insert(*link, transcript.links.len());
                transcript.links.push(Link {
                    id: *link,
                    epoch,
                    presented: (moment, *last_zxid),
                    sync: None,
                    received: Vec::new(),
                    gone: None,
                });
            }
            AtLeader::Synchronizing { link, by, zxid } => {
                self.link(transcript, *link)?.sync = Some((moment, *by, *zxid));
            }
            AtLeader::Received { link, packet } => {
                let link = self.link(transcript, *link)?;
                link.received.push((moment, packet));
            }
            AtLeader::Harmed { how, .. } => transcript.harms.push((moment, how)),
            AtLeader::Gone { link } => {
                // A link that never said what it has is of no account.
                if let Ok(link) = self.link(transcript, *link) {
                    link.gone = Some(moment);
                }
            }
        }
        Ok(())
    }

    fn link<'t, 'h>(
        &self,
        transcript: &'t mut Transcript<'h>,
        link: LinkId,
    ) -> Result<&'t mut Link<'h>, String> {
        self.links
            .get(&link)
            .and_then(|&place| transcript.links.get_mut(place))
            .ok_or_else(|| format!("{link:?} has not presented itself"))
    }

    fn observer<'h>(
        &mut self,
        transcript: &mut Transcript<'h>,
        moment: Moment,
        seen: &'h AtObserver,
    ) {
        let standing = match seen {
            AtObserver::Lost { .. } => Standing::Lost,
            AtObserver::Attached { zxid } => {
                self.take_over(transcript, moment, *zxid);
                Standing::Attached
            }
            AtObserver::GaveUp { .. } => Standing::GivenUp,
            // What went is what the observer said it had.
            AtObserver::TookOver { to, .. } => {
                let (_, from) = transcript
                    .links
                    .last()
                    .map_or((moment, *to), |l| l.presented);
                let to = *to;
                let take_over = TakeOver { moment, from, to };
                return transcript.take_overs.push(take_over);
            }
            AtObserver::Seen(sight) => return transcript.sights.push((moment, sight)),
            AtObserver::Gauge {
                name,
                value,
                bound,
                at_rest,
            } => {
                let (value, bound, at_rest) = (*value, *bound, *at_rest);
                return transcript.gauges.push(Gauge {
                    moment,
                    name,
                    value,
                    bound,
                    at_rest,
                });
            }
        };
        transcript.standings.push((moment, standing));
    }
}

impl Sorting {
    /// Attached through a snapshot, and nobody has said when it took over.
    fn take_over(&self, transcript: &mut Transcript<'_>, moment: Moment, to: Zxid) {
        let Some(link) = transcript.links.last() else {
            return;
        };
        let (presented, from) = link.presented;
        let told = transcript
            .take_overs
            .last()
            .is_some_and(|last| last.moment.record > presented.record);
        if matches!(link.sync, Some((_, SyncKind::Snap, _))) && !told {
            transcript.take_overs.push(TakeOver { moment, from, to });
        }
    }
}

impl<'h> Connection<'h> {
    fn note(&mut self, moment: Moment, seen: &'h AtClient) {
        let item = match seen {
            AtClient::Connecting { .. } => return,
            AtClient::Connected {
                session,
                timeout_ms,
            } => {
                self.granted = Some(Granted {
                    moment,
                    session: *session,
                    timeout_ms: *timeout_ms,
                });
                return;
            }
            AtClient::Refused { .. } => return self.refused = Some(moment),
            AtClient::Closed { by } => return self.ended = Some((moment, *by)),
            AtClient::Sent { xid, request } => Item::Request(Request {
                moment,
                xid: *xid,
                asked: request,
            }),
            AtClient::Replied {
                xid,
                zxid,
                error,
                reply,
            } => Item::Reply(Reply {
                moment,
                xid: *xid,
                zxid: *zxid,
                error: *error,
                body: reply,
                request: None,
            }),
            AtClient::Event { kind, path, zxid } => Item::Event(Event {
                moment,
                kind: *kind,
                path,
                zxid: *zxid,
            }),
        };
        self.items.push(item);
    }
}

/// Says which replies answer which requests: in the order sent, but for pings.
fn pair(items: &mut [Item<'_>]) {
    let mut waiting: VecDeque<(usize, Xid)> = VecDeque::new();
    let mut pings: VecDeque<usize> = VecDeque::new();
    for (place, item) in items.iter_mut().enumerate() {
        match item {
            Item::Request(request) if request.is_out_of_band() => pings.push_back(place),
            Item::Request(request) => waiting.push_back((place, request.xid)),
            Item::Reply(reply) if reply.xid == Xid::PING => reply.request = pings.pop_front(),
            Item::Reply(reply) => {
                if let Some(&(request, _)) = waiting.front().filter(|(_, xid)| *xid == reply.xid) {
                    waiting.pop_front();
                    reply.request = Some(request);
                }
            }
            Item::Event(_) => {}
        }
    }
}

/// Whether a transaction's type fits what was asked.
pub(crate) fn fits(asked: &Asked, kind: i32) -> bool {
    let Some(op) = OpCode::from_code(kind) else {
        return false;
    };
    match asked {
        Asked::Create { .. } => matches!(
            op,
            OpCode::Create | OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl
        ),
        Asked::Delete { .. } => matches!(op, OpCode::Delete | OpCode::DeleteContainer),
        Asked::SetData { .. } => op == OpCode::SetData,
        Asked::Check { .. } => op == OpCode::Check,
        Asked::Multi(_) => op == OpCode::Multi,
        Asked::CloseSession => op == OpCode::CloseSession,
        _ => false,
    }
}
