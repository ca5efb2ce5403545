import { useState } from 'react';
import { useClient, useSelect } from '../../state/react';
import { nameOf } from '../../state/selectors';
import { Avatar } from '../../ui/Avatar';
import { IconButton } from '../../ui/Button';
import { nextTheme, readTheme, setTheme, type Theme } from '../../ui/theme';
import './account.css';

const THEME_ICON = { system: 'system', light: 'sun', dark: 'moon' } as const;

interface Props {
  onSignOut: () => void;
  /** Where the account's own page is, and whether it is shown. */
  href: string;
  here: boolean;
}

/** Who is signed in, the look of the page, and the way out. */
export function AccountBar({ onSignOut, href, here }: Props) {
  const client = useClient();
  const me = useSelect((s) => s.me);
  const { env } = client.core;
  const [theme, choose] = useState<Theme>(() => readTheme(env.remember));
  if (!me) return null;
  const signOut = async () => {
    await client.session.logout();
    if (client.store.get().session === 'signed-out') onSignOut();
  };
  const following = nextTheme(theme);
  return (
    <section className="account" aria-label="Your account">
      <a
        className="account-link"
        href={href}
        title="Your account"
        aria-current={here ? 'page' : undefined}
      >
        <span className="visually-hidden">Your account: </span>
        <Avatar id={me.userId} name={nameOf(me)} />
        <span className="account-name">
          {nameOf(me)}
          <small>@{me.username}</small>
        </span>
      </a>
      <IconButton
        icon={THEME_ICON[theme]}
        label={`Colours: ${theme}. Change to ${following}`}
        onClick={() => {
          setTheme(following, env.keep);
          choose(following);
        }}
      />
      <IconButton icon="leave" label="Sign out" onClick={() => void signOut()} />
    </section>
  );
}
