/** The signed report set as a page to read: its headings as headings, its lines as they were signed. */

import type { Manifest } from '../api';
import { h, icon, moment } from '../dom';
import { words } from '../words';

const isHeading = (line: string) => /^[\p{Lu}\d][\p{Lu}\d ,.()/&'’–-]{2,58}:?$/u.test(line.trim()) && /\p{Lu}{3}/u.test(line);

export function reportText(text: string): HTMLElement {
  const article = h('article', { class: 'report-text' });
  let paragraph: string[] = [];
  const flush = () => {
    const said = paragraph.join('\n').trim();
    if (said) article.append(h('p', {}, said));
    paragraph = [];
  };
  for (const line of text.replace(/\r\n?/g, '\n').split('\n')) {
    if (isHeading(line)) {
      flush();
      const title = line.trim().replace(/:$/, '').toLowerCase();
      article.append(h('h3', {}, title.charAt(0).toUpperCase() + title.slice(1)));
    } else if (!line.trim()) flush();
    else paragraph.push(line);
  }
  flush();
  return article;
}

export function reportPanel(manifest: Manifest, base: string): HTMLElement {
  const { report, practice } = manifest;
  if (!report) {
    return h('div', { class: 'report-none' }, icon('clock'), h('h2', {}, words.noReport),
      h('p', {}, words.noReportWhy(practice.name, practice.phone)));
  }
  return h('div', { class: 'report' },
    h('h2', {}, manifest.study.description || words.examination),
    h('p', { class: 'signed' }, icon('check'), words.signedBy(report.signed_by, moment(report.signed_at))),
    reportText(report.text),
    report.url && h('a', { class: 'button primary', href: `${base}/${report.url}`, download: '' }, icon('download'), words.download));
}
