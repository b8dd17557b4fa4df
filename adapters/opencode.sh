#!/usr/bin/env bash
# name: OpenCode   colour: #4F6EC5   order: 30   needs: opencode node python3
# home: ~/.config/opencode/AGENTS.md ~/.config/opencode/agent ~/.config/opencode/agents ~/.config/opencode/command
# home: ~/.config/opencode/commands ~/.config/opencode/skill ~/.config/opencode/skills
# models: claude-sonnet-4 claude-opus-4 gpt-4.1 gemini-2.5-pro o3 o4-mini   efforts: minimal low medium high xhigh
# note: any model of chomp's; AGENTS.md, agents, commands and skills of your own are used
# Runs the OpenCode CLI on one task. Your logins are not used: all model traffic goes through chomp.
set -euo pipefail

available() {
  command -v opencode >/dev/null && return
  echo "OpenCode is not installed: npm install -g opencode-ai" >&2
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

config() { # as a variable it wins over a repository's opencode.json; the token stays in its own
  python3 -c '
import json, os
model = os.environ["TASK_MODEL"]
row = {"name": model, "tool_call": True}
if os.environ.get("TASK_EFFORT"):
    row["options"] = {"reasoningEffort": os.environ["TASK_EFFORT"]}
if os.environ.get("TASK_CONTEXT"):
    size = int(os.environ["TASK_CONTEXT"])
    row["limit"] = {"context": size, "output": min(32000, size // 4)}
provider = {
    "npm": "@ai-sdk/openai-compatible",
    "name": "chomp",
    "options": {"baseURL": os.environ["OPENAI_BASE_URL"], "apiKey": "{env:OPENAI_API_KEY}"},
    "models": {model: row},
}
name = f"chomp/{model}"
rules = [os.environ["RULES"]] if os.environ.get("RULES") else []
print(json.dumps({"autoupdate": False, "share": "disabled", "permission": "allow", "model": name, "small_model": name,
                  "enabled_providers": ["chomp"], "instructions": rules, "provider": {"chomp": provider}}))'
}

show() { # its events as lines for a person; its last words to chomp
  python3 -c '
import json, os, sys

def say(text, colour=""):
    print(f"\033[{colour}m{text}\033[0m" if colour else text, flush=True)

def short(text, lines=12):
    rows = text.strip().splitlines()
    return "\n".join([*rows[:lines], *([f"... {len(rows) - lines} more lines"] if len(rows) > lines else [])])

sys.stdin.reconfigure(encoding="utf-8", errors="replace")
sys.stdout.reconfigure(encoding="utf-8", errors="replace")
last, failed = "", False
for line in sys.stdin:
    try:
        found = json.loads(line)
        kind, part = found["type"], found.get("part") or {}
        if kind == "text":
            last = part["text"].strip()
            say(last)
        elif kind == "tool_use":
            state = part["state"]
            say("> " + part["tool"] + " " + short(str(state.get("title") or ""), 4), "36")
            say(short(str(state.get("output") or state.get("error") or "")), "31" if state["status"] == "error" else "2")
        elif kind == "error":
            failed = True
            error = found.get("error") or {}
            say(str((error.get("data") or {}).get("message") or error.get("name") or error), "31")
    except (ValueError, LookupError, TypeError, AttributeError):  # not what we know: as it is
        say(line.rstrip("\n"))
if last:
    with open(os.environ.get("TASK_EVENTS") or os.devnull, "a") as events:
        last = last.encode(errors="ignore")[:8192].decode(errors="ignore")
        events.write(json.dumps({"type": "result", "text": last}) + "\n")
sys.exit(failed)
'
}

rules() { # what no prompt says; nothing outside a clone that chomp made
  local branch
  branch=$(git symbolic-ref --quiet --short HEAD 2>/dev/null) || return 0
  [[ $branch != chomp[/-]task-* ]] ||
    echo "This folder is a clone made for this task. Commit your work to its branch $branch before you end: only commits are brought back."
}

run() {
  available || exit 69
  cd "${TASK_DIR:?}"
  local name given=${TASK_EFFORT-} options
  export TASK_MODEL TASK_EFFORT=$given
  case $given in
    "" | minimal | low | medium | high | xhigh) ;;
    *) warn "OpenCode knows no effort '$given'; the model uses its own"; TASK_EFFORT="" ;;
  esac
  for name in AGENTS.md agent agents command commands skill skills; do
    [[ -e ${OWNER_HOME-}/.config/opencode/$name ]] || continue
    mkdir -p "$HOME/.config/opencode"
    cp -RL "$OWNER_HOME/.config/opencode/$name" "$HOME/.config/opencode/" || warn "$name cannot be copied"
  done
  rules >"$HOME/rules.md"
  OPENCODE_CONFIG_CONTENT=$([[ ! -s $HOME/rules.md ]] || export RULES="$HOME/rules.md"; config)
  export OPENCODE_CONFIG_CONTENT OPENCODE_DISABLE_AUTOUPDATE=1 OPENCODE_DISABLE_MODELS_FETCH=1 OPENCODE_DISABLE_LSP_DOWNLOAD=1
  options=(--model "chomp/${TASK_MODEL:?}" --title "chomp task ${TASK_ID-}" --format json) # with a title it asks no model for one
  set +e
  opencode run "${options[@]}" <"${TASK_PROMPT_FILE:?}" | show # a file: any length, any sign
  local status=("${PIPESTATUS[@]}")
  exit "$((status[0] ? status[0] : status[1]))"
}

case "${1-}" in
  available | run) "$1" ;;
  *) echo "usage: ${0##*/} available|run" >&2; exit 64 ;;
esac
