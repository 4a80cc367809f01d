/** A handful of lines instead of a framework: make an element, draw an icon, print a date. */

type Child = Node | string | null | undefined | false;
type Attributes = Record<string, string | number | boolean | null | undefined | ((event: never) => void)>;

export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === 'function') element.addEventListener(name.slice(2), value as unknown as EventListener);
    else element.setAttribute(name, value === true ? '' : String(value));
  }
  element.append(...children.filter((child): child is Node | string => child !== null && child !== undefined && child !== false));
  return element;
}

const PATHS = {
  images: 'M4 5h16v14H4zM8 15l3-4 3 3 2-2 3 4M8.5 9h.01',
  report: 'M7 3h7l4 4v14H7zM14 3v4h4M10 12h5M10 16h5',
  previous: 'M15 5l-7 7 7 7',
  next: 'M9 5l7 7-7 7',
  play: 'M8 5l11 7-11 7z',
  pause: 'M8 5v14M16 5v14',
  contrast: 'M12 3a9 9 0 1 0 0 18zM12 3a9 9 0 0 1 0 18',
  reset: 'M4 12a8 8 0 1 0 2.5-5.8M4 4v4.5h4.5',
  full: 'M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5',
  small: 'M9 4v5H4M15 4v5h5M9 20v-5H4M15 20v-5h5',
  close: 'M6 6l12 12M18 6L6 18',
  door: 'M14 4h5v16h-5M4 12h10M10 8l4 4-4 4',
  download: 'M12 4v11M7.5 11l4.5 4.5 4.5-4.5M5 20h14',
  shield: 'M12 3l7 3v6c0 4.5-3 7.5-7 9-4-1.5-7-4.5-7-9V6z',
  clock: 'M12 7v5l3 2M12 3a9 9 0 1 0 .01 0',
  cloud: 'M7 18h10a4 4 0 0 0 .5-8A6 6 0 0 0 6 9.5 4.3 4.3 0 0 0 7 18zM4 4l16 16',
  broken: 'M4 5h16v14H4zM9 5l3 5-3 3 3 6',
  check: 'M5 12.5l4.5 4.5L19 7.5',
  window: 'M12 3a9 9 0 1 0 0 18zM12 3a9 9 0 0 1 0 18',
  pan: 'M12 3v18M3 12h18M12 3l-2.5 2.5M12 3l2.5 2.5M12 21l-2.5-2.5M12 21l2.5-2.5M3 12l2.5-2.5M3 12l2.5 2.5M21 12l-2.5-2.5M21 12l-2.5 2.5',
  zoom: 'M10.5 4a6.5 6.5 0 1 0 .01 0M15.5 15.5L21 21M10.5 8v5M8 10.5h5',
  scroll: 'M5 5h14v4H5zM5 12h14M5 16h14M5 20h14',
  length: 'M4 16L16 4l4 4L8 20zM8 12l2 2M11 9l2 2M14 6l2 2',
  invert: 'M5 5h14v14H5zM5 19L19 5v14z',
  text: 'M5 6h14M12 6v13M9 19h6',
  keys: 'M3 7h18v10H3zM7 11h.01M11 11h.01M15 11h.01M8 14h8',
  one: 'M4 5h16v14H4z',
  two: 'M4 5h16v14H4zM12 5v14',
  four: 'M4 5h16v14H4zM12 5v14M4 12h16',
  trash: 'M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13',
  pop: 'M14 4h6v6M20 4l-9 9M18 14v6H4V6h6',
};
export type Icon = keyof typeof PATHS;

export function icon(name: Icon): SVGElement {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
  path.setAttribute('d', PATHS[name]);
  svg.append(path);
  return svg;
}

const DAY = /^(\d{4})-?(\d{2})-?(\d{2})/;

/** A calendar day as people here write it: 30/11/2026. A date without a time has no time zone and is not converted. */
export function day(iso: string | null | undefined): string {
  const parts = DAY.exec(iso ?? '');
  return parts ? `${parts[3]}/${parts[2]}/${parts[1]}` : (iso ?? '');
}

/** A moment in South African time: 30/11/2026 14:00. */
export function moment(iso: string | null | undefined): string {
  const at = new Date(iso ?? '');
  if (Number.isNaN(at.getTime())) return '';
  // South Africa keeps UTC+2 all year; asking Intl for it costs more than the rest of the page's drawing.
  const here = new Date(at.getTime() + 2 * 3600_000).toISOString();
  return `${day(here)} ${here.slice(11, 16)}`;
}

/** DICOM writes Family^Given^Middle^Prefix^Suffix; people read "Given Family". */
export function personName(name: string): string {
  if (!name.includes('^')) return name;
  const [family = '', given = '', middle = '', prefix = '', suffix = ''] = name.split('=')[0]!.split('^');
  return [prefix, given, middle, family, suffix].filter(Boolean).join(' ');
}
