/** Words that were not heard, struck through; of a long stretch only the beginning until somebody wants the rest. */
import { useState } from 'preact/hooks';

const shownMax = 160;

export function Unheard({ text }: { text: string }) {
  const [isWhole, setWhole] = useState(false);
  const cutAt = text.lastIndexOf(' ', shownMax);
  const isLong = text.length > 1.5 * shownMax && cutAt > 0;
  const rest = isLong ? text.slice(cutAt) : '';
  const count = rest.trim().split(/\s+/).length;
  return (
    <>
      <del>
        <span class="unseen">not heard: </span>
        {isLong && !isWhole ? text.slice(0, cutAt) : text}
      </del>
      {isLong && (
        <button type="button" class="small rest" aria-expanded={isWhole} onClick={() => setWhole(!isWhole)}>
          {isWhole ? 'less' : `${count} more words`}
        </button>
      )}
    </>
  );
}
