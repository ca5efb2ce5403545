import { type ReactNode, useCallback, useState } from 'react';
import { mayGoAbout } from '../../protocol/permission';
import type { Room, RoomId } from '../../protocol/types';
import { useClient, useSelect } from '../../state/react';
import { useList } from '../../state/use-list';
import { Button } from '../../ui/Button';
import { Icon } from '../../ui/Icon';
import { ListEnd } from '../../ui/ListEnd';
import { Search } from '../../ui/Search';
import './browse.css';

interface Props {
  /** The button that opens the room list on phones. */
  menu: ReactNode;
  hrefOf: (roomId: RoomId) => string;
  onOpen: (roomId: RoomId) => void;
}

/** Public channels, to look at and to join. */
export function BrowsePage({ menu, hrefOf, onOpen }: Props) {
  const may = useSelect((s) => mayGoAbout(s.me?.role));
  return (
    <div className="browse">
      <header className="page-head">
        {menu}
        <h1 tabIndex={-1}>Browse channels</h1>
      </header>
      <div className="browse-body">
        {may ? (
          <Channels hrefOf={hrefOf} onOpen={onOpen} />
        ) : (
          <p className="browse-status">
            You are a guest here: you see the rooms that somebody brought you into.
          </p>
        )}
      </div>
    </div>
  );
}

function Channels({ hrefOf, onOpen }: Omit<Props, 'menu'>) {
  const client = useClient();
  const read = useCallback((cursor?: string) => client.rooms.browse(cursor), [client]);
  const { items: rooms, status, hasMore, more, again } = useList(read);
  const [filter, setFilter] = useState('');
  const wanted = filter.trim().toLocaleLowerCase();
  const shown = rooms.filter((r) => (r.name ?? '').toLocaleLowerCase().includes(wanted));
  return (
    <>
      <Search value={filter} onChange={setFilter} placeholder="Find a channel" />
      <ul className="browse-list">
        {shown.map((room) => (
          <li key={room.roomId}>
            <Card room={room} href={hrefOf(room.roomId)} onOpen={onOpen} />
          </li>
        ))}
      </ul>
      <p className="browse-status" role="status">
        {words(status, shown.length, wanted !== '')}
      </p>
      <ListEnd status={status} hasMore={hasMore} onMore={more} onAgain={again} />
    </>
  );
}

type Status = 'loading' | 'ready' | 'failed';

function words(status: Status, count: number, filtered: boolean): string {
  if (status === 'loading') return 'Loading…';
  if (status === 'failed') return 'The channels could not be loaded.';
  if (count > 0) return '';
  return filtered ? 'No channel has this name.' : 'There are no public channels yet.';
}

function Card({ room, href, onOpen }: { room: Room; href: string; onOpen: (id: RoomId) => void }) {
  const client = useClient();
  const [busy, setBusy] = useState(false);
  const joined = useSelect((s) => s.rooms[room.roomId]?.joined ?? room.joined);
  const join = async () => {
    setBusy(true);
    try {
      await client.rooms.join(room.roomId);
      onOpen(room.roomId);
    } catch (error) {
      client.core.report(error);
    } finally {
      setBusy(false);
    }
  };
  return (
    <article className="browse-card">
      <span className="room-mark">
        <Icon name="channel" />
      </span>
      <div className="browse-text">
        <h2>
          <a href={href}>{room.name}</a>
        </h2>
        <p>
          {room.memberCount.toLocaleString()} {room.memberCount === 1 ? 'member' : 'members'}
          {(room.topic ?? room.description) ? ` · ${room.topic ?? room.description}` : ''}
        </p>
      </div>
      {joined ? (
        <span className="browse-joined">
          <Icon name="check" /> Joined
        </span>
      ) : (
        <Button busy={busy} onClick={() => void join()} aria-label={`Join ${room.name}`}>
          Join
        </Button>
      )}
    </article>
  );
}
