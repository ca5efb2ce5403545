import { useCallback, useState } from 'react';
import type { SessionInfo } from '../../protocol/trust';
import { useClient } from '../../state/react';
import { useDeed } from '../../state/use-deed';
import { useList } from '../../state/use-list';
import { Button } from '../../ui/Button';
import { Dialog } from '../../ui/Dialog';
import { deviceName } from '../../ui/device';
import { FormError } from '../../ui/Field';
import { ListEnd } from '../../ui/ListEnd';
import { momentLabel } from '../../ui/time';

/** Where one is signed in, and the way to end that. */
export function Devices() {
  const client = useClient();
  const read = useCallback(
    async () => ({ items: await client.account.sessions(), nextCursor: null }),
    [client],
  );
  const { items, setItems, status, again } = useList(read);
  const [said, setSaid] = useState('');
  const [everywhere, setEverywhere] = useState(false);
  const ended = (session: SessionInfo) => {
    setItems((old) => old.filter((s) => s.sessionId !== session.sessionId));
    setSaid(`Signed out: ${deviceName(session.device)}.`);
  };
  return (
    <section className="sheet-part" aria-labelledby="devices">
      <h2 id="devices" tabIndex={-1}>
        Sessions and devices
      </h2>
      <p className="sheet-note">
        You are signed in on these. If you do not know one, sign it out and change your password.
      </p>
      <ul className="things">
        {items.map((session) => (
          <Device key={session.sessionId} session={session} onEnded={() => ended(session)} />
        ))}
      </ul>
      <p className="sheet-note" role="status">
        {status === 'loading' && items.length === 0 ? 'Loading…' : said}
        {status === 'failed' && 'The list could not be loaded.'}
      </p>
      <div className="account-actions">
        <ListEnd status={status} onAgain={again} />
        <Button icon="leave" onClick={() => setEverywhere(true)}>
          Sign out everywhere
        </Button>
      </div>
      {everywhere && <EverywhereDialog onClose={() => setEverywhere(false)} />}
    </section>
  );
}

function Device({ session, onEnded }: { session: SessionInfo; onEnded: () => void }) {
  const client = useClient();
  const [busy, setBusy] = useState(false);
  const name = deviceName(session.device);
  const used = momentLabel(session.usedAt, Date.now());
  const end = async () => {
    setBusy(true);
    try {
      await client.account.endSession(session.sessionId);
      onEnded();
    } catch (error) {
      client.core.report(error);
      setBusy(false);
    }
  };
  return (
    <li className="thing">
      <span className="thing-text">
        {name}
        <small>
          Last used {used} · signed in {momentLabel(session.createdAt, Date.now())}
        </small>
      </span>
      {session.current ? (
        <span className="thing-mark">This device</span>
      ) : (
        <Button
          busy={busy}
          aria-label={`Sign out ${name}, last used ${used}`}
          onClick={() => void end()}
        >
          Sign out
        </Button>
      )}
    </li>
  );
}

function EverywhereDialog({ onClose }: { onClose: () => void }) {
  const client = useClient();
  const { busy, error, run } = useDeed(() => client.account.signOutEverywhere());
  return (
    <Dialog title="Sign out everywhere?" onClose={onClose}>
      <p>All your devices are signed out, this one too. What you have not sent yet is lost.</p>
      <FormError text={error} />
      <div className="dialog-actions">
        <Button onClick={onClose}>Stay signed in</Button>
        <Button look="danger" busy={busy} onClick={() => void run()}>
          Sign out everywhere
        </Button>
      </div>
    </Dialog>
  );
}
