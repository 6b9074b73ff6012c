# SPDX-License-Identifier: MIT OR Apache-2.0
# Completions of initmod for bash: its commands, and the options that each command's --help lists.
_initmod() {
  local current=${COMP_WORDS[COMP_CWORD]} words
  if [ "$COMP_CWORD" = 1 ]; then
    words=$(initmod --help 2>&1 | sed -nE 's/^ *([a-z]+)( .*)?$/\1/p')
  elif [[ $current == -* ]]; then
    words=$(initmod "${COMP_WORDS[1]}" --help 2>&1 | grep -oE -- '--[a-z][a-z-]*')
  else
    mapfile -t COMPREPLY < <(compgen -f -- "$current")
    return
  fi
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}
complete -o filenames -F _initmod initmod
