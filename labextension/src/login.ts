import { Dialog, showDialog } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { QsecApiError } from './api';

/**
 * Do what may need a fresh login. When it does, offer to log in in another tab, and try once more when the person comes
 * back; what fails for another reason is thrown.
 */
export async function withLogin(trans: TranslationBundle, action: () => Promise<void>): Promise<void> {
  try {
    await action();
  } catch (reason) {
    if (!(reason instanceof QsecApiError) || !reason.loginUrl) {
      throw reason;
    }
    if (await offered(reason, trans)) {
      window.open(reason.loginUrl, '_blank', 'noopener');
      await comingBack();
      await action();
    }
  }
}

async function offered(reason: QsecApiError, trans: TranslationBundle): Promise<boolean> {
  const { button } = await showDialog({
    title: trans.__('Log in again?'),
    body: reason.message,
    buttons: [Dialog.cancelButton(), Dialog.okButton({ label: trans.__('Log in') })]
  });
  return button.accept;
}

/** The next time that this window gets the focus. */
function comingBack(): Promise<void> {
  return new Promise(resolve => {
    window.addEventListener(
      'focus',
      () => {
        resolve();
      },
      { once: true }
    );
  });
}
