import { useEffect } from 'react';
import { seqOfMessageId } from '../../protocol/message-id';
import type { Message, MessageId, RoomId } from '../../protocol/types';
import { useClient, useSelect } from '../../state/react';
import { senderName } from '../../state/selectors';
import { entryAt } from '../../state/timeline';
import { Icon } from '../../ui/Icon';
import { plainText } from '../../ui/markdown';

interface Props {
  roomId: RoomId;
  messageId: MessageId;
  onJump: (id: MessageId) => void;
}

/** The message that is answered, in a line; gone and deleted ones say so. */
export function Quote({ roomId, messageId: id, onJump }: Props) {
  const client = useClient();
  const parent = useSelect((s): Message | null | undefined => {
    const loaded = entryAt(s.timelines[roomId]?.items ?? [], seqOfMessageId(id) ?? -1);
    return loaded ?? s.quotes[id];
  });
  const name = useSelect((s) => (parent ? senderName(s.users, parent.senderId) : ''));
  useEffect(() => {
    if (parent === undefined) client.history.needQuote(roomId, id);
  }, [client, parent, roomId, id]);
  if (parent === undefined) return <p className="quote quote-empty">…</p>;
  if (parent === null) return <p className="quote quote-empty">Reply to a message that is gone</p>;
  const words = parent.deletedAt !== null ? 'Message deleted' : plainText(parent.content);
  return (
    <button type="button" className="quote" onClick={() => onJump(id)} tabIndex={-1}>
      <Icon name="reply" />
      <span className="quote-author">{name}</span>
      <span className="quote-text">{words}</span>
    </button>
  );
}
