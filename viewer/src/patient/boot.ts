import '../base.css';
import './patient.css';
import { firstChoice } from '../api';
import { ask, markFirstPaint, setState, startDecoder } from '../boot';
import { baseOf } from './account';
import { mayBePlain, readPlain } from '../plain';
import { Frame } from './frame';

/** Cornerstone's start keeps the browser busy, so a plain first picture goes before it; but not for longer than this. */
const HEAD_START_MS = 800;

setState('loading');
const asked = ask(baseOf(location.pathname));
const frame = asked.manifest.then((manifest) => new Frame(manifest, asked.base), () => null);

async function paintFirst(): Promise<void> {
  const drawn = await frame;
  const choice = drawn && firstChoice(drawn.manifest.series);
  if (!choice) return;
  const series = drawn.manifest.series[choice.series]!;
  const row = series.instances[choice.instance]!;
  if (!mayBePlain(row, series.modality)) return;
  const first = await asked.first;
  const plain = first && readPlain(first.bytes, row);
  if (!plain || !drawn.showPreview(plain)) return;
  // Two frames: the first paints, and when the second begins the picture is on the glass.
  await new Promise((done) => requestAnimationFrame(() => { markFirstPaint(); requestAnimationFrame(done); }));
}

const headStart = new Promise<void>((over) => setTimeout(over, Math.max(0, HEAD_START_MS - performance.now())));
void Promise.race([paintFirst().catch(() => {}), headStart]).then(async () => {
  const early = { ...asked, ...startDecoder() };
  const { openPage } = await import('./page');
  await openPage(early, frame);
});
