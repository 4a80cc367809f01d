/** From a server's instances to decoded pictures in bounded memory. Cornerstone decodes; we fetch, remember and forget. */

import {
  Enums, cache, eventTarget, getWebWorkerManager, imageLoader, init as startCore, metaData, setUseCPURendering,
  type Types,
} from '@cornerstonejs/core';
import { Enums as MetadataEnums, utilities as metadataUtilities } from '@cornerstonejs/metadata';
import dicomImageLoader from '@cornerstonejs/dicom-image-loader';
import { Trouble, askInstance, instanceUrl, troubleFrom, type Early, type InstanceRow, type SeriesRow } from './api';

/** One thing to look at: an instance, or one frame of it. */
export type Picture = { imageId: string; instance: InstanceRow; frame: number };
export type Progress = (bytes: number, of: number | null) => void;

const NATURALIZED = MetadataEnums.MetadataModules.NATURALIZED;
const MB = 1024 * 1024;
const PHONE = matchMedia('(pointer: coarse)').matches;
export const MEMORY_CAP = (PHONE ? 128 : 256) * MB;
const AT_ONCE = PHONE ? 2 : 4;
/** Cornerstone's reader does not inflate this one; its rarity does not pay for an inflater here. */
const UNREADABLE = new Set(['1.2.840.10008.1.2.1.99']);

export function picturesOf(base: string, series: SeriesRow): Picture[] {
  return series.instances.flatMap((instance) => {
    const address = `wadouri:${instanceUrl(location.origin + base, instance.id)}`;
    if (instance.frames <= 1) return [{ imageId: address, instance, frame: 1 }];
    return Array.from({ length: instance.frames }, (_, i) => ({ imageId: `${address}?frame=${i + 1}`, instance, frame: i + 1 }));
  });
}

const baseOf = (imageId: string) => imageId.split('?')[0]!;

/** Cornerstone, once a page. Without a real graphics processor its CPU renderer is both quicker and safer. */
export function startCornerstone(early: Early): boolean {
  if (early.cpu) setUseCPURendering(true);
  else startCore();
  // What dicomImageLoader.init() does, but for its worker: ours was started by the first script and compiles meanwhile.
  dicomImageLoader.wadouri.register({});
  getWebWorkerManager().registerWorker('dicomImageLoader', () => early.worker, { maxWorkerInstances: 1 });
  cache.setMaxCacheSize(MEMORY_CAP);
  return early.cpu;
}

export class ImageStore {
  /** Instances whose metadata (and, for multi-frame ones, bytes) are held; the value is the download. */
  private readonly files = new Map<string, Promise<void>>();
  private readonly loading = new Map<string, Promise<Types.IImage>>();
  private readonly held = new Map<string, Set<string>>();
  private readonly progress = new Map<string, Progress>();
  private readonly failed = new Map<string, Trouble>();
  private ahead: Picture[] = [];
  private busy = 0;
  private closed = false;

  /** Told of a trouble that concerns the whole visit, even when it struck a picture nobody is looking at yet. */
  onVisitTrouble: (trouble: Trouble) => void = () => {};

  constructor(private readonly base: string, private readonly cpu: boolean, private first: Early['first'] | null) {
    eventTarget.addEventListener(Enums.Events.IMAGE_CACHE_IMAGE_REMOVED, ((event: CustomEvent<{ imageId: string }>) =>
      this.forget(event.detail.imageId)) as EventListener);
    // Whatever asks Cornerstone for a picture, a tool included, goes through our own fetching and its errors.
    imageLoader.registerImageLoader('wadouri', (imageId: string, options?: Record<string, unknown>) => ({
      promise: this.decode(imageId, options ?? {}) as unknown as Promise<Types.IImage>,
    }));
  }

  has(picture: Picture): boolean {
    return cache.isLoaded(picture.imageId);
  }

  load(picture: Picture, heard?: Progress): Promise<Types.IImage> {
    if (this.closed) return Promise.reject(new Trouble('ended'));
    const { imageId } = picture;
    const cached = cache.getImage(imageId);
    if (cached) return Promise.resolve(cached);
    if (heard) this.progress.set(baseOf(imageId), heard);
    const under = this.loading.get(imageId);
    if (under) return under;
    if (UNREADABLE.has(picture.instance.syntax)) return Promise.reject(new Trouble('unsupported'));
    const promise = imageLoader
      .loadImage(imageId, { useRGBA: this.cpu, requestType: Enums.RequestType.Interaction, priority: -5 } as never)
      .then((image) => {
        if (this.closed) throw new Trouble('ended');
        if (!cache.isLoaded(imageId)) cache.putImageSync(imageId, image);
        return image;
      })
      .catch((error: unknown) => {
        const trouble = troubleFrom(error);
        if (trouble.endsVisit) this.onVisitTrouble(trouble);
        else if (!trouble.passes) this.failed.set(imageId, trouble);
        throw trouble;
      })
      .finally(() => {
        this.loading.delete(imageId);
        this.progress.delete(baseOf(imageId));
      });
    this.loading.set(imageId, promise);
    return promise;
  }

  /** Fetch what is likely looked at next: first the way the person is going, then the other, as far as memory allows. */
  prefetchAround(pictures: Picture[], at: number, direction: 1 | -1 = 1): void {
    const size = cache.getImage(pictures[at]?.imageId ?? '')?.sizeInBytes || MB;
    const room = Math.max(4, Math.floor((MEMORY_CAP * 0.7) / size));
    const order: Picture[] = [];
    for (let step = 1; order.length < Math.min(room, pictures.length - 1) && step < pictures.length; step += 1) {
      const on = pictures[at + step * direction];
      if (on) order.push(on);
      const back = step % 2 === 0 ? pictures[at - (step / 2) * direction] : undefined;
      if (back) order.push(back);
    }
    this.ahead = [...new Set(order)].filter((one) => !this.has(one) && !this.failed.has(one.imageId));
    this.pump();
  }

  stopPrefetching(): void {
    this.ahead = [];
  }

  private pump(): void {
    while (!this.closed && this.busy < AT_ONCE && this.ahead.length > 0) {
      const next = this.ahead.shift()!;
      if (this.has(next) || this.loading.has(next.imageId)) continue;
      this.busy += 1;
      this.load(next).then(
        () => this.release(),
        (trouble: Trouble) => {
          if (trouble.passes) this.ahead = [];
          this.release();
        },
      );
    }
  }

  private release(): void {
    this.busy -= 1;
    this.pump();
  }

  private async decode(imageId: string, options: Record<string, unknown>): Promise<Types.IImage> {
    const base = baseOf(imageId);
    const many = imageId.includes('?');
    await this.fetchFile(base);
    try {
      const image = (await dicomImageLoader.wadouri.loadImageFromNaturalizedMetadata(imageId, options as never).promise) as unknown as Types.IImage;
      (this.held.get(base) ?? this.held.set(base, new Set()).get(base)!).add(imageId);
      // A single picture is decoded now: its raw bytes would double what it costs to keep.
      if (!many) this.dropBytes(base);
      return image;
    } catch (error) {
      this.drop(base);
      throw troubleFrom(error);
    }
  }

  private fetchFile(base: string): Promise<void> {
    const held = this.files.get(base);
    if (held) return held;
    const download = this.download(base);
    this.files.set(base, download);
    download.catch(() => this.files.delete(base));
    return download;
  }

  private async download(base: string): Promise<void> {
    const id = decodeURIComponent(base.split('/').at(-2)!);
    const hear: Progress = (bytes, of) => this.progress.get(base)?.(bytes, of);
    const first = this.first && (await this.first);
    this.first = null;
    const bytes = first?.id === id ? first.bytes : await askInstance(this.base, id, hear, this.progress.has(base));
    metadataUtilities.clearTypedCacheData(NATURALIZED, base);
    try {
      await dicomImageLoader.prefetchPart10Instance(base, bytes);
    } catch (error) {
      metadataUtilities.clearTypedCacheData(NATURALIZED, base);
      throw new Trouble('broken', String(error));
    }
  }

  private dropBytes(base: string): void {
    const natural = metaData.get(NATURALIZED, base) as { PixelData?: unknown } | undefined;
    if (natural) delete natural.PixelData;
    this.files.delete(base);
  }

  private forget(imageId: string): void {
    const base = baseOf(imageId);
    const frames = this.held.get(base);
    frames?.delete(imageId);
    if (!frames?.size) this.drop(base);
  }

  private drop(base: string): void {
    this.held.delete(base);
    this.files.delete(base);
    metadataUtilities.clearTypedCacheData(NATURALIZED, base);
  }

  /** A picture that failed for a passing reason may be asked for again. */
  retry(): void {
    this.failed.clear();
  }

  close(): void {
    this.closed = true;
    this.ahead = [];
    cache.purgeCache();
    for (const base of [...this.held.keys()]) this.drop(base);
  }
}

/** A small picture of a picture, for choosing a series by eye. */
export function drawThumbnail(image: Types.IImage, canvas: HTMLCanvasElement): void {
  const { columns, rows } = image;
  const pixels = image.getPixelData();
  const parts = pixels.length / (columns * rows);
  const size = canvas.width;
  const context = canvas.getContext('2d')!;
  const data = context.createImageData(size, size);
  const scale = Math.max(columns, rows) / size;
  const left = (size - columns / scale) / 2;
  const top = (size - rows / scale) / 2;
  const { slope = 1, intercept = 0, preScale } = image as Types.IImage & { preScale?: { scaled?: boolean } };
  const width = [image.windowWidth].flat()[0] || 1;
  const low = ([image.windowCenter].flat()[0] ?? 0) - width / 2;
  for (let y = 0; y < size; y += 1) {
    for (let x = 0; x < size; x += 1) {
      const column = Math.floor((x - left) * scale);
      const row = Math.floor((y - top) * scale);
      const to = (y * size + x) * 4;
      data.data[to + 3] = 255;
      if (column < 0 || row < 0 || column >= columns || row >= rows) continue;
      const from = (row * columns + column) * parts;
      if (parts >= 3) {
        for (let c = 0; c < 3; c += 1) data.data[to + c] = Number(pixels[from + c]);
        continue;
      }
      const value = preScale?.scaled ? Number(pixels[from]) : Number(pixels[from]) * slope + intercept;
      const grey = ((value - low) / width) * 255;
      data.data[to] = data.data[to + 1] = data.data[to + 2] = image.invert ? 255 - grey : grey;
    }
  }
  context.putImageData(data, 0, 0);
}

/** Pictures a second of a cine loop, as the scanner recorded it; a calm pace for a stack of slices. */
export function pace(picture: Picture): number {
  if (picture.instance.frames <= 1) return 8;
  const natural = (metaData.get(NATURALIZED, baseOf(picture.imageId)) ?? {}) as Record<string, unknown>;
  const number = (name: string) => Number([natural[name]].flat()[0]) || 0;
  const rate = number('RecommendedDisplayFrameRate') || number('CineRate') || (number('FrameTime') && 1000 / number('FrameTime'));
  return Math.max(2, Math.min(30, rate || 15));
}
