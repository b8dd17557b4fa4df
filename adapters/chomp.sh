#!/usr/bin/env bash
# name: chomp   colour: #CA8A04   order: 70   needs: python3
# efforts: low medium high xhigh max
# note: chomp's own agent; nothing needs to be installed
# Has the built-in agent work on one task: its tools run where this runs.
set -euo pipefail

available() {
  command -v python3 >/dev/null && return
  echo "python3 is not on PATH" >&2
  return 1
}

run() {
  available || exit 69
  local adapter=${CHOMP_BIN%/*}/adapter # beside bin/chomp: what adapters share
  cd "${TASK_DIR:?}"
  local conversation=task-${TASK_ID:?}-${SESSION_ID:?}-${TASK_RUN:0:8}
  local options=(--conversation "$conversation" --model "${TASK_MODEL:?}" --mode auto)
  case ${TASK_EFFORT-} in
    "") ;;
    low | medium | high | xhigh | max) options+=(--effort "$TASK_EFFORT") ;;
    *) "$adapter" warn "chomp's agent knows no effort '$TASK_EFFORT'; it uses its own" ;;
  esac
  local status=0
  {
    cat "${TASK_PROMPT_FILE:?}" # a file: any length, any sign
    printf '\n\n'
    "$adapter" rules
  } | "${CHOMP_BIN:?}" chat new "${options[@]}" || status=$?
  "$CHOMP_BIN" chat read "$conversation" 2>"$HOME/said" | "$adapter" event result || cat "$HOME/said" >&2
  exit "$status"
}

case "${1-}" in
  available | run) "$1" ;;
  *) echo "usage: ${0##*/} available|run" >&2; exit 64 ;;
esac
