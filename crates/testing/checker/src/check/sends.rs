//! I1, I3 (acknowledgements), I7, I24 and whether each room can be judged at all.

use std::collections::BTreeSet;

use super::Findings;
use super::index::{Ack, End, Index, RoomId, Sent};
use crate::report::Invariant;

pub(crate) fn check(index: &Index<'_>, found: &mut Findings) {
    let mut unread = BTreeSet::new();
    for (number, send) in index.sends.iter().enumerate() {
        agree(index, send, found);
        if send.first_ack().is_some() && index.truth(send.room).is_none() {
            unread.insert(send.room);
        } else {
            stored(index, send, found);
        }
        refused(index, number, send, found);
    }
    for room in unread {
        let text = "acknowledged sends and no final read";
        found.add(Invariant::Incomplete, index.room_name(room), &[], &[], text);
    }
    real_time(index, found);
}

/// I3: every acknowledgement of one client id names the same message.
fn agree(index: &Index<'_>, send: &Sent<'_>, found: &mut Findings) {
    let Some(first) = send.first_ack() else { return };
    for ack in send.acks() {
        let same = |a: &Ack<'_>, b: &Ack<'_>| {
            a.message == b.message && a.seq == b.seq && a.ordinal == b.ordinal
        };
        if !same(&first, &ack) {
            let text = format!("a retry of {} was answered otherwise", send.client);
            let room = index.room_name(send.room);
            let proof = [first.entry, ack.entry];
            found.add(Invariant::I3, room, &[first.seq, ack.seq], &proof, text);
        }
    }
}

/// I1: what was acknowledged is in the final read, at its place.
fn stored(index: &Index<'_>, send: &Sent<'_>, found: &mut Findings) {
    let (Some(ack), Some(truth)) = (send.first_ack(), index.truth(send.room)) else { return };
    let room = index.room_name(send.room);
    let proof = [ack.entry, truth.entry];
    match truth.by_message.get(ack.message.as_str()) {
        None => {
            let text = format!("acknowledged message {} is not in the final read", ack.message);
            found.add(Invariant::I1, room, &[ack.seq], &proof, text);
        }
        Some(item) if item.seq != ack.seq => {
            let text = format!("message {} was acknowledged at another seq", ack.message);
            found.add(Invariant::I1, room, &[ack.seq, item.seq], &proof, text);
        }
        Some(item) if item.ordinal.is_some() && item.ordinal != ack.ordinal => {
            let text = format!("message {} was acknowledged with another ordinal", ack.message);
            found.add(Invariant::I4, room, &[ack.seq], &proof, text);
        }
        Some(_) => {}
    }
}

/// I24: a send whose every attempt was refused is nowhere to be seen.
fn refused(index: &Index<'_>, number: usize, send: &Sent<'_>, found: &mut Findings) {
    if !send.attempts.iter().all(|attempt| matches!(attempt.end, End::Fail)) {
        return;
    }
    let (Some(seq), Some(attempt)) = (index.visible_seq(number), send.first_invoke()) else {
        return;
    };
    let text = format!("{} was refused and is there", send.client);
    found.add(Invariant::I24, index.room_name(send.room), &[seq], &[attempt.invoke], text);
}

/// A write with a known place in the room's order.
struct Write {
    room: RoomId,
    seq: u64,
    invoke: (u64, usize),
    ack: Option<(u64, usize)>,
}

/// I7: per room from the end, no write was acknowledged before a write of smaller seq was asked.
fn real_time(index: &Index<'_>, found: &mut Findings) {
    let mut writes: Vec<Write> = index
        .sends
        .iter()
        .enumerate()
        .filter_map(|(number, send)| of_send(index, number, send))
        .collect();
    for ((room, _), changes) in &index.changes {
        for change in changes {
            let Some((seq, entry, at)) = change.ack else { continue };
            let invoke = (change.at, change.invoke);
            writes.push(Write { room: *room, seq, invoke, ack: Some((at, entry)) });
        }
    }
    writes.sort_by_key(|write| (write.room, std::cmp::Reverse(write.seq)));
    let mut room = None;
    let mut earliest: Option<(u64, usize, u64)> = None;
    for write in &writes {
        if room != Some(write.room) {
            room = Some(write.room);
            earliest = None;
        }
        if let Some((at, entry, seq)) = earliest
            && at < write.invoke.0
        {
            let text = format!("seq {seq} was acknowledged before seq {} was asked", write.seq);
            let proof = [entry, write.invoke.1];
            let name = index.room_name(write.room);
            found.add(Invariant::I7, name, &[seq, write.seq], &proof, text);
        }
        if let Some((at, entry)) = write.ack
            && earliest.is_none_or(|(known, ..)| at < known)
        {
            earliest = Some((at, entry, write.seq));
        }
    }
}

fn of_send(index: &Index<'_>, number: usize, send: &Sent<'_>) -> Option<Write> {
    let first = send.first_invoke()?;
    let invoke = (first.at, first.invoke);
    let room = send.room;
    if let Some(ack) = send.first_ack() {
        return Some(Write { room, seq: ack.seq, invoke, ack: Some((ack.at, ack.entry)) });
    }
    // Of unknown outcome and yet there: its place was taken after it was asked.
    let seq = index.visible_seq(number)?;
    Some(Write { room, seq, invoke, ack: None })
}
