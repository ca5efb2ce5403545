import { useCallback, useDeferredValue, useState } from 'react';
import type { Account, AccountPatch, ServerRole } from '../../protocol/trust';
import { useClient, useSelect } from '../../state/react';
import { nameOf } from '../../state/selectors';
import { useDeed } from '../../state/use-deed';
import { useList } from '../../state/use-list';
import { Avatar } from '../../ui/Avatar';
import { Button } from '../../ui/Button';
import { CopyText } from '../../ui/CopyText';
import { Dialog } from '../../ui/Dialog';
import { FormError } from '../../ui/Field';
import { ListEnd } from '../../ui/ListEnd';
import { Search } from '../../ui/Search';
import { Select } from '../../ui/Select';
import { momentLabel } from '../../ui/time';

const ROLES: readonly { value: ServerRole; words: string }[] = [
  { value: 'guest', words: 'Guest' },
  { value: 'member', words: 'Member' },
  { value: 'admin', words: 'Administrator' },
];

/** A program runs the server only in the name of a person. */
const BOT_ROLES = ROLES.filter(({ value }) => value !== 'admin');

/** All accounts: their roles, and who is locked out. */
export function PeoplePart({ resetLinkOf }: { resetLinkOf: (token: string) => string }) {
  const client = useClient();
  const [query, setQuery] = useState('');
  const wanted = useDeferredValue(query.trim());
  const read = useCallback(
    (cursor?: string) => client.administration.accounts(wanted, cursor),
    [client, wanted],
  );
  const { items, setItems, status, hasMore, more, again } = useList(read);
  const [said, setSaid] = useState('');
  const changed = (account: Account, words: string) => {
    setItems((old) => old.map((a) => (a.userId === account.userId ? account : a)));
    setSaid(words);
  };
  return (
    <section className="sheet-part" aria-labelledby="people">
      <h2 id="people" tabIndex={-1}>
        People
      </h2>
      <Search
        value={query}
        onChange={setQuery}
        placeholder="Find by name"
        label="Find people by name"
      />
      <ul className="things" aria-label="Accounts">
        {items.map((account) => (
          <Person
            key={account.userId}
            account={account}
            onChanged={changed}
            resetLinkOf={resetLinkOf}
          />
        ))}
      </ul>
      <p className="sheet-note" role="status">
        {status === 'loading' && items.length === 0 && 'Loading…'}
        {status === 'failed' && 'The accounts could not be loaded.'}
        {status === 'ready' && (items.length === 0 ? 'Nobody of this name.' : said)}
      </p>
      <ListEnd status={status} hasMore={hasMore} onMore={more} onAgain={again} />
    </section>
  );
}

interface PersonProps {
  account: Account;
  onChanged: (account: Account, words: string) => void;
  resetLinkOf: (token: string) => string;
}

function Person({ account, onChanged, resetLinkOf }: PersonProps) {
  const client = useClient();
  const me = useSelect((s) => s.me?.userId);
  const [busy, setBusy] = useState(false);
  const [dialog, setDialog] = useState<'lock' | 'link'>();
  const name = nameOf(account) || 'Erased';
  const change = async (patch: AccountPatch, words: string) => {
    if (busy) return;
    setBusy(true);
    try {
      onChanged(await client.administration.change(account.userId, patch), words);
    } catch (error) {
      client.core.report(error);
    } finally {
      setBusy(false);
    }
  };
  const choose = (role: ServerRole) => void change({ role }, `${name} is ${role} now.`);
  return (
    <li className={`thing ${account.banned ? 'thing-over' : ''}`}>
      <Avatar id={account.userId} name={name} size="small" />
      <span className="thing-text">
        {name} {account.banned && <span className="thing-mark">Locked out</span>}
        {account.bot && <span className="thing-mark">Bot</span>}
        <small>{about(account)}</small>
      </span>
      <Select
        bare
        label={`Role of ${name}`}
        choices={account.bot ? BOT_ROLES : ROLES}
        value={account.role}
        aria-disabled={busy || undefined}
        onChange={(event) => choose(event.target.value as ServerRole)}
      />
      {!account.bot && account.userId !== me && (
        <Button aria-disabled={busy || undefined} onClick={() => setDialog('link')}>
          Password<span className="visually-hidden"> of {name}</span>
        </Button>
      )}
      {account.userId !== me && (
        <Button
          aria-disabled={busy || undefined}
          onClick={() =>
            account.banned
              ? void change({ banned: false }, `${name} may come in again.`)
              : setDialog('lock')
          }
        >
          {account.banned ? 'Let in' : 'Lock out'}
          <span className="visually-hidden"> {name}</span>
        </Button>
      )}
      {dialog === 'lock' && (
        <LockDialog
          name={name}
          onClose={() => setDialog(undefined)}
          onLock={() => {
            setDialog(undefined);
            void change({ banned: true }, `${name} is locked out.`);
          }}
        />
      )}
      {dialog === 'link' && (
        <LinkDialog account={account} linkOf={resetLinkOf} onClose={() => setDialog(undefined)} />
      )}
    </li>
  );
}

function about({ username, email, createdAt }: Account): string {
  const since = `since ${momentLabel(createdAt, Date.now())}`;
  return [username && `@${username}`, email, since].filter(Boolean).join(' · ');
}

interface LockProps {
  name: string;
  onLock: () => void;
  onClose: () => void;
}

function LockDialog({ name, onLock, onClose }: LockProps) {
  return (
    <Dialog title={`Lock ${name} out?`} onClose={onClose}>
      <p>They are signed out at once on all devices, and cannot sign in until you let them.</p>
      <div className="dialog-actions">
        <Button onClick={onClose}>Cancel</Button>
        <Button look="danger" onClick={onLock}>
          Lock out
        </Button>
      </div>
    </Dialog>
  );
}

interface LinkProps {
  account: Account;
  linkOf: (token: string) => string;
  onClose: () => void;
}

function LinkDialog({ account, linkOf, onClose }: LinkProps) {
  const client = useClient();
  const [link, setLink] = useState<string>();
  const { busy, error, run } = useDeed(async () => {
    setLink(linkOf(await client.administration.resetToken(account.userId)));
  });
  return (
    <Dialog title={`New password for ${nameOf(account)}`} onClose={onClose}>
      <p>A link by which they choose a new password. It works once, for 30 minutes.</p>
      <FormError text={error} />
      {link ? (
        <CopyText label="The link" hint="Give it to nobody else." text={link} icon="link" fresh />
      ) : (
        <div className="dialog-actions">
          <Button onClick={onClose}>Cancel</Button>
          <Button look="solid" busy={busy} onClick={() => void run()}>
            Make a link
          </Button>
        </div>
      )}
    </Dialog>
  );
}
