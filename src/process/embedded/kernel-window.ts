import type {WindowSpec} from '../../model/types.ts';
import {calendarWindow} from './calendar.ts';

export type Span = {startMs: number; endMs: number};

/** The pane that holds an instant: the window itself, or the slide of a sliding one. */
export function paneSpan(window: WindowSpec): (timeMs: number) => Span {
  switch (window.type) {
    case 'tumbling':
    case 'sliding': {
      const sizeMs = window.type === 'tumbling' ? window.sizeMs : window.slideMs;
      return (timeMs) => {
        const startMs = Math.floor(timeMs / sizeMs) * sizeMs;
        return {startMs, endMs: startMs + sizeMs};
      };
    }
    case 'calendar':
      return (timeMs) => calendarWindow(window.unit, window.timezone, timeMs);
    case 'session':
      return () => ({startMs: -Infinity, endMs: Infinity});
  }
}

/** The windows that hold an instant, earliest first. */
export function windowsOf(window: WindowSpec, timeMs: number): Span[] {
  const pane = paneSpan(window)(timeMs);
  if (window.type !== 'sliding') return [pane];
  const windows: Span[] = [];
  for (let endMs = pane.endMs; endMs - window.sizeMs <= timeMs; endMs += window.slideMs)
    windows.push({startMs: endMs - window.sizeMs, endMs});
  return windows;
}
