import {Gauge, type Registry} from 'prom-client';
import {type LabelOf, type MetricName, metricSpecs} from './catalogue.ts';

/** What prom-client wants of a metric of the catalogue. */
export function optionsOf<N extends keyof typeof metricSpecs>(name: N, registry: Registry) {
  const {help, labels} = metricSpecs[name];
  return {name, help, labelNames: labels as readonly LabelOf<N>[], registers: [registry]};
}

/**
 * A gauge that is read when somebody asks. What `fill` does not set is absent: the library would show one without labels as 0, which
 * would say that something is away.
 */
export const gaugeRead = <N extends MetricName<'gauge'>>(
  registry: Registry,
  name: N,
  fill: (gauge: Gauge<LabelOf<N>>) => void,
): Gauge<LabelOf<N>> =>
  new Gauge<LabelOf<N>>({
    ...optionsOf(name, registry),
    collect() {
      this.reset();
      if (metricSpecs[name].labels.length === 0) this.remove();
      fill(this);
    },
  });
