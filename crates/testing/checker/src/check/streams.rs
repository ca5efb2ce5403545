//! Live streams, connection by connection and over resumes: I4 (order), I5, I6.

use std::collections::{BTreeMap, HashMap};

use super::Findings;
use super::index::{Index, RoomId};
use super::track::{Step, Track};
use crate::history::What;
use crate::report::Invariant;

type Tracks = BTreeMap<RoomId, Track>;

#[derive(Clone, Copy)]
struct Frame {
    room: RoomId,
    seq: u64,
    entry: usize,
}

#[derive(Default)]
struct Session {
    tracks: Tracks,
    /// A connection that asked to resume and has no answer yet, with what came meanwhile.
    waiting: Option<(u64, Vec<Frame>)>,
}

struct Streams<'a, 'h, 'f> {
    index: &'a Index<'h>,
    found: &'f mut Findings,
    sessions: HashMap<u32, Session>,
    session_of: HashMap<u64, u32>,
    /// Where each settled session was told to have seen all.
    settled: BTreeMap<u32, usize>,
}

pub(crate) fn check(index: &Index<'_>, found: &mut Findings) {
    let (sessions, session_of, settled) = <_>::default();
    let mut streams = Streams { index, found, sessions, session_of, settled };
    for (number, entry) in index.entries.iter().enumerate() {
        streams.entry(number, &entry.what);
    }
    streams.end();
}

impl Streams<'_, '_, '_> {
    fn entry(&mut self, number: usize, what: &What) {
        match what {
            What::Open { session, connection, resumes } => {
                self.open(*session, *connection, *resumes);
            }
            What::Watch { session, room, after } => {
                if let Some(room) = self.index.room_id(room) {
                    let session = self.sessions.entry(*session).or_default();
                    session.tracks.entry(room).or_default().owe_after(*after);
                }
            }
            What::Unwatch { session, room } => {
                if let Some(room) = self.index.room_id(room)
                    && let Some(session) = self.sessions.get_mut(session)
                    && let Some(track) = session.tracks.remove(&room)
                {
                    report_holes(self.index, self.found, room, &track);
                }
            }
            What::Resumed { connection } => self.answered(number, *connection, false),
            What::Gap { connection, room: None } => self.answered(number, *connection, true),
            What::Gap { connection, room: Some(room) } => {
                let room = self.index.room_id(room);
                if let (Some(session), Some(room)) = (self.session(number, *connection), room) {
                    session.tracks.entry(room).or_default().skip();
                }
            }
            What::Close { connection } => {
                if let Some(session) = self.session_of.get(connection).copied() {
                    self.forget_waiting(session, Some(*connection));
                }
            }
            What::Receive { connection, room, item } => {
                self.frame(number, *connection, self.index.room_id(room), item.seq);
            }
            What::Other { connection, room, seq } => {
                self.frame(number, *connection, self.index.room_id(room), *seq);
            }
            What::Settled { session } => {
                self.settled.insert(*session, number);
            }
            What::Invoke { .. } | What::Ok { .. } | What::Fail { .. } | What::Unknown { .. } => {}
        }
    }

    fn open(&mut self, number: u32, connection: u64, resumes: bool) {
        self.session_of.insert(connection, number);
        self.forget_waiting(number, None);
        let session = self.sessions.entry(number).or_default();
        if resumes {
            session.waiting = Some((connection, Vec::new()));
        } else {
            for (room, track) in std::mem::take(&mut session.tracks) {
                report_holes(self.index, self.found, room, &track);
            }
        }
    }

    fn session(&mut self, number: usize, connection: u64) -> Option<&mut Session> {
        let session = self.session_of.get(&connection).copied();
        if session.is_none() {
            let text = format!("connection {connection} was never opened");
            self.found.add(Invariant::Incomplete, None, &[], &[number], text);
        }
        self.sessions.get_mut(&session?)
    }

    fn answered(&mut self, number: usize, connection: u64, gap: bool) {
        let Some(session) = self.session(number, connection) else { return };
        if gap {
            session.tracks.values_mut().for_each(Track::skip);
        }
        let waiting = session.waiting.take_if(|(waiting, _)| *waiting == connection);
        let mut tracks = std::mem::take(&mut session.tracks);
        for frame in waiting.into_iter().flat_map(|(_, frames)| frames) {
            step(self.index, self.found, &mut tracks, frame);
        }
        if let Some(session) = self.session(number, connection) {
            session.tracks = tracks;
        }
    }

    fn frame(&mut self, number: usize, connection: u64, room: Option<RoomId>, seq: u64) {
        let Some(room) = room else { return };
        let frame = Frame { room, seq, entry: number };
        let Some(session) = self.session(number, connection) else { return };
        if let Some((waiting, frames)) = &mut session.waiting
            && *waiting == connection
        {
            frames.push(frame);
            return;
        }
        let mut tracks = std::mem::take(&mut session.tracks);
        step(self.index, self.found, &mut tracks, frame);
        if let Some(session) = self.session(number, connection) {
            session.tracks = tracks;
        }
    }

    /// A resume that was never answered: its frames are judged among themselves.
    fn forget_waiting(&mut self, session: u32, only: Option<u64>) {
        let Some(session) = self.sessions.get_mut(&session) else { return };
        let is_it = |(waiting, _): &mut (u64, Vec<Frame>)| only.is_none_or(|c| c == *waiting);
        let Some((_, frames)) = session.waiting.take_if(is_it) else { return };
        let mut tracks = Tracks::new();
        for frame in frames {
            step(self.index, self.found, &mut tracks, frame);
        }
        for (room, track) in tracks {
            report_holes(self.index, self.found, room, &track);
        }
    }

    fn end(&mut self) {
        let sessions: Vec<u32> = self.sessions.keys().copied().collect();
        for number in sessions {
            self.forget_waiting(number, None);
            let Some(session) = self.sessions.get(&number) else { continue };
            for (room, track) in &session.tracks {
                report_holes(self.index, self.found, *room, track);
                if let Some(proof) = self.settled.get(&number) {
                    tail(self.index, self.found, *room, track, (number, *proof));
                }
            }
        }
    }
}

fn step(index: &Index<'_>, found: &mut Findings, tracks: &mut Tracks, frame: Frame) {
    let Frame { room, seq, entry } = frame;
    let name = index.room_name(room);
    match tracks.entry(room).or_default().step(seq, entry) {
        // A hole may still be filled by a late frame; it is reported at the end.
        Step::Good | Step::Ahead => {}
        Step::Late => {
            let text = format!("seq {seq} came after a later one");
            found.add(Invariant::I4, name, &[seq], &[entry], text);
        }
        Step::Twice => {
            let text = format!("seq {seq} came twice to one client");
            found.add(Invariant::I6, name, &[seq], &[entry], text);
        }
    }
}

fn report_holes(index: &Index<'_>, found: &mut Findings, room: RoomId, track: &Track) {
    for hole in track.end().0 {
        let text = format!("seqs {} to {} never came, and nobody said so", hole.first, hole.last);
        let seqs = [hole.first, hole.last];
        found.add(Invariant::I5, index.room_name(room), &seqs, &[hole.entry], text);
    }
}

/// A hole at the end shows only against what others know.
fn tail(
    index: &Index<'_>,
    found: &mut Findings,
    room: RoomId,
    track: &Track,
    (session, proof): (u32, usize),
) {
    let head = index.rooms.get(room).map_or(0, |room| room.head);
    if let Some(last) = track.end().1.filter(|last| *last < head) {
        let text = format!("session {session} settled at seq {last} of {head}");
        found.add(Invariant::I5, index.room_name(room), &[last, head], &[proof], text);
    }
}
