import { useCallback } from 'react';
import type { AuditEntry } from '../../protocol/trust';
import { useClient, useSelect } from '../../state/react';
import { senderName } from '../../state/selectors';
import { useList } from '../../state/use-list';
import { ListEnd } from '../../ui/ListEnd';
import { fullTime, momentLabel } from '../../ui/time';

/** What each act is called; `%` stands for whom it was done to. */
const ACTS: Readonly<Record<string, string>> = {
  role_changed: 'changed the role of %',
  banned: 'locked % out',
  unbanned: 'let % in again',
  invitation_made: 'made an invitation',
  invitation_revoked: 'took back an invitation',
  bot_made: 'made the bot %',
  token_made: 'made a token for %',
  token_revoked: 'ended a token of %',
  keys_rotated: 'changed the keys that sign tokens',
  imported: 'brought in rooms and messages',
  reset_link_made: 'made a password link for %',
  user_made: 'made an account for %',
  user_exported: 'exported everything of %',
  user_erased: 'erased %',
};

/** What administrators did, newest first. */
export function AuditPart() {
  const client = useClient();
  const read = useCallback((cursor?: string) => client.administration.audit(cursor), [client]);
  const { items, status, hasMore, more, again } = useList(read);
  return (
    <section className="sheet-part" aria-labelledby="audit">
      <h2 id="audit" tabIndex={-1}>
        Audit log
      </h2>
      <p className="sheet-note">What was done to this server, newest first.</p>
      <ol className="things" aria-label="Audit log">
        {items.map((entry) => (
          <Entry key={`${entry.at} ${entry.act} ${entry.userId} ${entry.objectId}`} entry={entry} />
        ))}
      </ol>
      <p className="sheet-note" role="status">
        {status === 'loading' && items.length === 0 && 'Loading…'}
        {status === 'failed' && 'The log could not be loaded.'}
        {status === 'ready' && items.length === 0 && 'Nothing was done yet.'}
      </p>
      <ListEnd status={status} hasMore={hasMore} onMore={more} onAgain={again} />
    </section>
  );
}

function Entry({ entry }: { entry: AuditEntry }) {
  const by = useSelect((s) =>
    entry.by === undefined ? 'Someone at the machine' : senderName(s.users, entry.by),
  );
  const whom = useSelect((s) =>
    entry.userId === undefined ? 'someone' : senderName(s.users, entry.userId),
  );
  const room = useSelect((s) =>
    entry.roomId === undefined ? undefined : (s.rooms[entry.roomId]?.name ?? 'a room'),
  );
  // A newer server may know acts that this page has no words for.
  const did = (ACTS[entry.act] ?? entry.act.replaceAll('_', ' ')).replace('%', () => whom);
  return (
    <li className="thing">
      <span className="thing-text">
        {by} {did}
        {room && ` to ${room}`}
        {entry.role && ` ${entry.act === 'role_changed' ? 'to' : 'as'} ${entry.role}`}
        <small>
          <time dateTime={entry.at} title={fullTime(entry.at)}>
            {momentLabel(entry.at, Date.now())}
          </time>
        </small>
      </span>
    </li>
  );
}
