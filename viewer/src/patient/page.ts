/** The patient's page: who, what and when above; the image; the report; and a kind word whenever something fails. */

import { RenderingEngine } from '@cornerstonejs/core';
import { Trouble, askManifest, firstChoice, sayDone, troubleFrom, type Early, type Manifest } from '../api';
import { markFirstImage, setState } from '../boot';
import { h, icon, type Icon } from '../dom';
import { followGestures } from '../gestures';
import { ImageStore, drawThumbnail, picturesOf, startCornerstone } from '../images';
import { Player } from '../player';
import { presetsFor } from '../presets';
import { Stage } from '../stage';
import { words } from '../words';
import { backToList, isAccount } from './account';
import { Frame, page } from './frame';

const SLOW_AFTER_MS = 4000;
const WARN_BEFORE_MS = 10 * 60_000;
const RETRY_AFTER_MS = 8000;
const THUMBNAIL_VOXELS = 4_000_000;

export async function openPage(early: Early, drawn: Promise<Frame | null>): Promise<void> {
  let manifest: Manifest;
  try {
    manifest = await early.manifest;
  } catch (error) {
    return meetTrouble(error, early);
  }
  try {
    new PatientPage((await drawn) ?? new Frame(manifest, early.base), early).open();
  } catch (error) {
    console.warn(error);
    notice({ icon: 'broken', title: words.unsupportedBrowserTitle, said: '', what: words.unsupportedBrowserWhat, state: 'error',
      action: [words.tryAgain, () => location.reload()] });
  }
}

/** The manifest could not be had: nothing else to show than why, and the way out. */
function meetTrouble(error: unknown, early: Early): void {
  const trouble = troubleFrom(error);
  const again = () => {
    page().replaceChildren(h('p', { class: 'starting', role: 'status' }, words.loadingStudy));
    setState('loading');
    void openPage({ ...early, manifest: askManifest(early.base), first: Promise.resolve(null) }, Promise.resolve(null));
  };
  endingNotice(trouble, early.base, '', '', again);
  if (trouble.kind === 'offline') addEventListener('online', again, { once: true });
}

type Notice = { icon: Icon; title: string; said: string; what: string; state: 'error' | 'ended' | 'ready'; action?: [string, () => void] };

function notice({ icon: drawn, title, said, what, state, action }: Notice): void {
  const [label, act] = action ?? [];
  page().replaceChildren(
    h('main', { class: 'notice', role: 'alert' },
      h('div', { class: 'notice-icon' }, icon(drawn)),
      h('h1', { tabindex: '-1' }, title),
      said && h('p', {}, said),
      what && h('p', { class: 'what' }, what),
      label && h('button', { class: 'primary', onclick: act }, label)));
  page().querySelector('h1')?.focus({ preventScroll: true });
  setState(state);
}

const ENDINGS: Record<string, [icon: Icon, title: string, fallback: string]> = {
  signin: ['door', words.signInTitle, words.signInFallback],
  refused: ['shield', words.refusedTitle, words.refusedFallback],
  ended: ['clock', words.endedTitle, words.endedFallback],
  missing: ['images', words.missingTitle, words.missingFallback],
  offline: ['cloud', words.offlineTitle, ''],
  away: ['cloud', words.awayTitle, words.awayFallback],
};

const ACCOUNT_ENDINGS: Record<string, [icon: Icon, title: string, fallback: string]> = {
  signin: ['door', words.account.signInTitle, words.account.signInFallback],
  refused: ['shield', words.account.refusedTitle, words.account.refusedFallback],
  missing: ['images', words.missingTitle, words.missingFallback],
};

function endingNotice(trouble: Trouble, base: string, practice: string, phone: string, again: () => void): void {
  const own = isAccount(base) ? ACCOUNT_ENDINGS[trouble.kind] : undefined;
  const [drawn, title, fallback] = own ?? ENDINGS[trouble.kind] ?? ENDINGS['away']!;
  const passes = trouble.passes || trouble.kind === 'broken';
  const onward: [string, () => void] | undefined = own
    && [trouble.kind === 'signin' ? words.account.signIn : words.account.back, backToList];
  notice({
    icon: drawn, title, said: trouble.sentence || fallback,
    what: trouble.kind === 'offline' ? words.offlineWhat : passes ? words.awayWhat : words.askPractice(practice, phone),
    state: trouble.endsVisit ? 'ended' : 'error',
    action: passes ? [words.tryAgain, again] : onward,
  });
}

class PatientPage {
  private readonly store: ImageStore;
  private readonly stage: Stage;
  private readonly player: Player;
  private series = 0;
  private over = false;
  private slowTimer = 0;
  private retryTimer = 0;
  private hinted = false;
  private preset = 'standard';
  private first: string | undefined;
  private readonly manifest: Manifest;

  constructor(private readonly frame: Frame, private readonly early: Early) {
    this.manifest = frame.manifest;
    const cpu = startCornerstone(early);
    this.store = new ImageStore(early.base, cpu, early.first);
    this.store.onVisitTrouble = (trouble) => this.end(trouble);
    this.stage = new Stage(frame.image, new RenderingEngine('sorg'), 'patient', this.store);
    // Cornerstone takes its element out of the tab order; the image is this page's main control.
    frame.image.tabIndex = 0;
    this.player = new Player(() => this.stage);
  }

  open(): void {
    const { stage, player } = this;
    stage.onChange = () => this.redraw();
    stage.onPainted = () => {
      markFirstImage();
      this.frame.dropPreview();
    };
    stage.onProgress = (bytes, of) => this.showProgress(bytes, of);
    player.onChange = () => this.redrawPlay();
    followGestures(stage, () => { player.stop(); this.dropHint(); });
    this.frame.playButton.addEventListener('click', () => player.toggle());
    this.frame.lightButton.addEventListener('click', () => this.showLight(this.frame.lightPanel.hidden !== false));
    this.frame.resetButton.addEventListener('click', () => this.reset());
    this.frame.fullButton.addEventListener('click', () => void this.toggleFull());
    this.frame.leaveButton.addEventListener('click', () => (isAccount(this.early.base) ? backToList() : this.askClose()));
    this.frame.onTab = (which) => { if (which === 'report') player.stop(); };
    for (const [at, button] of [...this.frame.strip.children].entries()) button.addEventListener('click', () => void this.openSeries(at));
    this.frame.slider.addEventListener('input', () => { player.stop(); void stage.show(Number(this.frame.slider.value) - 1); });
    this.frame.back.addEventListener('click', () => this.step(-1));
    this.frame.on.addEventListener('click', () => this.step(1));
    addEventListener('keydown', (event) => this.key(event));
    addEventListener('offline', () => this.say(words.offline, 'warn'));
    addEventListener('online', () => this.reconnect());
    addEventListener('unhandledrejection', (event) => {
      if (troubleFrom(event.reason).kind !== 'broken') event.preventDefault();
    });
    document.addEventListener('fullscreenchange', () => this.redrawFull());
    this.watchTheClock();

    const choice = firstChoice(this.manifest.series);
    if (choice) void this.openSeries(choice.series, choice.instance).then(() => this.drawThumbnails());
    else this.showEmpty();
    if (!navigator.onLine) this.say(words.offline, 'warn');
  }

  // What changes.

  private async openSeries(at: number, instance?: number): Promise<void> {
    const series = this.manifest.series[at];
    if (!series || this.over) return;
    this.player.stop();
    this.series = at;
    document.body.dataset['series'] = series.id;
    for (const [i, button] of [...this.frame.strip.children].entries()) {
      button.setAttribute('aria-pressed', String(i === at));
      if (i === at) this.frame.strip.scrollLeft = (button as HTMLElement).offsetLeft - this.frame.strip.clientWidth / 2 + (button as HTMLElement).clientWidth / 2;
    }
    const pictures = picturesOf(this.early.base, series);
    const start = instance === undefined ? Math.floor((series.instances.length - 1) / 2) : instance;
    const chosen = series.instances[start];
    await this.stage.open(pictures, Math.max(0, pictures.findIndex((one) => one.instance === chosen)));
    if (this.stage.color) this.showLight(false);
    this.drawLight();
    this.offerHint();
  }

  private step(by: number): void {
    this.player.stop();
    void this.stage.show(this.stage.index + by);
  }

  private redraw(): void {
    if (this.over) return;
    const { stage } = this;
    const count = stage.pictures.length;
    document.body.dataset['slice'] = String(stage.index + 1);
    document.body.dataset['slices'] = String(count);
    this.frame.showPlace(stage.index, count);
    // The preview is the first picture's: it goes as soon as another is asked for, or this one cannot be shown after all.
    const asked = stage.pictures[stage.index]?.imageId;
    this.first ??= asked;
    if (asked !== this.first || stage.trouble) this.frame.dropPreview();
    this.frame.lightButton.disabled = !stage.image || stage.color;
    this.frame.image.classList.toggle('near', stage.near);
    clearTimeout(this.slowTimer);
    clearTimeout(this.retryTimer);
    if (stage.waiting) this.showWaiting();
    else if (stage.trouble) this.showTrouble(stage.trouble);
    else {
      this.frame.cover.hidden = true;
      this.frame.image.dataset['shown'] = String(stage.index + 1);
      if (this.frame.banner.dataset['kind'] === 'slow') this.say('');
      const canvas = this.frame.strip.children[this.series]?.querySelector('canvas');
      if (canvas && stage.image && !canvas.dataset['drawn']) this.paintThumbnail(canvas, stage.image);
    }
  }

  private showWaiting(): void {
    if (this.frame.previewed) return;
    // A picture that comes at once needs no spinner; an old picture must not stand there as if it were the new one.
    this.slowTimer = window.setTimeout(() => {
      this.frame.cover.className = 'cover waiting';
      this.frame.cover.replaceChildren(h('div', { class: 'turning' }), h('p', { class: 'loading', role: 'status' }, words.loadingImage));
      this.frame.cover.hidden = false;
      this.slowTimer = window.setTimeout(() => navigator.onLine && this.say(words.slow, 'slow'), SLOW_AFTER_MS);
    }, this.stage.image ? 150 : 0);
  }

  private showProgress(bytes: number, of: number | null): void {
    const line = this.frame.cover.querySelector('.loading');
    if (!line || (of ?? bytes) < 400_000) return;
    line.textContent = of
      ? `${words.loadingImage} · ${Math.round((bytes / of) * 100)} %`
      : `${words.loadingImage} · ${words.loadingMb((bytes / 1e6).toFixed(1))}`;
  }

  private showTrouble(trouble: Trouble): void {
    if (trouble.endsVisit) return this.end(trouble);
    const again = () => { this.store.retry(); void this.stage.show(this.stage.index); };
    const [drawn, title, what]: [Icon, string, string] = {
      away: ['cloud', words.awayTitle, words.awayWhat] as [Icon, string, string],
      offline: ['cloud', words.offlineTitle, words.offlineWhat] as [Icon, string, string],
      unsupported: ['broken', words.brokenTitle, words.unsupportedWhat] as [Icon, string, string],
      missing: ['broken', words.brokenTitle, words.missingImageWhat] as [Icon, string, string],
    }[trouble.kind as string] ?? ['broken', words.brokenTitle, words.brokenWhat];
    const said = trouble.kind === 'away' ? trouble.sentence || words.awayFallback : '';
    this.frame.cover.className = 'cover trouble';
    this.frame.cover.dataset['kind'] = trouble.kind;
    this.frame.cover.replaceChildren(h('div', { class: 'cover-text', role: 'alert' },
      icon(drawn), h('h2', {}, title), said && h('p', {}, said), h('p', { class: 'what' }, what),
      trouble.passes && h('button', { class: 'primary', onclick: again }, words.tryAgain)));
    this.frame.cover.hidden = false;
    if (this.frame.banner.dataset['kind'] === 'slow') this.say('');
    if (document.body.dataset['firstImageMs'] === undefined) setState('error');
    if (trouble.kind === 'away') this.retryTimer = window.setTimeout(again, RETRY_AFTER_MS);
  }

  private showEmpty(): void {
    this.frame.cover.className = 'cover trouble';
    this.frame.cover.dataset['kind'] = 'empty';
    this.frame.cover.replaceChildren(h('div', { class: 'cover-text' }, icon('images'), h('h2', {}, words.emptyTitle), h('p', { class: 'what' }, words.emptyWhat)));
    this.frame.cover.hidden = false;
    this.frame.theatre.classList.add('empty');
    setState('ready');
  }

  private say(text: string, kind: 'warn' | 'slow' | 'good' | '' = ''): void {
    if (this.over) return;
    this.frame.banner.textContent = text;
    this.frame.banner.dataset['kind'] = kind;
    this.frame.banner.hidden = !text;
  }

  private reconnect(): void {
    this.say(words.backOnline, 'good');
    setTimeout(() => this.frame.banner.dataset['kind'] === 'good' && this.say(''), 3000);
    if (this.stage.trouble?.passes) { this.store.retry(); void this.stage.show(this.stage.index); }
  }

  // Light: presets and two sliders that start from the picture's own window.

  private showLight(open: boolean): void {
    this.frame.lightPanel.hidden = !open;
    this.frame.theatre.classList.toggle('lit', open);
    this.frame.lightButton.setAttribute('aria-pressed', String(open));
    this.drawLight();
  }

  private drawLight(): void {
    if (this.frame.lightPanel.hidden) return;
    const modality = this.manifest.series[this.series]?.modality ?? '';
    const bright = h('input', { type: 'range', min: 0, max: 100, value: 50, 'aria-label': words.brightness });
    const contrast = h('input', { type: 'range', min: 0, max: 100, value: 50, 'aria-label': words.contrast });
    const fill = () => [bright, contrast].forEach((one) => one.style.setProperty('--filled', `${one.value}%`));
    const place = () => {
      const own = this.stage.ownWindow();
      const now = this.stage.currentWindow();
      bright.value = String(50 + ((own.center - now.center) / own.width) * 50);
      contrast.value = String(50 - Math.log2(now.width / own.width) * 16);
      fill();
    };
    const slide = () => {
      const own = this.stage.ownWindow();
      this.preset = '';
      this.stage.setWindow({
        center: own.center - ((Number(bright.value) - 50) / 50) * own.width,
        width: own.width * 2 ** ((50 - Number(contrast.value)) / 16),
      });
      fill();
      mark();
    };
    const chips = presetsFor(modality).map((preset) => h('button', {
      class: 'chip', 'data-preset': preset.key,
      onclick: () => { this.preset = preset.key; this.stage.setWindow(preset.window(this.stage.ownWindow())); place(); mark(); },
    }, preset.label));
    const mark = () => chips.forEach((chip) => chip.setAttribute('aria-pressed', String(chip.dataset['preset'] === this.preset)));
    if (!this.stage.window) this.preset = 'standard';
    bright.addEventListener('input', slide);
    contrast.addEventListener('input', slide);
    this.frame.lightPanel.replaceChildren(
      h('div', { class: 'chips' }, ...chips),
      h('label', { class: 'dial' }, h('span', {}, words.brightness), bright),
      h('label', { class: 'dial' }, h('span', {}, words.contrast), contrast));
    place();
    mark();
  }

  private reset(): void {
    this.preset = 'standard';
    this.stage.setWindow(null);
    this.stage.resetView();
    this.drawLight();
  }

  private redrawPlay(): void {
    this.frame.playButton.replaceChildren(icon(this.player.playing ? 'pause' : 'play'), h('span', {}, this.player.playing ? words.pause : words.play));
    if (this.player.playing) this.dropHint();
  }

  // iPhones have no full screen for a part of a page: there the stage covers the page instead.
  private async toggleFull(): Promise<void> {
    const filled = this.frame.theatre.classList.toggle('filled');
    if (!filled && document.fullscreenElement) await document.exitFullscreen();
    else if (filled && document.fullscreenEnabled) await this.frame.theatre.requestFullscreen().catch(() => {});
    this.redrawFull();
  }

  private redrawFull(): void {
    if (document.fullscreenEnabled && !document.fullscreenElement && this.frame.theatre.dataset['real']) this.frame.theatre.classList.remove('filled');
    this.frame.theatre.dataset['real'] = document.fullscreenElement ? 'yes' : '';
    const filled = this.frame.theatre.classList.contains('filled');
    this.frame.fullButton.replaceChildren(icon(filled ? 'small' : 'full'), h('span', {}, filled ? words.leaveFullScreen : words.fullScreen));
  }

  private offerHint(): void {
    if (this.hinted || this.stage.trouble) return;
    this.hinted = true;
    const touch = matchMedia('(pointer: coarse)').matches;
    const many = this.stage.pictures.length > 1;
    this.frame.hint.textContent = touch ? (many ? words.hintTouch : words.hintTouchOne) : many ? words.hintMouse : words.hintMouseOne;
    this.frame.hint.hidden = false;
    setTimeout(() => this.dropHint(), 6000);
  }

  private dropHint(): void {
    this.frame.hint.hidden = true;
  }

  private key(event: KeyboardEvent): void {
    const target = event.target as HTMLElement;
    if (this.over || event.altKey || event.metaKey || event.ctrlKey || target.matches('input, dialog *, [role=tab]')) return;
    if (page().dataset['tab'] === 'report' && !matchMedia('(min-width: 1000px)').matches) return;
    if (target.closest('.reading')) return;
    const middle = [this.frame.image.clientWidth / 2, this.frame.image.clientHeight / 2] as [number, number];
    const acts: Record<string, () => void> = {
      ArrowDown: () => this.step(1), ArrowRight: () => this.step(1), ArrowUp: () => this.step(-1), ArrowLeft: () => this.step(-1),
      PageDown: () => this.step(10), PageUp: () => this.step(-10),
      Home: () => this.step(-this.stage.index), End: () => this.step(this.stage.pictures.length),
      '+': () => this.stage.zoomBy(1.25, middle), '=': () => this.stage.zoomBy(1.25, middle), '-': () => this.stage.zoomBy(0.8, middle),
      '0': () => this.reset(), f: () => void this.toggleFull(),
      Escape: () => this.frame.theatre.classList.contains('filled') && void this.toggleFull(),
    };
    if (event.key === ' ' && !target.matches('button, a')) acts[' '] = () => this.player.toggle();
    const act = acts[event.key];
    if (!act) return;
    event.preventDefault();
    this.dropHint();
    act();
  }

  // Thumbnails come after the first image, one at a time, and never for a cine loop nobody asked for.
  private async drawThumbnails(): Promise<void> {
    for (const [at, series] of this.manifest.series.entries()) {
      const canvas = this.frame.strip.children[at]?.querySelector('canvas');
      const middle = series.instances[Math.floor((series.instances.length - 1) / 2)];
      if (this.over || !canvas || canvas.dataset['drawn'] || !middle) continue;
      if (middle.rows * middle.columns * Math.max(1, middle.frames) > THUMBNAIL_VOXELS) continue;
      const picture = picturesOf(this.early.base, { ...series, instances: [middle] })[0]!;
      await this.store.load(picture).then((image) => this.paintThumbnail(canvas, image), () => {});
    }
  }

  private paintThumbnail(canvas: HTMLCanvasElement, image: Parameters<typeof drawThumbnail>[0]): void {
    drawThumbnail(image, canvas);
    canvas.dataset['drawn'] = 'yes';
  }

  // How a visit ends.

  private watchTheClock(): void {
    const { until } = this.manifest;
    if (!until) return;
    const ends = new Date(until).getTime();
    const look = () => {
      const left = ends - Date.now();
      if (this.over) return;
      if (left <= 0) {
        // The server's clock decides, not this device's.
        askManifest(this.early.base).then(() => {}, (error: unknown) => {
          const trouble = troubleFrom(error);
          if (trouble.endsVisit) this.end(trouble);
        });
        setTimeout(look, 60_000);
        return;
      }
      if (left < WARN_BEFORE_MS) this.frame.ends.replaceChildren(icon('clock'), words.endsSoon(Math.ceil(left / 60_000)));
      this.frame.ends.classList.toggle('soon', left < WARN_BEFORE_MS);
      setTimeout(look, Math.min(left, 30_000));
    };
    look();
  }

  private shut(): void {
    this.over = true;
    clearTimeout(this.slowTimer);
    clearTimeout(this.retryTimer);
    this.player.stop();
    this.stage.clear();
    this.store.close();
    if (document.fullscreenElement) void document.exitFullscreen();
  }

  private end(trouble: Trouble): void {
    if (this.over) return;
    this.shut();
    endingNotice(trouble, this.early.base, this.manifest.practice.name, this.manifest.practice.phone, () => location.reload());
  }

  private askClose(): void {
    const dialog = h('dialog', { 'aria-labelledby': 'close-title' },
      h('h2', { id: 'close-title' }, words.closeAsk), h('p', {}, words.closeWhy),
      h('div', { class: 'choices' },
        h('button', { class: 'primary', onclick: () => { dialog.close(); void this.close(); } }, words.closeYes),
        h('button', { onclick: () => dialog.close() }, words.closeNo)));
    dialog.addEventListener('close', () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
  }

  private async close(): Promise<void> {
    this.shut();
    const told = await sayDone(this.early.base).then(() => true, () => false);
    notice({ icon: 'check', title: words.closedTitle, said: words.closedWhat, what: told ? '' : words.closeFailed, state: 'ended' });
  }
}
