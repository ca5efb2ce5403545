import { useCallback, useEffect, useMemo, useRef, useState } from 'react';
import type { MessageId, RoomId } from '../../protocol/types';
import type { Timeline as TimelineState } from '../../state/model';
import { useClient, useSelect } from '../../state/react';
import { outboxOf } from '../../state/selectors';
import { Button } from '../../ui/Button';
import { Icon } from '../../ui/Icon';
import { dayLabel } from '../../ui/time';
import { VirtualList, type VirtualListHandle } from '../../ui/VirtualList';
import { DeleteDialog } from './DeleteDialog';
import { type MessageActions, MessageRow } from './MessageRow';
import { OutgoingRow } from './OutgoingRow';
import { mayAnchor, type Row, rowsOf, UNREAD_KEY } from './rows';
import './timeline.css';
import { useRowFocus } from './use-row-focus';

interface Props {
  roomId: RoomId;
  title: string;
  /** The asker may write here. */
  canWrite: boolean;
  onReply: (messageId: MessageId) => void;
  onEdit: (messageId: MessageId) => void;
}

/** A room's history: loads itself, goes back, and keeps its place. */
export function Timeline(props: Props) {
  const timeline = useSelect((s) => s.timelines[props.roomId]);
  const client = useClient();
  if (!timeline || (timeline.status === 'loading' && timeline.items.length === 0)) {
    return <Skeleton />;
  }
  if (timeline.status === 'failed' && timeline.items.length === 0) {
    return (
      <div className="timeline-note" role="alert">
        <Icon name="warning" />
        <p>{timeline.error}</p>
        <Button icon="retry" onClick={() => void client.rooms.open(props.roomId)}>
          Try again
        </Button>
      </div>
    );
  }
  return <History {...props} timeline={timeline} />;
}

const keyOf = (row: Row) => row.key;

function History({
  roomId,
  title,
  canWrite,
  onReply,
  onEdit,
  timeline,
}: Props & { timeline: TimelineState }) {
  const client = useClient();
  const me = useSelect((s) => s.me?.userId ?? '');
  const outbox = useSelect((s) => outboxOf(s, roomId));
  const rows = useMemo(() => rowsOf(timeline, outbox, me), [timeline, outbox, me]);
  const list = useRef<VirtualListHandle>(null);
  const [flash, setFlash] = useState<string | null>(null);
  const [deleting, setDeleting] = useState<MessageId | null>(null);
  const focus = useRowFocus(rows, list);
  const end = useEnd(roomId, rows, list);
  const jump = useCallback(
    async (messageId: MessageId) => {
      if (!(await client.history.seek(roomId, messageId))) return;
      const items = client.store.get().timelines[roomId]?.items ?? [];
      const key = items.find((m) => m.messageId === messageId)?.key;
      if (key === undefined) return;
      list.current?.scrollToKey(key);
      setFlash(key);
    },
    [client, roomId],
  );
  const actions: MessageActions = useMemo(
    () => ({ reply: onReply, edit: onEdit, remove: setDeleting, jump: (id) => void jump(id) }),
    [onReply, onEdit, jump],
  );
  const older = useCallback(() => {
    if (client.store.get().timelines[roomId]?.older === 'idle')
      void client.history.loadOlder(roomId);
  }, [client, roomId]);
  const render = (row: Row) => {
    if (row.kind === 'message') {
      const shared = { me, canWrite, actions, active: row.key === focus.active };
      return (
        <MessageRow
          {...shared}
          entry={row.entry}
          continued={row.continued}
          flash={row.key === flash}
        />
      );
    }
    if (row.kind === 'outgoing')
      return (
        <OutgoingRow outgoing={row.outgoing} continued={row.continued} onJump={actions.jump} />
      );
    return <Line row={row} title={title} onRetry={() => void client.history.loadOlder(roomId)} />;
  };
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: arrow keys move among the messages inside
    <div
      className="timeline"
      onKeyDown={focus.onKeyDown}
      onFocus={focus.onFocus}
      onBlur={focus.onBlur}
    >
      <VirtualList
        items={rows}
        keyOf={keyOf}
        mayAnchor={mayAnchor}
        render={render}
        estimate={64}
        label={`Messages in ${title}`}
        handle={list}
        onNearStart={older}
        onAtEnd={end.onAtEnd}
      />
      {!end.atEnd && <Jump news={end.news} list={list} />}
      {deleting !== null && (
        <DeleteDialog
          onClose={() => setDeleting(null)}
          onDelete={() => {
            setDeleting(null);
            void client.sending.remove(roomId, deleting);
          }}
        />
      )}
    </div>
  );
}

/** Leads to the end, and goes away there. */
function Jump({ news, list }: { news: number; list: { current: VirtualListHandle | null } }) {
  const jump = () => {
    list.current?.scrollToEnd();
    list.current?.focus();
  };
  return (
    <button type="button" className="timeline-jump" onClick={jump}>
      <Icon name="down" />
      {news > 0 ? `${news} new` : 'Latest'}
    </button>
  );
}

/** Follows the end: marks as read what is seen there, and counts what comes while one is not. */
function useEnd(roomId: RoomId, rows: readonly Row[], list: { current: VirtualListHandle | null }) {
  const client = useClient();
  const [atEnd, setAtEnd] = useState(true);
  const newest = useSelect((s) => s.rooms[roomId]?.lastOrdinal ?? 0);
  const [seen, setSeen] = useState(newest);
  const own = rows.at(-1)?.kind === 'outgoing' ? rows.at(-1)?.key : undefined;
  useEffect(() => {
    const look = () => {
      if (!atEnd || !document.hasFocus()) return;
      setSeen(newest);
      client.rooms.markRead(roomId);
    };
    look();
    window.addEventListener('focus', look);
    return () => window.removeEventListener('focus', look);
  }, [atEnd, newest, client, roomId]);
  // One sees what one has just sent.
  useEffect(() => {
    if (own !== undefined) list.current?.scrollToEnd();
  }, [own, list]);
  // Where reading stopped is more useful than the end.
  // biome-ignore lint/correctness/useExhaustiveDependencies: once, when the room is first shown
  useEffect(() => {
    if (rows.some((row) => row.key === UNREAD_KEY)) list.current?.scrollToKey(UNREAD_KEY);
  }, []);
  return { atEnd, onAtEnd: setAtEnd, news: atEnd ? 0 : Math.max(0, newest - seen) };
}

function Line({ row, title, onRetry }: { row: Row; title: string; onRetry: () => void }) {
  if (row.kind === 'day')
    return (
      <div className="line line-day">
        <span>{dayLabel(row.at, Date.now())}</span>
      </div>
    );
  if (row.kind === 'unread')
    return (
      <div className="line line-unread">
        <span>New</span>
      </div>
    );
  if (row.kind !== 'older') return null;
  switch (row.state) {
    case 'start':
      return (
        <div className="timeline-start">
          <p>This is where {title} begins.</p>
        </div>
      );
    case 'failed':
      return (
        <div className="timeline-older">
          Older messages could not be loaded. <Button onClick={onRetry}>Try again</Button>
        </div>
      );
    default:
      return (
        <div className="timeline-older">
          <span className="spinner" aria-hidden="true" /> Loading older messages…
        </div>
      );
  }
}

const WIDTHS = ['w1', 'w2', 'w3', 'w4', 'w2', 'w1'];

function Skeleton() {
  return (
    <div className="timeline timeline-skeleton" role="status" aria-label="Loading messages">
      {WIDTHS.map((width, i) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: a fixed list
        <div key={i} className="skeleton-row">
          <span className="skeleton-dot" />
          <span className={`skeleton-bar ${width}`} />
        </div>
      ))}
    </div>
  );
}
