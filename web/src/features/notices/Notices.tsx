import { useClient, useSelect } from '../../state/react';
import { IconButton } from '../../ui/Button';
import './notices.css';

/** Short messages about what just went wrong; they go by themselves. */
export function Notices() {
  const { store } = useClient();
  const notices = useSelect((s) => s.notices);
  return (
    <div className="notices" role="alert">
      {notices.map((notice) => (
        <p key={notice.id} className={`notice notice-${notice.tone}`}>
          {notice.text}
          <IconButton
            icon="close"
            label="Dismiss"
            onClick={() => store.dispatch({ type: 'notice/dropped', id: notice.id })}
          />
        </p>
      ))}
    </div>
  );
}
