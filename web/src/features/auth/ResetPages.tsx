import { useState } from 'react';
import { Problem } from '../../protocol/problem';
import { useClient } from '../../state/react';
import { useForm } from '../../state/use-form';
import { Button } from '../../ui/Button';
import { Field, FormError } from '../../ui/Field';
import { AuthCard } from './AuthCard';

/** Asks for a link that sets a new password. */
export function ForgotPage({ homeHref }: { homeHref: string }) {
  const { account } = useClient();
  const [asked, setAsked] = useState(false);
  const { busy, besides, onSubmit } = useForm(async ({ login = '' }) => {
    await account.requestReset(login);
    setAsked(true);
  });
  return (
    <AuthCard>
      <form className="auth-form" onSubmit={(e) => void onSubmit(e)}>
        <h1>Forgot your password?</h1>
        <p className="auth-lead" role="status">
          {asked
            ? 'Noted. If this server sends letters, one with a link comes to your address; the link ' +
              'works for 30 minutes. If none comes, ask an administrator for a link.'
            : 'Say who you are. A server that sends letters sends you a link; on others ask an ' +
              'administrator for one.'}
        </p>
        {!asked && (
          <>
            <Field
              label="User name or e-mail"
              name="login"
              autoComplete="username"
              autoCapitalize="none"
              spellCheck={false}
              required
              autoFocus
            />
            <FormError text={besides()} />
            <Button type="submit" look="solid" busy={busy}>
              Send me a link
            </Button>
          </>
        )}
        <p className="auth-switch">
          <a className="link" href={homeHref}>
            Back to signing in
          </a>
        </p>
      </form>
    </AuthCard>
  );
}

/** Sets a new password by such a link. */
export function ResetPage({ token, onDone }: { token: string; onDone: () => void }) {
  const { account } = useClient();
  const { busy, error, wrong, besides, onSubmit } = useForm(async (values) => {
    const { newPassword = '', again = '' } = values;
    if (newPassword !== again) throw UNLIKE;
    await account.resetPassword(token, newPassword);
    onDone();
  });
  const unlike = error === UNLIKE ? 'The two are not the same.' : undefined;
  return (
    <AuthCard>
      <form className="auth-form" onSubmit={(e) => void onSubmit(e)}>
        <h1>Choose a new password</h1>
        <p className="auth-lead">All your devices are signed out by it.</p>
        <Field
          label="New password"
          name="newPassword"
          type="password"
          autoComplete="new-password"
          required
          minLength={10}
          hint="At least 10 characters; a sentence is fine."
          error={wrong('newPassword')}
          autoFocus
        />
        <Field
          label="The same again"
          name="again"
          type="password"
          autoComplete="new-password"
          required
          error={unlike}
        />
        <FormError text={unlike ? undefined : besides('newPassword')} />
        <Button type="submit" look="solid" busy={busy}>
          Set password
        </Button>
        <p className="auth-switch">
          <button type="button" className="link" onClick={onDone}>
            Never mind
          </button>
        </p>
      </form>
    </AuthCard>
  );
}

const UNLIKE = new Problem({ code: 'unlike' });
