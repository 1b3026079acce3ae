import type { Dialog } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { Widget } from '@lumino/widgets';
import type { ILease, ITenant } from './wire';

/** The tenant and project chosen for a new lease. */
export interface ILeaseChoice {
  readonly tenant: string;
  readonly project: string;
}

/** The body of the "New lease" dialog: two selects, the second depending on the first. */
export class LeaseChoiceBody extends Widget implements Dialog.IBodyWidget<ILeaseChoice> {
  constructor(
    private readonly _tenants: readonly ITenant[],
    current: ILease | null,
    trans: TranslationBundle
  ) {
    super();
    this.addClass('jp-qsec-leaseChoice');
    this._tenant = labelled(this.node, trans.__('Tenant'));
    this._project = labelled(this.node, trans.__('Project'));
    fill(this._tenant, _tenants, current?.tenant);
    this._tenant.addEventListener('change', () => {
      this._offerProjects();
    });
    this._offerProjects(current?.project);
    if (current) {
      const note = document.createElement('p');
      note.textContent = trans.__(
        'Afterwards, create AwsDevice objects and boto3 sessions again: existing ones keep signing with the old key.'
      );
      this.node.append(note);
    }
  }

  getValue(): ILeaseChoice {
    return { tenant: this._tenant.value, project: this._project.value };
  }

  private _offerProjects(chosen?: string): void {
    const tenant = this._tenants.find(candidate => candidate.id === this._tenant.value);
    fill(this._project, tenant?.projects ?? [], chosen);
  }

  private readonly _tenant: HTMLSelectElement;
  private readonly _project: HTMLSelectElement;
}

function labelled(parent: HTMLElement, text: string): HTMLSelectElement {
  const label = document.createElement('label');
  const select = document.createElement('select');
  label.append(text, select);
  parent.append(label);
  return select;
}

function fill(
  select: HTMLSelectElement,
  choices: readonly { readonly id: string; readonly name: string }[],
  chosen: string | undefined
): void {
  select.replaceChildren(
    ...choices.map(({ id, name }) => {
      const label = name === id ? id : `${name} (${id})`;
      return new Option(label, id, false, id === chosen);
    })
  );
}
