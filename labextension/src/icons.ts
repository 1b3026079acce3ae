import { LabIcon } from '@jupyterlab/ui-components';
import shield from '../style/icons/shield.svg';

/** The extension's mark: an orbit inside a shield. */
export const qsecIcon = new LabIcon({ name: 'jupyter_qsec:shield', svgstr: shield });
