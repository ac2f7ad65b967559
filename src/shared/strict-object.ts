/** Objects of our own formats: a key that nobody knows is refused, and the message names the one that was probably meant. Pure; any thread. */
import { z } from 'zod';
import { nearestName } from './nearest.js';

export function strictObject<Shape extends z.ZodRawShape>(shape: Shape): z.ZodObject<Shape, z.core.$strict> {
  const known = Object.keys(shape);
  const error: z.core.$ZodErrorMap = (issue) =>
    issue.code === 'unrecognized_keys' ? issue.keys.map((key) => refusal(key, known)).join(', ') : undefined;
  return z.strictObject(shape, { error });
}

function refusal(key: string, known: readonly string[]): string {
  const nearest = nearestName(key, known);
  return `"${key}" is no key here; ${nearest === undefined ? `known are ${known.join(', ')}` : `"${nearest}" is`}`;
}
