/** The small first script of both faces: starts every download that is certain before the big script has arrived. */

import { Trouble, askInstance, askManifest, firstChoice, type Asked, type Early } from './api';

const SOFTWARE = /swiftshader|llvmpipe|softpipe|software|microsoft basic render/i;

/** Is there no graphics processor worth asking? The same question Cornerstone asks, minus its texture trials. */
function drawsInSoftware(): boolean {
  const asked = new URLSearchParams(location.search).get('render');
  if (asked === 'cpu' || asked === 'gpu') return asked === 'cpu';
  const gl = document.createElement('canvas').getContext('webgl2');
  if (!gl) return true;
  const named = gl.getExtension('WEBGL_debug_renderer_info');
  const renderer = String(gl.getParameter(named ? named.UNMASKED_RENDERER_WEBGL : gl.RENDERER));
  gl.getExtension('WEBGL_lose_context')?.loseContext();
  const software = SOFTWARE.test(renderer);
  if (software) sparesTextureTrials(renderer);
  return software;
}

/**
 * Cornerstone tries out texture formats on its first decoded image and remembers the outcome under this key.
 * A software rasteriser's outcome is known and its textures are never used, so we write it down before it is needed.
 */
function sparesTextureTrials(renderer: string): void {
  const known = { norm16: false, norm16Linear: false, float: true, floatLinear: true, halfFloat: true, halfFloatLinear: true };
  try {
    localStorage.setItem('cornerstone3D.renderingCapabilities',
      JSON.stringify({ probeVersion: 1, renderer, webgl2: true, formats: known }));
  } catch {
    // Storage may be switched off; then the trials are made, which is only slower.
  }
}

/** The manifest and the first image's bytes, asked for at once. */
export function ask(base: string): Asked {
  const manifest = askManifest(base);
  const first = manifest.then(
    async ({ series }) => {
      const choice = firstChoice(series);
      const id = choice && series[choice.series]!.instances[choice.instance]!.id;
      // What goes wrong here goes wrong again where it can be told.
      return id ? askInstance(base, id).then((bytes) => ({ id, bytes }), () => null) : null;
    },
    () => null,
  );
  manifest.catch((error: unknown) => error instanceof Trouble);
  return { base, manifest, first };
}

/** The decoder's worker compiles while Cornerstone starts. */
export function startDecoder(): Omit<Early, keyof Asked> {
  const worker = new Worker(
    new URL('../node_modules/@cornerstonejs/dicom-image-loader/dist/esm/decodeImageFrameWorker.js', import.meta.url),
    { type: 'module' },
  );
  return { worker, cpu: drawsInSoftware() };
}

/** One word on the page that people, tests and benchmarks can wait for. */
export function setState(state: 'loading' | 'ready' | 'error' | 'ended'): void {
  document.body.dataset['state'] = state;
}

/** The first picture is on the screen; whether one can move through the images is another matter, `ready`. */
export function markFirstPaint(): void {
  document.body.dataset['firstPaintMs'] ??= performance.now().toFixed(1);
}

export function markFirstImage(): void {
  if (document.body.dataset['firstImageMs']) return;
  markFirstPaint();
  document.body.dataset['firstImageMs'] = performance.now().toFixed(1);
  // A visit that ended while this picture was being drawn stays ended.
  if (document.body.dataset['state'] !== 'ended') setState('ready');
}
