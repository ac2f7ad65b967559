/** Which name was probably meant by one that does not exist. Pure; any thread. */

/** Letters that may be wrong, as a share of the longer name. */
const wrongShareMax = 1 / 3;

/** A name that begins like another one is like it from this length on. */
const beginningMin = 3;

/** Of `names` the one most like `name`; undefined: none is like it. `firstMessage`, `first` and `frist_message` are like `first_message`. */
export function nearestName(name: string, names: Iterable<string>): string | undefined {
  const wanted = plain(name);
  const all = [...names];
  let nearest: { readonly name: string; readonly distance: number } | undefined;
  for (const candidate of all) {
    const known = plain(candidate);
    const distance = distanceOf(wanted, known);
    if (distance > Math.max(wanted.length, known.length) * wrongShareMax) continue;
    if (nearest === undefined || distance < nearest.distance) nearest = { name: candidate, distance };
  }
  if (nearest !== undefined) return nearest.name;
  return all.find((candidate) => {
    const [short, long] = [wanted, plain(candidate)].sort((a, b) => a.length - b.length) as [string, string];
    return short.length >= beginningMin && long.startsWith(short);
  });
}

const plain = (name: string): string => name.toLowerCase().replace(/[^a-z0-9]/g, '');

/** Letters to be added, left out, changed or swapped with their neighbour. */
function distanceOf(from: string, to: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (let row = 1; row <= from.length; row++) {
    const current = [row];
    for (let column = 1; column <= to.length; column++) {
      const isSame = from[row - 1] === to[column - 1];
      let least = Math.min(last[column]! + 1, current[column - 1]! + 1, last[column - 1]! + (isSame ? 0 : 1));
      const isSwapped = row > 1 && column > 1 && from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1];
      if (isSwapped) least = Math.min(least, beforeLast[column - 2]! + 1);
      current.push(least);
    }
    beforeLast = last;
    last = current;
  }
  return last[to.length]!;
}
