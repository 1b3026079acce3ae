// Bundles each *.test.ts(x) with esbuild and runs them with Node's own test runner.
import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { rmSync } from 'node:fs';
import { build } from 'esbuild';

const outdir = 'labextension/lib/tests';
rmSync(outdir, { recursive: true, force: true });
await build({
  entryPoints: globSync('labextension/tests/*.test.{ts,tsx}'),
  outdir,
  outExtension: { '.js': '.mjs' },
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  jsx: 'automatic',
  mainFields: ['module', 'main'],
  loader: { '.svg': 'text' },
  // CommonJS dependencies in an ES module bundle call require for Node's own modules.
  banner: {
    js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);"
  },
  logLevel: 'warning'
});
const { status } = spawnSync(process.execPath, ['--test', ...globSync(`${outdir}/*.mjs`)], {
  stdio: 'inherit'
});
process.exit(status ?? 1);
