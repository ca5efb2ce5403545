import { type ReactNode, type Ref, useState } from 'react';
import type { Room } from '../../protocol/types';
import { useClient, usePresence, useSelect } from '../../state/react';
import { peerOf, titleOf } from '../../state/selectors';
import { useDeed } from '../../state/use-deed';
import { STATUS_WORDS } from '../../ui/Avatar';
import { Button, IconButton } from '../../ui/Button';
import { Dialog } from '../../ui/Dialog';
import { FormError } from '../../ui/Field';
import { Icon } from '../../ui/Icon';
import { momentLabel } from '../../ui/time';
import './room-header.css';

interface Props {
  room: Room;
  menu: ReactNode;
  membersShown: boolean;
  membersButton: Ref<HTMLButtonElement>;
  onToggleMembers: () => void;
  onLeft: () => void;
}

/** What room this is, and what can be done with the whole of it. */
export function RoomHeader(props: Props) {
  const { room, menu, membersShown, membersButton, onToggleMembers, onLeft } = props;
  const title = useSelect((s) => titleOf(s, room));
  const [leaving, setLeaving] = useState(false);
  const count = room.memberCount.toLocaleString();
  const people = `${count} ${room.memberCount === 1 ? 'member' : 'members'}`;
  return (
    <header className="page-head room-header">
      {menu}
      <div className="room-header-text">
        <h1 tabIndex={-1}>
          {room.type === 'channel' && (
            <Icon name={room.visibility === 'private' ? 'lock' : 'channel'} />
          )}
          <span>{title}</span>
        </h1>
        {room.type === 'direct' ? (
          <Peer room={room} />
        ) : (
          (room.topic || room.description) && (
            <p className="room-header-topic">{room.topic || room.description}</p>
          )
        )}
      </div>
      <Button
        look="plain"
        icon="people"
        className="room-header-members"
        ref={membersButton}
        aria-pressed={membersShown}
        aria-label={`${people}: ${membersShown ? 'hide' : 'show'} the list`}
        title={people}
        onClick={onToggleMembers}
      >
        {count}
      </Button>
      {room.joined && room.type !== 'direct' && (
        <IconButton icon="leave" label="Leave this room" onClick={() => setLeaving(true)} />
      )}
      {leaving && (
        <LeaveDialog room={room} title={title} onClose={() => setLeaving(false)} onLeft={onLeft} />
      )}
    </header>
  );
}

/** Whether the other person of a direct room is there, and what they say of it. */
function Peer({ room }: { room: Room }) {
  const peer = useSelect((s) => peerOf(s, room)?.userId);
  const presence = usePresence(peer);
  if (!presence) return null;
  const seen = presence.lastSeen && `last seen ${momentLabel(presence.lastSeen, Date.now())}`;
  const words = [presence.emoji, presence.text].filter(Boolean).join(' ');
  const there = presence.status === 'offline' && seen ? seen : STATUS_WORDS[presence.status];
  return <p className="room-header-topic">{words === '' ? there : `${there} · ${words}`}</p>;
}

interface LeaveProps {
  room: Room;
  title: string;
  onClose: () => void;
  onLeft: () => void;
}

function LeaveDialog({ room, title, onClose, onLeft }: LeaveProps) {
  const client = useClient();
  const leave = useDeed(async () => {
    await client.rooms.leave(room.roomId);
    onClose();
    onLeft();
  });
  return (
    <Dialog title={`Leave ${title}?`} onClose={onClose}>
      <p>
        {room.visibility === 'public'
          ? 'You can come back whenever you like.'
          : 'It is private: to come back you need an invitation.'}
      </p>
      <FormError text={leave.error} />
      <div className="dialog-actions">
        <Button onClick={onClose}>Stay</Button>
        <Button look="danger" busy={leave.busy} onClick={() => void leave.run()}>
          Leave
        </Button>
      </div>
    </Dialog>
  );
}
