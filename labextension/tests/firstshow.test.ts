import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IStateDB } from '@jupyterlab/statedb';
import { showOnce } from '../src/firstshow';

test('the panel shows itself once and never again', async () => {
  const kept = new Map<string, unknown>();
  const state = {
    fetch: (key: string) => Promise.resolve(kept.get(key)),
    save: (key: string, value: unknown) => Promise.resolve(void kept.set(key, value))
  } as unknown as IStateDB;
  let shown = 0;
  const show = () => (shown += 1);
  await showOnce(state, show);
  await showOnce(state, show);
  assert.equal(shown, 1);
});
