import type { ISnapshot } from './tokens';

/** Whether the gateway is known not to run: then no lease can be had, and no task be read. */
export function isGatewayAway(snapshot: ISnapshot): boolean {
  const { data } = snapshot.status;
  return data !== null && data.gateway.state !== 'running';
}
