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

run() {
  available || exit 69
  adapter=${CHOMP_BIN%/*}/adapter # beside bin/chomp: what adapters share
  cd "${TASK_DIR:?}"
  local given=${TASK_EFFORT-} options
  export TASK_MODEL TASK_EFFORT=$given
  case $given in
    "" | minimal | low | medium | high | xhigh) ;;
    *) "$adapter" warn "OpenCode knows no effort '$given'; the model uses its own"; TASK_EFFORT="" ;;
  esac
  "$adapter" bring .config/opencode/{AGENTS.md,agent,agents,command,commands,skill,skills}
  "$adapter" rules >"$HOME/rules.md"
  OPENCODE_CONFIG_CONTENT=$([[ ! -s $HOME/rules.md ]] || export RULES="$HOME/rules.md"; config)
  export OPENCODE_CONFIG_CONTENT OPENCODE_DISABLE_AUTOUPDATE=1 OPENCODE_DISABLE_MODELS_FETCH=1 OPENCODE_DISABLE_LSP_DOWNLOAD=1
  options=(--model "chomp/${TASK_MODEL:?}" --title "chomp task ${TASK_ID-}" --format json) # with a title it asks no model for one
  set +e
  opencode run "${options[@]}" <"${TASK_PROMPT_FILE:?}" | "$adapter" show opencode # a file: any length, any sign
  local status=("${PIPESTATUS[@]}")
  exit "$((status[0] ? status[0] : status[1]))"
}

case "${1-}" in
  available | run) "$1" ;;
  *) echo "usage: ${0##*/} available|run" >&2; exit 64 ;;
esac
