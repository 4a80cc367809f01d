/** The patient's page without its picture: drawn by the small first script, brought to life by the big one. */

import { firstChoice, type Manifest } from '../api';
import { day, h, icon, moment, personName, type Icon } from '../dom';
import type { Plain } from '../plain';
import { Preview } from '../preview';
import { words } from '../words';
import { isAccount } from './account';
import { reportPanel } from './report';

export const page = () => document.getElementById('page')!;

export class Frame {
  readonly image = h('div', { class: 'image', tabindex: '0', role: 'application', 'aria-label': words.stageLabel });
  readonly cover = h('div', { class: 'cover', hidden: true });
  readonly hint = h('p', { class: 'hint', hidden: true });
  readonly place = h('p', { class: 'place', role: 'status', 'aria-live': 'off' });
  readonly slider = h('input', { type: 'range', min: 1, step: 1, 'aria-label': words.imageSlider });
  readonly back = h('button', { class: 'bare', 'aria-label': words.previous }, icon('previous'));
  readonly on = h('button', { class: 'bare', 'aria-label': words.next }, icon('next'));
  readonly travel = h('div', { class: 'travel' }, this.back, this.slider, this.on);
  readonly playButton = tool('play', words.play);
  readonly lightButton = tool('contrast', words.light);
  readonly resetButton = tool('reset', words.reset);
  readonly fullButton = tool('full', words.fullScreen);
  readonly leaveButton: HTMLButtonElement;
  readonly lightPanel = h('div', { class: 'light', hidden: true, role: 'group', 'aria-label': words.light });
  readonly strip = h('div', { class: 'strip', role: 'group', 'aria-label': words.seriesPicker });
  readonly banner = h('p', { class: 'banner', role: 'status', hidden: true });
  readonly ends = h('span', { class: 'ends' });
  readonly theatre = h('section', { class: 'theatre', id: 'images', 'aria-label': words.images });

  onTab: (which: 'images' | 'report') => void = () => {};
  private preview: Preview | null = null;
  private previewOver = false;

  constructor(readonly manifest: Manifest, base: string) {
    const { study, patient, practice, report, until, series, holder } = manifest;
    this.leaveButton = isAccount(base)
      ? h('button', { class: 'leave' }, icon('previous'), words.account.back)
      : h('button', { class: 'leave' }, icon('close'), words.close);
    document.title = practice.name ? `${words.yourImages} – ${practice.name}` : words.yourImages;
    this.theatre.append(
      h('div', { class: 'screen' }, this.image, this.place, this.hint, this.cover),
      h('div', { class: 'desk' },
        this.travel, this.lightPanel,
        h('div', { class: 'tools' }, this.playButton, this.lightButton, this.resetButton, this.fullButton)),
      this.strip);
    const reading = h('section', { class: 'reading', id: 'report', 'aria-label': words.report }, reportPanel(manifest, base));
    if (until) this.ends.append(icon('clock'), words.worksUntil(moment(until)));
    page().replaceChildren(
      h('header', { class: 'top' },
        h('div', { class: 'brand' }, h('span', { class: 'mark', 'aria-hidden': 'true' }), h('span', {}, practice.name || words.yourImages)),
        this.leaveButton),
      h('div', { class: 'who' },
        h('h1', {}, study.description || words.examination),
        h('p', {}, personName(patient.name), h('span', { class: 'sep' }), day(study.date),
          patient.birth_date && h('span', { class: 'wide' }, h('span', { class: 'sep' }), `${words.born} ${day(patient.birth_date)}`))),
      this.tabs(report !== null), this.banner,
      h('main', { class: 'rooms' }, this.theatre, reading),
      h('footer', { class: 'foot' },
        h('span', {}, icon('shield'), holder === 'referrer' ? words.account.notForDiagnosis : words.notForDiagnosis), until && this.ends));
    this.strip.hidden = series.filter((one) => one.instances.length > 0).length < 2;
    this.strip.append(...series.map((one, at) => this.seriesButton(at, one.instances.length > 0)));
    this.lightButton.disabled = true;
    const choice = firstChoice(series);
    if (!choice) return;
    const frames = series[choice.series]!.instances.map((one) => Math.max(1, one.frames));
    const sum = (counts: number[]) => counts.reduce((all, one) => all + one, 0);
    this.showPlace(sum(frames.slice(0, choice.instance)), sum(frames));
  }

  private tabs(reported: boolean): HTMLElement {
    const imagesTab = h('button', { class: 'tab', role: 'tab', 'aria-controls': 'images' }, icon('images'), words.images);
    const reportTab = h('button', { class: 'tab', role: 'tab', 'aria-controls': 'report' }, icon('report'), words.report,
      reported && h('span', { class: 'dot', 'aria-hidden': 'true' }));
    const tabs = h('div', { class: 'tabs', role: 'tablist' }, imagesTab, reportTab);
    const choose = (which: 'images' | 'report') => {
      page().dataset['tab'] = which;
      for (const [tab, name] of [[imagesTab, 'images'], [reportTab, 'report']] as const) {
        tab.setAttribute('aria-selected', String(name === which));
        tab.tabIndex = name === which ? 0 : -1;
      }
      this.onTab(which);
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
    choose('images');
    return tabs;
  }

  private seriesButton(at: number, has: boolean): HTMLButtonElement {
    const series = this.manifest.series[at]!;
    const count = series.instances.reduce((sum, one) => sum + Math.max(1, one.frames), 0);
    const name = series.description || `${series.modality} ${series.number ?? at + 1}`;
    return h('button', { class: 'series', 'aria-pressed': 'false', hidden: !has, title: name },
      h('canvas', { width: 96, height: 96, 'aria-hidden': 'true' }),
      h('span', { class: 'series-name' }, name), h('span', { class: 'series-count' }, words.imagesCount(count)));
  }

  /** Where in the stack: the controls that a single picture does not need are not there, so the image gets their room. */
  showPlace(index: number, count: number): void {
    this.travel.hidden = count < 2;
    this.playButton.hidden = count < 2;
    this.slider.max = String(count);
    this.slider.value = String(index + 1);
    this.slider.style.setProperty('--filled', `${count > 1 ? (index / (count - 1)) * 100 : 0}%`);
    this.slider.setAttribute('aria-valuetext', words.imageOf(index + 1, count));
    this.place.textContent = count > 1 ? words.imageOf(index + 1, count) : '';
    this.back.disabled = index === 0;
    this.on.disabled = index >= count - 1;
  }

  get previewed(): boolean {
    return this.preview !== null;
  }

  /** Nobody may have moved on meanwhile: the preview is the first picture's and stands for no other. */
  showPreview(plain: Plain): boolean {
    if (this.previewOver || !this.image.isConnected || !this.image.clientWidth) return false;
    this.preview = new Preview(plain, this.image);
    if (this.cover.classList.contains('waiting')) this.cover.hidden = true;
    return true;
  }

  dropPreview(): void {
    this.previewOver = true;
    this.preview?.remove();
    this.preview = null;
  }
}

function tool(drawn: Icon, label: string): HTMLButtonElement {
  return h('button', { class: 'bare tool' }, icon(drawn), h('span', {}, label));
}
