/**
 * Reads the plainest kind of image without Cornerstone: one frame, uncompressed, grey. It knows no way to repair
 * anything; whatever is unusual is `null`, and Cornerstone shows that image when it is there.
 */

import dicomParser, { type DataSet } from 'dicom-parser';
import type { InstanceRow } from './api';

/** A picture as 8-bit greys, row by row, and how much wider or taller than square its pixels are. */
export type Plain = { rows: number; columns: number; wide: number; tall: number; greys: Uint8ClampedArray };

const IMPLICIT = '1.2.840.10008.1.2';
const EXPLICIT = '1.2.840.10008.1.2.1';
const PIXELS_AT_MOST = 10_000_000;
const PIXEL_DATA = 'x7fe00010';
/** Kinds whose numbers mean what they say; PET and dose images are scaled by rules of their own. */
const MODALITIES = new Set(['CT', 'MR', 'CR', 'DX', 'MG', 'OT']);
/** Lookup tables, functional groups and frames: each changes what a pixel means (PS3.3 C.11 and C.7.6). */
const NEVER = ['x00283000', 'x00283010', 'x52009229', 'x52009230', 'x00280009', 'x00281101', 'x00281201', 'x7fe00008', 'x7fe00009'];

class Unusual extends Error {}

function must(usual: boolean): asserts usual {
  if (!usual) throw new Unusual();
}

/** What the manifest alone can tell: is it worth waiting for the bytes? */
export function mayBePlain({ syntax, frames, rows, columns }: InstanceRow, modality: string): boolean {
  return (syntax === IMPLICIT || syntax === EXPLICIT) && frames <= 1 && rows > 0 && columns > 0
    && rows * columns <= PIXELS_AT_MOST && MODALITIES.has(modality);
}

export function readPlain(bytes: ArrayBuffer, row: InstanceRow): Plain | null {
  try {
    return read(new Uint8Array(bytes), row);
  } catch {
    // The parser throws strings and errors alike; to us they all say "not plain", and Cornerstone says the rest.
    return null;
  }
}

function read(bytes: Uint8Array, row: InstanceRow): Plain {
  const data = dicomParser.parseDicom(bytes, { untilTag: PIXEL_DATA });
  const syntax = data.string('x00020010');
  must(syntax === row.syntax && (syntax === EXPLICIT || syntax === IMPLICIT) && data.warnings.length === 0);
  const tags = new Tags(data, syntax === EXPLICIT);
  must(!NEVER.some((tag) => data.elements[tag]));

  const rows = tags.count('x00280010');
  const columns = tags.count('x00280011');
  const allocated = tags.count('x00280100');
  const stored = tags.count('x00280101');
  const signed = tags.count('x00280103');
  must(rows === row.rows && columns === row.columns && rows * columns > 0 && rows * columns <= PIXELS_AT_MOST);
  must(tags.count('x00280002') === 1 && (tags.numbers('x00280008', 'IS')?.[0] ?? 1) === 1);
  must((allocated === 16 || (allocated === 8 && signed === 0)) && (signed === 0 || signed === 1));
  must(stored > 1 && stored <= allocated && tags.count('x00280102') === stored - 1);
  must(MODALITIES.has(tags.word('x00080060', 'CS')));
  const photometric = tags.word('x00280004', 'CS');
  must(photometric === 'MONOCHROME1' || photometric === 'MONOCHROME2');
  const inverted = photometric === 'MONOCHROME1';
  must(['', inverted ? 'INVERSE' : 'IDENTITY'].includes(tags.word('x20500020', 'CS')));
  must(['', 'LINEAR'].includes(tags.word('x00281056', 'CS')));

  const values = storedValues(data, tags, { length: rows * columns, allocated, stored, signed: signed === 1 });
  const slope = tags.number('x00281053') ?? 1;
  const intercept = tags.number('x00281052') ?? 0;
  // Fractions are rounded on one renderer and not on the other; which of them will draw is not known yet.
  must(Number.isInteger(slope) && slope > 0 && Number.isInteger(intercept));

  let least = values[0]!;
  let most = least;
  for (const value of values) {
    if (value < least) least = value;
    else if (value > most) most = value;
  }
  must(signed === 1 || most < 2 ** stored);
  const center = tags.number('x00281050');
  const width = tags.number('x00281051');
  must((center === null) === (width === null));
  // Without a window of its own the picture is spread over all its values, as Cornerstone does.
  const window = center !== null && width !== null
    ? { center, width }
    : { center: (slope * (least + most)) / 2 + intercept + 0.5, width: slope * (most - least) + 1 };
  must(window.width >= 2);

  const shades = new Uint8ClampedArray(most - least + 1);
  for (let value = least; value <= most; value += 1) {
    // PS3.3 C.11.2.1.2.1, linear.
    const grey = ((value * slope + intercept - (window.center - 0.5)) / (window.width - 1) + 0.5) * 255;
    shades[value - least] = inverted ? 255 - Math.min(255, Math.max(0, grey)) : grey;
  }
  const greys = new Uint8ClampedArray(values.length);
  for (let i = 0; i < values.length; i += 1) greys[i] = shades[values[i]! - least]!;
  return { rows, columns, greys, ...shape(tags) };
}

type Layout = { length: number; allocated: number; stored: number; signed: boolean };

function storedValues(data: DataSet, tags: Tags, { length, allocated, stored, signed }: Layout): Uint8Array | Uint16Array | Int16Array {
  const element = data.elements[PIXEL_DATA];
  const size = length * (allocated / 8);
  must(element !== undefined && !element.hadUndefinedLength && !element.encapsulatedPixelData);
  must(!tags.explicit || element.vr === 'OW' || (element.vr === 'OB' && allocated === 8));
  must(element.length === size + (size % 2) && element.dataOffset + element.length <= data.byteArray.length);
  if (allocated === 8) return new Uint8Array(data.byteArray.buffer, element.dataOffset, size);
  // A copy, because 16-bit arrays must begin at an even address and the file's bytes stay Cornerstone's to read.
  const own = data.byteArray.slice(element.dataOffset, element.dataOffset + size).buffer;
  must(new Uint8Array(new Uint16Array([1]).buffer)[0] === 1);
  if (!signed) return new Uint16Array(own);
  const values = new Int16Array(own);
  const spare = 32 - stored;
  if (stored < 16) for (let i = 0; i < length; i += 1) values[i] = (values[i]! << spare) >> spare;
  return values;
}

/** Pixels that are not square are stretched by PixelSpacing; any other word on their shape must say "square". */
function shape(tags: Tags): { wide: number; tall: number } {
  const square = (tag: string, vr: string) => {
    const pair = tags.numbers(tag, vr);
    return pair === null || (pair.length === 2 && pair[0]! > 0 && pair[0] === pair[1]);
  };
  must(square('x00181164', 'DS') && square('x00280034', 'IS'));
  const spacing = tags.numbers('x00280030', 'DS');
  if (spacing === null) return { wide: 1, tall: 1 };
  const [down, across] = spacing;
  must(spacing.length === 2 && down! > 0 && across! > 0 && down! / across! < 20 && across! / down! < 20);
  return { wide: Math.max(1, across! / down!), tall: Math.max(1, down! / across!) };
}

/** Elements by tag; one with another VR than the standard gives it is not read but refused. */
class Tags {
  constructor(private readonly data: DataSet, readonly explicit: boolean) {}

  private has(tag: string, vr: string): boolean {
    const element = this.data.elements[tag];
    if (!element) return false;
    must(!element.items && !element.hadUndefinedLength);
    must(this.explicit ? element.vr === vr : element.vr === undefined);
    return element.length > 0;
  }

  count(tag: string): number {
    must(this.has(tag, 'US') && this.data.elements[tag]!.length === 2);
    return this.data.uint16(tag)!;
  }

  word(tag: string, vr: string): string {
    return this.has(tag, vr) ? this.data.string(tag)!.trim() : '';
  }

  numbers(tag: string, vr: string): number[] | null {
    if (!this.has(tag, vr)) return null;
    const said = this.data.string(tag)!.split('\\').map((one) => one.trim());
    must(said.every((one) => /^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$/.test(one)));
    return said.map(Number);
  }

  /** The first of a decimal string's values. */
  number(tag: string): number | null {
    return this.numbers(tag, 'DS')?.[0] ?? null;
  }
}
