/** Asks for the API key when the server wants one. It stays in this tab. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { giveKey, keyQuestion } from './api/http.js';
import { useStore } from './store.js';

export function KeyDialog() {
  const { isOpen, isWrong } = useStore(keyQuestion);
  const dialog = useRef<HTMLDialogElement>(null);
  const [key, setKey] = useState('');
  useEffect(() => {
    if (isOpen) dialog.current!.showModal();
    else dialog.current!.close();
  }, [isOpen]);
  const finish = (given: string): void => {
    setKey('');
    giveKey(given);
  };
  return (
    <dialog
      ref={dialog}
      aria-labelledby="key-title"
      onCancel={(event) => {
        event.preventDefault();
        finish('');
      }}
    >
      <form
        onSubmit={(event) => {
          event.preventDefault();
          finish(key.trim());
        }}
      >
        <h2 id="key-title">API key</h2>
        <p>
          {isWrong
            ? 'The server did not accept that key. Try again.'
            : 'This server asks for a key. It is kept in this tab until you close it.'}
        </p>
        <label class="field">
          <span>Key</span>
          <input type="password" autocomplete="off" required value={key} onInput={(event) => setKey(event.currentTarget.value)} />
        </label>
        <p class="actions end">
          <button type="button" onClick={() => finish('')}>
            Cancel
          </button>
          <button type="submit" class="primary">
            Continue
          </button>
        </p>
      </form>
    </dialog>
  );
}
