import type { RoomId } from '../../protocol/types';
import { Dialog } from '../../ui/Dialog';
import { Invitations } from './Invitations';

interface Props {
  roomId: RoomId;
  title: string;
  linkOf: (token: string) => string;
  onClose: () => void;
}

/** Links that lead into one room. */
export function InvitationsDialog({ roomId, title, linkOf, onClose }: Props) {
  return (
    <Dialog title={`Invite people to ${title}`} onClose={onClose}>
      <Invitations roomId={roomId} linkOf={linkOf} />
    </Dialog>
  );
}
