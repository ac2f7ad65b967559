/** Builds the console from `web/src/` into `web/dist/`, which is kept in the checkout so that a start needs no build. `npm run build:web`. */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { defineConfig, type Plugin } from 'vite';
import { filesBelow, hashOf, hashSources, type Manifest, manifestName } from './sources.js';

const root = new URL('../', import.meta.url);
const built = new URL('web/dist/', root);

/** Writes down what the build was made of. */
function manifest(): Plugin {
  return {
    name: 'manifest',
    apply: 'build',
    closeBundle() {
      const files = filesBelow(built).filter((path) => path !== manifestName);
      const value: Manifest = {
        sources: hashSources(root),
        files: Object.fromEntries(files.map((path) => [path, hashOf(readFileSync(new URL(path, built)))])),
      };
      writeFileSync(new URL(manifestName, built), `${JSON.stringify(value, undefined, 2)}\n`);
    },
  };
}

// biome-ignore lint/style/noDefaultExport: Vite reads its configuration from it
export default defineConfig({
  root: fileURLToPath(new URL('web/', root)),
  logLevel: 'warn',
  plugins: [manifest()],
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  resolve: {
    // The official client's other transport is half a megabyte that a console on WebSocket never runs.
    alias: { 'livekit-client': fileURLToPath(new URL('web/src/talk/no-webrtc.ts', root)) },
  },
  build: {
    target: 'es2022',
    sourcemap: false,
    modulePreload: false,
    reportCompressedSize: false,
    // Nothing inside a data: URL, which the page's policy would stop.
    assetsInlineLimit: 0,
    rolldownOptions: {
      input: {
        index: fileURLToPath(new URL('web/index.html', root)),
        dashboard: fileURLToPath(new URL('web/dashboard.html', root)),
      },
    },
  },
  server: { proxy: { '/v1': { target: 'http://127.0.0.1:8080', ws: true }, '/readyz': 'http://127.0.0.1:8080' } },
});
