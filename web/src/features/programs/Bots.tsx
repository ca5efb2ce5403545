import { useCallback } from 'react';
import type { Account } from '../../protocol/trust';
import type { UserId } from '../../protocol/types';
import { useClient } from '../../state/react';
import { nameOf } from '../../state/selectors';
import { useForm } from '../../state/use-form';
import { useList } from '../../state/use-list';
import { Avatar } from '../../ui/Avatar';
import { Button } from '../../ui/Button';
import { Field, FormError } from '../../ui/Field';
import { ListEnd } from '../../ui/ListEnd';
import { Select } from '../../ui/Select';
import { momentLabel } from '../../ui/time';
import '../../ui/sheet.css';
import './programs.css';

const ROLES = [
  { value: 'member', words: 'Member' },
  { value: 'guest', words: 'Guest' },
] as const;

interface Props {
  /** Where one bot is shown. */
  hrefOf: (bot: UserId) => string;
  onMade: (bot: UserId) => void;
}

/** All bots, and the making of one more. */
export function Bots({ hrefOf, onMade }: Props) {
  const client = useClient();
  const read = useCallback((cursor?: string) => client.programs.bots(cursor), [client]);
  const { items, status, hasMore, more, again } = useList(read);
  return (
    <section className="sheet-part" aria-labelledby="bots">
      <h2 id="bots" tabIndex={-1}>
        Bots
      </h2>
      <p className="sheet-note">
        A bot is a user without a password, under whose name a program reads and writes by a token.
      </p>
      <BotForm onMade={onMade} />
      <ul className="things" aria-label="Bots">
        {items.map((bot) => (
          <Item key={bot.userId} bot={bot} href={hrefOf(bot.userId)} />
        ))}
      </ul>
      <p className="sheet-note" role="status">
        {status === 'loading' && items.length === 0 && 'Loading…'}
        {status === 'failed' && 'The bots could not be loaded.'}
        {status === 'ready' && items.length === 0 && !hasMore && 'There are no bots yet.'}
      </p>
      <ListEnd status={status} hasMore={hasMore} onMore={more} onAgain={again} />
    </section>
  );
}

function Item({ bot, href }: { bot: Account; href: string }) {
  const name = nameOf(bot) || 'Erased';
  const words = [bot.username && `@${bot.username}`, bot.role === 'guest' && 'guest'];
  const since = `since ${momentLabel(bot.createdAt, Date.now())}`;
  return (
    <li className={`thing ${bot.banned ? 'thing-over' : ''}`}>
      <Avatar id={bot.userId} name={name} size="small" />
      <span className="thing-text">
        {name} {bot.banned && <span className="thing-mark">Locked out</span>}
        <small>{[...words, since].filter(Boolean).join(' · ')}</small>
      </span>
      <a className="button button-soft" href={href}>
        Manage<span className="visually-hidden"> {name}</span>
      </a>
    </li>
  );
}

function BotForm({ onMade }: { onMade: (bot: UserId) => void }) {
  const { programs } = useClient();
  const { busy, wrong, besides, onSubmit } = useForm(async (values) => {
    const { username = '', displayName = '', role } = values;
    const named = displayName.trim() === '' ? {} : { displayName: displayName.trim() };
    const wish = { username: username.trim(), ...named };
    const bot = await programs.makeBot({ ...wish, role: role === 'guest' ? 'guest' : 'member' });
    onMade(bot.userId);
  });
  return (
    <form className="bot-form" onSubmit={(e) => void onSubmit(e)}>
      <div className="bot-choices">
        <Field
          label="User name"
          name="username"
          required
          minLength={2}
          maxLength={32}
          autoCapitalize="none"
          autoComplete="off"
          spellCheck={false}
          hint="Small letters, digits, dots, dashes."
          error={wrong('username')}
        />
        <Field
          label="Name shown to others (optional)"
          name="displayName"
          maxLength={100}
          autoComplete="off"
          error={wrong('displayName')}
        />
        <Select label="Role" name="role" choices={ROLES} defaultValue="member" />
      </div>
      <p className="sheet-note">A guest sees only the rooms it is brought into.</p>
      <FormError text={besides('username', 'displayName')} />
      <Button type="submit" look="solid" icon="plus" busy={busy}>
        Make a bot
      </Button>
    </form>
  );
}
