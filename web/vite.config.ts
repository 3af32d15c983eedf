// Builds the console into `dist`, which the binary embeds: hashed names under /assets/, nothing
// inline, because the content security policy allows neither inline script nor inline style.
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  plugins: [svelte()],
  // The package names a file as its module that it does not contain.
  resolve: { alias: { '@xterm/headless': '@xterm/headless/lib-headless/xterm-headless.mjs' } },
  build: {
    target: 'es2022',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: true,
  },
  test: { include: ['test/**/*.test.ts'], environment: 'node', testTimeout: 60_000, setupFiles: ['test/setup.mjs'] },
});
