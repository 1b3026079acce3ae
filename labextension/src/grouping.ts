import type { IFinding } from './wire';

/** Equal findings as one: the newest, and how often it was met. */
export interface IFindingGroup {
  readonly finding: IFinding;
  readonly times: number;
}

/**
 * The same secret at the same place, met again with each save or run, as one entry. The notebook in front comes first;
 * within each part the newest stays first.
 *
 * @param findings - Newest first.
 * @param path - The notebook in front, null when there is none.
 */
export function groupFindings(findings: readonly IFinding[], path: string | null): readonly IFindingGroup[] {
  const groups = new Map<string, IFindingGroup>();
  for (const finding of findings) {
    const key = sameness(finding);
    const known = groups.get(key);
    groups.set(key, { finding: known?.finding ?? finding, times: (known?.times ?? 0) + 1 });
  }
  const all = [...groups.values()];
  const isHere = (group: IFindingGroup) => group.finding.path === path;
  return [...all.filter(isHere), ...all.filter(group => !isHere(group))];
}

/** How many different findings a notebook has. */
export function countFindings(findings: readonly IFinding[], path: string): number {
  return new Set(findings.filter(finding => finding.path === path).map(sameness)).size;
}

function sameness(finding: IFinding): string {
  const { path, cellId, cell, place, line, kind, fingerprint, action } = finding;
  // A cell's id outlives its number.
  return JSON.stringify([path, cellId || cell, place, line, kind, fingerprint, action]);
}
