import type { components } from "./generated/schema";

type Schemas = components["schemas"];
export type Me = Schemas["Me"];
export type Session = Schemas["SessionOut"];
export type TwoStepSecret = Schemas["TwoStepSecret"];
export type Token = Schemas["TokenOut"];
export type NewToken = Schemas["NewTokenOut"];
export type Operation = Schemas["OperationOut"];
export type TagRule = Schemas["TagRuleOut"];
export type Member = Schemas["MemberOut"];
export type ServiceAccount = Schemas["ServiceAccountOut"];
export type Explanation = Schemas["ExplanationOut"];
export type Organization = Schemas["OrganizationOut"];
export type Permissions = Schemas["PermissionsOut"];
export type LoginMethods = Schemas["LoginMethods"];
export type Answer = Schemas["AnswerOut"];
export type Citation = Schemas["CitationOut"];
export type SearchResult = Schemas["SearchResultOut"];
export type DocumentInfo = Schemas["DocumentOut"];
export type DocumentText = Schemas["TextOut"];
export type Source = Schemas["SourceOut"];
export type Run = Schemas["RunOut"];
export type ItemError = Schemas["ItemErrorOut"];
export type Conversation = Schemas["ConversationOut"];
export type ConversationWithMessages = Schemas["ConversationWithMessages"];
export type Workspace = Schemas["WorkspaceOut"];
export type Account = Schemas["AccountOut"];
export type GroupInfo = Schemas["GroupOut"];
export type GroupMember = Schemas["GroupMemberOut"];
export type AuditEntry = Schemas["EntryOut"];
export type Verification = Schemas["VerificationOut"];
export type ResetLink = Schemas["ResetLinkOut"];
export type Uploads = Schemas["UploadsOut"];
export interface Page<Item> {
  items: Item[];
  next_cursor?: string | null;
}

/** A problem document (RFC 9457) that the API answered with, or what stands for one when nothing came back. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    detail: string,
    readonly requestId = "",
    readonly retryAfter: number | null = null,
  ) {
    super(detail);
  }

  /** Trying again later may help without anybody doing anything. */
  get temporary(): boolean {
    return this.status === 0 || this.status === 503;
  }
}

const session: { csrf: string; ended: () => void } = { csrf: "", ended: () => undefined };

/** What must be sent with changes, and what happens when the session has ended. */
export function useSessionToken(csrf: string, ended: () => void): void {
  session.csrf = csrf;
  session.ended = ended;
}

export function csrfToken(): string {
  return session.csrf;
}

export function problemOf(status: number, body: unknown, headers?: Headers): Problem {
  const fields = (typeof body === "object" && body !== null ? body : {}) as Record<string, unknown>;
  const retry = Number(headers?.get("retry-after"));
  return new Problem(
    status,
    typeof fields.code === "string" ? fields.code : "http",
    typeof fields.detail === "string" ? fields.detail : `The server answered with status ${status}`,
    typeof fields.request_id === "string" ? fields.request_id : "",
    Number.isFinite(retry) && retry > 0 ? retry : null,
  );
}

/** A request to the API, whose answer is checked. Throws Problem. */
export async function send(path: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  if (init.method && init.method !== "GET") headers.set("X-CSRF-Token", session.csrf);
  let response: Response;
  try {
    response = await fetch(`/api/v1${path}`, { credentials: "same-origin", ...init, headers });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Problem(0, "unreachable", "The server cannot be reached");
  }
  if (!response.ok) {
    const problem = problemOf(response.status, await response.json().catch(() => null), response.headers);
    if (response.status === 401 && !path.startsWith("/auth/login") && !path.startsWith("/auth/password"))
      session.ended();
    throw problem;
  }
  return response;
}

export async function get<Result>(path: string): Promise<Result> {
  return (await send(path)).json() as Promise<Result>;
}

export async function change<Result = void>(
  method: "POST" | "PUT" | "PATCH" | "DELETE",
  path: string,
  body?: unknown,
): Promise<Result> {
  const init: RequestInit = { method };
  if (body !== undefined) {
    init.body = JSON.stringify(body);
    init.headers = { "Content-Type": "application/json" };
  }
  const response = await send(path, init);
  return (response.status === 204 ? undefined : await response.json()) as Result;
}
