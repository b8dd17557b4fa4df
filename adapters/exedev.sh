#!/usr/bin/env bash
# name: Shelley   colour: #C8A630   order: 70   metered: no   needs: worker jq curl sqlite3 python3
# home: ~/bin/worker ~/.config/shelley
# models: claude-sonnet-4 claude-opus-4
# note: a worker loop of exe.dev, on its own models and outside chomp's sandbox; not tried with the real program
# Runs one worker of an exe.dev machine on one task, and waits for it. chomp cannot count its tokens.
set -euo pipefail
POLL_S=${EXEDEV_POLL_S:-5}

program() {
  command -v worker || { [[ -x ${OWNER_HOME:-$HOME}/bin/worker ]] && echo "${OWNER_HOME:-$HOME}/bin/worker"; }
}

available() {
  program >/dev/null && return
  echo "there is no worker here: it comes with an exe.dev machine, in ~/bin" >&2
  return 1
}

state() { # what `worker list` says of it
  "$worker" list | awk -v name="$name" '$1 == name { print $2 }'
}

cancel() { # its conversation lives in a server of the machine, which outlives us
  trap - TERM INT HUP
  "$worker" stop "$name" || true
  local conversation
  conversation=$(jq -r '.conv_id // empty' "$HOME/.workers/$name.json" 2>/dev/null) || true
  [[ -z $conversation ]] || curl -s -m 2 -X POST -H "X-Exedev-Userid: ${USER:-exedev}" -H "X-Shelley-Request: 1" \
    "http://localhost:9999/api/conversation/$conversation/cancel" >/dev/null || true
  exit 143
}

run() {
  available || exit 69
  adapter=${CHOMP_BIN%/*}/adapter # beside bin/chomp: what adapters share
  cd "${TASK_DIR:?}"
  case ${TASK_PROMPT_FILE:?}$TASK_DIR in # its state is JSON put together by hand
    *[\"\\]*) echo "chomp: a worker takes no folder with a quote or a backslash in its name" >&2; exit 64 ;;
  esac
  worker=$(program) name=chomp-${TASK_ID:?}-${SESSION_ID:-s1}
  local pid status told options=()
  mkdir -p "$HOME/.config" "$HOME/.workers"
  [[ ! -e ${OWNER_HOME-}/.config/shelley ]] || ln -sfn "$OWNER_HOME/.config/shelley" "$HOME/.config/shelley"
  case ${TASK_MODEL-} in
    "" | auto) ;;
    */*) "$adapter" warn "exe.dev cannot use chomp's model '$TASK_MODEL'; it takes its own" ;;
    *) options+=(--model "$TASK_MODEL") ;;
  esac
  [[ -z ${TASK_EFFORT-} ]] || "$adapter" warn "exe.dev knows no effort; '$TASK_EFFORT' is left out"
  # one line for the same reason: quotes and newlines of a task would break that JSON
  told=$("$worker" start "$name" --dir "$TASK_DIR" "${options[@]}" \
    --task "Read the file $TASK_PROMPT_FILE to its end: it holds your task. Do what it says, here in $TASK_DIR.") || status=$?
  echo "$told"
  [[ -z ${status-} ]] || exit "$status"
  trap cancel TERM INT HUP
  pid=$(sed -n 's/.*(pid \([0-9]*\)).*/\1/p' <<<"$told")
  tail -n +1 -F "$HOME/.workers/$name.log" 2>/dev/null &
  local tail=$!
  while status=$(state); do
    case $status in
      complete | completed | done) break ;;
      running | starting | stop | "") ;;
      *) break ;; # error, max_reached, stopped and what we do not know
    esac
    if [[ -n $pid ]] && ! kill -0 "$pid" 2>/dev/null; then
      status=$(state)
      [[ $status != running ]] || status="gone without a word"
      break
    fi
    sleep "$POLL_S" &
    wait $! # unlike sleep alone it lets a signal in
  done
  kill "$tail" 2>/dev/null || true
  case $status in
    complete | completed | done) exit 0 ;;
    *) echo "chomp: the worker is ${status:-not known to worker list}" >&2; exit 1 ;;
  esac
}

case "${1-}" in
  available | run) "$1" ;;
  *) echo "usage: ${0##*/} available|run" >&2; exit 64 ;;
esac
