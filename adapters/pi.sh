#!/usr/bin/env bash
# name: Pi   colour: #E05D44   order: 40   needs: pi node python3
# home: ~/.pi/agent/AGENTS.md ~/.pi/agent/SYSTEM.md ~/.pi/agent/skills ~/.pi/agent/prompts
# models: claude-sonnet-4 claude-opus-4 gpt-4.1 gemini-2.5-pro   efforts: off minimal low medium high xhigh
# note: any model of chomp's; AGENTS.md, SYSTEM.md, skills and prompts of your own are used
# Runs the pi coding agent on one task. Your keys are not used: all model traffic goes through chomp.
set -euo pipefail

available() {
  command -v pi >/dev/null && return
  echo "pi is not installed: npm install -g @mariozechner/pi-coding-agent" >&2
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

models() { # `apiKey` names a variable; fields that only OpenAI's own servers know are left out
  python3 -c '
import json, os
row = {"id": os.environ["TASK_MODEL"], "reasoning": os.environ.get("TASK_EFFORT", "") not in ("", "off")}
if os.environ.get("TASK_CONTEXT"):
    row["contextWindow"] = int(os.environ["TASK_CONTEXT"])
print(json.dumps({"providers": {"chomp": {
    "baseUrl": os.environ["OPENAI_BASE_URL"], "apiKey": "OPENAI_API_KEY", "api": "openai-completions",
    "compat": {"supportsStore": False, "supportsDeveloperRole": False, "maxTokensField": "max_tokens"},
    "models": [row],
}}}))'
}

show() { # its events as lines for a person; its last words to chomp
  python3 -c '
import json, os, sys

def say(text, colour="", end="\n"):
    print(f"\033[{colour}m{text}\033[0m" if colour else text, end=end, flush=True)

def short(text, lines=12):
    rows = text.strip().splitlines()
    return "\n".join([*rows[:lines], *([f"... {len(rows) - lines} more lines"] if len(rows) > lines else [])])

def texts(content):
    return "\n".join(piece["text"] for piece in content if piece.get("type") == "text")

sys.stdin.reconfigure(encoding="utf-8", errors="replace")
sys.stdout.reconfigure(encoding="utf-8", errors="replace")
last, failed, unended = "", False, False
for line in sys.stdin:
    try:
        found = json.loads(line)
        kind = found["type"]
        step = found.get("assistantMessageEvent") or {}
        if step.get("type") == "text_delta":
            say(step["delta"], end="")
            unended = True
        elif kind == "tool_execution_start":
            words = [value for value in found["args"].values() if isinstance(value, str)]
            say("> " + " ".join([found["toolName"], *(short(word, 4) for word in words[:1])]), "36")
        elif kind == "tool_execution_end":
            say(short(texts(found["result"]["content"])), "31" if found.get("isError") else "2")
        elif kind == "message_end" and found["message"]["role"] == "assistant":
            if unended:
                say("")
            message, unended = found["message"], False
            last = texts(message["content"]).strip() or last
            failed = message.get("stopReason") in ("error", "aborted")
            if failed:
                say(str(message.get("errorMessage") or message["stopReason"]), "31")
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
  local name options=(--provider chomp --model "${TASK_MODEL:?}" --no-session --mode json)
  export PI_OFFLINE=1 TASK_MODEL TASK_EFFORT=${TASK_EFFORT-}
  local rules
  rules=$(rules)
  [[ -z $rules ]] || options+=(--append-system-prompt "$rules")
  case $TASK_EFFORT in
    "") ;;
    off | minimal | low | medium | high | xhigh) options+=(--thinking "$TASK_EFFORT") ;;
    *) warn "pi knows no effort '$TASK_EFFORT'; it uses its own"; TASK_EFFORT="" ;;
  esac
  mkdir -p "$HOME/.pi/agent"
  for name in AGENTS.md SYSTEM.md skills prompts; do
    [[ ! -e ${OWNER_HOME-}/.pi/agent/$name ]] || cp -RL "$OWNER_HOME/.pi/agent/$name" "$HOME/.pi/agent/" || warn "$name cannot be copied"
  done
  models >"$HOME/.pi/agent/models.json"
  set +e
  pi "${options[@]}" <"${TASK_PROMPT_FILE:?}" | show # a file: any length, any sign
  local status=("${PIPESTATUS[@]}")
  exit "$((status[0] ? status[0] : status[1]))" # it ends with 0 also when the model failed
}

case "${1-}" in
  available | run) "$1" ;;
  *) echo "usage: ${0##*/} available|run" >&2; exit 64 ;;
esac
