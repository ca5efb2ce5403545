import { scopesFor } from '../../protocol/permission';
import type { ApiToken } from '../../protocol/trust';
import type { UserId } from '../../protocol/types';
import { useClient } from '../../state/react';
import { useForm } from '../../state/use-form';
import { Button } from '../../ui/Button';
import { Check } from '../../ui/Check';
import { Field, FormError } from '../../ui/Field';
import { Select } from '../../ui/Select';
import { SCOPES } from './words';

const DAY_MS = 86_400_000;
const NEVER = 'never';

const ENDS: readonly { value: string; words: string }[] = [
  { value: String(DAY_MS), words: 'In a day' },
  { value: String(30 * DAY_MS), words: 'In 30 days' },
  { value: String(90 * DAY_MS), words: 'In 90 days' },
  { value: String(365 * DAY_MS), words: 'In a year' },
  { value: NEVER, words: 'Never' },
];

interface Props {
  bot: UserId | undefined;
  role: string | undefined;
  onMade: (token: ApiToken) => void;
}

/** What a new token is for, what it may do, and until when. */
export function TokenForm({ bot, role, onMade }: Props) {
  const client = useClient();
  const offered = scopesFor(role);
  const { busy, wrong, besides, onSubmit } = useForm(async (values) => {
    const { name = '', ends = NEVER } = values;
    const scopes = offered.filter((scope) => values[scope] !== undefined);
    const at = () => new Date(client.core.env.now() + Number(ends)).toISOString();
    const expiresAt = ends === NEVER ? {} : { expiresAt: at() };
    onMade(await client.programs.makeToken({ name, scopes, ...expiresAt }, bot));
  });
  return (
    <form className="token-form" onSubmit={(e) => void onSubmit(e)}>
      <div className="token-choices">
        <Field
          label="What it is for"
          name="name"
          required
          maxLength={100}
          autoComplete="off"
          placeholder="For example: deploy script"
          error={wrong('name')}
        />
        <Select label="Ends" name="ends" choices={ENDS} defaultValue={String(90 * DAY_MS)} />
      </div>
      <fieldset className="token-scopes" aria-describedby={wrong('scopes') && 'scopes-wrong'}>
        <legend>What it may do</legend>
        {offered.map((scope) => (
          <Check
            key={scope}
            name={scope}
            label={SCOPES[scope].label}
            hint={SCOPES[scope].hint}
            defaultChecked={scope === 'read' || (scope === 'write' && bot !== undefined)}
            aria-invalid={wrong('scopes') !== undefined || undefined}
          />
        ))}
        {wrong('scopes') && (
          <p className="form-error" id="scopes-wrong">
            {wrong('scopes')}
          </p>
        )}
      </fieldset>
      <FormError text={besides('name', 'scopes')} />
      <Button type="submit" look="solid" icon="plus" busy={busy}>
        Make a token
      </Button>
    </form>
  );
}
