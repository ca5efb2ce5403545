import { type ReactNode, useCallback, useEffect, useRef, useState } from 'react';
import { Composer } from '../features/composer/Composer';
import { InvitationsDialog } from '../features/invitations/InvitationsDialog';
import { MembersPanel } from '../features/members/MembersPanel';
import { RoomHeader } from '../features/room-header/RoomHeader';
import { Timeline } from '../features/timeline/Timeline';
import { TypingLine } from '../features/typing/TypingLine';
import type { MessageId, Room, RoomId } from '../protocol/types';
import { useClient, useSelect } from '../state/react';
import { titleOf } from '../state/selectors';
import { Button } from '../ui/Button';
import { PageHead } from '../ui/PageHead';
import { go, inviteLink } from './route';
import { useNarrow } from './use-narrow';

/** One room: what was said, who is there, and where to write. */
export function RoomPage({ roomId, menu }: { roomId: RoomId; menu: ReactNode }) {
  const client = useClient();
  const narrow = useNarrow();
  const room = useSelect((s) => s.rooms[roomId]);
  const title = useSelect((s) => (room ? titleOf(s, room) : 'this room'));
  const failed = useSelect((s) => s.timelines[roomId]?.status === 'failed');
  const [members, setMembers] = useState(false);
  const membersButton = useRef<HTMLButtonElement>(null);
  const [inviting, setInviting] = useState(false);
  useEffect(() => {
    void client.rooms.open(roomId);
    return () => {
      client.typing.stop();
      client.rooms.close();
    };
  }, [client, roomId]);
  const reply = useCallback(
    (id: MessageId) => client.composing.reply(roomId, id),
    [client, roomId],
  );
  const edit = useCallback((id: MessageId) => client.composing.edit(roomId, id), [client, roomId]);
  const canWrite = room?.joined === true && !room.archived;
  return (
    <div className="room">
      {room ? (
        <RoomHeader
          room={room}
          menu={menu}
          membersShown={members}
          membersButton={membersButton}
          onToggleMembers={() => setMembers(!members)}
          onLeft={() => go('#/')}
        />
      ) : (
        <PageHead menu={menu} title={failed ? 'This room' : 'Loading…'} />
      )}
      <div className="room-body">
        <div className="room-talk" inert={narrow && members}>
          <Timeline
            roomId={roomId}
            title={title}
            canWrite={canWrite}
            onReply={reply}
            onEdit={edit}
          />
          {room?.joined && <TypingLine roomId={roomId} />}
          {canWrite && <Composer roomId={roomId} title={title} />}
          {room && !canWrite && <Closed room={room} />}
        </div>
        {room && members && (
          <MembersPanel
            room={room}
            onClose={() => {
              setMembers(false);
              membersButton.current?.focus();
            }}
            onInvite={() => setInviting(true)}
          />
        )}
      </div>
      {inviting && (
        <InvitationsDialog
          roomId={roomId}
          title={title}
          linkOf={inviteLink}
          onClose={() => setInviting(false)}
        />
      )}
    </div>
  );
}

/** In place of the composer where one may not write. */
function Closed({ room }: { room: Room }) {
  const client = useClient();
  const [busy, setBusy] = useState(false);
  if (room.archived)
    return <p className="closed">This room is archived. It can be read, not written.</p>;
  if (room.visibility !== 'public')
    return <p className="closed">You are not in this room any more.</p>;
  const join = async () => {
    setBusy(true);
    try {
      await client.rooms.join(room.roomId);
    } catch (error) {
      client.core.report(error);
    } finally {
      setBusy(false);
    }
  };
  return (
    <div className="closed">
      <p>You are looking at {room.name}.</p>
      <Button look="solid" busy={busy} onClick={() => void join()}>
        Join to write
      </Button>
    </div>
  );
}
