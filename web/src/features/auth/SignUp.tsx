import type { RoomId } from '../../protocol/types';
import { useClient } from '../../state/react';
import { useForm } from '../../state/use-form';
import { Button } from '../../ui/Button';
import { Field, FormError } from '../../ui/Field';

interface Props {
  setupToken: string | null;
  invitation: string | undefined;
  onDone: () => void;
  onEntered: (roomId: RoomId) => void;
}

/** The form of those who have none yet. */
export function SignUp({ setupToken, invitation, onDone, onEntered }: Props) {
  const { session } = useClient();
  const { busy, wrong, besides, onSubmit } = useForm(async (values) => {
    const { username = '', email = '', password = '', displayName = '' } = values;
    const named = displayName.trim() === '' ? {} : { displayName: displayName.trim() };
    const setup = setupToken === null ? {} : { setupToken };
    const account = { username: username.trim(), email: email.trim(), password };
    const invited = invitation === undefined ? {} : { invitation };
    const wish = { ...account, ...named, ...setup, ...invited };
    let entered = false;
    await session.register(wish, (roomId) => {
      entered = true;
      onEntered(roomId);
    });
    if (!entered) onDone();
  });
  return (
    <form className="auth-form" onSubmit={(e) => void onSubmit(e)} key="up">
      <h1>{setupToken === null ? 'Create an account' : 'Set up this server'}</h1>
      {setupToken !== null && (
        <p className="auth-lead">This account will be the first administrator.</p>
      )}
      <Field
        label="User name"
        name="username"
        autoComplete="username"
        autoCapitalize="none"
        spellCheck={false}
        required
        minLength={2}
        maxLength={32}
        hint="How others mention you: small letters, digits, dots, dashes."
        error={wrong('username')}
        autoFocus
      />
      <Field
        label="Name shown to others (optional)"
        name="displayName"
        autoComplete="name"
        maxLength={100}
        error={wrong('displayName')}
      />
      <Field
        label="E-mail"
        name="email"
        type="email"
        autoComplete="email"
        required
        error={wrong('email')}
      />
      <Field
        label="Password"
        name="password"
        type="password"
        autoComplete="new-password"
        required
        minLength={10}
        hint="At least 10 characters; a sentence is fine."
        error={wrong('password')}
      />
      <FormError text={besides('username', 'email', 'password', 'displayName')} />
      <Button type="submit" look="solid" busy={busy}>
        {setupToken === null ? 'Create account' : 'Create administrator'}
      </Button>
    </form>
  );
}
