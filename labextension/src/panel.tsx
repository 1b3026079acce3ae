import type { JupyterFrontEnd } from '@jupyterlab/application';
import { ReactWidget, refreshIcon, UseSignal } from '@jupyterlab/ui-components';
import type { ReactElement } from 'react';
import { CommandIDs } from './commandids';
import { type IPanelContext, PanelProvider, StaleNote } from './components/common';
import { FindingsSection } from './components/findings';
import { SessionSection } from './components/session';
import { TasksSection } from './components/tasks';
import { qsecIcon } from './icons';

/** The sidebar panel. */
export class QsecPanel extends ReactWidget {
  constructor(private readonly _context: IPanelContext) {
    super();
    const { trans } = _context;
    this.id = 'jp-qsec-panel';
    this.addClass('jp-qsec-panel');
    this.title.icon = qsecIcon;
    this.title.caption = trans.__('Quantum security');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', trans.__('Quantum security'));
  }

  /** Show the panel and leave the keyboard where it is. */
  showQuietly(shell: JupyterFrontEnd.IShell): void {
    this._isQuiet = true;
    shell.activateById(this.id);
  }

  /** Showing the panel with a command or a shortcut takes the keyboard there. */
  protected override onActivateRequest(): void {
    if (this._isQuiet) {
      this._isQuiet = false;
      return;
    }
    this.node.tabIndex = -1;
    this.node.focus();
  }

  protected override render(): ReactElement {
    const { commands, model, trans } = this._context;
    return (
      <PanelProvider value={this._context}>
        <header className="jp-qsec-header">
          <h1>{trans.__('Quantum security')}</h1>
          <button
            type="button"
            className="jp-qsec-iconButton"
            title={commands.label(CommandIDs.refresh)}
            aria-label={commands.label(CommandIDs.refresh)}
            onClick={() => void commands.execute(CommandIDs.refresh)}
          >
            <refreshIcon.react tag="span" />
          </button>
        </header>
        <div className="jp-qsec-scroll">
          <UseSignal signal={model.changed} initialSender={model}>
            {() => (
              <>
                <StaleNote />
                <SessionSection />
                <TasksSection />
                <FindingsSection />
              </>
            )}
          </UseSignal>
        </div>
      </PanelProvider>
    );
  }

  private _isQuiet = false;
}
