/** The jobs that a drain runs. */
import {readFileSync} from 'node:fs';
import type {Domain} from '../src/model/types.ts';
import type {LookupSnapshot} from '../src/process/types.ts';
import {loadDomain} from '../test/support/platform.ts';

export type DrainJob = {domain: Domain; lookups: LookupSnapshot[]};

/**
 * `shop`, job A of the comparisons: tumbling 1 minute by category and country: count, sum, max, average. `yahoo`, after the Yahoo
 * streaming benchmark: views alone, the campaign of their advertisement from a table, counted by 10 seconds.
 * @param table of `yahoo`: a CSV file of advertisement and campaign, without a header
 */
export async function drainJob(name: string, table: string | undefined): Promise<DrainJob> {
  if (name === 'shop') return {domain: await loadDomain(shopYaml), lookups: []};
  if (name !== 'yahoo' || !table) throw new Error('the job is shop, or yahoo with --table');
  const text = readFileSync(table, 'utf8');
  const domain = await loadDomain(yahooYaml, {'lookups/campaigns.csv': `ad_id,campaign\n${text}`});
  const pairs = text
    .trim()
    .split('\n')
    .map((line) => line.split(',') as [string, string]);
  const rows = new Map(pairs.map(([ad, campaign]) => [ad, [campaign]]));
  return {domain, lookups: [{name: 'campaigns', id: 'v1', columns: ['campaign'], rows}]};
}

const shopYaml = `domain: shop
event_types:
  - name: purchase
    attributes: [user_id, product_id]
    dimensions: [category, country, device]
    metrics: [{name: amount, type: money}]
aggregations:
  - name: revenue
    from: purchase
    window: {type: tumbling, size: 1m}
    group_by: [category, country]
    measures: {orders: count(), revenue: sum(amount), largest: max(amount), average: avg(amount)}
    watermark: 10s
`;

const yahooYaml = `domain: ads
event_types:
  - name: ad
    attributes: [user_id, page_id, ad_id]
    dimensions: [ad_type, kind]
    enrich:
      - {lookup: campaigns, on: ad_id, take: {campaign: campaign}}
lookups:
  - {name: campaigns, key: ad_id, columns: {campaign: string}, from: {csv: ../lookups/campaigns.csv}}
aggregations:
  - name: views
    from: ad
    where: kind = 'view'
    window: {type: tumbling, size: 10s}
    group_by: [campaign]
    measures: {views: count()}
    watermark: 1s
`;
