import { Button } from '../../ui/Button';
import { Dialog } from '../../ui/Dialog';

/** Asks before a message is deleted: there is no way back. */
export function DeleteDialog(props: { onDelete: () => void; onClose: () => void }) {
  return (
    <Dialog title="Delete this message?" onClose={props.onClose}>
      <p>
        Everyone in this room will see that a message was deleted here, and no longer what it said.
      </p>
      <div className="dialog-actions">
        <Button onClick={props.onClose}>Keep it</Button>
        <Button look="danger" icon="trash" onClick={props.onDelete}>
          Delete
        </Button>
      </div>
    </Dialog>
  );
}
