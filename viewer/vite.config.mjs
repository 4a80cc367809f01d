import { defineConfig } from 'vite';

/**
 * The small first script starts the downloads; the big one arrives by import().
 * Vite writes modulepreload links only for static imports, so each page names here what it will import for certain.
 * A modulepreload also compiles, on the thread that the patient's first picture is painted on; there a plain preload
 * only fetches, and the compiling waits until the picture is on the glass.
 */
const CERTAIN = {
  'index.html': ['src/patient/page.ts'],
  'staff.html': ['src/staff/page.ts', 'src/staff/tools.ts'],
};

function preloadWhatIsCertain() {
  return {
    name: 'preload-what-is-certain',
    transformIndexHtml: {
      order: 'post',
      handler(_html, { filename, bundle }) {
        if (!bundle) return [];
        const page = filename.endsWith('staff.html') ? 'staff.html' : 'index.html';
        const chunks = Object.values(bundle).filter((one) => one.type === 'chunk');
        const wanted = new Set();
        const add = (chunk) => {
          if (!chunk || wanted.has(chunk.fileName)) return;
          wanted.add(chunk.fileName);
          for (const name of chunk.imports) add(bundle[name]);
        };
        for (const source of CERTAIN[page]) add(chunks.find((one) => one.facadeModuleId?.endsWith(source)));
        const links = page === 'staff.html' ? { rel: 'modulepreload' } : { rel: 'preload', as: 'script' };
        return [...wanted].filter((name) => !bundle[name].isEntry).map((name) => ({
          tag: 'link',
          attrs: { ...links, crossorigin: true, href: `/view/${name}` },
          injectTo: 'head',
        }));
      },
    },
  };
}

/**
 * What Cornerstone carries along and a stack of slices never calls: XML files of meshes (whose package even fails to
 * start in a browser) and vtk.js's drawing on WebGPU. Each is replaced by an empty module; calling one fails loudly.
 */
function leaveOut() {
  const NOTHING = '\0left-out';
  return {
    name: 'leave-out',
    enforce: 'pre',
    resolveId(source) {
      if (source === 'xmlbuilder2') return `${NOTHING}:xml`;
      if (source.includes('WebGPU/Profiles/')) return `${NOTHING}:webgpu`;
      return null;
    },
    load(id) {
      if (id === `${NOTHING}:xml`) return "export const create = () => { throw new Error('XML is left out of this viewer'); };";
      return id === `${NOTHING}:webgpu` ? 'export {};' : null;
    },
  };
}

/**
 * Each face is its own build (`--mode patient`, then `--mode staff`): sharing a chunk would make the patient's phone
 * carry whatever of Cornerstone the staff's tools need.
 */
const PAGES = { patient: 'index.html', staff: 'staff.html' };

export default defineConfig(({ mode }) => ({
  base: '/view/',
  plugins: [leaveOut(), preloadWhatIsCertain()],
  logLevel: 'warn',
  worker: { format: 'es' },
  build: {
    outDir: 'dist',
    emptyOutDir: mode === 'patient',
    target: 'es2022',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 6000,
    rollupOptions: {
      checks: { pluginTimings: false },
      input: [PAGES[mode]],
      // The codecs' loaders mention Node's fs and path in branches that a browser never takes.
      onwarn: (warning, warn) => /externalized for browser/.test(warning.message) || warn(warning),
    },
  },
}));
