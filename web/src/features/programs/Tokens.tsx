import { useCallback, useId, useState } from 'react';
import type { ApiToken } from '../../protocol/trust';
import type { UserId } from '../../protocol/types';
import { hasEnded } from '../../state/programs';
import { useClient, useSelect } from '../../state/react';
import { senderName } from '../../state/selectors';
import { useDeed } from '../../state/use-deed';
import { useList } from '../../state/use-list';
import { Button } from '../../ui/Button';
import { Dialog } from '../../ui/Dialog';
import { FormError } from '../../ui/Field';
import { ListEnd } from '../../ui/ListEnd';
import { momentLabel } from '../../ui/time';
import { MadeToken } from './MadeToken';
import { TokenForm } from './TokenForm';
import { SCOPES } from './words';
import '../../ui/sheet.css';
import './programs.css';

interface Props {
  /** Whose they are; one's own without. */
  bot?: UserId;
  /** The role of whoever they act as, as the server tells it. */
  role: string | undefined;
  heading: string;
  note: string;
}

/** Tokens by which programs act: makes them, lists them, ends them. */
export function Tokens({ bot, role, heading, note }: Props) {
  const client = useClient();
  const id = useId();
  const read = useCallback(() => client.programs.tokens(bot), [client, bot]);
  const { items, setItems, status, again } = useList(read);
  const [made, setMade] = useState<ApiToken>();
  const [said, setSaid] = useState('');
  const [count, setCount] = useState(0);
  const onMade = (token: ApiToken) => {
    const { token: _secret, ...listed } = token;
    setMade(token);
    setItems((old) => [listed, ...old]);
    setSaid('');
    setCount(count + 1);
  };
  const onEnded = (token: ApiToken) => {
    setItems((old) => old.filter((t) => t.tokenId !== token.tokenId));
    if (made?.tokenId === token.tokenId) setMade(undefined);
    setSaid(`Ended: ${token.name}.`);
  };
  return (
    <section className="sheet-part" aria-labelledby={id}>
      <h2 id={id} tabIndex={-1}>
        {heading}
      </h2>
      <p className="sheet-note">{note}</p>
      <TokenForm key={count} bot={bot} role={role} onMade={onMade} />
      {made?.token !== undefined && (
        <MadeToken token={made} secret={made.token} onDone={() => setMade(undefined)} />
      )}
      <ul className="things" aria-label="Tokens">
        {items.map((token) => (
          <Item key={token.tokenId} token={token} bot={bot} onEnded={onEnded} />
        ))}
      </ul>
      <p className="sheet-note" role="status">
        {status === 'loading' && items.length === 0 && 'Loading…'}
        {status === 'failed' && 'The tokens could not be loaded.'}
        {status === 'ready' && (said || (items.length === 0 && 'There are no tokens yet.'))}
      </p>
      <ListEnd status={status} onAgain={again} />
    </section>
  );
}

interface ItemProps {
  token: ApiToken;
  bot: UserId | undefined;
  onEnded: (token: ApiToken) => void;
}

function Item({ token, bot, onEnded }: ItemProps) {
  const client = useClient();
  const [asking, setAsking] = useState(false);
  const by = useSelect((s) =>
    token.madeBy === undefined ? '' : ` by ${senderName(s.users, token.madeBy)}`,
  );
  const now = client.core.env.now();
  const over = hasEnded(token, now);
  const may = token.scopes.map((scope) => SCOPES[scope]?.short ?? scope).join(', ');
  return (
    <li className={`thing ${over ? 'thing-over' : ''}`}>
      <span className="thing-text">
        {token.name}
        <small>
          May {may} · made {momentLabel(token.createdAt, now)}
          {by} · {endWords(token, now)}
        </small>
      </span>
      <Button onClick={() => setAsking(true)} aria-haspopup="dialog">
        {over ? 'Remove' : 'End'}
        <span className="visually-hidden"> the token {token.name}</span>
      </Button>
      {asking && (
        <EndDialog token={token} bot={bot} onEnded={onEnded} onClose={() => setAsking(false)} />
      )}
    </li>
  );
}

function endWords(token: ApiToken, now: number): string {
  if (token.expiresAt === undefined) return 'never ends';
  const at = momentLabel(token.expiresAt, now);
  return hasEnded(token, now) ? `ended ${at}` : `ends ${at}`;
}

function EndDialog({ token, bot, onEnded, onClose }: ItemProps & { onClose: () => void }) {
  const client = useClient();
  const { busy, error, run } = useDeed(async () => {
    await client.programs.endToken(token.tokenId, bot);
    onEnded(token);
  });
  return (
    <Dialog title={`End the token “${token.name}”?`} onClose={onClose}>
      <p>Programs that use it are refused at once. This cannot be undone.</p>
      <FormError text={error} />
      <div className="dialog-actions">
        <Button onClick={onClose}>Keep it</Button>
        <Button look="danger" busy={busy} onClick={() => void run()}>
          End the token
        </Button>
      </div>
    </Dialog>
  );
}
