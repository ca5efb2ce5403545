import { memo } from 'react';
import type { MessageId } from '../../protocol/types';
import type { Outgoing } from '../../state/model';
import { useClient, useSelect } from '../../state/react';
import { nameOf } from '../../state/selectors';
import { Avatar } from '../../ui/Avatar';
import { Button } from '../../ui/Button';
import { Icon } from '../../ui/Icon';
import { Markdown } from '../../ui/Markdown';
import { clockTime } from '../../ui/time';
import { Quote } from './Quote';

/** A message that is not stored yet, as far as we know. */
export const OutgoingRow = memo(function OutgoingRow(props: {
  outgoing: Outgoing;
  continued: boolean;
  onJump: (id: MessageId) => void;
}) {
  const { outgoing, continued, onJump } = props;
  const me = useSelect((s) => s.me);
  const waiting = useSelect((s) => s.link.phase !== 'live');
  const paced = useSelect((s) => s.pacedUntil !== null);
  const failed = outgoing.status === 'failed';
  if (!me) return null;
  return (
    <div className={`message message-outgoing ${continued ? 'message-continued' : ''}`}>
      <div className="message-gutter">
        {!continued && <Avatar id={me.userId} name={nameOf(me)} />}
      </div>
      <div className="message-main">
        {outgoing.replyTo !== null && (
          <Quote roomId={outgoing.roomId} messageId={outgoing.replyTo} onJump={onJump} />
        )}
        {!continued && (
          <div className="message-head">
            <span className="message-author">{nameOf(me)}</span>
            <span className="message-time">{clockTime(outgoing.createdAt)}</span>
          </div>
        )}
        <div className={`message-body ${failed ? '' : 'message-pending'}`}>
          <Markdown source={outgoing.content} />
        </div>
        {failed && <Failed outgoing={outgoing} />}
        {!failed && (waiting || paced) && (
          <p className="message-waiting">
            <Icon name="clock" />{' '}
            {waiting
              ? 'Will be sent when the connection is back'
              : 'A little too fast: goes out by itself in a moment'}
          </p>
        )}
      </div>
    </div>
  );
});

function Failed({ outgoing }: { outgoing: Outgoing }) {
  const { sending } = useClient();
  const { clientMessageId, error } = outgoing;
  return (
    <div className="message-failed" role="alert">
      <span>
        <Icon name="warning" /> Not sent. {error}
      </span>
      <Button icon="retry" onClick={() => sending.retry(clientMessageId)}>
        Try again
      </Button>
      <Button look="plain" onClick={() => sending.discard(clientMessageId)}>
        Discard
      </Button>
    </div>
  );
}
