import { useEffect } from 'react';
import { AuthCard } from '../features/auth/AuthCard';
import { AuthPage } from '../features/auth/AuthPage';
import { ForgotPage, ResetPage } from '../features/auth/ResetPages';
import { InvitationDoor } from '../features/invitations/InvitationDoor';
import { Notices } from '../features/notices/Notices';
import type { RoomId } from '../protocol/types';
import { useSelect } from '../state/react';
import { totalUnread } from '../state/selectors';
import { useKeptFocus } from '../ui/kept-focus';
import { Logo } from '../ui/Logo';
import { placeOf } from './place';
import { goInstead, type Route, roomHref, useRoute } from './route';
import { Shell } from './Shell';
import './app.css';

/** Decides between waiting, signing in, and the rooms. */
export function App() {
  const session = useSelect((s) => s.session);
  const waiting = useSelect((s) => s.link.phase === 'waiting');
  const route = useRoute();
  useTitle(route);
  useKeptFocus();
  if (session === 'unknown') return <Splash waiting={waiting} />;
  if (route.page === 'reset') {
    return <ResetPage key={route.token} token={route.token} onDone={() => goInstead('#/')} />;
  }
  if (session === 'signed-out') return <Outside route={route} />;
  return (
    <>
      <Shell route={route} />
      <Notices />
    </>
  );
}

/** What those see who are not signed in. */
function Outside({ route }: { route: Route }) {
  const home = () => goInstead('#/');
  const entered = (roomId: RoomId) => goInstead(roomHref(roomId));
  const shared = { forgotHref: '#/forgot', onEntered: entered };
  if (route.page === 'forgot') return <ForgotPage homeHref="#/" />;
  if (route.page === 'invite') {
    const { token } = route;
    return (
      <InvitationDoor
        key={token}
        token={token}
        inside={({ roomName }) => (
          // Who signs in goes on by the link; who registers is where it leads to.
          <AuthPage
            setupToken={null}
            invitation={{ token, roomName }}
            onDone={() => {}}
            {...shared}
          />
        )}
        outside={(why) => <AuthCard>{why}</AuthCard>}
        onHome={home}
      />
    );
  }
  const setupToken = route.page === 'setup' ? route.token : null;
  const done = () => {
    if (setupToken !== null) home();
  };
  return <AuthPage key={setupToken} setupToken={setupToken} onDone={done} {...shared} />;
}

function Splash({ waiting }: { waiting: boolean }) {
  return (
    <main className="splash">
      <Logo large />
      <p role="status">{waiting ? 'The server cannot be reached. Trying again…' : ''}</p>
    </main>
  );
}

/** The tab says where one is, and how much is unread. */
function useTitle(route: Route) {
  const unread = useSelect(totalUnread);
  const place = useSelect((s) => placeOf(s, route));
  useEffect(() => {
    const count = unread > 0 ? `(${unread > 99 ? '99+' : unread}) ` : '';
    document.title = count + (place === '' ? 'Klatch' : `${place} – Klatch`);
  }, [unread, place]);
}
