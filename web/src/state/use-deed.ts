/** What a button does: whether it runs, and what went wrong. */

import { useState } from 'react';
import { useClient } from './react';

/** Runs `deed` once at a time; a failure is kept in words until it is tried again. */
export function useDeed(deed: () => Promise<void>) {
  const client = useClient();
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string>();
  const run = async () => {
    if (busy) return;
    setBusy(true);
    setError(undefined);
    try {
      await deed();
    } catch (problem) {
      setError(client.core.words(problem));
    } finally {
      setBusy(false);
    }
  };
  return { busy, error, run };
}
