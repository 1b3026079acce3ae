import { ILayoutRestorer, type JupyterFrontEnd, type JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette, Notification } from '@jupyterlab/apputils';
import { IDocumentManager } from '@jupyterlab/docmanager';
import { INotebookTracker } from '@jupyterlab/notebook';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { IStateDB } from '@jupyterlab/statedb';
import { IStatusBar } from '@jupyterlab/statusbar';
import { ITranslator, type TranslationBundle } from '@jupyterlab/translation';
import { QsecApi } from './api';
import { ServerClock } from './clock';
import { CommandIDs } from './commandids';
import { addCommands, addOpenCommand } from './commands';
import { showOnce } from './firstshow';
import { baseName } from './format';
import { isGatewayAway } from './gateway';
import { messageOf, QsecModel } from './model';
import { Notebooks } from './notebooks';
import { QsecPanel } from './panel';
import { QsecStatusItem } from './status';
import { IQsecModel } from './tokens';
import { type IFinding, type IKernelEntry, readHint } from './wire';

export * from './tokens';
export type * from './wire';

const DOMAIN = 'jupyter_qsec';
const DEFAULT_INTERVAL_MS = 2000;

// Every plugin of this module shows countdowns against the same clock, which the API calls keep right.
const clock = new ServerClock();

const modelPlugin: JupyterFrontEndPlugin<IQsecModel> = {
  id: 'jupyter_qsec:model',
  description: 'Reads leases, quantum tasks and findings from the server and keeps them up to date.',
  autoStart: true,
  provides: IQsecModel,
  activate: (app: JupyterFrontEnd) => {
    const { serverSettings, events } = app.serviceManager;
    const model = new QsecModel({
      api: new QsecApi(serverSettings, clock),
      interval: DEFAULT_INTERVAL_MS
    });
    events.stream.connect((_, emission) => {
      const hint = readHint(emission);
      if (hint) {
        void model.onHint(hint);
      }
    });
    document.addEventListener('visibilitychange', () => {
      if (document.visibilityState === 'visible') {
        model.wake();
      }
    });
    void app.started.then(() => model.start());
    return model;
  }
};

const commandsPlugin: JupyterFrontEndPlugin<void> = {
  id: 'jupyter_qsec:commands',
  description: 'Commands that renew, revoke and replace leases, keep sessions and cancel tasks.',
  autoStart: true,
  requires: [IQsecModel, ITranslator],
  optional: [ICommandPalette],
  activate: (app: JupyterFrontEnd, model: IQsecModel, translator: ITranslator, palette: ICommandPalette | null) => {
    const trans = translator.load(DOMAIN);
    addCommands(app.commands, model, trans);
    const { renewLease, revokeLease, newLease, keepSession, refresh } = CommandIDs;
    let shown = '';
    model.changed.connect(() => {
      // Menus and palette look again when the answer of an `isEnabled` may have changed, not after each read.
      const { kernel, snapshot } = model;
      const state = `${kernel?.kernelId ?? ''} ${kernel?.lease?.state ?? ''} ${isGatewayAway(snapshot)}`;
      if (state !== shown) {
        shown = state;
        for (const command of [renewLease, revokeLease, newLease, keepSession]) {
          app.commands.notifyCommandChanged(command);
        }
      }
    });
    for (const command of [renewLease, revokeLease, newLease, keepSession, refresh]) {
      palette?.addItem({ command, category: trans.__('Quantum security') });
    }
  }
};

const panelPlugin: JupyterFrontEndPlugin<void> = {
  id: 'jupyter_qsec:panel',
  description: 'The sidebar panel with the lease, the quantum tasks and the findings of the current notebook.',
  autoStart: true,
  requires: [IQsecModel, INotebookTracker, IDocumentManager, ITranslator],
  optional: [ILayoutRestorer, ISettingRegistry, ICommandPalette, IStateDB],
  activate: async (
    app: JupyterFrontEnd,
    model: IQsecModel,
    tracker: INotebookTracker,
    documents: IDocumentManager,
    translator: ITranslator,
    restorer: ILayoutRestorer | null,
    registry: ISettingRegistry | null,
    palette: ICommandPalette | null,
    state: IStateDB | null
  ) => {
    const trans = translator.load(DOMAIN);
    const notebooks = new Notebooks(tracker, documents, model);
    const reveal = async (finding: IFinding) => {
      if (!(await notebooks.reveal(finding))) {
        Notification.info(trans.__('The cell of this finding is no longer there.'));
      }
    };
    const panel = new QsecPanel({ model, commands: app.commands, clock, trans, reveal });
    addOpenCommand(app.commands, trans, () => {
      app.shell.activateById(panel.id);
    });
    palette?.addItem({ command: CommandIDs.openPanel, category: trans.__('Quantum security') });

    const preferences = await loadPreferences(registry, model);
    app.shell.add(panel, preferences.side, { rank: 850, type: 'Quantum security' });
    restorer?.add(panel, panel.id);
    if (state) {
      // Restoring the layout waits for the plugins: waiting for it here would wait for ever.
      void app.restored
        .then(() =>
          showOnce(state, () => {
            panel.showQuietly(app.shell);
          })
        )
        .catch((reason: unknown) => {
          Notification.info(trans.__('The state of the panel could not be kept: %1', messageOf(reason)));
        });
    }
    watchSessions(app, model, notebooks, preferences, trans);
  }
};

const statusPlugin: JupyterFrontEndPlugin<void> = {
  id: 'jupyter_qsec:status',
  description: 'The lease’s countdown and the number of findings in the status bar.',
  autoStart: true,
  requires: [IQsecModel, ITranslator],
  optional: [IStatusBar],
  activate: (app: JupyterFrontEnd, model: IQsecModel, translator: ITranslator, statusBar: IStatusBar | null) => {
    const item = new QsecStatusItem({
      model,
      commands: app.commands,
      clock,
      trans: translator.load(DOMAIN)
    });
    statusBar?.registerStatusItem('jupyter_qsec:status', {
      item,
      align: 'left',
      rank: 3,
      isActive: () => model.focus !== null,
      activeStateChanged: model.changed
    });
  }
};

interface IPreferences {
  side: 'left' | 'right';
  saveOnWarning: boolean;
}

/** The user's settings; kept up to date in the returned object, except the side, which needs a reload. */
async function loadPreferences(registry: ISettingRegistry | null, model: IQsecModel): Promise<IPreferences> {
  const preferences: IPreferences = { side: 'right', saveOnWarning: true };
  if (!registry) {
    return preferences;
  }
  const settings = await registry.load(panelPlugin.id);
  const apply = () => {
    const { side, saveOnWarning, pollInterval } = settings.composite;
    preferences.side = side === 'left' ? 'left' : 'right';
    preferences.saveOnWarning = saveOnWarning !== false;
    if (model instanceof QsecModel && typeof pollInterval === 'number') {
      model.interval = pollInterval * 1000;
    }
  };
  apply();
  settings.changed.connect(apply);
  return preferences;
}

/** Save and say so when a session is about to end, and say so when it has ended. */
function watchSessions(
  app: JupyterFrontEnd,
  model: IQsecModel,
  notebooks: Notebooks,
  preferences: IPreferences,
  trans: TranslationBundle
): void {
  const warnings = new Map<string, string>();
  const warn = async (kernel: IKernelEntry) => {
    const name = baseName(kernel.path) || kernel.name;
    warnings.set(
      kernel.kernelId,
      Notification.warning(trans.__('The session of %1 is about to end.', name), {
        autoClose: false,
        actions: [
          {
            label: trans.__('Keep working'),
            displayType: 'accent',
            callback: () => void app.commands.execute(CommandIDs.keepSession, { kernelId: kernel.kernelId })
          }
        ]
      })
    );
    if (preferences.saveOnWarning) {
      await notebooks.saveNotebooksOf(kernel.kernelId);
    }
  };
  model.warned.connect((_, kernel) => {
    warn(kernel).catch((reason: unknown) => {
      Notification.error(trans.__('The notebook could not be saved: %1', messageOf(reason)), {
        autoClose: false
      });
    });
  });
  model.changed.connect(() => {
    for (const [kernelId, notification] of warnings) {
      const entry = model.snapshot.kernels.data.find(kernel => kernel.kernelId === kernelId);
      if (!entry?.session.warned) {
        warnings.delete(kernelId);
        Notification.dismiss(notification);
      }
    }
  });
  model.relayEnded.connect((_, hint) => {
    const message = trans.__(
      'What checks the outputs of %1 ended by itself. Its kernel was stopped, so that nothing passes unchecked; what it held in memory is gone.',
      baseName(hint.path) || trans.__('a kernel')
    );
    Notification.warning(message, { autoClose: false });
  });
  model.ended.connect((_, hint) => {
    const name = baseName(hint.path) || trans.__('a kernel');
    const message =
      hint.reason === 'absolute'
        ? trans.__('The session of %1 has reached its longest time: its lease is revoked, its kernel stopped.', name)
        : trans.__('The session of %1 was idle: its lease is revoked, its kernel stopped.', name);
    Notification.warning(message, { autoClose: false });
    // A stopped kernel leaves its websocket open: ask the server, so that notebooks notice.
    void app.serviceManager.sessions.refreshRunning();
    void app.serviceManager.kernels.refreshRunning();
  });
}

export default [modelPlugin, commandsPlugin, panelPlugin, statusPlugin];
