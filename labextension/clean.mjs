// Removes what the build makes; both folders are rebuilt completely, so no module of an earlier build survives.
import { rmSync } from 'node:fs';

for (const folder of ['labextension/lib', 'jupyter_qsec/labextension']) {
  rmSync(folder, { recursive: true, force: true });
}
