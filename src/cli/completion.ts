import {PlatformError} from '../errors.ts';
import type {Platform} from '../model/types.ts';
import type {CommandBody, CommandSpec} from './command.ts';
import {commands} from './commands.ts';
import {load} from './context.ts';

/** A command by the words that lead to it, with what may follow them. */
type Entry = {
  path: string;
  words: string[];
  flags: string[] /** Kinds of names, by position. */;
  names: string[];
};

/** Kinds of arguments whose names the configuration knows. */
const kinds: Record<string, (platform: Platform) => string[]> = {
  domain: ({domains}) => domains.map(({name}) => name),
  query: ({domains}) =>
    domains.flatMap(({name, aggregations}) => aggregations.map((query) => `${name}.${query.name}`)),
  topic: ({domains}) =>
    domains.flatMap(({name, eventTypes, aggregations}) => [
      ...eventTypes.map(({topic}) => topic),
      `dlq.${name}`,
      ...aggregations.map((query) => `late.${name}.${query.name}`),
    ]),
  input: ({domains}) => domains.flatMap(({name, inputs}) => inputs.map((input) => `${name}.${input.name}`)),
  subject: ({domains}) => domains.flatMap(({eventTypes}) => eventTypes.map(({topic}) => `${topic}-value`)),
  sink: ({sinks}) => Object.keys(sinks),
};

const commonFlags = ['--json', '--config', '--env', '--help'];

function entriesOf(specs: CommandSpec[], before: string[] = []): Entry[] {
  return specs.flatMap(({name, subcommands = [], options = [], arguments: args = ''}) => {
    const path = [...before, name];
    const flags = options.map(({flags}) => /--[\w-]+/.exec(flags)![0]);
    const names = [...args.matchAll(/[<[]([\w-]+)/g)].map(([, kind]) => kind!);
    const own: Entry = {
      path: path.join(' '),
      words: subcommands.map((child) => child.name),
      flags: subcommands.length > 0 ? ['--help'] : [...flags, ...commonFlags],
      names: names.map((kind) => (Object.hasOwn(kinds, kind) ? kind : '-')),
    };
    return [own, ...entriesOf(subcommands, path)];
  });
}

export const run: CommandBody = async (call) => {
  const [shell = '', kind = ''] = call.args;
  if (shell === 'names') return printNames(call, kind);
  const script = Object.hasOwn(scripts, shell) ? scripts[shell] : undefined;
  if (!script)
    throw new PlatformError('USAGE', `there is no completion for "${shell}"`, {
      hint: 'bash, zsh or fish: source <(npx millrace completion bash)',
    });
  call.io.stdout.write(script(entriesOf(commands)));
  return 0;
};

/** Names of a kind, a line each; nothing when the configuration has mistakes: a shell has no place to show them. */
async function printNames(call: Parameters<CommandBody>[0], kind: string): Promise<number> {
  const loaded = await load(call);
  if (loaded.ok && Object.hasOwn(kinds, kind))
    call.io.stdout.write(
      kinds[kind]!(loaded.platform)
        .map((name) => `${name}\n`)
        .join(''),
    );
  return 0;
}

/** Options whose value is a name of the configuration. */
const valueKinds = {'--sink': 'sink'};

function bash(entries: Entry[]): string {
  const cases = entries.map(
    ({path, words, flags, names}) =>
      `    ${JSON.stringify(path)}) words=${JSON.stringify(words.join(' '))} flags=${JSON.stringify(flags.join(' '))} kinds=(${names.join(' ')}) ;;`,
  );
  const parents = entries.filter(({words}) => words.length > 0).map(({path}) => path);
  const top = entries.filter(({path}) => !path.includes(' ')).map(({path}) => path);
  const values = Object.entries(valueKinds).map(
    ([flag, kind]) =>
      `  [[ $previous == ${flag} ]] && { COMPREPLY=($(compgen -W "$(millrace completion names ${kind} 2>/dev/null)" -- "$current")); return; }`,
  );
  return `# millrace: completion for bash. Put this into ~/.bashrc: source <(npx millrace completion bash)
_millrace() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]}
  local path=\${COMP_WORDS[1]} position=$((COMP_CWORD - 2)) words="" flags="" kinds=()
  if ((COMP_CWORD == 1)); then
    COMPREPLY=($(compgen -W "${top.join(' ')} help" -- "$current"))
    return
  fi
${values.join('\n')}
  case " ${parents.join(' ')} " in
    *" $path "*) ((COMP_CWORD > 2)) && { path="$path \${COMP_WORDS[2]}"; position=$((COMP_CWORD - 3)); } ;;
  esac
  case "$path" in
${cases.join('\n')}
  esac
  if [[ $current == -* ]]; then
    COMPREPLY=($(compgen -W "$flags" -- "$current"))
  elif [[ -n $words ]]; then
    COMPREPLY=($(compgen -W "$words" -- "$current"))
  elif [[ -n \${kinds[position]:-} && \${kinds[position]} != - ]]; then
    COMPREPLY=($(compgen -W "$(millrace completion names "\${kinds[position]}" 2>/dev/null)" -- "$current"))
  else
    COMPREPLY=($(compgen -f -- "$current"))
  fi
}
command -v millrace >/dev/null || millrace() { npx millrace "$@"; }
complete -F _millrace millrace
`;
}

const zsh = (entries: Entry[]): string =>
  `# millrace: completion for zsh. Put this into ~/.zshrc: source <(npx millrace completion zsh)
autoload -U +X compinit && compinit -u
autoload -U +X bashcompinit && bashcompinit
${bash(entries).split('\n').slice(1).join('\n')}`;

function fish(entries: Entry[]): string {
  const lines = entries.flatMap(({path, flags, names}) => {
    const [first = '', second] = path.split(' ');
    const parents = entries.find((entry) => entry.path === first)!.words;
    const where =
      second === undefined
        ? `__fish_seen_subcommand_from ${first}${parents.length > 0 ? `; and not __fish_seen_subcommand_from ${parents.join(' ')}` : ''}`
        : `__fish_seen_subcommand_from ${first}; and __fish_seen_subcommand_from ${second}`;
    const kind = names.find((name) => name !== '-');
    return [
      second === undefined
        ? `complete -c millrace -n __fish_use_subcommand -f -a ${first}`
        : `complete -c millrace -n '__fish_seen_subcommand_from ${first}; and not __fish_seen_subcommand_from ${parents.join(' ')}' -f -a ${second}`,
      ...flags.map((flag) => `complete -c millrace -n '${where}' -l ${flag.slice(2)}`),
      ...(kind
        ? [`complete -c millrace -n '${where}' -f -a '(millrace completion names ${kind} 2>/dev/null)'`]
        : []),
    ];
  });
  return `# millrace: completion for fish. Save it: npx millrace completion fish > ~/.config/fish/completions/millrace.fish
${lines.join('\n')}
`;
}

const scripts: Record<string, (entries: Entry[]) => string> = {bash, zsh, fish};
