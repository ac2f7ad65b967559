/** Asks before something is gone for good. */
import { useEffect, useRef } from 'preact/hooks';

export type Question = { readonly title: string; readonly text: string; readonly verb: string; readonly act: () => void };

export function ConfirmDialog({ question, onClose }: { question: Question | undefined; onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    if (question !== undefined) dialog.current!.showModal();
    else dialog.current!.close();
  }, [question]);
  return (
    <dialog ref={dialog} role="alertdialog" aria-labelledby="confirm-title" aria-describedby="confirm-text" onClose={onClose}>
      {question !== undefined && (
        <>
          <h2 id="confirm-title">{question.title}</h2>
          <p id="confirm-text">{question.text}</p>
          <p class="actions end">
            <button type="button" onClick={onClose}>
              Cancel
            </button>
            <button
              type="button"
              class="danger"
              onClick={() => {
                question.act();
                onClose();
              }}
            >
              {question.verb}
            </button>
          </p>
        </>
      )}
    </dialog>
  );
}
