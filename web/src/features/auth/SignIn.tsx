import { useClient } from '../../state/react';
import { useForm } from '../../state/use-form';
import { Button } from '../../ui/Button';
import { Field, FormError } from '../../ui/Field';

interface Props {
  forgotHref: string;
  onDone: () => void;
}

/** The form of those who have an account. */
export function SignIn({ forgotHref, onDone }: Props) {
  const { session } = useClient();
  const { busy, besides, onSubmit } = useForm(async ({ login = '', password = '' }) => {
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
      <FormError text={besides()} />
      <Button type="submit" look="solid" busy={busy}>
        Sign in
      </Button>
      <p className="auth-switch">
        <a className="link" href={forgotHref}>
          Forgot your password?
        </a>
      </p>
    </form>
  );
}
