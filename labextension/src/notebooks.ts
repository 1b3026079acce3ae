import type { ISessionContext } from '@jupyterlab/apputils';
import type { Cell } from '@jupyterlab/cells';
import type { IDocumentManager } from '@jupyterlab/docmanager';
import type { INotebookTracker, Notebook, NotebookPanel } from '@jupyterlab/notebook';
import type { Kernel } from '@jupyterlab/services';
import { type IDisposable } from '@lumino/disposable';
import { Signal } from '@lumino/signaling';
import type { IFocus, IQsecModel } from './tokens';
import type { IFinding } from './wire';

const FOUND_CLASS = 'jp-qsec-found';
const HIGHLIGHT_MS = 4000;

/** Keeps the model's focus on the notebook in front, and knows the way to notebooks and their cells. */
export class Notebooks implements IDisposable {
  constructor(
    private readonly _tracker: INotebookTracker,
    private readonly _documents: IDocumentManager,
    private readonly _model: IQsecModel
  ) {
    _tracker.currentChanged.connect(this._onPanel, this);
    this._onPanel();
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  dispose(): void {
    this._isDisposed = true;
    Signal.clearData(this);
  }

  /** Save every notebook with unsaved changes that this kernel runs; the number of saved notebooks. */
  async saveNotebooksOf(kernelId: string): Promise<number> {
    const contexts = this._panelsOf(kernelId).map(panel => panel.context);
    const unsaved = contexts.filter(context => context.model.dirty && !context.model.readOnly);
    await Promise.all(unsaved.map(context => context.save()));
    return unsaved.length;
  }

  /**
   * Show the cell of a finding: opens the notebook when necessary, scrolls, selects and highlights.
   *
   * @returns Whether the cell is still there.
   */
  async reveal(finding: IFinding): Promise<boolean> {
    const panel = this._panelOf(finding);
    if (!panel) {
      return false;
    }
    await panel.context.ready;
    await panel.revealed;
    const notebook = panel.content;
    const index = cellIndex(notebook, finding);
    const cell = notebook.widgets[index];
    if (!cell) {
      return false;
    }
    notebook.deselectAll();
    notebook.activeCellIndex = index;
    await notebook.scrollToCell(cell, 'smart');
    notebook.activate();
    highlight(cell);
    return true;
  }

  private _panelOf(finding: IFinding): NotebookPanel | null {
    const local = (path: string) => this._documents.services.contents.localPath(path);
    const byPath = this._tracker.find(panel => local(panel.context.path) === local(finding.path));
    const panel = byPath ?? this._panelsOf(finding.kernelId)[0];
    if (panel) {
      this._documents.openOrReveal(panel.context.path);
      return panel;
    }
    if (!finding.path.endsWith('.ipynb')) {
      return null;
    }
    // Opening goes through the document manager, so the tracker knows the new panel at once.
    const opened = this._documents.openOrReveal(finding.path);
    return (opened && this._tracker.find(candidate => candidate === opened)) ?? null;
  }

  private _panelsOf(kernelId: string): NotebookPanel[] {
    return kernelId ? this._tracker.filter(panel => panel.sessionContext.session?.kernel?.id === kernelId) : [];
  }

  private _onPanel(): void {
    this._session?.kernelChanged.disconnect(this._update, this);
    this._session?.propertyChanged.disconnect(this._update, this);
    this._session?.statusChanged.disconnect(this._onStatus, this);
    this._session = this._tracker.currentWidget?.sessionContext ?? null;
    this._session?.kernelChanged.connect(this._update, this);
    this._session?.propertyChanged.connect(this._update, this);
    this._session?.statusChanged.connect(this._onStatus, this);
    this._update();
  }

  private _onStatus(_: ISessionContext, status: Kernel.Status): void {
    if (status === 'busy') {
      this._model.wake();
    }
  }

  private _update(): void {
    const panel = this._tracker.currentWidget;
    const focus: IFocus | null = panel && {
      kernelId: panel.sessionContext.session?.kernel?.id ?? '',
      path: this._documents.services.contents.localPath(panel.context.path)
    };
    this._model.follow(focus);
  }

  private _session: ISessionContext | null = null;
  private _isDisposed = false;
}

/** Where a finding's cell is now: by its id, which survives moves, else by the number it had, counted from one. */
function cellIndex(notebook: Notebook, finding: IFinding): number {
  if (finding.cellId) {
    return notebook.widgets.findIndex(cell => cell.model.id === finding.cellId);
  }
  return /^\d+$/.test(finding.cell) ? Number(finding.cell) - 1 : -1;
}

function highlight(cell: Cell): void {
  cell.removeClass(FOUND_CLASS);
  // Reading the layout restarts the animation when the same cell is shown again.
  cell.node.getBoundingClientRect();
  cell.addClass(FOUND_CLASS);
  setTimeout(() => {
    if (!cell.isDisposed) {
      cell.removeClass(FOUND_CLASS);
    }
  }, HIGHLIGHT_MS);
}
