import { useRef, useState } from 'react';
import { useClient, useSelect } from '../../state/react';
import { useForm } from '../../state/use-form';
import { Button } from '../../ui/Button';
import { Field, FormError } from '../../ui/Field';

/** Gives the account another password. */
export function PasswordForm() {
  const { account } = useClient();
  const username = useSelect((s) => s.me?.username ?? '');
  const form = useRef<HTMLFormElement>(null);
  const [done, setDone] = useState(false);
  const { busy, wrong, besides, onSubmit } = useForm(async (values) => {
    const { currentPassword = '', newPassword = '' } = values;
    setDone(false);
    await account.changePassword(currentPassword, newPassword);
    form.current?.reset();
    setDone(true);
  });
  return (
    <section className="sheet-part" aria-labelledby="password">
      <h2 id="password" tabIndex={-1}>
        Password
      </h2>
      <p className="sheet-note">A new password signs all your other devices out.</p>
      <form className="sheet-form" ref={form} onSubmit={(e) => void onSubmit(e)}>
        {/* Password managers want to know whose password it is. */}
        <input
          className="visually-hidden"
          name="username"
          autoComplete="username"
          value={username}
          readOnly
          tabIndex={-1}
          aria-hidden="true"
        />
        <Field
          label="Password now"
          name="currentPassword"
          type="password"
          autoComplete="current-password"
          required
          error={wrong('currentPassword')}
        />
        <Field
          label="New password"
          name="newPassword"
          type="password"
          autoComplete="new-password"
          required
          minLength={10}
          hint="At least 10 characters; a sentence is fine."
          error={wrong('newPassword')}
        />
        <FormError text={besides('currentPassword', 'newPassword')} />
        <Button type="submit" look="solid" busy={busy}>
          Change password
        </Button>
        <p className="sheet-done" role="status">
          {done && 'Your password is changed. Your other devices are signed out.'}
        </p>
      </form>
    </section>
  );
}
