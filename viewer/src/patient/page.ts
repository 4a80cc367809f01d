/** The patient's page: who, what and when above; the image; the report; and a kind word whenever something fails. */

import { RenderingEngine } from '@cornerstonejs/core';
import { Trouble, askManifest, firstChoice, sayDone, troubleFrom, type Early, type Manifest } from '../api';
import { markFirstImage, setState } from '../boot';
import { day, h, icon, moment, personName, type Icon } from '../dom';
import { followGestures } from '../gestures';
import { ImageStore, drawThumbnail, picturesOf, startCornerstone } from '../images';
import { Player } from '../player';
import { presetsFor } from '../presets';
import { Stage } from '../stage';
import { words } from '../words';
import { reportPanel } from './report';

const SLOW_AFTER_MS = 4000;
const WARN_BEFORE_MS = 10 * 60_000;
const RETRY_AFTER_MS = 8000;
const THUMBNAIL_VOXELS = 4_000_000;

const page = () => document.getElementById('page')!;

export async function openPage(early: Early): Promise<void> {
  let manifest: Manifest;
  try {
    manifest = await early.manifest;
  } catch (error) {
    return meetTrouble(error, early);
  }
  document.title = manifest.practice.name ? `${words.yourImages} – ${manifest.practice.name}` : words.yourImages;
  try {
    new PatientPage(manifest, early).open();
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
    void openPage({ ...early, manifest: askManifest(early.base), first: Promise.resolve(null) });
  };
  endingNotice(trouble, '', '', again);
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

function endingNotice(trouble: Trouble, practice: string, phone: string, again: () => void): void {
  const [drawn, title, fallback] = ENDINGS[trouble.kind] ?? ENDINGS['away']!;
  const passes = trouble.passes || trouble.kind === 'broken';
  notice({
    icon: drawn, title, said: trouble.sentence || fallback,
    what: trouble.kind === 'offline' ? words.offlineWhat : passes ? words.awayWhat : words.askPractice(practice, phone),
    state: trouble.endsVisit ? 'ended' : 'error',
    action: passes ? [words.tryAgain, again] : undefined,
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

  private readonly image = h('div', { class: 'image', tabindex: '0', role: 'application', 'aria-label': words.stageLabel });
  private readonly cover = h('div', { class: 'cover', hidden: true });
  private readonly hint = h('p', { class: 'hint', hidden: true });
  private readonly place = h('p', { class: 'place', role: 'status', 'aria-live': 'off' });
  private readonly slider = h('input', { type: 'range', min: 1, step: 1, 'aria-label': words.imageSlider });
  private readonly back = h('button', { class: 'bare', 'aria-label': words.previous }, icon('previous'));
  private readonly on = h('button', { class: 'bare', 'aria-label': words.next }, icon('next'));
  private readonly travel = h('div', { class: 'travel' }, this.back, this.slider, this.on);
  private readonly playButton = this.tool('play', words.play, () => this.player.toggle());
  private readonly lightButton = this.tool('contrast', words.light, () => this.showLight(this.lightPanel.hidden !== false));
  private readonly resetButton = this.tool('reset', words.reset, () => this.reset());
  private readonly fullButton = this.tool('full', words.fullScreen, () => void this.toggleFull());
  private readonly lightPanel = h('div', { class: 'light', hidden: true, role: 'group', 'aria-label': words.light });
  private readonly strip = h('div', { class: 'strip', role: 'group', 'aria-label': words.seriesPicker });
  private readonly banner = h('p', { class: 'banner', role: 'status', hidden: true });
  private readonly ends = h('span', { class: 'ends' });
  private readonly theatre = h('section', { class: 'theatre', id: 'images', 'aria-label': words.images });

  constructor(private readonly manifest: Manifest, private readonly early: Early) {
    const cpu = startCornerstone(early);
    this.store = new ImageStore(early.base, cpu, early.first);
    this.store.onVisitTrouble = (trouble) => this.end(trouble);
    this.draw();
    this.stage = new Stage(this.image, new RenderingEngine('sorg'), 'patient', this.store);
    // Cornerstone takes its element out of the tab order; the image is this page's main control.
    this.image.tabIndex = 0;
    this.player = new Player(() => this.stage);
  }

  open(): void {
    const { stage, player } = this;
    stage.onChange = () => this.redraw();
    stage.onPainted = () => markFirstImage();
    stage.onProgress = (bytes, of) => this.showProgress(bytes, of);
    player.onChange = () => this.redrawPlay();
    followGestures(stage, () => { player.stop(); this.dropHint(); });
    this.slider.addEventListener('input', () => { player.stop(); void stage.show(Number(this.slider.value) - 1); });
    this.back.addEventListener('click', () => this.step(-1));
    this.on.addEventListener('click', () => this.step(1));
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

  // Drawing the page, once.

  private draw(): void {
    const { study, patient, practice, report, until } = this.manifest;
    const counted = this.manifest.series.filter((one) => one.instances.length > 0);
    this.theatre.append(
      h('div', { class: 'screen' }, this.image, this.place, this.hint, this.cover),
      h('div', { class: 'desk' },
        this.travel, this.lightPanel,
        h('div', { class: 'tools' }, this.playButton, this.lightButton, this.resetButton, this.fullButton)),
      this.strip);
    const reading = h('section', { class: 'reading', id: 'report', 'aria-label': words.report }, reportPanel(this.manifest, this.early.base));
    const imagesTab = h('button', { class: 'tab', role: 'tab', 'aria-controls': 'images' }, icon('images'), words.images);
    const reportTab = h('button', { class: 'tab', role: 'tab', 'aria-controls': 'report' }, icon('report'), words.report,
      report && h('span', { class: 'dot', 'aria-hidden': 'true' }));
    const tabs = h('div', { class: 'tabs', role: 'tablist' }, imagesTab, reportTab);
    const choose = (which: 'images' | 'report') => {
      page().dataset['tab'] = which;
      for (const [tab, name] of [[imagesTab, 'images'], [reportTab, 'report']] as const) {
        tab.setAttribute('aria-selected', String(name === which));
        tab.tabIndex = name === which ? 0 : -1;
      }
      if (which === 'report') this.player.stop();
    };
    imagesTab.addEventListener('click', () => choose('images'));
    reportTab.addEventListener('click', () => choose('report'));
    tabs.addEventListener('keydown', (event) => {
      if (event.key !== 'ArrowLeft' && event.key !== 'ArrowRight') return;
      event.stopPropagation();
      const other = document.activeElement === imagesTab ? reportTab : imagesTab;
      other.click();
      other.focus();
    });

    if (until) this.ends.append(icon('clock'), words.worksUntil(moment(until)));
    page().replaceChildren(
      h('header', { class: 'top' },
        h('div', { class: 'brand' }, h('span', { class: 'mark', 'aria-hidden': 'true' }), h('span', {}, practice.name || words.yourImages)),
        h('button', { class: 'leave', onclick: () => this.askClose() }, icon('close'), words.close)),
      h('div', { class: 'who' },
        h('h1', {}, study.description || words.examination),
        h('p', {}, personName(patient.name), h('span', { class: 'sep' }), day(study.date),
          patient.birth_date && h('span', { class: 'wide' }, h('span', { class: 'sep' }), `${words.born} ${day(patient.birth_date)}`))),
      tabs, this.banner,
      h('main', { class: 'rooms' }, this.theatre, reading),
      h('footer', { class: 'foot' },
        h('span', {}, icon('shield'), words.notForDiagnosis), until && this.ends));
    choose('images');
    this.strip.hidden = counted.length < 2;
    this.strip.append(...this.manifest.series.map((one, at) => this.seriesButton(at, one.instances.length > 0)));
  }

  private tool(drawn: Icon, label: string, act: () => void): HTMLButtonElement {
    return h('button', { class: 'bare tool', onclick: act }, icon(drawn), h('span', {}, label));
  }

  private seriesButton(at: number, has: boolean): HTMLButtonElement {
    const series = this.manifest.series[at]!;
    const count = series.instances.reduce((sum, one) => sum + Math.max(1, one.frames), 0);
    const name = series.description || `${series.modality} ${series.number ?? at + 1}`;
    const button = h('button', { class: 'series', 'aria-pressed': 'false', hidden: !has, title: name },
      h('canvas', { width: 96, height: 96, 'aria-hidden': 'true' }),
      h('span', { class: 'series-name' }, name), h('span', { class: 'series-count' }, words.imagesCount(count)));
    button.addEventListener('click', () => void this.openSeries(at));
    return button;
  }

  // What changes.

  private async openSeries(at: number, instance?: number): Promise<void> {
    const series = this.manifest.series[at];
    if (!series || this.over) return;
    this.player.stop();
    this.series = at;
    document.body.dataset['series'] = series.id;
    for (const [i, button] of [...this.strip.children].entries()) {
      button.setAttribute('aria-pressed', String(i === at));
      if (i === at) this.strip.scrollLeft = (button as HTMLElement).offsetLeft - this.strip.clientWidth / 2 + (button as HTMLElement).clientWidth / 2;
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
    this.travel.hidden = count < 2;
    this.playButton.hidden = count < 2;
    this.slider.max = String(count);
    this.slider.value = String(stage.index + 1);
    this.slider.style.setProperty('--filled', `${count > 1 ? (stage.index / (count - 1)) * 100 : 0}%`);
    this.slider.setAttribute('aria-valuetext', words.imageOf(stage.index + 1, count));
    this.place.textContent = count > 1 ? words.imageOf(stage.index + 1, count) : '';
    this.back.disabled = stage.index === 0;
    this.on.disabled = stage.index >= count - 1;
    this.lightButton.disabled = !stage.image || stage.color;
    this.image.classList.toggle('near', stage.near);
    clearTimeout(this.slowTimer);
    clearTimeout(this.retryTimer);
    if (stage.waiting) this.showWaiting();
    else if (stage.trouble) this.showTrouble(stage.trouble);
    else {
      this.cover.hidden = true;
      this.image.dataset['shown'] = String(stage.index + 1);
      if (this.banner.dataset['kind'] === 'slow') this.say('');
      const canvas = this.strip.children[this.series]?.querySelector('canvas');
      if (canvas && stage.image && !canvas.dataset['drawn']) this.paintThumbnail(canvas, stage.image);
    }
  }

  private showWaiting(): void {
    // A picture that comes at once needs no spinner; an old picture must not stand there as if it were the new one.
    this.slowTimer = window.setTimeout(() => {
      this.cover.className = 'cover waiting';
      this.cover.replaceChildren(h('div', { class: 'turning' }), h('p', { class: 'loading', role: 'status' }, words.loadingImage));
      this.cover.hidden = false;
      this.slowTimer = window.setTimeout(() => navigator.onLine && this.say(words.slow, 'slow'), SLOW_AFTER_MS);
    }, this.stage.image ? 150 : 0);
  }

  private showProgress(bytes: number, of: number | null): void {
    const line = this.cover.querySelector('.loading');
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
    this.cover.className = 'cover trouble';
    this.cover.dataset['kind'] = trouble.kind;
    this.cover.replaceChildren(h('div', { class: 'cover-text', role: 'alert' },
      icon(drawn), h('h2', {}, title), said && h('p', {}, said), h('p', { class: 'what' }, what),
      trouble.passes && h('button', { class: 'primary', onclick: again }, words.tryAgain)));
    this.cover.hidden = false;
    if (this.banner.dataset['kind'] === 'slow') this.say('');
    if (document.body.dataset['firstImageMs'] === undefined) setState('error');
    if (trouble.kind === 'away') this.retryTimer = window.setTimeout(again, RETRY_AFTER_MS);
  }

  private showEmpty(): void {
    this.cover.className = 'cover trouble';
    this.cover.dataset['kind'] = 'empty';
    this.cover.replaceChildren(h('div', { class: 'cover-text' }, icon('images'), h('h2', {}, words.emptyTitle), h('p', { class: 'what' }, words.emptyWhat)));
    this.cover.hidden = false;
    this.theatre.classList.add('empty');
    setState('ready');
  }

  private say(text: string, kind: 'warn' | 'slow' | 'good' | '' = ''): void {
    if (this.over) return;
    this.banner.textContent = text;
    this.banner.dataset['kind'] = kind;
    this.banner.hidden = !text;
  }

  private reconnect(): void {
    this.say(words.backOnline, 'good');
    setTimeout(() => this.banner.dataset['kind'] === 'good' && this.say(''), 3000);
    if (this.stage.trouble?.passes) { this.store.retry(); void this.stage.show(this.stage.index); }
  }

  // Light: presets and two sliders that start from the picture's own window.

  private showLight(open: boolean): void {
    this.lightPanel.hidden = !open;
    this.theatre.classList.toggle('lit', open);
    this.lightButton.setAttribute('aria-pressed', String(open));
    this.drawLight();
  }

  private drawLight(): void {
    if (this.lightPanel.hidden) return;
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
    this.lightPanel.replaceChildren(
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
    this.playButton.replaceChildren(icon(this.player.playing ? 'pause' : 'play'), h('span', {}, this.player.playing ? words.pause : words.play));
    if (this.player.playing) this.dropHint();
  }

  // iPhones have no full screen for a part of a page: there the stage covers the page instead.
  private async toggleFull(): Promise<void> {
    const filled = this.theatre.classList.toggle('filled');
    if (!filled && document.fullscreenElement) await document.exitFullscreen();
    else if (filled && document.fullscreenEnabled) await this.theatre.requestFullscreen().catch(() => {});
    this.redrawFull();
  }

  private redrawFull(): void {
    if (document.fullscreenEnabled && !document.fullscreenElement && this.theatre.dataset['real']) this.theatre.classList.remove('filled');
    this.theatre.dataset['real'] = document.fullscreenElement ? 'yes' : '';
    const filled = this.theatre.classList.contains('filled');
    this.fullButton.replaceChildren(icon(filled ? 'small' : 'full'), h('span', {}, filled ? words.leaveFullScreen : words.fullScreen));
  }

  private offerHint(): void {
    if (this.hinted || this.stage.trouble) return;
    this.hinted = true;
    const touch = matchMedia('(pointer: coarse)').matches;
    const many = this.stage.pictures.length > 1;
    this.hint.textContent = touch ? (many ? words.hintTouch : words.hintTouchOne) : many ? words.hintMouse : words.hintMouseOne;
    this.hint.hidden = false;
    setTimeout(() => this.dropHint(), 6000);
  }

  private dropHint(): void {
    this.hint.hidden = true;
  }

  private key(event: KeyboardEvent): void {
    const target = event.target as HTMLElement;
    if (this.over || event.altKey || event.metaKey || event.ctrlKey || target.matches('input, dialog *, [role=tab]')) return;
    if (page().dataset['tab'] === 'report' && !matchMedia('(min-width: 1000px)').matches) return;
    if (target.closest('.reading')) return;
    const middle = [this.image.clientWidth / 2, this.image.clientHeight / 2] as [number, number];
    const acts: Record<string, () => void> = {
      ArrowDown: () => this.step(1), ArrowRight: () => this.step(1), ArrowUp: () => this.step(-1), ArrowLeft: () => this.step(-1),
      PageDown: () => this.step(10), PageUp: () => this.step(-10),
      Home: () => this.step(-this.stage.index), End: () => this.step(this.stage.pictures.length),
      '+': () => this.stage.zoomBy(1.25, middle), '=': () => this.stage.zoomBy(1.25, middle), '-': () => this.stage.zoomBy(0.8, middle),
      '0': () => this.reset(), f: () => void this.toggleFull(),
      Escape: () => this.theatre.classList.contains('filled') && void this.toggleFull(),
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
      const canvas = this.strip.children[at]?.querySelector('canvas');
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
      if (left < WARN_BEFORE_MS) this.ends.replaceChildren(icon('clock'), words.endsSoon(Math.ceil(left / 60_000)));
      this.ends.classList.toggle('soon', left < WARN_BEFORE_MS);
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
    endingNotice(trouble, this.manifest.practice.name, this.manifest.practice.phone, () => location.reload());
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
