import { useSelect } from '../../state/react';
import { nameOf } from '../../state/selectors';
import { Avatar } from '../../ui/Avatar';
import { Devices } from './Devices';
import { PasswordForm } from './PasswordForm';

/** Who one is, where one is signed in, and the password. */
export function AccountPart() {
  const me = useSelect((s) => s.me);
  if (!me) return null;
  return (
    <>
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
    </>
  );
}
