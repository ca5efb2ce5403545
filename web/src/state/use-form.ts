/** One form: what was typed, whether it runs, and what went wrong. */

import { type FormEvent, useEffect, useRef, useState } from 'react';
import { fieldWords } from '../protocol/problem';
import { useClient } from './react';

/** Runs a form once at a time and keeps what went wrong; the wrong field gets the focus. */
export function useForm(run: (values: Record<string, string>) => Promise<void>) {
  const client = useClient();
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const submitted = useRef<HTMLFormElement>(null);
  // After the rendering that marks the wrong field.
  useEffect(() => {
    if (error !== null) submitted.current?.querySelector<HTMLElement>('[aria-invalid]')?.focus();
  }, [error]);
  const onSubmit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    if (busy) return;
    const form = event.currentTarget;
    submitted.current = form;
    const values = Object.fromEntries(
      [...new FormData(form)].map(([key, value]) => [key, String(value)]),
    );
    setBusy(true);
    setError(null);
    try {
      await run(values);
    } catch (problem) {
      setError(problem);
    } finally {
      setBusy(false);
    }
  };
  const words = error === null ? undefined : client.core.words(error);
  /** What is wrong with a field, if it is that. */
  const wrong = (field: string) => fieldWords(error, field);
  /** What went wrong if it is none of the fields that say it themselves. */
  const besides = (...fields: string[]) => (fields.some(wrong) ? undefined : words);
  return { busy, error, wrong, besides, onSubmit };
}
