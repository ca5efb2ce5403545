import type { ReactNode } from 'react';
import { useSelect } from '../../state/react';
import { nameOf } from '../../state/selectors';
import { Avatar } from '../../ui/Avatar';
import { PageHead } from '../../ui/PageHead';
import '../../ui/sheet.css';
import { Devices } from './Devices';
import { PasswordForm } from './PasswordForm';

/** One's own account: who one is, the password, and where one is signed in. */
export function AccountPage({ menu }: { menu: ReactNode }) {
  const me = useSelect((s) => s.me);
  if (!me) return null;
  return (
    <>
      <PageHead menu={menu} title="Your account" />
      <div className="sheet">
        <section className="sheet-part account-who" aria-label="You">
          <Avatar id={me.userId} name={nameOf(me)} />
          <p>
            <strong>{nameOf(me)}</strong>
            <small>
              @{me.username}
              {me.email && ` · ${me.email}`}
            </small>
          </p>
        </section>
        <Devices />
        <PasswordForm />
      </div>
    </>
  );
}
