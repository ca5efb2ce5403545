import { type ReactNode, useCallback, useEffect, useRef, useState } from 'react';
import { AccountBar } from '../features/account/AccountBar';
import { BrowsePage } from '../features/browse/BrowsePage';
import { ConnectionPill } from '../features/connection/ConnectionPill';
import { InvitePage } from '../features/invitations/InvitePage';
import { NewRoomDialog } from '../features/new-room/NewRoomDialog';
import { RoomList } from '../features/room-list/RoomList';
import { mayGoAbout, mayRunServer } from '../protocol/permission';
import { useSelect } from '../state/react';
import { joinedRooms, titleOf, totalUnread } from '../state/selectors';
import { Button, IconButton } from '../ui/Button';
import { Icon } from '../ui/Icon';
import { noteFocus } from '../ui/kept-focus';
import { Logo } from '../ui/Logo';
import { AccountPages } from './AccountPages';
import { AdminPages } from './AdminPages';
import { Announcer } from './Announcer';
import { RoomPage } from './RoomPage';
import { accountHref, adminHref, go, goInstead, type Route, roomHref } from './route';
import { useNarrow } from './use-narrow';

/** The rooms at the side, and one page. */
export function Shell({ route }: { route: Route }) {
  const narrow = useNarrow();
  const [drawer, setDrawer] = useState(false);
  const [creating, setCreating] = useState(false);
  const admin = useSelect((s) => mayRunServer(s.me?.role));
  const goesAbout = useSelect((s) => mayGoAbout(s.me?.role));
  const current = route.page === 'room' ? route.roomId : null;
  // Whoever chose a room wants to see it.
  // biome-ignore lint/correctness/useExhaustiveDependencies: closes at every change of place
  useEffect(() => setDrawer(false), [route]);
  const open = narrow && drawer;
  const close = useCallback(() => setDrawer(false), []);
  const menu = narrow ? <MenuButton open={open} onOpen={() => setDrawer(true)} /> : null;
  return (
    <div className="shell">
      <button type="button" className="skip" onClick={skip}>
        Skip to the conversation
      </button>
      <Drawer narrow={narrow} open={open} onClose={close}>
        <header className="side-head">
          <Logo />
          {goesAbout && (
            <IconButton
              icon="plus"
              label="Start a conversation"
              onClick={() => setCreating(true)}
            />
          )}
        </header>
        <RoomList current={current} hrefOf={roomHref} />
        {goesAbout && (
          <a
            className="side-link"
            href="#/browse"
            aria-current={route.page === 'browse' ? 'page' : undefined}
          >
            <Icon name="compass" /> Browse channels
          </a>
        )}
        {admin && (
          <a
            className="side-link"
            href={adminHref('people')}
            aria-current={route.page === 'admin' ? 'page' : undefined}
          >
            <Icon name="shield" /> Run this server
          </a>
        )}
        <AccountBar
          onSignOut={() => goInstead('#/')}
          href={accountHref('you')}
          here={route.page === 'account'}
        />
      </Drawer>
      {open && <div className="scrim" onClick={close} aria-hidden="true" />}
      <main className="main" inert={open} id="main">
        <Page route={route} menu={menu} onNew={() => setCreating(true)} />
        <ConnectionPill />
      </main>
      {creating && (
        <NewRoomDialog
          onClose={() => setCreating(false)}
          onCreated={(roomId) => {
            setCreating(false);
            go(roomHref(roomId));
          }}
        />
      )}
      <Announcer roomId={current} />
    </div>
  );
}

interface PageProps {
  route: Route;
  menu: ReactNode;
  onNew: () => void;
}

function Page({ route, menu, onNew }: PageProps) {
  switch (route.page) {
    case 'room':
      return <RoomPage key={route.roomId} roomId={route.roomId} menu={menu} />;
    case 'browse':
      return <BrowsePage menu={menu} hrefOf={roomHref} onOpen={(id) => go(roomHref(id))} />;
    case 'account':
      return <AccountPages part={route.part} menu={menu} />;
    case 'admin':
      return <AdminPages route={route} menu={menu} />;
    case 'invite':
      return (
        <InvitePage
          key={route.token}
          token={route.token}
          menu={menu}
          onOpen={(id) => goInstead(id === null ? '#/' : roomHref(id))}
        />
      );
    default:
      return <Home menu={menu} onNew={onNew} />;
  }
}

function Home({ menu, onNew }: { menu: ReactNode; onNew: () => void }) {
  const name = useSelect((s) => s.me?.displayName || s.me?.username);
  const goesAbout = useSelect((s) => mayGoAbout(s.me?.role));
  const runs = useSelect((s) => mayRunServer(s.me?.role));
  const ready = useSelect((s) => s.roomList.status === 'ready');
  const latest = useSelect((s) => joinedRooms(s)[0]);
  const title = useSelect((s) => (latest ? titleOf(s, latest) : ''));
  // Whoever runs a server and is in no room has most likely just begun.
  const beginning = runs && ready && !latest;
  const browse = (
    <Button look={latest ? 'soft' : 'solid'} icon="compass" onClick={() => go('#/browse')}>
      Browse channels
    </Button>
  );
  const start = (
    <Button look={beginning ? 'solid' : 'soft'} icon="plus" onClick={onNew}>
      Start a conversation
    </Button>
  );
  return (
    <>
      <header className="page-head page-head-bare">{menu}</header>
      <div className="home">
        <Logo large />
        <h1 tabIndex={-1}>Hello, {name}</h1>
        <p>{beginning ? BEGINNING : lead(goesAbout, latest !== undefined)}</p>
        <div className="home-actions">
          {latest && (
            <Button
              look="solid"
              icon={latest.type === 'channel' ? 'channel' : 'people'}
              onClick={() => go(roomHref(latest.roomId))}
            >
              Open {title}
            </Button>
          )}
          {goesAbout && !beginning && browse}
          {goesAbout && start}
          {beginning && (
            <Button icon="userPlus" onClick={() => go(adminHref('invitations'))}>
              Invite people
            </Button>
          )}
        </div>
      </div>
    </>
  );
}

const BEGINNING = 'Make a first channel, then invite people.';

function lead(goesAbout: boolean, inRooms: boolean): string {
  if (goesAbout && inRooms) return 'Go on where people talk, or start something new.';
  if (goesAbout) return 'Find a channel to join, or start a conversation.';
  if (inRooms) return 'Go on where people talk.';
  return 'You are a guest here and in no room yet. Whoever invited you can bring you into one.';
}

function MenuButton({ open, onOpen }: { open: boolean; onOpen: () => void }) {
  const unread = useSelect(totalUnread);
  return (
    <span className="menu-button">
      <IconButton
        icon="menu"
        label={unread > 0 ? `Rooms, ${unread} unread` : 'Rooms'}
        aria-expanded={open}
        onClick={onOpen}
      />
      {unread > 0 && <span className="menu-dot" aria-hidden="true" />}
    </span>
  );
}

interface DrawerProps {
  narrow: boolean;
  open: boolean;
  onClose: () => void;
  children: ReactNode;
}

/** The side: always there on wide windows, a drawer on narrow ones. */
function Drawer({ narrow, open, onClose, children }: DrawerProps) {
  const side = useRef<HTMLElement>(null);
  useEffect(() => {
    if (!open) return;
    const goBack = noteFocus();
    const first = side.current?.querySelector<HTMLElement>('a[tabindex="0"], button');
    first?.focus();
    const onKey = (event: KeyboardEvent) => {
      if (event.key === 'Escape') onClose();
    };
    // Also whoever chose the room that is shown already has chosen.
    const onClick = ({ target }: MouseEvent) => {
      if (target instanceof Element && target.closest('a') !== null) onClose();
    };
    const box = side.current;
    document.addEventListener('keydown', onKey);
    box?.addEventListener('click', onClick);
    return () => {
      document.removeEventListener('keydown', onKey);
      box?.removeEventListener('click', onClick);
      goBack();
    };
  }, [open, onClose]);
  return (
    <aside
      className={`side ${open ? 'side-open' : ''}`}
      aria-label="Rooms and account"
      ref={side}
      inert={narrow && !open}
    >
      {children}
    </aside>
  );
}

/** The target moves with the page: the composer where there is one, else the heading. */
function skip() {
  const composer = document.getElementById('composer');
  (composer ?? document.querySelector<HTMLElement>('#main h1'))?.focus();
}
