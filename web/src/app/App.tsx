import { useEffect } from 'react';
import { AuthPage } from '../features/auth/AuthPage';
import { Notices } from '../features/notices/Notices';
import { useSelect } from '../state/react';
import { totalUnread } from '../state/selectors';
import { Logo } from '../ui/Logo';
import { goInstead, useRoute } from './route';
import { Shell } from './Shell';
import './app.css';

/** Decides between waiting, signing in, and the rooms. */
export function App() {
  const session = useSelect((s) => s.session);
  const waiting = useSelect((s) => s.link.phase === 'waiting');
  const route = useRoute();
  useTitle();
  if (session === 'unknown') return <Splash waiting={waiting} />;
  if (session === 'signed-out') {
    const setupToken = route.page === 'setup' ? route.token : null;
    const done = () => {
      if (setupToken !== null) goInstead('#/');
    };
    return <AuthPage key={setupToken} setupToken={setupToken} onDone={done} />;
  }
  return (
    <>
      <Shell route={route} />
      <Notices />
    </>
  );
}

function Splash({ waiting }: { waiting: boolean }) {
  return (
    <main className="splash">
      <Logo large />
      <p role="status">{waiting ? 'The server cannot be reached. Trying again…' : ''}</p>
    </main>
  );
}

/** The number of unread messages stands in the tab. */
function useTitle() {
  const unread = useSelect(totalUnread);
  useEffect(() => {
    document.title = unread > 0 ? `(${unread > 99 ? '99+' : unread}) Klatch` : 'Klatch';
  }, [unread]);
}
