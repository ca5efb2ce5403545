import { type ReactNode, useState } from 'react';
import type { Room, RoomId } from '../../protocol/types';
import { useClient, usePresence, useSelect } from '../../state/react';
import { hasDraft, joinedRooms, peerOf, titleOf, unreadOf } from '../../state/selectors';
import { Avatar } from '../../ui/Avatar';
import { Button } from '../../ui/Button';
import { Icon } from '../../ui/Icon';
import { useRoving } from '../../ui/roving';
import { Search } from '../../ui/Search';
import { shortTime } from '../../ui/time';
import './room-list.css';

interface Props {
  current: RoomId | null;
  /** Where a room is shown. */
  hrefOf: (roomId: RoomId) => string;
}

/** Rooms one is in, latest activity first. */
export function RoomList({ current, hrefOf }: Props) {
  const client = useClient();
  const rooms = useSelect(joinedRooms);
  const list = useSelect((s) => s.roomList);
  const [filter, setFilter] = useState('');
  const onKeyDown = useRoving('a.room-item');
  const { get } = client.store;
  const wanted = filter.trim().toLocaleLowerCase();
  const shown =
    wanted === ''
      ? rooms
      : rooms.filter((room) => titleOf(get(), room).toLocaleLowerCase().includes(wanted));
  // One stop for Tab: the room that is open, else the first.
  const stop = shown.some((r) => r.roomId === current) ? current : (shown[0]?.roomId ?? null);
  return (
    <>
      <Search
        value={filter}
        onChange={setFilter}
        placeholder="Find a room"
        label="Find a room among yours"
      />
      <nav className="room-list" aria-label="Your rooms">
        <ul onKeyDown={onKeyDown}>
          {shown.map((room) => (
            <li key={room.roomId}>
              <RoomItem
                room={room}
                current={room.roomId === current}
                stop={room.roomId === stop}
                href={hrefOf(room.roomId)}
              />
            </li>
          ))}
        </ul>
        <Foot status={list.status} empty={shown.length === 0} filtered={wanted !== ''}>
          {list.nextCursor !== null && (
            <Button look="plain" onClick={() => void client.rooms.loadMore()}>
              Show more rooms
            </Button>
          )}
        </Foot>
      </nav>
    </>
  );
}

interface FootProps {
  status: 'loading' | 'ready' | 'failed';
  empty: boolean;
  filtered: boolean;
  children: ReactNode;
}

function Foot({ status, empty, filtered, children }: FootProps) {
  const client = useClient();
  if (status === 'failed') {
    return (
      <div className="room-list-note" role="alert">
        <p>Your rooms could not be loaded.</p>
        <Button icon="retry" onClick={() => void client.rooms.load()}>
          Try again
        </Button>
      </div>
    );
  }
  if (empty && status === 'loading') return <p className="room-list-note">Loading your rooms…</p>;
  if (empty && filtered) return <p className="room-list-note">None of your rooms has this name.</p>;
  if (empty) return <p className="room-list-note">You are in no room yet.</p>;
  return <div className="room-list-more">{children}</div>;
}

interface ItemProps {
  room: Room;
  current: boolean;
  stop: boolean;
  href: string;
}

function RoomItem({ room, current, stop, href }: ItemProps) {
  const title = useSelect((s) => titleOf(s, room));
  const unread = useSelect((s) => unreadOf(s, room));
  const draft = useSelect((s) => !current && hasDraft(s, room.roomId));
  return (
    <a
      className={`room-item ${unread > 0 ? 'room-item-unread' : ''}`}
      href={href}
      aria-current={current ? 'page' : undefined}
      tabIndex={stop ? 0 : -1}
    >
      <RoomMark room={room} />
      <span className="room-item-title">{title}</span>
      {draft && (
        <span className="room-item-draft" title="Something is written here, and not sent">
          <Icon name="edit" />
          <span className="visually-hidden">, with a draft</span>
        </span>
      )}
      {room.archived && <span className="room-item-tag">archived</span>}
      {unread > 0 ? (
        <span className="badge">
          {unread > 99 ? '99+' : unread}
          <span className="visually-hidden"> unread</span>
        </span>
      ) : (
        <span className="room-item-time" aria-hidden="true">
          {room.lastOrdinal > 0 && shortTime(room.lastActivityAt, Date.now())}
        </span>
      )}
    </a>
  );
}

function RoomMark({ room }: { room: Room }) {
  const peer = useSelect((s) => peerOf(s, room));
  const presence = usePresence(peer?.userId);
  if (peer) {
    const name = peer.displayName || peer.username;
    return <Avatar id={peer.userId} name={name} size="small" status={presence?.status} />;
  }
  const icon =
    room.type !== 'channel' ? 'people' : room.visibility === 'private' ? 'lock' : 'channel';
  return (
    <span className="room-mark">
      <Icon name={icon} />
    </span>
  );
}
