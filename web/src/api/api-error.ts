/** A refusal of the engine's REST side, as one kind of error. */

/** What a 422 answer says of one field; `path` like `conversation_config.agent.language`. */
export type FieldProblem = { readonly path: string; readonly message: string };

export class ApiError extends Error {
  /** 0: no answer came. */
  readonly status: number;
  readonly problems: readonly FieldProblem[];

  constructor(status: number, message: string, problems: readonly FieldProblem[] = []) {
    super(message);
    this.status = status;
    this.problems = problems;
  }
}
