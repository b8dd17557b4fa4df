#!/usr/bin/env bash
# name: Cursor   colour: #00D1FF   order: 60   metered: no   needs: cursor-agent agent python3
# home: ~/.config/cursor ~/.cursor/cli-config.json ~/.cursor/rules
# models: gpt-5.2 claude-sonnet-4 gemini-2.5-pro
# note: uses your Cursor subscription and its models; not tried with the real program
# Runs the Cursor CLI on one task. It speaks with Cursor's own servers only, so chomp cannot count its tokens.
set -euo pipefail

program() {
  command -v cursor-agent || command -v agent
}

available() {
  program >/dev/null && return
  echo "the Cursor CLI is not installed: https://cursor.com/cli, then log in with cursor-agent login" >&2
  return 1
}

event() { # a line for chomp: its kind as argument, its text on stdin
  python3 -c '
import json, sys
text = sys.stdin.buffer.read(8192).decode(errors="ignore").strip()
print(json.dumps({"type": sys.argv[1], "text": text}))' "$1" >>"${TASK_EVENTS:-/dev/null}"
}

warn() { # never in silence
  echo "chomp: $1" >&2
  event warning <<<"$1"
}

show() { # its events as lines for a person; its last words to chomp
  python3 -c '
import json, os, sys

def say(text, colour=""):
    print(f"\033[{colour}m{text}\033[0m" if colour else text, flush=True)

def short(text, lines=4):
    rows = text.strip().splitlines()
    return "\n".join([*rows[:lines], *([f"... {len(rows) - lines} more lines"] if len(rows) > lines else [])])

sys.stdin.reconfigure(encoding="utf-8", errors="replace")
sys.stdout.reconfigure(encoding="utf-8", errors="replace")
failed = False
for line in sys.stdin:
    try:
        found = json.loads(line)
        kind = found["type"]
        if kind == "assistant":
            say("".join(part.get("text", "") for part in found["message"]["content"]).strip())
        elif kind == "tool_call" and found.get("subtype") == "started":
            for name, call in found["tool_call"].items():
                words = [value for value in (call.get("args") or {}).values() if isinstance(value, str)]
                say("> " + " ".join([name.removesuffix("ToolCall"), *(short(word) for word in words[:1])]), "36")
        elif kind == "result":
            text, failed = str(found.get("result") or ""), bool(found.get("is_error"))
            if failed:
                say(text, "31")
            with open(os.environ.get("TASK_EVENTS") or os.devnull, "a") as events:
                text = text.encode(errors="ignore")[:8192].decode(errors="ignore")
                events.write(json.dumps({"type": "result", "text": text}) + "\n")
    except (ValueError, LookupError, TypeError, AttributeError):  # not what we know: as it is
        say(line.rstrip("\n"))
sys.exit(failed)
'
}

run() {
  available || exit 69
  cd "${TASK_DIR:?}"
  local name cursor prompt options=(--print --force --output-format stream-json)
  cursor=$(program)
  for name in .config/cursor .cursor/cli-config.json .cursor/rules; do # the login; copies, as it writes to them
    [[ -e ${OWNER_HOME-}/$name ]] || continue
    mkdir -p "$HOME/${name%/*}"
    cp -RL "$OWNER_HOME/$name" "$HOME/$name" || warn "$name cannot be copied"
  done
  case ${TASK_MODEL-} in
    "" | auto) ;;
    */*) warn "Cursor cannot use chomp's model '$TASK_MODEL'; it takes its own" ;;
    *) options+=(--model "$TASK_MODEL") ;;
  esac
  [[ -z ${TASK_EFFORT-} ]] || warn "Cursor knows no effort; '$TASK_EFFORT' is left out"
  IFS= read -r -d '' prompt <"${TASK_PROMPT_FILE:?}" || true # unlike $(...) it keeps the last newlines
  if ((${#prompt} > 30000)); then # one argument has its limit, 128 KiB
    prompt="Read the file $TASK_PROMPT_FILE to its end: it holds your task. Do what it says."
  fi
  set +e
  "$cursor" "${options[@]}" -- "$prompt" </dev/null | show
  local status=("${PIPESTATUS[@]}")
  exit "$((status[0] ? status[0] : status[1]))"
}

case "${1-}" in
  available | run) "$1" ;;
  *) echo "usage: ${0##*/} available|run" >&2; exit 64 ;;
esac
