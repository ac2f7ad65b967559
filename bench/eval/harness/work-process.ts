/** One process of a pool (`process-pool.ts`): does the tasks it is sent, one after the other, with the module that it is started with. */

export type ToWorkProcess = { readonly task: unknown };
export type FromWorkProcess =
  | { readonly type: 'ready' }
  | { readonly type: 'done'; readonly result: unknown }
  | { readonly type: 'failed'; readonly problem: string };

type WorkModule = { readonly work: (task: unknown) => Promise<unknown> };

function tell(message: FromWorkProcess): void {
  process.send?.(message);
}

function problemOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

const [module] = process.argv.slice(2);
const { work } = (await import(module!)) as WorkModule;
process.on('message', ({ task }: ToWorkProcess) => {
  work(task).then(
    (result) => tell({ type: 'done', result }),
    (error: unknown) => tell({ type: 'failed', problem: problemOf(error) }),
  );
});
// Whoever gave the tasks is gone or has no more of them.
process.on('disconnect', () => process.exit());
tell({ type: 'ready' });
