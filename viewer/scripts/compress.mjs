// Writes a .gz beside each asset that shrinks, so that a small server never compresses the same file twice.
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { constants, gzipSync } from 'node:zlib';

const WORTH = /\.(js|css|wasm|html|svg)$/;

function* filesUnder(folder) {
  for (const name of readdirSync(folder).sort()) {
    const path = join(folder, name);
    if (statSync(path).isDirectory()) yield* filesUnder(path);
    else yield path;
  }
}

for (const path of filesUnder('dist')) {
  if (!WORTH.test(path)) continue;
  const plain = readFileSync(path);
  const packed = gzipSync(plain, { level: constants.Z_BEST_COMPRESSION });
  if (packed.length < plain.length * 0.95) writeFileSync(`${path}.gz`, packed);
}
