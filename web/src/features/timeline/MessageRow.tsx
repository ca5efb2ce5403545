import { type KeyboardEvent, memo } from 'react';
import type { MessageId } from '../../protocol/types';
import type { Change, Entry } from '../../state/model';
import { useSelect } from '../../state/react';
import { senderName } from '../../state/selectors';
import { Avatar } from '../../ui/Avatar';
import { BotMark } from '../../ui/BotMark';
import { IconButton } from '../../ui/Button';
import { Icon } from '../../ui/Icon';
import { Markdown } from '../../ui/Markdown';
import { clockTime, fullTime, momentLabel } from '../../ui/time';
import { Quote } from './Quote';

export interface MessageActions {
  reply: (messageId: MessageId) => void;
  edit: (messageId: MessageId) => void;
  remove: (messageId: MessageId) => void;
  jump: (messageId: MessageId) => void;
}

interface Props {
  entry: Entry;
  continued: boolean;
  me: string;
  canWrite: boolean;
  /** The one message that Tab reaches. */
  active: boolean;
  flash: boolean;
  actions: MessageActions;
}

/** One stored message with what can be done with it. */
export const MessageRow = memo(function MessageRow(props: Props) {
  const { continued, active, flash, actions } = props;
  const change = useSelect((s) => s.changes[props.entry.messageId]);
  const entry = shown(props.entry, change);
  const name = useSelect((s) => senderName(s.users, entry.senderId));
  const deleted = entry.deletedAt !== null;
  const mine = entry.senderId === props.me && props.canWrite && !deleted;
  const can = { reply: props.canWrite && !deleted, edit: mine, remove: mine };
  const onKeyDown = (event: KeyboardEvent<HTMLElement>) => {
    if (event.target !== event.currentTarget || event.ctrlKey || event.metaKey) return;
    const act = keyAction(event.key, can);
    if (!act) return;
    event.preventDefault();
    actions[act](entry.messageId);
  };
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: a message takes keys for its actions
    <div
      className={`message ${continued ? 'message-continued' : ''} ${flash ? 'message-flash' : ''}`}
      data-row={entry.key}
      data-seq={entry.seq}
      data-place
      tabIndex={active ? 0 : -1}
      onKeyDown={onKeyDown}
    >
      <Gutter continued={continued} entry={entry} name={name} />
      <div className="message-main">
        {entry.replyTo !== null && (
          <Quote roomId={entry.roomId} messageId={entry.replyTo} onJump={actions.jump} />
        )}
        <Head continued={continued} entry={entry} name={name} />
        <Body entry={entry} />
      </div>
      <Toolbar can={can} active={active} entry={entry} name={name} actions={actions} />
    </div>
  );
});

type Can = Record<'reply' | 'edit' | 'remove', boolean>;

function keyAction(key: string, can: Can): keyof Can | undefined {
  if (key === 'r' && can.reply) return 'reply';
  if (key === 'e' && can.edit) return 'edit';
  return key === 'Delete' && can.remove ? 'remove' : undefined;
}

/** The message as it will be once the server has told of our own change. */
function shown(entry: Entry, change: Change | undefined): Entry {
  if (!change) return entry;
  if (change.kind === 'delete') return { ...entry, content: '', deletedAt: entry.createdAt };
  return { ...entry, content: change.content, editedAt: entry.editedAt ?? entry.createdAt };
}

function Gutter({ continued, entry, name }: { continued: boolean; entry: Entry; name: string }) {
  return (
    <div className="message-gutter">
      {continued ? (
        <time className="message-time" dateTime={entry.createdAt} title={fullTime(entry.createdAt)}>
          {clockTime(entry.createdAt)}
        </time>
      ) : (
        <Avatar id={entry.senderId} name={name} />
      )}
    </div>
  );
}

function Head({ continued, entry, name }: { continued: boolean; entry: Entry; name: string }) {
  const bot = useSelect((s) => s.users[entry.senderId]?.bot === true);
  // The name stands above each group; for a screen reader it stands before each message.
  if (continued) return <span className="visually-hidden">{name}: </span>;
  return (
    <div className="message-head">
      <span className="message-author">{name}</span>
      {bot && <BotMark />}
      <time className="message-time" dateTime={entry.createdAt} title={fullTime(entry.createdAt)}>
        {momentLabel(entry.createdAt, Date.now())}
      </time>
    </div>
  );
}

function Body({ entry }: { entry: Entry }) {
  if (entry.deletedAt !== null) {
    return (
      <p className="message-deleted">
        <Icon name="trash" /> Message deleted
      </p>
    );
  }
  return (
    <div className="message-body">
      <Markdown source={entry.content} />
      {entry.editedAt !== null && (
        <span className="message-edited" title={`Edited ${fullTime(entry.editedAt)}`}>
          (edited)
        </span>
      )}
    </div>
  );
}

interface ToolbarProps {
  can: Can;
  active: boolean;
  entry: Entry;
  name: string;
  actions: MessageActions;
}

function Toolbar({ can, active, entry, name, actions }: ToolbarProps) {
  if (!can.reply && !can.edit && !can.remove) return null;
  const tab = active ? 0 : -1;
  const label = `Actions for the message of ${name} at ${clockTime(entry.createdAt)}`;
  return (
    <div className="message-tools" role="toolbar" aria-label={label}>
      {can.reply && (
        <IconButton
          icon="reply"
          label="Reply"
          tabIndex={tab}
          onClick={() => actions.reply(entry.messageId)}
        />
      )}
      {can.edit && (
        <IconButton
          icon="edit"
          label="Edit"
          tabIndex={tab}
          onClick={() => actions.edit(entry.messageId)}
        />
      )}
      {can.remove && (
        <IconButton
          icon="trash"
          label="Delete"
          tabIndex={tab}
          onClick={() => actions.remove(entry.messageId)}
        />
      )}
    </div>
  );
}
