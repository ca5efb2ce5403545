import { type FormEvent, useState } from 'react';
import { fieldWords } from '../../protocol/problem';
import { useClient } from '../../state/react';
import { Button } from '../../ui/Button';
import { Field, FormError } from '../../ui/Field';
import { Logo } from '../../ui/Logo';
import './auth.css';

interface Props {
  /** From a link that makes the first administrator. */
  setupToken: string | null;
  onDone: () => void;
}

/** Signing in, signing up, and making the first administrator. */
export function AuthPage({ setupToken, onDone }: Props) {
  const [mode, setMode] = useState<'in' | 'up'>(setupToken === null ? 'in' : 'up');
  return (
    <main className="auth">
      <div className="auth-card">
        <Logo large />
        {mode === 'in' ? (
          <SignIn onDone={onDone} />
        ) : (
          <SignUp setupToken={setupToken} onDone={onDone} />
        )}
        {setupToken === null && (
          <p className="auth-switch">
            {mode === 'in' ? 'New here?' : 'You have an account?'}{' '}
            <button
              type="button"
              className="link"
              onClick={() => setMode(mode === 'in' ? 'up' : 'in')}
            >
              {mode === 'in' ? 'Create an account' : 'Sign in'}
            </button>
          </p>
        )}
      </div>
    </main>
  );
}

/** Runs a form once at a time and keeps what went wrong. */
function useSubmit(run: (values: Record<string, string>) => Promise<void>) {
  const client = useClient();
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const onSubmit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    if (busy) return;
    const form = event.currentTarget;
    const values = Object.fromEntries(
      [...new FormData(form)].map(([key, value]) => [key, String(value)]),
    );
    setBusy(true);
    setError(null);
    try {
      await run(values);
    } catch (problem) {
      setError(problem);
      setBusy(false);
      // After the rendering that marks the wrong field.
      setTimeout(() => form.querySelector<HTMLElement>('[aria-invalid]')?.focus(), 0);
    }
  };
  const words = error === null ? undefined : client.core.words(error);
  return { busy, error, words, onSubmit };
}

function SignIn({ onDone }: { onDone: () => void }) {
  const { session } = useClient();
  const { busy, words, onSubmit } = useSubmit(async ({ login = '', password = '' }) => {
    await session.login({ login: login.trim(), password });
    onDone();
  });
  return (
    <form className="auth-form" onSubmit={(e) => void onSubmit(e)} key="in">
      <h1>Sign in</h1>
      <Field
        label="User name or e-mail"
        name="login"
        autoComplete="username"
        autoCapitalize="none"
        spellCheck={false}
        required
        autoFocus
      />
      <Field
        label="Password"
        name="password"
        type="password"
        autoComplete="current-password"
        required
      />
      <FormError text={words} />
      <Button type="submit" look="solid" busy={busy}>
        Sign in
      </Button>
    </form>
  );
}

function SignUp({ setupToken, onDone }: Props) {
  const { session } = useClient();
  const { busy, error, words, onSubmit } = useSubmit(async (values) => {
    const { username = '', email = '', password = '', displayName = '' } = values;
    const named = displayName.trim() === '' ? {} : { displayName: displayName.trim() };
    const setup = setupToken === null ? {} : { setupToken };
    const account = { username: username.trim(), email: email.trim(), password };
    await session.register({ ...account, ...named, ...setup });
    onDone();
  });
  const wrong = (field: string) => fieldWords(error, field);
  const known = ['username', 'email', 'password', 'displayName'].some((f) => wrong(f));
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
      <FormError text={known ? undefined : words} />
      <Button type="submit" look="solid" busy={busy}>
        {setupToken === null ? 'Create account' : 'Create administrator'}
      </Button>
    </form>
  );
}
