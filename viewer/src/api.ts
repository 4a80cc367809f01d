/** The viewer's whole knowledge of the server: one manifest, instance files, one goodbye. Nothing here is heavy. */

export type InstanceRow = { id: string; number: number | null; frames: number; rows: number; columns: number; syntax: string };
export type SeriesRow = { id: string; number: number | null; description: string; modality: string; instances: InstanceRow[] };
export type Manifest = {
  study: { description: string; date: string; modalities: string[]; accession: string };
  patient: { name: string; birth_date: string; id?: string };
  practice: { name: string; phone: string };
  series: SeriesRow[];
  report: { signed_at: string; signed_by: string; text: string; url: string } | null;
  until: string | null;
  /** Who looks: by a link, or signed in as the patient or as the doctor who asked for the examination. */
  holder?: 'link' | 'patient' | 'referrer';
};

export type TroubleKind = 'signin' | 'refused' | 'missing' | 'ended' | 'away' | 'offline' | 'broken' | 'unsupported';

/** What stands between a person and a picture, by kind; `sentence` is the server's own word on it, if it said one. */
export class Trouble extends Error {
  constructor(readonly kind: TroubleKind, readonly sentence = '') {
    super(`${kind}: ${sentence}`);
    this.name = 'Trouble';
  }

  /** The visit is over: no picture of it may stay on the screen. */
  get endsVisit(): boolean {
    return this.kind === 'signin' || this.kind === 'refused' || this.kind === 'ended';
  }

  /** Trying the same request later may well work. */
  get passes(): boolean {
    return this.kind === 'away' || this.kind === 'offline';
  }
}

const KIND_OF_STATUS: Record<number, TroubleKind> = { 401: 'signin', 403: 'refused', 404: 'missing', 410: 'ended' };
const STALLED_AFTER_MS = 45_000;

export function troubleFrom(error: unknown): Trouble {
  if (error instanceof Trouble) return error;
  const inner = (error as { error?: unknown } | null)?.error;
  if (inner instanceof Trouble) return inner;
  return new Trouble('broken', error instanceof Error ? error.message : String(error));
}

async function ask(url: string, request: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, { credentials: 'same-origin', cache: 'no-store', redirect: 'error', ...request });
  } catch (error) {
    throw new Trouble(navigator.onLine ? 'away' : 'offline', error instanceof Error && navigator.onLine ? '' : '');
  }
  if (response.ok) return response;
  const said: unknown = await response.json().catch(() => null);
  const sentence = (said as { sentence?: unknown } | null)?.sentence;
  throw new Trouble(KIND_OF_STATUS[response.status] ?? 'away', typeof sentence === 'string' ? sentence : '');
}

export async function askManifest(base: string): Promise<Manifest> {
  const response = await ask(`${base}/manifest`, { headers: { Accept: 'application/json' } });
  try {
    return (await response.json()) as Manifest;
  } catch {
    throw new Trouble('away');
  }
}

export const instanceUrl = (base: string, id: string) => `${base}/instances/${encodeURIComponent(id)}/file`;

/** The bytes of one instance. `heard(bytes, of)` is told as they arrive; a transfer that stops moving is given up. */
export async function askInstance(
  base: string, id: string, heard: (bytes: number, of: number | null) => void = () => {}, urgent = true,
): Promise<ArrayBuffer> {
  const stop = new AbortController();
  let timer = setTimeout(() => stop.abort(), STALLED_AFTER_MS);
  try {
    const response = await ask(instanceUrl(base, id), { signal: stop.signal, priority: urgent ? 'high' : 'low' } as RequestInit);
    const of = Number(response.headers.get('content-length')) || null;
    if (!response.body) return await response.arrayBuffer();
    const reader = response.body.getReader();
    const parts: Uint8Array[] = [];
    let bytes = 0;
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      clearTimeout(timer);
      timer = setTimeout(() => stop.abort(), STALLED_AFTER_MS);
      parts.push(value);
      bytes += value.length;
      heard(bytes, of);
    }
    const whole = new Uint8Array(bytes);
    let at = 0;
    for (const part of parts) {
      whole.set(part, at);
      at += part.length;
    }
    return whole.buffer;
  } catch (error) {
    if (error instanceof Trouble) throw error;
    throw new Trouble(navigator.onLine ? 'away' : 'offline');
  } finally {
    clearTimeout(timer);
  }
}

export async function sayDone(base: string): Promise<void> {
  await ask(`${base}/close`, { method: 'POST', headers: { 'X-Requested-With': 'sorg' }, keepalive: true });
}

/** The image a person sees first: the middle of a stack says more than its edge, a cine starts at its beginning. */
export function firstChoice(series: SeriesRow[]): { series: number; instance: number } | null {
  const at = series.findIndex((one) => one.instances.length > 0);
  if (at < 0) return null;
  return { series: at, instance: Math.floor((series[at]!.instances.length - 1) / 2) };
}

/** Asked for by the small first script while the big one is still on its way. */
export type Asked = {
  base: string;
  manifest: Promise<Manifest>;
  first: Promise<{ id: string; bytes: ArrayBuffer } | null>;
};

/** What was asked for, and what decodes and draws it. */
export type Early = Asked & { worker: Worker; cpu: boolean };
