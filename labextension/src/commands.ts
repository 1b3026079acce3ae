import { Dialog, showDialog, showErrorMessage } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';
import { CommandIDs } from './commandids';
import { baseName } from './format';
import { isGatewayAway } from './gateway';
import { qsecIcon } from './icons';
import { LeaseChoiceBody } from './leasechoice';
import { withLogin } from './login';
import { messageOf } from './model';
import type { IQsecModel } from './tokens';
import type { IKernelEntry } from './wire';

const KERNEL_ARGUMENT = {
  kernelId: {
    type: 'string',
    description: 'The id of a running kernel; the current notebook’s kernel when left out'
  }
};

/** Add the commands that act through the model. */
export function addCommands(commands: CommandRegistry, model: IQsecModel, trans: TranslationBundle): void {
  const entryFor = (args: ReadonlyPartialJSONObject): IKernelEntry | null => {
    const id = args['kernelId'];
    return typeof id === 'string'
      ? (model.snapshot.kernels.data.find(entry => entry.kernelId === id) ?? null)
      : model.kernel;
  };
  const hasActiveLease = (args: ReadonlyPartialJSONObject) => entryFor(args)?.lease?.state === 'active';

  const onKernel = (
    id: string,
    options: {
      readonly label: string;
      readonly caption: string;
      readonly properties?: ReadonlyPartialJSONObject;
      readonly isEnabled?: (args: ReadonlyPartialJSONObject) => boolean;
      readonly run: (entry: IKernelEntry, args: ReadonlyPartialJSONObject) => Promise<void>;
    }
  ): void => {
    commands.addCommand(id, {
      label: options.label,
      caption: options.caption,
      isEnabled: options.isEnabled ?? (args => entryFor(args) !== null),
      execute: async args => {
        const entry = entryFor(args);
        if (entry) {
          await reporting(trans, options.label, () => options.run(entry, args));
        }
      },
      describedBy: {
        args: { type: 'object', properties: { ...KERNEL_ARGUMENT, ...options.properties } }
      }
    });
  };

  onKernel(CommandIDs.renewLease, {
    label: trans.__('Renew Lease'),
    caption: trans.__('Extend the lease of the notebook’s kernel now'),
    isEnabled: args => hasActiveLease(args) && !isGatewayAway(model.snapshot),
    run: entry => model.changeLease(entry.kernelId, { action: 'renew' })
  });
  onKernel(CommandIDs.revokeLease, {
    label: trans.__('Revoke Lease…'),
    caption: trans.__('Take away, at once, what the notebook’s kernel may do'),
    isEnabled: hasActiveLease,
    run: entry => revoke(model, entry, trans)
  });
  onKernel(CommandIDs.newLease, {
    label: trans.__('New Lease…'),
    caption: trans.__('Give the notebook’s kernel a new lease, for a tenant and project of your choice'),
    isEnabled: args => entryFor(args) !== null && !isGatewayAway(model.snapshot),
    properties: {
      tenant: { type: 'string', description: 'The tenant’s id; asked for when left out' },
      project: { type: 'string', description: 'The project’s id; the tenant’s first when left out' }
    },
    run: (entry, args) => renewWithChoice(model, entry, args, trans)
  });
  onKernel(CommandIDs.keepSession, {
    label: trans.__('Keep Session Working'),
    caption: trans.__('Count as active, so that the session is not ended as idle'),
    run: entry => withLogin(trans, () => model.keepAlive(entry.kernelId))
  });
  commands.addCommand(CommandIDs.refresh, {
    label: trans.__('Refresh Quantum Security'),
    caption: trans.__('Read leases, tasks and findings again'),
    execute: () => model.refresh(),
    describedBy: { args: { type: 'object', properties: {} } }
  });
  commands.addCommand(CommandIDs.cancelTask, {
    label: trans.__('Cancel Quantum Task'),
    caption: trans.__('Cancel a quantum task that has not ended'),
    isVisible: args => typeof args['taskId'] === 'string',
    execute: async args => {
      const { taskId } = args;
      if (typeof taskId === 'string') {
        await reporting(trans, trans.__('Cancel Quantum Task'), () => model.cancelTask(taskId));
      }
    },
    describedBy: {
      args: {
        type: 'object',
        required: ['taskId'],
        properties: { taskId: { type: 'string', description: 'The id of the task' } }
      }
    }
  });
}

/** Add the command that shows the panel. */
export function addOpenCommand(commands: CommandRegistry, trans: TranslationBundle, open: () => void): void {
  commands.addCommand(CommandIDs.openPanel, {
    label: trans.__('Show Quantum Security'),
    caption: trans.__('Show the lease, quantum tasks and findings of the current notebook'),
    icon: qsecIcon,
    execute: open,
    describedBy: { args: { type: 'object', properties: {} } }
  });
}

async function revoke(model: IQsecModel, entry: IKernelEntry, trans: TranslationBundle): Promise<void> {
  const { button } = await showDialog({
    title: trans.__('Revoke the lease?'),
    body: trans.__(
      'From now on every call of %1 to devices, results and storage is refused. The kernel and its variables stay. To go on, get a new lease, then create AwsDevice objects and boto3 sessions again: existing ones keep signing with the old key.',
      baseName(entry.path) || entry.name
    ),
    buttons: [Dialog.cancelButton({ label: trans.__('Keep it') }), Dialog.warnButton({ label: trans.__('Revoke') })],
    defaultButton: 0
  });
  if (button.accept) {
    await model.changeLease(entry.kernelId, { action: 'revoke' });
  }
}

async function renewWithChoice(
  model: IQsecModel,
  entry: IKernelEntry,
  args: ReadonlyPartialJSONObject,
  trans: TranslationBundle
): Promise<void> {
  const { tenant, project } = args;
  if (typeof tenant === 'string') {
    const rest = typeof project === 'string' ? { project } : {};
    await model.changeLease(entry.kernelId, { action: 'new', tenant, ...rest });
    return;
  }
  const tenants = model.snapshot.status.data?.tenants ?? [];
  if (tenants.length === 0) {
    await model.changeLease(entry.kernelId, { action: 'new' });
    return;
  }
  const { button, value } = await showDialog({
    title: trans.__('New lease for %1', baseName(entry.path) || entry.name),
    body: new LeaseChoiceBody(tenants, entry.lease, trans),
    buttons: [Dialog.cancelButton(), Dialog.okButton({ label: trans.__('Get lease') })]
  });
  if (button.accept && value) {
    await model.changeLease(entry.kernelId, { action: 'new', ...value });
  }
}

/** Run an action and say what went wrong, if anything did. */
async function reporting(trans: TranslationBundle, what: string, action: () => Promise<void>): Promise<void> {
  try {
    await action();
  } catch (reason) {
    await showErrorMessage(trans.__('%1 failed', what.replace('…', '')), messageOf(reason));
  }
}
