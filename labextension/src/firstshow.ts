import type { IStateDB } from '@jupyterlab/statedb';

const KEY = 'jupyter_qsec:panel';

/**
 * Show the panel if it never was shown by itself before; from then on the person's own layout counts.
 *
 * @param show - Shows it; not called again after it was called once, whatever becomes of it.
 */
export async function showOnce(state: IStateDB, show: () => void): Promise<void> {
  if ((await state.fetch(KEY)) !== undefined) {
    return;
  }
  await state.save(KEY, { shown: true });
  show();
}
