#!/usr/bin/env bash
# name: Codex   colour: #10A37F   order: 20   needs: codex node python3
# home: ~/.codex/AGENTS.md ~/.codex/prompts ~/.codex/skills
# models: o3 o4-mini gpt-4.1   efforts: minimal low medium high xhigh
# note: any model of chomp's; AGENTS.md, prompts and skills of your own are used
# Runs the Codex CLI on one task. Your login is not used: all model traffic goes through chomp.
set -euo pipefail

available() {
  command -v codex >/dev/null && return
  echo "Codex is not installed: npm install -g @openai/codex" >&2
  return 1
}

run() {
  available || exit 69
  adapter=${CHOMP_BIN%/*}/adapter # beside bin/chomp: what adapters share
  cd "${TASK_DIR:?}"
  export CODEX_HOME=$HOME/.codex
  mkdir -p "$CODEX_HOME"
  "$adapter" bring .codex/AGENTS.md .codex/prompts .codex/skills
  cat >"$CODEX_HOME/config.toml" <<TOML
model_provider = "chomp"
check_for_update_on_startup = false
analytics.enabled = false
features.plugins = false
otel.metrics_exporter = "none"
developer_instructions = "$("$adapter" rules)"
[model_providers.chomp]
name = "chomp"
base_url = "${OPENAI_BASE_URL:?}"
env_key = "OPENAI_API_KEY"
wire_api = "responses"
TOML
  local options=(--skip-git-repo-check --model "${TASK_MODEL:?}" --output-last-message "$HOME/last-message")
  # of two sandboxes the inner one often fails to start: ours is enough, its own is used where ours is not
  if [[ ${TASK_ISOLATION-} == none ]] && codex sandbox -- true </dev/null >/dev/null 2>&1; then
    options+=(--sandbox workspace-write -c sandbox_workspace_write.network_access=true)
    options+=(-c "sandbox_workspace_write.writable_roots=[\"$PWD/.git\", \"$HOME\"]") # else it cannot commit
  else
    [[ ${TASK_ISOLATION-} != none ]] || "$adapter" warn "no sandbox works here, not even Codex's own: it runs without"
    options+=(--dangerously-bypass-approvals-and-sandbox)
  fi
  [[ -z ${TASK_CONTEXT-} ]] || options+=(-c "model_context_window=$TASK_CONTEXT")
  case ${TASK_EFFORT-} in
    "") ;;
    minimal | low | medium | high | xhigh) options+=(-c "model_reasoning_effort=$TASK_EFFORT") ;;
    *) "$adapter" warn "Codex knows no effort '$TASK_EFFORT'; it uses its own" ;;
  esac
  local status=0
  codex exec "${options[@]}" - <"${TASK_PROMPT_FILE:?}" || status=$?
  [[ ! -s $HOME/last-message ]] || "$adapter" event result <"$HOME/last-message"
  exit "$status"
}

case "${1-}" in
  available | run) "$1" ;;
  *) echo "usage: ${0##*/} available|run" >&2; exit 64 ;;
esac
