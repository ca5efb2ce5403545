import { useMemo, useState } from 'react';
import { mayInviteByLink, mayRemove, rolesFor } from '../../protocol/permission';
import type { Member, Room } from '../../protocol/types';
import { useClient, usePresence, useSelect } from '../../state/react';
import { nameOf } from '../../state/selectors';
import { Avatar } from '../../ui/Avatar';
import { BotMark } from '../../ui/BotMark';
import { Button, IconButton } from '../../ui/Button';
import { AddDialog } from './AddDialog';
import { MemberDialog } from './MemberDialog';
import './members.css';

const RANK = { owner: 0, admin: 1, member: 2 } as const;

interface Props {
  room: Room;
  onClose: () => void;
  /** Shows the links that lead into the room. */
  onInvite: () => void;
}

/** Who is in the room, and what one may do about it. */
export function MembersPanel({ room, onClose, onInvite }: Props) {
  const client = useClient();
  const list = useSelect((s) => s.members[room.roomId]);
  const me = useSelect((s) => s.me?.userId);
  const links = useSelect((s) => mayInviteByLink(room, s.me?.role));
  const [adding, setAdding] = useState(false);
  const [managed, setManaged] = useState<Member>();
  const [said, setSaid] = useState('');
  const sorted = useMemo(() => sort(list?.items ?? []), [list?.items]);
  return (
    <aside className="members" aria-label="Members">
      <header className="members-head">
        <h2 tabIndex={-1}>Members</h2>
        {room.joined && room.type !== 'direct' && !room.archived && (
          <IconButton icon="userPlus" label="Add people" onClick={() => setAdding(true)} />
        )}
        {links && <IconButton icon="link" label="Invite by a link" onClick={onInvite} />}
        <IconButton icon="close" label="Close the list of members" onClick={onClose} />
      </header>
      <ul className="members-list">
        {sorted.map((member) => (
          <MemberItem
            key={member.userId}
            member={member}
            you={member.userId === me}
            {...(mayManage(room, member, me) ? { onManage: () => setManaged(member) } : {})}
          />
        ))}
      </ul>
      <p className="visually-hidden" role="status">
        {said}
      </p>
      {list?.status === 'failed' && <p className="members-note">The list could not be loaded.</p>}
      {(list?.status === 'failed' || list?.nextCursor) && (
        <Button look="plain" onClick={() => void client.rooms.loadMembers(room.roomId)}>
          {list.status === 'failed' ? 'Try again' : 'Show more'}
        </Button>
      )}
      {managed && (
        <MemberDialog
          room={room}
          member={managed}
          you={managed.userId === me}
          onDone={setSaid}
          onClose={() => setManaged(undefined)}
        />
      )}
      {adding && <AddDialog room={room} members={sorted} onClose={() => setAdding(false)} />}
    </aside>
  );
}

interface ItemProps {
  member: Member;
  you: boolean;
  onManage?: () => void;
}

function MemberItem({ member, you, onManage }: ItemProps) {
  const presence = usePresence(member.userId);
  const words = [presence?.emoji, presence?.text].filter(Boolean).join(' ');
  return (
    <li className="member">
      <Avatar id={member.userId} name={nameOf(member)} size="small" status={presence?.status} />
      <span className="member-name">
        <span className="member-called">
          <span title={nameOf(member)}>{nameOf(member)}</span>
          {you && <span className="member-you"> (you)</span>}
        </span>
        <small>
          {member.role !== 'member' && (
            <>
              <span className="member-role">{member.role}</span>
              {' · '}
            </>
          )}
          {words === '' ? `@${member.username}` : words}
        </small>
      </span>
      {member.bot && <BotMark />}
      {onManage && (
        <IconButton
          icon="more"
          label={`Role of ${nameOf(member)}, and removing them`}
          aria-haspopup="dialog"
          onClick={onManage}
        />
      )}
    </li>
  );
}

/** Whether there is anything that one may do about a member. */
function mayManage(room: Room, member: Member, me: string | undefined): boolean {
  if (!room.joined || room.archived || room.type === 'direct') return false;
  if (rolesFor(room.role).length > 0) return true;
  return member.userId !== me && mayRemove(room.role, member.role);
}

function sort(members: readonly Member[]): Member[] {
  return [...members].sort(
    (a, b) => RANK[a.role] - RANK[b.role] || nameOf(a).localeCompare(nameOf(b)),
  );
}
