# SPDX-License-Identifier: MIT OR Apache-2.0
# qemu/toml.sh: reads KEY = VALUE files into shell variables; sourced. Accepts this part of TOML and refuses the rest:
#
#   # comment               on a line of its own, or behind a value
#   key = "text"            type string; no escapes: text with a " or a \ stands in '', as TOML's literal strings do
#   key = 120               type integer
#   key = ["text", 'text']  type strings; may run over several lines, and may end in a comma
# shellcheck shell=bash

# read_toml FILE KEYS: each line of KEYS begins with a key and its type. A variable of the key's name gets the value, an array
# for the type strings; a key that FILE lacks is left empty. An unknown key, a second value for a key, or a value of another
# type ends the script with a message that names file, line and key.
read_toml() {
  local file=$1 keys=$2 number=0 rest key type value seen=' ' open='' comma=''
  local basic='^"([^"\]*)"(.*)$' literal="^'([^']*)'(.*)\$"
  bad() { die "${file#"$top/"}:$number: $*"; }
  set_text() { # moves a string from the front of rest to value
    [[ $rest =~ $basic || $rest =~ $literal ]] || bad "$key: not a string: $rest"
    value=${BASH_REMATCH[1]} rest=${BASH_REMATCH[2]}
  }
  while read -r key type _; do
    unset "$key"
    case $type in
      strings) declare -g -a "$key=()" ;;
      *) declare -g "$key=" ;;
    esac
  done < <(grep . <<<"$keys")

  while number=$((number + 1)); read -r rest || [ -n "$rest" ]; do
    if [ -z "$open" ]; then
      [[ ! $rest =~ ^(#.*)?$ ]] || continue
      [[ $rest =~ ^([a-z0-9_]+)[[:space:]]*=[[:space:]]*(.*)$ ]] || bad "not KEY = VALUE: $rest"
      key=${BASH_REMATCH[1]} rest=${BASH_REMATCH[2]}
      type=$(awk -v key="$key" '$1 == key { print $2 }' <<<"$keys")
      [ -n "$type" ] || bad "unknown key: $key"
      [[ $seen != *" $key "* ]] || bad "$key: a second value"
      seen+="$key "
      local -n variable=$key
      case $type in
        integer)
          [[ $rest =~ ^(0|[1-9][0-9]*)(.*)$ ]] || bad "$key: not an integer: $rest"
          variable=${BASH_REMATCH[1]} rest=${BASH_REMATCH[2]}
          ;;
        string) set_text; variable=$value ;;
        strings)
          [[ $rest == '['* ]] || bad "$key: not an array of strings: $rest"
          open=yes comma=yes rest=${rest#'['}
          ;;
      esac
    fi
    while [ -n "$open" ] && rest=${rest#"${rest%%[![:space:]]*}"} && [[ ! $rest =~ ^(#.*)?$ ]]; do
      case $rest in
        ']'*) open='' rest=${rest#']'} ;;
        ','*) [ -z "$comma" ] || bad "$key: a comma without a string before it"; comma=yes rest=${rest#','} ;;
        *)
          [ -n "$comma" ] || bad "$key: no comma before: $rest"
          set_text; variable+=("$value") comma=''
          ;;
      esac
    done
    [[ $rest =~ ^[[:space:]]*(#.*)?$ ]] || bad "$key: more behind the value: $rest"
    [ -n "$open" ] || unset -n variable
  done <"$file"
  [ -z "$open" ] || bad "$key: the array has no end"
}
