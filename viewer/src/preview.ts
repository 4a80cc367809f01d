/** The first picture, painted by the small first script before Cornerstone is there, and taken away once it draws. */

import { h } from './dom';
import type { Plain } from './plain';

export class Preview {
  private readonly canvas = h('canvas', { class: 'preview', 'aria-hidden': 'true' });
  private readonly source: HTMLCanvasElement;
  private readonly watcher = new ResizeObserver(() => this.draw());

  constructor(private readonly plain: Plain, private readonly stage: HTMLElement) {
    const { rows, columns, greys } = plain;
    this.source = h('canvas', { width: columns, height: rows });
    const pen = this.source.getContext('2d')!;
    const picture = pen.createImageData(columns, rows);
    const dots = new Uint32Array(picture.data.buffer);
    for (let i = 0; i < greys.length; i += 1) dots[i] = 0xff000000 | (greys[i]! * 0x010101);
    pen.putImageData(picture, 0, 0);
    stage.after(this.canvas);
    this.draw();
    this.watcher.observe(stage);
  }

  /** The whole picture in the middle, as large as fits: what Cornerstone's first camera shows, to the pixel. */
  private draw(): void {
    const { canvas, source } = this;
    const { rows, columns, wide, tall } = this.plain;
    const width = Math.round(this.stage.clientWidth * devicePixelRatio);
    const height = Math.round(this.stage.clientHeight * devicePixelRatio);
    if (!width || !height || (canvas.width === width && canvas.height === height && canvas.dataset['drawn'])) return;
    canvas.width = width;
    canvas.height = height;
    canvas.dataset['drawn'] = 'yes';
    const pen = canvas.getContext('2d', { alpha: false })!;
    const scale = Math.min(width / (columns * wide), height / (rows * tall));
    pen.setTransform(scale * wide, 0, 0, scale * tall, (width - columns * wide * scale) / 2, (height - rows * tall * scale) / 2);
    pen.drawImage(source, 0, 0);
  }

  remove(): void {
    this.watcher.disconnect();
    this.canvas.remove();
  }
}
