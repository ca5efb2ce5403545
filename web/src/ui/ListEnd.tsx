import { useEffect, useRef } from 'react';
import { Button } from './Button';

interface Props {
  status: 'loading' | 'ready' | 'failed';
  hasMore?: boolean;
  onMore?: () => void;
  onAgain: () => void;
}

/** Below a list that is read page by page: one button, which stays while it works. */
export function ListEnd({ status, hasMore = false, onMore, onAgain }: Props) {
  const last = useRef<string>(undefined);
  const words = status === 'loading' ? last.current : wordsOf(status, hasMore);
  useEffect(() => {
    last.current = words;
  }, [words]);
  if (words === undefined) return null;
  return (
    <div>
      <Button busy={status === 'loading'} onClick={status === 'failed' ? onAgain : onMore}>
        {words}
      </Button>
    </div>
  );
}

function wordsOf(status: 'ready' | 'failed', hasMore: boolean): string | undefined {
  if (status === 'failed') return 'Try again';
  return hasMore ? 'Show more' : undefined;
}
