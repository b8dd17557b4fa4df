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

run() {
  available || exit 69
  adapter=${CHOMP_BIN%/*}/adapter # beside bin/chomp: what adapters share
  cd "${TASK_DIR:?}"
  local cursor prompt options=(--print --force --output-format stream-json)
  cursor=$(program)
  "$adapter" bring .config/cursor .cursor/cli-config.json .cursor/rules # the login
  case ${TASK_MODEL-} in
    "" | auto) ;;
    */*) "$adapter" warn "Cursor cannot use chomp's model '$TASK_MODEL'; it takes its own" ;;
    *) options+=(--model "$TASK_MODEL") ;;
  esac
  [[ -z ${TASK_EFFORT-} ]] || "$adapter" warn "Cursor knows no effort; '$TASK_EFFORT' is left out"
  IFS= read -r -d '' prompt <"${TASK_PROMPT_FILE:?}" || true # unlike $(...) it keeps the last newlines
  if ((${#prompt} > 30000)); then # one argument has its limit, 128 KiB
    prompt="Read the file $TASK_PROMPT_FILE to its end: it holds your task. Do what it says."
  fi
  set +e
  "$cursor" "${options[@]}" -- "$prompt" </dev/null | "$adapter" show cursor
  local status=("${PIPESTATUS[@]}")
  exit "$((status[0] ? status[0] : status[1]))"
}

case "${1-}" in
  available | run) "$1" ;;
  *) echo "usage: ${0##*/} available|run" >&2; exit 64 ;;
esac
