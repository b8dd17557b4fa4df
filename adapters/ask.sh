#!/usr/bin/env bash
# name: Ask   colour: #18181B   order: 80   needs: python3
# note: one answer of a model, without tools; nothing needs to be installed
# Asks a model once, through chomp, and prints the answer as it comes.
set -euo pipefail

available() {
  command -v python3 >/dev/null && return
  echo "python3 is not on PATH" >&2
  return 1
}

run() {
  available || exit 69
  adapter=${CHOMP_BIN%/*}/adapter # beside bin/chomp: what adapters share
  cd "${TASK_DIR:?}"
  [[ -z ${TASK_EFFORT-} ]] || "$adapter" warn "ask knows no effort; '$TASK_EFFORT' is left out"
  set +e
  "${CHOMP_BIN:?}" ask --model "${TASK_MODEL:?}" <"${TASK_PROMPT_FILE:?}" 2>"$HOME/said" | tee "$HOME/answer"
  local status=${PIPESTATUS[0]}
  cat "$HOME/said" >&2
  ! grep -q '^the answer was cut' "$HOME/said" || "$adapter" warn "$(grep '^the answer was cut' "$HOME/said")"
  [[ $status != 0 ]] || "$adapter" event result <"$HOME/answer"
  exit "$status"
}

case "${1-}" in
  available | run) "$1" ;;
  *) echo "usage: ${0##*/} available|run" >&2; exit 64 ;;
esac
