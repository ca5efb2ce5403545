import { useCallback, useMemo, useState } from 'react';
import type { Member, Room, User } from '../../protocol/types';
import { useClient, usePresence, useSelect } from '../../state/react';
import { nameOf } from '../../state/selectors';
import { Avatar } from '../../ui/Avatar';
import { Button, IconButton } from '../../ui/Button';
import { Dialog } from '../../ui/Dialog';
import { FormError } from '../../ui/Field';
import { UserPicker } from '../../ui/UserPicker';
import './members.css';

const RANK = { owner: 0, admin: 1, member: 2 } as const;

/** Who is in the room. */
export function MembersPanel({ room, onClose }: { room: Room; onClose: () => void }) {
  const client = useClient();
  const list = useSelect((s) => s.members[room.roomId]);
  const me = useSelect((s) => s.me?.userId);
  const [adding, setAdding] = useState(false);
  const sorted = useMemo(() => sort(list?.items ?? []), [list?.items]);
  return (
    <aside className="members" aria-label="Members">
      <header className="members-head">
        <h2>Members</h2>
        {room.joined && room.type !== 'direct' && !room.archived && (
          <IconButton icon="userPlus" label="Add people" onClick={() => setAdding(true)} />
        )}
        <IconButton icon="close" label="Close the list of members" onClick={onClose} />
      </header>
      <ul className="members-list">
        {sorted.map((member) => (
          <MemberItem key={member.userId} member={member} you={member.userId === me} />
        ))}
      </ul>
      {list?.status === 'failed' && <p className="members-note">The list could not be loaded.</p>}
      {(list?.status === 'failed' || list?.nextCursor) && (
        <Button look="plain" onClick={() => void client.rooms.loadMembers(room.roomId)}>
          {list.status === 'failed' ? 'Try again' : 'Show more'}
        </Button>
      )}
      {adding && <AddDialog room={room} members={sorted} onClose={() => setAdding(false)} />}
    </aside>
  );
}

function MemberItem({ member, you }: { member: Member; you: boolean }) {
  const presence = usePresence(member.userId);
  const words = [presence?.emoji, presence?.text].filter(Boolean).join(' ');
  return (
    <li className="member">
      <Avatar id={member.userId} name={nameOf(member)} size="small" status={presence?.status} />
      <span className="member-name">
        {nameOf(member)}
        {you && <span className="member-you"> (you)</span>}
        <small>{words === '' ? `@${member.username}` : words}</small>
      </span>
      {member.role !== 'member' && <span className="member-role">{member.role}</span>}
    </li>
  );
}

function sort(members: readonly Member[]): Member[] {
  return [...members].sort(
    (a, b) => RANK[a.role] - RANK[b.role] || nameOf(a).localeCompare(nameOf(b)),
  );
}

interface AddProps {
  room: Room;
  members: readonly Member[];
  onClose: () => void;
}

function AddDialog({ room, members, onClose }: AddProps) {
  const client = useClient();
  const [people, setPeople] = useState<User[]>([]);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string>();
  const there = useMemo(() => new Set(members.map((m) => m.userId)), [members]);
  const search = useCallback((query: string) => client.people.search(query), [client]);
  const add = async () => {
    setBusy(true);
    setError(undefined);
    const left = [...people];
    try {
      for (const user of people) {
        await client.rooms.invite(room.roomId, user.userId);
        left.shift();
      }
      onClose();
    } catch (problem) {
      // Those who were added before the failure need not be asked again.
      setPeople(left);
      setError(client.core.words(problem));
      setBusy(false);
    }
  };
  return (
    <Dialog title="Add people" onClose={onClose}>
      <UserPicker
        label="Who?"
        search={search}
        chosen={people}
        onChange={setPeople}
        without={there}
      />
      <FormError text={error} />
      <div className="dialog-actions">
        <Button onClick={onClose}>Cancel</Button>
        <Button look="solid" busy={busy} disabled={people.length === 0} onClick={() => void add()}>
          Add
        </Button>
      </div>
    </Dialog>
  );
}
