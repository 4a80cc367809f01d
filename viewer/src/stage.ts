/** One pane with one stack of pictures in it: what is shown, how bright, how near. Both faces stand on it. */

import { Enums, getShouldUseCPURendering, utilities, type RenderingEngine, type Types } from '@cornerstonejs/core';
import { troubleFrom, type Trouble } from './api';
import type { ImageStore, Picture } from './images';

export type Window = { center: number; width: number };
export type Point = [x: number, y: number];

const NEAREST = 12;
const FARTHEST = 0.5;

export class Stage {
  pictures: Picture[] = [];
  index = 0;
  image: Types.IImage | null = null;
  trouble: Trouble | null = null;
  /** The person's own window; null means each picture's own. */
  window: Window | null = null;
  inverted = false;

  /** Drawn, failed or begun loading: the faces redraw what they say about this pane. */
  onChange: (stage: Stage) => void = () => {};
  onProgress: (bytes: number, of: number | null) => void = () => {};
  onPainted: (stage: Stage) => void = () => {};
  waiting = false;

  private turn = 0;
  private fit = 1;
  private level = 1;
  private direction: 1 | -1 = 1;
  private staged: Picture[] | null = null;
  private gone = false;
  private readonly watcher: ResizeObserver;

  constructor(
    readonly element: HTMLDivElement, private readonly engine: RenderingEngine, readonly id: string,
    private readonly store: ImageStore,
  ) {
    engine.enableElement({ viewportId: id, type: Enums.ViewportType.STACK, element, defaultOptions: { background: [0, 0, 0] } });
    element.addEventListener(Enums.Events.IMAGE_RENDERED, () => {
      // The event also comes for an empty canvas, so it counts only once our own picture was decoded and handed over.
      if (this.image && !this.trouble) requestAnimationFrame(() => this.onPainted(this));
    });
    element.addEventListener(Enums.Events.CAMERA_MODIFIED, () => { this.level = this.zoom; });
    this.watcher = new ResizeObserver(() => this.resize());
    this.watcher.observe(element);
  }

  get viewport(): Types.IStackViewport {
    return this.engine.getViewport(this.id) as Types.IStackViewport;
  }

  get color(): boolean {
    return this.image?.color === true;
  }

  async open(pictures: Picture[], at = 0): Promise<void> {
    this.pictures = pictures;
    this.window = null;
    this.inverted = false;
    this.image = null;
    this.staged = null;
    await this.show(at);
  }

  /** Show the picture at `at`; the last one asked for wins. */
  async show(at: number): Promise<void> {
    if (this.gone || this.pictures.length === 0) return;
    const index = Math.max(0, Math.min(this.pictures.length - 1, at));
    if (index !== this.index) this.direction = index > this.index ? 1 : -1;
    const turn = ++this.turn;
    const pictures = this.pictures;
    const picture = pictures[index]!;
    this.index = index;
    this.trouble = null;
    this.waiting = !this.store.has(picture);
    this.onChange(this);
    try {
      const image = await this.store.load(picture, (bytes, of) => turn === this.turn && this.onProgress(bytes, of));
      if (turn !== this.turn || this.gone) return;
      await this.hand(pictures, index, image);
      if (turn !== this.turn || this.gone) return;
      this.waiting = false;
      this.onChange(this);
      // The neighbours wait until this picture is on the glass.
      requestAnimationFrame(() => setTimeout(() => {
        if (turn === this.turn && !this.gone) this.store.prefetchAround(pictures, index, this.direction);
      }));
    } catch (error) {
      if (turn !== this.turn || this.gone) return;
      this.waiting = false;
      this.trouble = troubleFrom(error);
      this.onChange(this);
      if (!this.trouble.endsVisit && !this.trouble.passes) this.store.prefetchAround(pictures, index, this.direction);
    }
  }

  private async hand(pictures: Picture[], index: number, image: Types.IImage): Promise<void> {
    const viewport = this.viewport;
    const before = this.image;
    this.image = image;
    if (this.staged !== pictures) {
      this.useEveryPixel();
      await viewport.setStack(pictures.map((one) => one.imageId), index);
      this.staged = pictures;
      this.measureFit();
    } else {
      await viewport.setImageIdIndex(index);
      if (before && (before.rows !== image.rows || before.columns !== image.columns)) this.resetView();
    }
    this.applyLook();
    viewport.render();
  }

  /** The window the picture itself asks for. */
  ownWindow(): Window {
    const center = [this.image?.windowCenter ?? 128].flat()[0]!;
    const width = [this.image?.windowWidth ?? 256].flat()[0]!;
    return { center, width: Math.max(1, width) };
  }

  currentWindow(): Window {
    return this.window ?? this.ownWindow();
  }

  setWindow(window: Window | null): void {
    this.window = window && { center: window.center, width: Math.max(1, window.width) };
    this.applyLook();
    this.viewport.render();
    this.onChange(this);
  }

  setInverted(inverted: boolean): void {
    this.inverted = inverted;
    this.applyLook();
    this.viewport.render();
    this.onChange(this);
  }

  private applyLook(): void {
    if (!this.image) return;
    const { center, width } = this.currentWindow();
    const voiRange = utilities.windowLevel.toLowHighRange(width, center, this.viewport.getProperties().VOILUTFunction);
    const invert = this.inverted !== (this.image.invert === true);
    this.viewport.setProperties({ voiRange, ...(this.color ? {} : { invert }) }, true);
  }

  private measureFit(): void {
    // Asked of the viewport, not of its camera: on the CPU the camera's parallelScale forgets the device's pixel ratio.
    this.fit = this.viewport.getZoom() || 1;
  }

  get zoom(): number {
    if (!this.image || !this.staged) return 1;
    return (this.viewport.getZoom() || this.fit) / this.fit;
  }

  get near(): boolean {
    return this.zoom > 1.04;
  }

  resetView(): void {
    if (!this.image) return;
    this.viewport.resetCamera();
    this.measureFit();
    this.level = 1;
    this.viewport.render();
    this.onChange(this);
  }

  /** Zoom by `factor` so that what lies under `at` (element pixels) stays under it. */
  zoomBy(factor: number, at: Point): void {
    if (!this.image || !this.staged) return;
    const viewport = this.viewport;
    const wanted = Math.max(FARTHEST, Math.min(NEAREST, this.zoom * factor));
    const before = viewport.canvasToWorld(at);
    viewport.setZoom(this.fit * wanted);
    this.slide(before, viewport.canvasToWorld(at));
    viewport.render();
    this.onChange(this);
  }

  panBy(from: Point, to: Point): void {
    if (!this.image || !this.staged) return;
    this.slide(this.viewport.canvasToWorld(from), this.viewport.canvasToWorld(to));
    this.viewport.render();
  }

  /** Move the camera so that the world point `grasped` comes to where `now` is. */
  private slide(grasped: Types.Point3, now: Types.Point3): void {
    const { focalPoint, position } = this.viewport.getCamera();
    const moved = (from: Types.Point3): Types.Point3 => [
      from[0] + grasped[0] - now[0], from[1] + grasped[1] - now[1], from[2] + grasped[2] - now[2]];
    this.viewport.setCamera({ focalPoint: moved(focalPoint!), position: moved(position!) });
  }

  /** A new size starts from the whole image again, and then as near as before. */
  private resize(): void {
    if (this.gone || !this.element.clientWidth || !this.element.clientHeight) return;
    const level = this.level;
    this.engine.resize(true, false);
    this.useEveryPixel();
    if (!this.image || !this.staged) return;
    this.resetView();
    if (level > 1.04) this.zoomBy(level, [this.element.clientWidth / 2, this.element.clientHeight / 2]);
  }

  /**
   * Cornerstone's CPU path sizes its canvas in CSS pixels but maps points in device pixels (core 5.14.0): on a sharp
   * screen a pinch would land beside the fingers. Giving the canvas its device pixels makes both agree.
   */
  private useEveryPixel(): void {
    if (!getShouldUseCPURendering()) return;
    const canvas = this.viewport.getCanvas();
    canvas.width = Math.round(canvas.clientWidth * devicePixelRatio);
    canvas.height = Math.round(canvas.clientHeight * devicePixelRatio);
  }

  clear(): void {
    this.gone = true;
    this.turn += 1;
    this.watcher.disconnect();
    this.engine.disableElement(this.id);
  }
}
