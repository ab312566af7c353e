import type {Platform} from '../model/types.ts';
import type {EngineHost} from './engine.ts';

/** Looks at each lookup as often as it says. @returns the timers, for whoever ends them */
export function refreshLookups({domains}: Platform, engine: EngineHost): NodeJS.Timeout[] {
  return domains.flatMap(({lookups}) =>
    lookups.flatMap((lookup) =>
      lookup.refreshMs === null
        ? []
        : [setInterval(() => void engine.refreshLookup(lookup), lookup.refreshMs)],
    ),
  );
}
