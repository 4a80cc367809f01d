/** The radiologist's page: panes, series, tools and keys, dense enough to stand beside the report. */

import { Enums, RenderingEngine, metaData, utilities } from '@cornerstonejs/core';
import { Trouble, askManifest, firstChoice, troubleFrom, type Early, type Manifest, type SeriesRow } from '../api';
import { markFirstImage, setState } from '../boot';
import { day, h, icon, personName, type Icon } from '../dom';
import { ImageStore, drawThumbnail, picturesOf, startCornerstone } from '../images';
import { Player } from '../player';
import { presetsFor } from '../presets';
import { Stage } from '../stage';
import { words } from '../words';
import { openToolbox, type ToolName, type Toolbox } from './tools';

const said = words.staff;
const ENGINE = 'sorg-staff';
const THUMBNAIL_VOXELS = 8_000_000;
const LAYOUTS = { '1x1': 1, '1x2': 2, '2x2': 4 } as const;
type Layout = keyof typeof LAYOUTS;
const LAYOUT_ICON: Record<Layout, Icon> = { '1x1': 'one', '1x2': 'two', '2x2': 'four' };
const TOOLS: [name: ToolName, drawn: Icon, label: string, key: string][] = [
  ['window', 'window', said.window, 'w'], ['pan', 'pan', said.pan, 'p'], ['zoom', 'zoom', said.zoom, 'z'],
  ['scroll', 'scroll', said.scroll, 's'], ['length', 'length', said.length, 'l'],
];

const page = () => document.getElementById('page')!;

export async function openPage(early: Early): Promise<void> {
  let manifest: Manifest;
  try {
    manifest = await early.manifest;
  } catch (error) {
    const again = () => {
      setState('loading');
      void openPage({ ...early, manifest: askManifest(early.base), first: Promise.resolve(null) });
    };
    return notice(troubleFrom(error), again);
  }
  document.title = [said.title, manifest.study.accession].filter(Boolean).join(' ');
  new StaffPage(manifest, early).open();
}

function notice(trouble: Trouble, again: () => void): void {
  const [title, fallback] = {
    signin: [words.signInTitle, said.signedOut], refused: [words.refusedTitle, words.refusedFallback],
    ended: [words.endedTitle, words.endedFallback], missing: [words.missingTitle, words.missingFallback],
    offline: [words.offlineTitle, words.offlineWhat],
  }[trouble.kind as string] ?? [words.awayTitle, words.awayFallback];
  page().replaceChildren(h('main', { class: 'notice', role: 'alert' },
    icon('cloud'), h('h1', {}, title), h('p', {}, trouble.sentence || fallback),
    h('button', { class: 'primary', onclick: again }, words.tryAgain)));
  setState(trouble.endsVisit ? 'ended' : 'error');
}

/** A stage with its corner texts and its cover, and which series it holds. */
class Pane {
  readonly image = h('div', { class: 'image' });
  readonly element: HTMLElement;
  readonly stage: Stage;
  readonly player: Player;
  series = -1;
  private readonly corners = {
    nw: h('div', { class: 'corner nw' }), ne: h('div', { class: 'corner ne' }),
    sw: h('div', { class: 'corner sw' }), se: h('div', { class: 'corner se' }),
  };
  private readonly cover = h('div', { class: 'cover' }, h('p', {}, said.emptyPane));
  private wait = 0;

  constructor(
    readonly id: string, readonly home: StaffPage, engine: RenderingEngine, store: ImageStore, place: HTMLElement,
  ) {
    this.element = h('section', { class: 'pane', 'aria-label': said.series },
      this.image, ...Object.values(this.corners), this.cover);
    place.append(this.element);
    this.stage = new Stage(this.image, engine, id, store);
    this.player = new Player(() => this.stage);
    this.stage.onChange = () => this.redraw();
    this.stage.onPainted = () => markFirstImage();
    this.image.addEventListener(Enums.Events.VOI_MODIFIED, ((event: CustomEvent<{ range?: { lower: number; upper: number } }>) => {
      const { range } = event.detail;
      if (!range || !this.stage.image) return;
      const { windowCenter, windowWidth } = utilities.windowLevel.toWindowLevel(range.lower, range.upper);
      this.stage.window = { center: windowCenter, width: windowWidth };
      this.redrawCorners();
    }) as EventListener);
    this.image.addEventListener(Enums.Events.CAMERA_MODIFIED, () => this.redrawCorners());
    let rest = 0;
    this.image.addEventListener('wheel', (event) => {
      event.preventDefault();
      this.player.stop();
      if (event.ctrlKey) return this.stage.zoomBy(Math.exp(-event.deltaY * 0.003), [event.offsetX, event.offsetY]);
      rest += Math.abs(event.deltaY) < 50 ? event.deltaY / 40 : Math.sign(event.deltaY);
      const whole = Math.trunc(rest);
      rest -= whole;
      if (whole) void this.stage.show(this.stage.index + whole);
    }, { passive: false });
    this.followDrags();
    this.element.addEventListener('pointerdown', () => home.choosePane(this), true);
    this.element.addEventListener('dragover', (event) => { event.preventDefault(); this.element.classList.add('over'); });
    this.element.addEventListener('dragleave', () => this.element.classList.remove('over'));
    this.element.addEventListener('drop', (event) => {
      event.preventDefault();
      this.element.classList.remove('over');
      home.choosePane(this);
      void home.openSeries(this, Number(event.dataTransfer?.getData('text/plain')));
    });
  }

  /** The right button zooms whatever the tool; the left one zooms or scrolls when that is the tool. */
  private followDrags(): void {
    const step = () => Math.max(2, Math.min(10, this.image.clientHeight / Math.max(1, this.stage.pictures.length)));
    let drag: { does: 'zoom' | 'scroll'; from: [number, number]; y: number; rest: number } | null = null;
    this.image.addEventListener('contextmenu', (event) => event.preventDefault());
    this.image.addEventListener('pointerdown', (event) => {
      const does = event.button === 2 ? 'zoom' : event.button === 0 ? this.home.tool : null;
      if (does !== 'zoom' && does !== 'scroll') return;
      this.player.stop();
      this.image.setPointerCapture(event.pointerId);
      drag = { does, from: [event.offsetX, event.offsetY], y: event.clientY, rest: 0 };
    });
    this.image.addEventListener('pointermove', (event) => {
      if (!drag) return;
      const moved = event.clientY - drag.y;
      drag.y = event.clientY;
      if (drag.does === 'zoom') return this.stage.zoomBy(Math.exp(moved * 0.008), drag.from);
      drag.rest += moved / step();
      const whole = Math.trunc(drag.rest);
      drag.rest -= whole;
      if (whole) void this.stage.show(this.stage.index + whole);
    });
    for (const end of ['pointerup', 'pointercancel'] as const) this.image.addEventListener(end, () => { drag = null; });
  }

  redraw(): void {
    clearTimeout(this.wait);
    const { stage } = this;
    if (stage.waiting) {
      this.wait = window.setTimeout(() => {
        this.cover.className = 'cover waiting';
        this.cover.replaceChildren(h('div', { class: 'turning' }), h('p', {}, `${words.loadingImage} ${stage.index + 1}`));
        this.cover.hidden = false;
      }, stage.image ? 150 : 0);
    } else if (stage.trouble) this.redrawTrouble(stage.trouble);
    else this.cover.hidden = stage.image !== null;
    this.redrawCorners();
    this.home.redraw(this);
  }

  private redrawTrouble(trouble: Trouble): void {
    const text = {
      unsupported: words.unsupportedWhat, missing: words.missingImageWhat, offline: words.offlineWhat,
      away: trouble.sentence || words.awayFallback, signin: said.signedOut,
    }[trouble.kind as string] ?? (trouble.endsVisit ? trouble.sentence || words.refusedFallback : words.brokenWhat);
    const passes = trouble.passes || trouble.kind === 'signin';
    this.cover.className = 'cover trouble';
    this.cover.dataset['kind'] = trouble.kind;
    this.cover.replaceChildren(h('strong', {}, passes ? words.awayTitle : words.brokenTitle), h('p', {}, text),
      ...(passes ? [h('button', { onclick: () => { this.home.retry(); void this.stage.show(this.stage.index); } }, words.tryAgain)] : []));
    this.cover.hidden = false;
    if (!document.body.dataset['firstImageMs']) setState(trouble.endsVisit ? 'ended' : 'error');
  }

  private redrawCorners(): void {
    const { stage, home, corners } = this;
    const series = home.manifest.series[this.series];
    if (!series || stage.pictures.length === 0) return;
    const { study, patient } = home.manifest;
    const picture = stage.pictures[stage.index]!;
    const id = patient.id || String([metaData.get('patientModule', picture.imageId)?.patientId ?? ''].flat()[0] ?? '');
    const lines = (...parts: (string | false | undefined)[]) => parts.filter(Boolean).map((part) => h('div', {}, part as string));
    corners.nw.replaceChildren(...lines(personName(patient.name), id, patient.birth_date && day(patient.birth_date)));
    corners.ne.replaceChildren(...lines(study.accession, study.description, day(study.date)));
    corners.sw.replaceChildren(...lines(
      [series.number ?? '', series.description].filter((one) => one !== '').join(' · ') || series.modality,
      `${stage.index + 1} / ${stage.pictures.length}`));
    if (!stage.image) return corners.se.replaceChildren();
    const { center, width } = stage.currentWindow();
    const number = (value: number) => (Math.abs(width) < 10 ? value.toFixed(2) : Math.round(value).toString());
    corners.se.replaceChildren(...lines(
      !stage.color && `W ${number(width)}  L ${number(center)}`, `${(stage.zoom * 100).toFixed(0)} %`,
      `${stage.image.columns} × ${stage.image.rows}`));
  }

  close(): void {
    clearTimeout(this.wait);
    this.player.stop();
    this.stage.clear();
    this.element.remove();
  }
}

class StaffPage {
  private readonly engine: RenderingEngine;
  private readonly store: ImageStore;
  private readonly toolbox: Toolbox;
  private panes: Pane[] = [];
  private active!: Pane;
  private layout: Layout = '1x1';
  tool: ToolName = 'window';
  private made = 0;

  private readonly grid = h('div', { class: 'grid' });
  private readonly strip = h('nav', { class: 'strip', 'aria-label': said.series });
  private readonly presets = h('select', { 'aria-label': said.presets, title: said.presets });
  private readonly toolButtons = new Map<ToolName, HTMLButtonElement>();
  private readonly layoutButtons = new Map<Layout, HTMLButtonElement>();
  private readonly invertButton = this.button('invert', said.invert, 'I', () => this.active.stage.setInverted(!this.active.stage.inverted));
  private readonly playButton = this.button('play', said.play, 'Space', () => this.active.player.toggle());
  private readonly textButton = this.button('text', said.overlay, 'T', () => this.toggleText());

  constructor(readonly manifest: Manifest, private readonly early: Early) {
    const cpu = startCornerstone(early);
    this.store = new ImageStore(early.base, cpu, early.first);
    this.toolbox = openToolbox(ENGINE);
    this.engine = new RenderingEngine(ENGINE);
  }

  open(): void {
    this.draw();
    this.toolbox.choose(this.tool);
    this.setLayout('1x1');
    this.chooseTool('window');
    addEventListener('keydown', (event) => this.key(event));
    addEventListener('online', () => this.panes.forEach((pane) => pane.stage.trouble?.passes && void pane.stage.show(pane.stage.index)));
    const choice = firstChoice(this.manifest.series);
    if (!choice) return setState('ready');
    void this.openSeries(this.active, choice.series, choice.instance).then(() => this.drawThumbnails());
  }

  private button(drawn: Icon, label: string, key: string, act: () => void): HTMLButtonElement {
    return h('button', { class: 'tool', title: key ? `${label} (${key})` : label, 'aria-label': label, onclick: act }, icon(drawn));
  }

  private draw(): void {
    for (const [name, drawn, label, key] of TOOLS) {
      this.toolButtons.set(name, this.button(drawn, label, key.toUpperCase(), () => this.chooseTool(name)));
    }
    for (const name of Object.keys(LAYOUTS) as Layout[]) {
      this.layoutButtons.set(name, this.button(LAYOUT_ICON[name], said.layouts[name], 'G', () => this.setLayout(name)));
    }
    this.presets.addEventListener('change', () => { this.applyPreset(Number(this.presets.value)); this.presets.blur(); });
    const group = (label: string, ...buttons: HTMLElement[]) => h('div', { class: 'group', role: 'group', 'aria-label': label }, ...buttons);
    const alone = window.top === window;
    page().replaceChildren(
      h('header', { class: 'bar', role: 'toolbar', 'aria-label': said.tools },
        group(said.tools, ...this.toolButtons.values()),
        group(said.presets, this.presets, this.invertButton),
        group(said.reset, this.button('reset', said.reset, 'R', () => this.reset()), this.button('trash', said.clear, '', () => this.clearLengths())),
        group(said.play, this.playButton),
        group(said.layout, ...this.layoutButtons.values()),
        h('div', { class: 'group end' }, this.textButton,
          ...(alone ? [] : [this.button('pop', said.newWindow, '', () => void window.open(location.href, '_blank', 'noopener'))]),
          this.button('keys', said.help, '?', () => this.help()))),
      h('main', { class: 'floor' }, this.strip, this.grid),
      h('footer', { class: 'foot' }, said.notCertified));
    this.strip.append(...this.manifest.series.map((series, at) => this.seriesButton(series, at)));
    if (!this.manifest.series.some((one) => one.instances.length)) {
      this.grid.append(h('div', { class: 'pane' }, h('div', { class: 'cover' }, h('p', {}, words.emptyTitle))));
    }
  }

  private seriesButton(series: SeriesRow, at: number): HTMLButtonElement {
    const count = series.instances.reduce((sum, one) => sum + Math.max(1, one.frames), 0);
    const name = series.description || series.modality;
    const button = h('button', { class: 'series', draggable: 'true', title: name, hidden: series.instances.length === 0 },
      h('canvas', { width: 96, height: 96, 'aria-hidden': 'true' }),
      h('span', { class: 'series-name' }, `${series.number ?? at + 1} · ${name}`),
      h('span', { class: 'series-count' }, `${series.modality} · ${count}`));
    button.addEventListener('click', () => void this.openSeries(this.active, at));
    button.addEventListener('dragstart', (event) => event.dataTransfer?.setData('text/plain', String(at)));
    return button;
  }

  setLayout(layout: Layout): void {
    this.layout = layout;
    this.grid.dataset['layout'] = layout;
    if (!this.manifest.series.some((one) => one.instances.length)) return;
    while (this.panes.length > LAYOUTS[layout]) this.panes.pop()!.close();
    while (this.panes.length < LAYOUTS[layout]) {
      const pane = new Pane(`pane-${++this.made}`, this, this.engine, this.store, this.grid);
      pane.player.onChange = () => this.redraw(pane);
      this.toolbox.add(pane.id);
      this.panes.push(pane);
    }
    this.choosePane(this.panes.includes(this.active) ? this.active : this.panes[0]!);
    for (const [name, button] of this.layoutButtons) button.setAttribute('aria-pressed', String(name === layout));
    // New panes take the series that no pane shows yet.
    const free = this.manifest.series.map((_, at) => at)
      .filter((at) => this.manifest.series[at]!.instances.length && !this.panes.some((pane) => pane.series === at));
    if (this.panes.some((pane) => pane.series >= 0)) {
      for (const pane of this.panes) if (pane.series < 0 && free.length) void this.openSeries(pane, free.shift()!);
    }
  }

  choosePane(pane: Pane): void {
    this.active = pane;
    for (const one of this.panes) one.element.classList.toggle('active', one === pane && this.panes.length > 1);
    this.fillPresets();
    this.redraw(pane);
  }

  async openSeries(pane: Pane, at: number, instance?: number): Promise<void> {
    const series = this.manifest.series[at];
    if (!series?.instances.length) return;
    pane.player.stop();
    pane.series = at;
    this.fillPresets();
    const chosen = series.instances[instance ?? Math.floor((series.instances.length - 1) / 2)];
    const pictures = picturesOf(this.early.base, series);
    await pane.stage.open(pictures, Math.max(0, pictures.findIndex((one) => one.instance === chosen)));
  }

  chooseTool(name: ToolName): void {
    this.tool = name;
    this.toolbox.choose(name);
    this.grid.dataset['tool'] = name;
    for (const [other, button] of this.toolButtons) button.setAttribute('aria-pressed', String(other === name));
  }

  private modality(): string {
    return this.manifest.series[this.active?.series ?? -1]?.modality ?? '';
  }

  private fillPresets(): void {
    this.presets.replaceChildren(h('option', { value: '' }, said.presetPlaceholder),
      ...presetsFor(this.modality()).map((preset, at) => h('option', { value: at }, `${at + 1}  ${preset.label}`)));
  }

  private applyPreset(at: number): void {
    const preset = presetsFor(this.modality())[at];
    const { stage } = this.active;
    if (preset && stage.image && !stage.color) stage.setWindow(preset.window(stage.ownWindow()));
    this.presets.value = '';
  }

  private reset(): void {
    const { stage } = this.active;
    stage.inverted = false;
    stage.setWindow(null);
    stage.resetView();
  }

  private clearLengths(): void {
    this.toolbox.clearLengths();
    this.engine.render();
  }

  private toggleText(): void {
    const off = this.grid.classList.toggle('bare');
    this.textButton.setAttribute('aria-pressed', String(!off));
  }

  retry(): void {
    this.store.retry();
  }

  redraw(pane: Pane): void {
    if (pane !== this.active) return;
    document.body.dataset['slice'] = String(pane.stage.index + 1);
    document.body.dataset['series'] = this.manifest.series[pane.series]?.id ?? '';
    if (pane.stage.image && !pane.stage.waiting) pane.image.dataset['shown'] = String(pane.stage.index + 1);
    this.invertButton.setAttribute('aria-pressed', String(pane.stage.inverted));
    this.playButton.replaceChildren(icon(pane.player.playing ? 'pause' : 'play'));
    this.playButton.disabled = pane.stage.pictures.length < 2;
    const shown = new Set(this.panes.map((one) => one.series));
    for (const [at, button] of [...this.strip.children].entries()) {
      button.setAttribute('aria-pressed', String(at === pane.series));
      button.classList.toggle('shown', shown.has(at));
    }
    const canvas = this.strip.children[pane.series]?.querySelector('canvas');
    if (canvas && pane.stage.image && !pane.stage.waiting && !canvas.dataset['drawn']) this.thumbnail(canvas, pane.stage.image);
  }

  private thumbnail(canvas: HTMLCanvasElement, image: Parameters<typeof drawThumbnail>[0]): void {
    drawThumbnail(image, canvas);
    canvas.dataset['drawn'] = 'yes';
  }

  private async drawThumbnails(): Promise<void> {
    for (const [at, series] of this.manifest.series.entries()) {
      const canvas = this.strip.children[at]?.querySelector('canvas');
      const middle = series.instances[Math.floor((series.instances.length - 1) / 2)];
      if (!canvas || canvas.dataset['drawn'] || !middle) continue;
      if (middle.rows * middle.columns * Math.max(1, middle.frames) > THUMBNAIL_VOXELS) continue;
      const picture = picturesOf(this.early.base, { ...series, instances: [middle] })[0]!;
      await this.store.load(picture).then((image) => this.thumbnail(canvas, image), () => {});
    }
  }

  private key(event: KeyboardEvent): void {
    const target = event.target as HTMLElement;
    if (event.altKey || event.metaKey || event.ctrlKey || target.closest('dialog') || target.matches('select')) return;
    const { stage, player } = this.active;
    const step = (by: number) => { player.stop(); void stage.show(stage.index + by); };
    const neighbour = (by: number) => {
      for (let at = this.active.series + by; this.manifest.series[at]; at += by) {
        if (this.manifest.series[at]!.instances.length) return void this.openSeries(this.active, at);
      }
    };
    const layouts = Object.keys(LAYOUTS) as Layout[];
    const acts: Record<string, () => void> = {
      ...Object.fromEntries(TOOLS.map(([name, , , key]) => [key, () => this.chooseTool(name)])),
      i: () => stage.setInverted(!stage.inverted), r: () => this.reset(), t: () => this.toggleText(),
      g: () => this.setLayout(layouts[(layouts.indexOf(this.layout) + 1) % layouts.length]!),
      ArrowUp: () => step(-1), ArrowDown: () => step(1), PageUp: () => step(-10), PageDown: () => step(10),
      Home: () => step(-stage.index), End: () => step(stage.pictures.length),
      ArrowLeft: () => neighbour(-1), ArrowRight: () => neighbour(1), '?': () => this.help(),
    };
    if (event.key === ' ' && !target.matches('button')) acts[' '] = () => player.toggle();
    if (/^[1-9]$/.test(event.key)) acts[event.key] = () => this.applyPreset(Number(event.key) - 1);
    const act = acts[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  private help(): void {
    const dialog = h('dialog', { class: 'help', 'aria-labelledby': 'help-title' },
      h('h2', { id: 'help-title' }, said.helpTitle),
      h('dl', {}, ...said.keys.flatMap(([key, does]) => [h('dt', {}, h('kbd', {}, key)), h('dd', {}, does)])),
      h('button', { class: 'primary', onclick: () => dialog.close() }, words.done));
    dialog.addEventListener('close', () => dialog.remove());
    dialog.addEventListener('click', (event) => event.target === dialog && dialog.close());
    document.body.append(dialog);
    dialog.showModal();
  }
}
