/** What an event's time means to the queries that read it: whether it comes too late, and where its last window ends. */
import {truncateDays} from '../expr/calendar.ts';
import {localDays, startOfDay} from '../expr/zones.ts';
import type {Aggregation, Domain, EventType, WindowSpec} from '../model/types.ts';

/** End of the first and of the last window that hold `timeMs`, epoch ms. */
function windowEnds(window: WindowSpec, timeMs: number): {firstMs: number; lastMs: number} {
  switch (window.type) {
    case 'tumbling': {
      const endMs = (Math.floor(timeMs / window.sizeMs) + 1) * window.sizeMs;
      return {firstMs: endMs, lastMs: endMs};
    }
    case 'sliding': {
      const startMs = Math.floor(timeMs / window.slideMs) * window.slideMs;
      return {firstMs: startMs + window.slideMs, lastMs: startMs + window.sizeMs};
    }
    case 'session':
      // A session is judged by the event's own time; it is closed when the watermark is past the gap behind its last event.
      return {firstMs: timeMs, lastMs: timeMs + window.gapMs + 1};
    case 'calendar': {
      const {unit, timezone} = window;
      const first = truncateDays(unit, localDays(timezone, timeMs));
      // 31 days lead from any day of a month's beginning into the next month.
      const next =
        unit === 'day' ? first + 1 : unit === 'week' ? first + 7 : truncateDays('month', first + 31);
      const endMs = startOfDay(timezone, next);
      return {firstMs: endMs, lastMs: endMs};
    }
  }
}

const readers = (domain: Domain, eventType: EventType): Aggregation[] =>
  domain.aggregations.filter(({from}) => from.includes(eventType.name));

/**
 * Whether an event of the given time, appended to a partition whose running maximum is `maximumMs`, would not count in a
 * window of some query of its domain: beyond the horizon, or late where late events are not corrected.
 */
export function lateJudge(
  domain: Domain,
  eventType: EventType,
): (timeMs: number, maximumMs: number) => boolean {
  const rules = readers(domain, eventType).map(({window, watermarkMs, late, correctForMs}) => ({
    window,
    delayMs: watermarkMs + (late === 'correct' ? correctForMs : 0),
  }));
  const shortestMs = Math.min(...rules.map(({delayMs}) => delayMs));
  return (timeMs, maximumMs) => {
    // Nearly every event is newer than this, and no window needs to be computed.
    if (timeMs > maximumMs - shortestMs) return false;
    return rules.some(({window, delayMs}) =>
      window.type === 'session'
        ? timeMs < maximumMs - delayMs
        : windowEnds(window, timeMs).firstMs + delayMs <= maximumMs,
    );
  };
}

/** Time of the mark that closes every window of a file whose last event is at `lastMs`; epoch ms. */
export const finalMarkMs = (domain: Domain, eventType: EventType, lastMs: number): number =>
  Math.max(
    lastMs,
    ...readers(domain, eventType).map(
      ({window, watermarkMs}) =>
        windowEnds(window, lastMs).lastMs + watermarkMs + (window.type === 'session' ? 1 : 0),
    ),
  );
