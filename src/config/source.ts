/** A configuration file as read: its text, and how it is named to people. */
export class SourceFile {
  /** Absolute path. */
  readonly path: string;
  /** Path as shown, relative to the platform's root. */
  readonly shown: string;
  readonly text: string;
  #lineStarts: number[] | undefined;

  constructor(path: string, shown: string, text: string) {
    this.path = path;
    this.shown = shown;
    this.text = text;
  }

  /** Line and column of an offset, both from 1; columns count UTF-16 units. */
  position(offset: number): {line: number; column: number} {
    const starts = this.#starts();
    let low = 0;
    let high = starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (starts[middle]! <= offset) low = middle;
      else high = middle - 1;
    }
    return {line: low + 1, column: offset - starts[low]! + 1};
  }

  /** Text of a line (from 1) without its line break. */
  line(line: number): string {
    const starts = this.#starts();
    return this.text.slice(starts[line - 1], starts[line] ?? this.text.length).replace(/\r?\n$/, '');
  }

  #starts(): number[] {
    if (this.#lineStarts) return this.#lineStarts;
    this.#lineStarts = [0];
    for (let at = this.text.indexOf('\n'); at !== -1; at = this.text.indexOf('\n', at + 1))
      this.#lineStarts.push(at + 1);
    return this.#lineStarts;
  }
}

/** A stretch of a file, [start, end) in UTF-16 units. */
export type Place = {file: SourceFile; start: number; end: number};

/** A stretch of a file; never of negative length. */
export const placeAt = (file: SourceFile, start: number, end: number): Place => ({
  file,
  start,
  end: Math.max(end, start),
});
