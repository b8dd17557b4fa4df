#!/usr/bin/env bash
# name: Shell   colour: #71717A   order: 90   script: yes   needs: bash
# note: the prompt is a bash script
# Runs the prompt itself, as a script. It is never chosen by itself, only by name.
set -euo pipefail

available() { command -v bash >/dev/null; }

run() {
  cd "${TASK_DIR:?}"
  exec bash "${TASK_PROMPT_FILE:?}"
}

case "${1-}" in
  available | run) "$1" ;;
  *) echo "usage: ${0##*/} available|run" >&2; exit 64 ;;
esac
