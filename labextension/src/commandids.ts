/** The commands' names, which keyboard shortcuts and other extensions use. */
export const CommandIDs = {
  openPanel: 'qsec:open-panel',
  renewLease: 'qsec:renew-lease',
  revokeLease: 'qsec:revoke-lease',
  newLease: 'qsec:new-lease',
  keepSession: 'qsec:keep-session',
  refresh: 'qsec:refresh',
  cancelTask: 'qsec:cancel-task'
} as const;
