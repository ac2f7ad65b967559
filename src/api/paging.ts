/** Lists in pages, as the public API has them. API thread. */
import { z } from 'zod';

export const pageQuery = {
  page_size: z.coerce.number().int().min(1).max(100).default(30),
  cursor: z.string().max(1024).optional(),
} as const;

/** A query says `true`, `false`, `1` or `0`. */
export const flagQuery = z.enum(['true', 'false', '1', '0', 'True', 'False']).transform((text) => /^(true|1)$/i.test(text));

/** One value or several. */
export const listQuery = z
  .union([z.string(), z.array(z.string())])
  .transform((value) => (typeof value === 'string' ? [value] : value));
