#!/usr/bin/env bash
# name: Claude Code   colour: #D97706   order: 10   needs: claude node python3
# home: ~/.claude/CLAUDE.md ~/.claude/settings.json ~/.claude/skills ~/.claude/agents ~/.claude/commands
# models: claude-sonnet-4 claude-opus-4   efforts: low medium high xhigh max
# note: any model of chomp's; permission rules, CLAUDE.md, skills, agents and commands of your own are used
# Runs the Claude Code CLI on one task. Your login is not used: all model traffic goes through chomp.
set -euo pipefail

available() {
  command -v claude >/dev/null && return
  echo "Claude Code is not installed: npm install -g @anthropic-ai/claude-code" >&2
  return 1
}

bring() { # what the owner wrote for this agent; settings.json may hold keys and another address, so only some of it
  "$adapter" bring .claude/CLAUDE.md .claude/skills .claude/agents .claude/commands
  [[ ! -e ${OWNER_HOME-}/.claude/settings.json ]] || python3 -c '
import json, sys
kept = ("permissions", "language", "outputStyle", "attribution", "includeCoAuthoredBy")
given = json.load(open(sys.argv[1]))
json.dump({key: given[key] for key in kept if key in given}, open(sys.argv[2], "w"))
' "$OWNER_HOME/.claude/settings.json" "$CLAUDE_CONFIG_DIR/settings.json" || "$adapter" warn "your settings.json cannot be read"
}

insist() { # settings in a file win over those of a repository, which must not lead the traffic elsewhere
  python3 -c '
import json, os, sys
names = ("ANTHROPIC_BASE_URL", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_MODEL")
off = ("ANTHROPIC_API_KEY", "CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX", "CLAUDE_CODE_USE_FOUNDRY")
json.dump({"env": {**{name: os.environ[name] for name in names}, **dict.fromkeys(off, "")}}, sys.stdout)'
}

run() {
  available || exit 69
  adapter=${CHOMP_BIN%/*}/adapter # beside bin/chomp: what adapters share
  cd "${TASK_DIR:?}"
  export CLAUDE_CONFIG_DIR=$HOME/.claude CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1 DISABLE_AUTOUPDATER=1
  local name
  for name in MODEL SMALL_FAST_MODEL DEFAULT_OPUS_MODEL DEFAULT_SONNET_MODEL DEFAULT_HAIKU_MODEL; do
    export "ANTHROPIC_$name=${TASK_MODEL:?}" # requests in the background go the same way
  done
  export CLAUDE_CODE_SUBAGENT_MODEL=$TASK_MODEL
  [[ -z ${TASK_CONTEXT-} ]] || export CLAUDE_CODE_MAX_CONTEXT_TOKENS=$TASK_CONTEXT # else it takes 1m for granted
  mkdir -p "$CLAUDE_CONFIG_DIR"
  bring
  (umask 077 && insist >"$CLAUDE_CONFIG_DIR/chomp.json")
  local options=(--print --model "$TASK_MODEL" --settings "$CLAUDE_CONFIG_DIR/chomp.json" --output-format stream-json --verbose)
  options+=(--dangerously-skip-permissions) # chomp's sandbox is the limit; nobody is there to be asked
  [[ $EUID != 0 ]] || export IS_SANDBOX=1   # without it that option is refused to root
  local rules
  rules=$("$adapter" rules)
  [[ -z $rules ]] || options+=(--append-system-prompt "$rules")
  case ${TASK_EFFORT-} in
    "") ;;
    low | medium | high | xhigh | max) options+=(--effort "$TASK_EFFORT") ;;
    *) "$adapter" warn "Claude Code knows no effort '$TASK_EFFORT'; it uses its own" ;;
  esac
  set +e
  claude "${options[@]}" <"${TASK_PROMPT_FILE:?}" | "$adapter" show claude # a file: any length, any sign
  exit "${PIPESTATUS[0]}"
}

case "${1-}" in
  available | run) "$1" ;;
  *) echo "usage: ${0##*/} available|run" >&2; exit 64 ;;
esac
