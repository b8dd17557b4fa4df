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

run() {
  available || exit 69
  adapter=${CHOMP_BIN%/*}/adapter # beside bin/chomp: what adapters share
  cd "${TASK_DIR:?}"
  local options=(--provider chomp --model "${TASK_MODEL:?}" --no-session --mode json)
  export PI_OFFLINE=1 TASK_MODEL TASK_EFFORT=${TASK_EFFORT-}
  local rules
  rules=$("$adapter" rules)
  [[ -z $rules ]] || options+=(--append-system-prompt "$rules")
  case $TASK_EFFORT in
    "") ;;
    off | minimal | low | medium | high | xhigh) options+=(--thinking "$TASK_EFFORT") ;;
    *) "$adapter" warn "pi knows no effort '$TASK_EFFORT'; it uses its own"; TASK_EFFORT="" ;;
  esac
  mkdir -p "$HOME/.pi/agent"
  "$adapter" bring .pi/agent/{AGENTS.md,SYSTEM.md,skills,prompts}
  models >"$HOME/.pi/agent/models.json"
  set +e
  pi "${options[@]}" <"${TASK_PROMPT_FILE:?}" | "$adapter" show pi # a file: any length, any sign
  local status=("${PIPESTATUS[@]}")
  exit "$((status[0] ? status[0] : status[1]))" # it ends with 0 also when the model failed
}

case "${1-}" in
  available | run) "$1" ;;
  *) echo "usage: ${0##*/} available|run" >&2; exit 64 ;;
esac
